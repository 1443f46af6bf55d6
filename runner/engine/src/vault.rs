//! Secrets as files: the entries that fill a volume of a container's own, which is mounted
//! read-only. Values never stand in an environment, a label, a name or a message.

use hoist_model::reason::Trouble;
use secrecy::ExposeSecret as _;

use crate::secrets::Secrets;
use crate::walk::Owner;
use crate::walk::entries::{Content, Entry};

/// Where secrets are in a container.
pub const FOLDER: &str = "/run/secrets";

/// The entries that lay secrets down in their folder. A file can be read by its owner alone; where
/// the user is not known, by every user of the container, which is the only one that has the volume.
///
/// # Errors
/// When a secret has no value.
pub(crate) fn entries(
    secrets: &Secrets,
    names: &[String],
    owner: Owner,
) -> Result<Vec<Entry>, Trouble> {
    let mode = if owner.for_all { 0o444 } else { 0o400 };
    let folder = Entry {
        mode: 0o755,
        ..Entry::folder(FOLDER, owner)
    };
    let files = names.iter().map(|name| {
        let value = secrets.get(name).ok_or_else(|| {
            Trouble::new(format!("the secret `{name}` has no value"))
                .hint("see where [secrets] in pipeline.toml takes it from")
        })?;
        let content = Content::Bytes(value.expose_secret().as_bytes().to_vec());
        Ok(Entry {
            path: format!("{FOLDER}/{name}"),
            owner,
            mode,
            content,
        })
    });
    std::iter::once(Ok(folder)).chain(files).collect()
}
