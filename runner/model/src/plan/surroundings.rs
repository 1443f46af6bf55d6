//! What a plan needs to know of the world, handed in by whoever may look: variables, the commit,
//! files of the project, settings. This module looks at nothing itself.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// What a plan needs to know of the world.
pub struct Surroundings<'a> {
    /// Variables, for `${env.NAME}` and for what a CI says of the branch.
    pub env: BTreeMap<String, String>,
    /// The commit that is checked out.
    pub git: Git,
    /// The project's files.
    pub files: &'a dyn ProjectFiles,
    /// Settings that stand over the file's `[tools]`.
    pub tools: ToolSettings,
}

/// What is known of the project's commit. Outside a repository nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Git {
    /// The commit, 40 hexadecimal digits.
    pub sha: Option<String>,
    /// As `git rev-parse --short` has it.
    pub short_sha: Option<String>,
    /// The branch; absent on a detached head.
    pub branch: Option<String>,
    /// A tag that points at the commit.
    pub tag: Option<String>,
    /// As `git describe --tags` has it.
    pub describe: Option<String>,
    /// The committer's time.
    pub commit_time: Option<Timestamp>,
    /// The URL of `origin`.
    pub remote: Option<String>,
}

/// Settings that stand over the file's `[tools]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolSettings {
    /// `HOIST_TOOLS_TRIVY`: Trivy's image.
    pub trivy: Option<String>,
    /// `HOIST_TOOLS_TRIVY_DB`: a folder or a repository with Trivy's database.
    pub trivy_db: Option<String>,
    /// `HOIST_TOOLS_HAPROXY`: HAProxy's image.
    pub haproxy: Option<String>,
}

/// The project's files, seen from its root. Paths are relative to the root with `/` between their
/// parts and without `..`; only `[tools]` may name an absolute one.
pub trait ProjectFiles {
    /// What is at a path, links followed.
    fn entry(&self, path: &str) -> Entry;

    /// The content of a file; `None` if it is not there or cannot be read.
    fn read(&self, path: &str) -> Option<Vec<u8>>;

    /// The files that are not as they were in the commit from which this line of commits and the
    /// named one went apart: changed, added or removed, in a commit or in none yet.
    ///
    /// # Errors
    /// Why that cannot be told, as the end of a sentence.
    fn changes(&self, base: &str) -> Result<Vec<String>, String> {
        Err(format!("nothing is known of `{base}`"))
    }
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    Missing,
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// Something else: a socket, a device.
    Other,
    /// A link leads out of the project.
    Outside,
    /// It is there and cannot be read.
    Unreadable,
}
