//! What a step would send of the project's folders, and what is left out and why. Paths and numbers
//! only: the engine walks, a renderer draws, and this refuses to do either.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::ids::StepId;

/// The folders from which a step is sent something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// The step.
    pub step: StepId,
    /// The context first, further ones by their names after it.
    pub folders: Vec<SurveyedFolder>,
}

/// A folder from which something is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurveyedFolder {
    /// What it is to the step.
    pub role: Role,
    /// Relative to the project's root; `.` is the root.
    pub path: String,
    /// The ignore file whose rules hold, relative to the project's root; `None` if there is none.
    pub ignorefile: Option<String>,
    /// What is sent, in the order of the walk: folders before what is in them.
    pub entries: Vec<Entry>,
    /// What is not, in the same order. Of a folder that is left out whole only the folder.
    pub left_out: Vec<LeftOut>,
    /// What people should know of it.
    pub hints: Vec<Hint>,
}

/// What a folder is to a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The context of a build.
    Context,
    /// A further context, by the name that the Dockerfile gives it.
    Named(String),
    /// What a step gets a copy of before it runs.
    Source,
}

/// Something that is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Below the folder, with `/` between its parts.
    pub path: String,
    /// What it is.
    #[serde(flatten)]
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EntryKind {
    /// A plain file.
    File {
        /// Its size.
        bytes: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link; it is sent as a link.
    Link {
        /// What it leads to, as it is written.
        target: String,
    },
}

/// Something that is not sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Below the folder, with `/` between its parts.
    pub path: String,
    /// It is a folder, left out whole.
    pub folder: bool,
    /// The bytes of all plain files in it; `None` where counting them would take long.
    pub bytes: Option<u64>,
    /// Why.
    pub why: Why,
}

/// Why something is not sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// A rule of the ignore file.
    Rule {
        /// Its line, from 1.
        line: usize,
        /// As written.
        pattern: String,
    },
    /// hoist never sends it, for this reason.
    Never(String),
    /// A socket, a pipe or a device, which nobody can send.
    Special,
}

/// Something that people should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// A sentence.
    pub message: String,
    /// What to try.
    pub hint: String,
}

/// How much something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// Bytes of plain files.
    pub bytes: u64,
    /// Plain files.
    pub files: usize,
}

impl SurveyedFolder {
    /// All plain files that are sent.
    #[must_use]
    pub fn weight(&self) -> Weight {
        let mut weight = Weight::default();
        for (_, bytes) in self.files() {
            weight.add(bytes);
        }
        weight
    }

    /// Plain files that are sent, with their bytes.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.entries.iter().filter_map(|entry| match entry.kind {
            EntryKind::File { bytes } => Some((entry.path.as_str(), bytes)),
            EntryKind::Folder | EntryKind::Link { .. } => None,
        })
    }

    /// The heaviest plain files, at most so many; of equal ones, the first of the walk.
    #[must_use]
    pub fn heaviest_files(&self, most: usize) -> Vec<(&str, u64)> {
        let mut files: Vec<_> = self.files().collect();
        files.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        files.truncate(most);
        files
    }

    /// The heaviest folders with all that is in them, at most so many.
    #[must_use]
    pub fn heaviest_folders(&self, most: usize) -> Vec<(&str, Weight)> {
        let mut folders: HashMap<&str, Weight> = HashMap::new();
        for (path, bytes) in self.files() {
            for (end, _) in path.match_indices('/') {
                let folder = path.get(..end).unwrap_or(path);
                folders.entry(folder).or_default().add(bytes);
            }
        }
        let mut folders: Vec<_> = folders.into_iter().collect();
        folders.sort_by(|(a, first), (b, second)| {
            let heavier = second.bytes.cmp(&first.bytes);
            heavier.then(second.files.cmp(&first.files)).then(a.cmp(b))
        });
        folders.truncate(most);
        folders
    }
}

impl Weight {
    fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.files += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, u64)]) -> SurveyedFolder {
        let entry = |(path, bytes): &(&str, u64)| Entry {
            path: (*path).to_owned(),
            kind: EntryKind::File { bytes: *bytes },
        };
        SurveyedFolder {
            role: Role::Context,
            path: ".".into(),
            ignorefile: None,
            entries: files.iter().map(entry).collect(),
            left_out: Vec::new(),
            hints: Vec::new(),
        }
    }

    #[test]
    fn a_folder_weighs_what_is_in_it_and_below() {
        let folder = folder(&[("a/b/c", 5), ("a/d", 2), ("e", 100), ("f/g", 7)]);
        let weight = |bytes, files| Weight { bytes, files };
        assert_eq!(folder.weight(), weight(114, 4));
        assert_eq!(
            folder.heaviest_folders(10),
            [
                ("a", weight(7, 2)),
                ("f", weight(7, 1)),
                ("a/b", weight(5, 1))
            ]
        );
        assert_eq!(folder.heaviest_folders(1), [("a", weight(7, 2))]);
        assert_eq!(folder.heaviest_files(2), [("e", 100), ("f/g", 7)]);
    }
}
