//! The secrets of one generation of a service, or of one beside a step: a plain volume of their own,
//! filled through a container that is never started, read-only for the service, removed with its
//! container.
//!
//! Whether secrets changed is found out by reading the volume back: no value and no hash of one ever
//! stands in a label, where a short secret could be guessed from it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use futures_util::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::bare::{bare, discard};
use crate::backend::{Backend, BackendError, BackendErrorKind, Mount};
use crate::context::UnitContext;
use crate::vault;
use crate::walk::Owner;
use crate::walk::entries::tar_of;

/// What a tar may have beyond the secrets themselves: a header and padding each, and its end.
const OVERHEAD: usize = 2048;

/// The values of a service's secrets by name.
pub(crate) type Values<'a> = BTreeMap<&'a str, &'a SecretString>;

/// Fills a service's volume with the secrets of those names, for its user, or its image's. The
/// container which helps carries the run's labels, so that it is taken away whatever happens.
pub(crate) async fn fill(
    context: &UnitContext,
    backend: &dyn Backend,
    volume: &str,
    image: &str,
    user: Option<&str>,
    names: &[String],
) -> Result<(), BackendError> {
    let owner = owner(backend, image, user).await?;
    let entries = vault::entries(&context.secrets, names, owner)
        .map_err(|trouble| BackendError::new(BackendErrorKind::Engine, trouble.what))?;
    let mut spec = bare(&filler(volume), image, context.labels.clone());
    spec.mounts = vec![mount(volume, false)];
    let id = match backend.create_container(&spec).await {
        Ok(id) => id,
        Err(error) => {
            // It may be there although the answer was lost, and would hold the volume.
            if error.kind != BackendErrorKind::Conflict {
                let _ = discard(backend, &spec.name).await;
            }
            return Err(error);
        }
    };
    let filled = backend.upload(&id, "/", tar_of(entries)).await;
    let removed = discard(backend, &id).await;
    filled.and(removed)
}

/// The name of the container which helps to fill a volume.
pub(crate) fn filler(volume: &str) -> String {
    format!("{volume}-filler")
}

/// The mount by which a container has them.
pub(crate) fn mount(volume: &str, read_only: bool) -> Mount {
    Mount {
        volume: volume.to_owned(),
        target: vault::FOLDER.to_owned(),
        read_only,
        populate: false,
    }
}

/// The container's secrets are these.
pub(crate) async fn same(
    backend: &dyn Backend,
    container: &str,
    values: &Values<'_>,
) -> Result<bool, BackendError> {
    let most = values
        .values()
        .map(|value| value.expose_secret().len() + OVERHEAD)
        .sum::<usize>();
    let Some(found) = read(backend, container, most + 16 * OVERHEAD).await? else {
        return Ok(false);
    };
    let wanted: BTreeMap<&str, &[u8]> = values
        .iter()
        .map(|(name, value)| (*name, value.expose_secret().as_bytes()))
        .collect();
    Ok(found.len() == wanted.len()
        && found
            .iter()
            .all(|(name, value)| wanted.get(name.as_str()) == Some(&value.as_slice())))
}

/// The names of the secrets that a container has.
pub(crate) async fn names(
    backend: &dyn Backend,
    container: &str,
) -> Result<BTreeSet<String>, BackendError> {
    let found = read(backend, container, usize::MAX).await?;
    Ok(found.unwrap_or_default().into_keys().collect())
}

/// The secrets of a container by name; `None` where they take more than `most` bytes.
async fn read(
    backend: &dyn Backend,
    container: &str,
    most: usize,
) -> Result<Option<BTreeMap<String, Vec<u8>>>, BackendError> {
    let mut stream = match backend.download(container, vault::FOLDER).await {
        Ok(stream) => stream,
        Err(error) if error.kind == BackendErrorKind::NotFound => {
            return Ok(Some(BTreeMap::new()));
        }
        Err(error) => return Err(error),
    };
    let mut tar = Vec::new();
    while let Some(bytes) = stream.next().await {
        tar.extend_from_slice(&bytes?);
        if tar.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(unpack(&tar).unwrap_or_default()))
}

/// Whose the files are. Someone who is not root stays who he is, so nobody else need read them. A
/// service that starts as root may go on as anyone, and a name's number is not known here: all users
/// of the container can read them then, and nobody else has the volume.
pub(crate) async fn owner(
    backend: &dyn Backend,
    image: &str,
    user: Option<&str>,
) -> Result<Owner, BackendError> {
    let user = match user {
        Some(user) => Some(user.to_owned()),
        None => backend.image_user(image).await?,
    };
    let owner = user
        .as_deref()
        .and_then(numeric)
        .filter(|(uid, _)| *uid != 0);
    Ok(match owner {
        Some((uid, gid)) => Owner {
            uid,
            gid,
            for_all: false,
        },
        None => Owner {
            for_all: true,
            ..Owner::ROOT
        },
    })
}

/// `1000` or `1000:1000`.
fn numeric(user: &str) -> Option<(u64, u64)> {
    let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
    Some((uid.parse().ok()?, gid.parse().ok()?))
}

/// The plain files of a tar, by name.
pub(crate) fn unpack(tar: &[u8]) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path()?;
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        found.insert(name.unwrap_or_default(), content);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Labels;
    use crate::fake::{FakeBackend, Program};

    fn values(secret: &SecretString) -> Values<'_> {
        Values::from([("token", secret)])
    }

    #[tokio::test]
    async fn only_a_user_with_a_number_who_is_not_root_can_be_the_only_one_to_read() {
        let engine = FakeBackend::new();
        for (user, for_all, uid, gid) in [
            (Some("1000"), false, 1000, 0),
            (Some("1000:20"), false, 1000, 20),
            (Some("0"), true, 0, 0),
            (Some("app"), true, 0, 0),
            (None, true, 0, 0),
        ] {
            let owner = owner(&engine, "base", user).await.expect("known");
            assert_eq!(owner, Owner { uid, gid, for_all }, "{user:?}");
        }
    }

    #[tokio::test]
    async fn values_names_and_numbers_are_compared() {
        let secret = SecretString::from("correct horse");
        for (files, same_as_wanted) in [
            (vec![("/run/secrets/token", "correct horse")], true),
            (vec![("/run/secrets/token", "battery staple")], false),
            (vec![("/run/secrets/other", "correct horse")], false),
            (
                vec![
                    ("/run/secrets/token", "correct horse"),
                    ("/run/secrets/b", "x"),
                ],
                false,
            ),
            (vec![], false),
        ] {
            let engine = FakeBackend::new();
            engine.add_image("base");
            let program = files
                .iter()
                .fold(Program::forever(), |program, (path, text)| {
                    program.leaves(*path, *text)
                });
            engine.program(|_| true, program);
            let id = engine
                .create_container(&bare("a", "base", Labels::new()))
                .await
                .expect("made");
            let answer = same(&engine, &id, &values(&secret)).await.expect("read");
            assert_eq!(answer, same_as_wanted, "{files:?}");
        }
    }
}
