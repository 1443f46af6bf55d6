//! Who a container runs as, in numbers: files that are put into it have to be that user's, since no
//! user there may override permissions, not even root.

use hoist_model::unit::ContainerUnit;

use crate::archive::first_file;
use crate::backend::{Backend, BackendErrorKind};
use crate::unit::halt::Halt;
use crate::walk::Owner;

/// Bytes of /etc/passwd and /etc/group that are read.
const MOST: u64 = 1 << 20;

/// A user as `USER` or a step's `user` has it: `name-or-number[:name-or-number]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User(pub(super) String);

impl User {
    /// The user of a step: its own, else its image's; `None` where that is not known.
    pub(super) async fn of(
        backend: &dyn Backend,
        unit: &ContainerUnit,
        image: &str,
    ) -> Result<Option<Self>, Halt> {
        if let Some(user) = &unit.user {
            return Ok(Some(Self(user.clone())));
        }
        let user = backend.image_user(image).await;
        let user =
            user.map_err(|error| Halt::surroundings("the image cannot be looked at", &error))?;
        Ok(user.map(Self))
    }

    /// The user in numbers where it stands there in numbers.
    fn numbers(&self) -> Option<Owner> {
        let (user, group) = self.parts();
        let uid = if user.is_empty() {
            0
        } else {
            user.parse().ok()?
        };
        // Without a group the engine takes the user's own; files are reached by the user's number.
        let gid = if group.is_empty() {
            0
        } else {
            group.parse().ok()?
        };
        Some(Owner {
            uid,
            gid,
            for_all: false,
        })
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or((&self.0, ""))
    }

    /// The user in numbers by the files of its image.
    fn look_up(&self, passwd: &str, group: &str) -> Option<Owner> {
        let (name, wanted_group) = self.parts();
        // name:password:uid:gid:...
        let entry = passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [entry, _, uid, gid, ..] = fields.as_slice() else {
                return None;
            };
            (*entry == name || *uid == name).then_some((*uid, *gid))
        });
        let uid = match entry {
            Some((uid, _)) => uid.parse().ok()?,
            None => name.parse().ok()?,
        };
        let gid = if wanted_group.is_empty() {
            entry.map_or(Some(0), |(_, gid)| gid.parse().ok())?
        } else {
            // name:password:gid:...
            let by_name = group.lines().find_map(|line| {
                let fields: Vec<&str> = line.split(':').collect();
                let [entry, _, gid, ..] = fields.as_slice() else {
                    return None;
                };
                (*entry == wanted_group).then_some(*gid)
            });
            by_name.unwrap_or(wanted_group).parse().ok()?
        };
        Some(Owner {
            uid,
            gid,
            for_all: false,
        })
    }
}

/// Whose files in a container have to be. `container` is one of the same image, started or not; its
/// user database is read where the user is a name. A user that cannot be found out gets files that
/// are open to all.
pub(super) async fn owner(
    backend: &dyn Backend,
    user: Option<&User>,
    container: &str,
) -> Result<Owner, Halt> {
    let unknown = Owner {
        for_all: true,
        ..Owner::ROOT
    };
    let Some(user) = user else { return Ok(unknown) };
    if let Some(owner) = user.numbers() {
        return Ok(owner);
    }
    let passwd = text(backend, container, "/etc/passwd").await?;
    let group = match user.parts() {
        (_, "") => String::new(),
        _ => text(backend, container, "/etc/group").await?,
    };
    Ok(user.look_up(&passwd, &group).unwrap_or(unknown))
}

/// The text of a file in a container; empty if it is not there or no plain file.
async fn text(backend: &dyn Backend, container: &str, path: &str) -> Result<String, Halt> {
    let what = || format!("{path} of the image cannot be read");
    let archive = match backend.download(container, path).await {
        Ok(archive) => archive,
        Err(error) if error.kind == BackendErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(Halt::surroundings(what(), &error)),
    };
    let bytes = first_file(archive, MOST).await;
    let bytes = bytes.map_err(|error| Halt::trouble(error.trouble(what())))?;
    Ok(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\n\nodd\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:node\n";

    fn found(user: &str) -> Option<(u64, u64)> {
        let user = User(user.to_owned());
        let owner = user.numbers().or_else(|| user.look_up(PASSWD, GROUP));
        owner.map(|owner| (owner.uid, owner.gid))
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        assert_eq!(found(""), Some((0, 0)));
        assert_eq!(found("0"), Some((0, 0)));
        assert_eq!(found("65534:65534"), Some((65534, 65534)));
        assert_eq!(found("node"), Some((1000, 1001)));
        assert_eq!(found("1000"), Some((1000, 0)));
        assert_eq!(found("node:staff"), Some((1000, 50)));
        assert_eq!(found("1234:staff"), Some((1234, 50)));
        assert_eq!(found("nobody"), None);
        assert_eq!(found("node:nobody"), None);
    }
}
