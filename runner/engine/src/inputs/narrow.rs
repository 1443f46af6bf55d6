//! Inputs as far as a builder looks at them. What no instruction of a Dockerfile names can be changed
//! without another image coming of it, and which paths those are is known once such a Dockerfile was
//! built: they follow from it, the arguments and all else but the folders. A little too much may count
//! as looked at; it refuses to take anything for unseen of which nothing was said.

use std::collections::BTreeSet;
use std::io;

use hoist_model::inputs::{Input, Part};
use serde::{Deserialize, Serialize};

use super::folder::Shelf;
use super::records::{Digest, Outcome};
use super::survey::Survey;
use super::{manifest, parts};
use crate::uploads::Wanted;

/// What a build of a Dockerfile looks at: paths below each folder of which it does not want all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gaze(Vec<(Part, BTreeSet<String>)>);

impl Outcome for Gaze {
    const SHELF: Shelf = Shelf::Builds;
}

impl Gaze {
    /// Of what a builder said; `None` where it looks at all of each folder.
    pub(crate) fn new(wanted: &Wanted) -> Option<Self> {
        let some = wanted.iter();
        let some = some.filter_map(|(part, paths)| Some((part.clone(), paths.clone()?)));
        let some: Vec<_> = some.collect();
        (!some.is_empty()).then_some(Self(some))
    }

    fn of(&self, part: &Part) -> Option<&BTreeSet<String>> {
        let mut all = self.0.iter();
        all.find_map(|(of, paths)| (of == part).then_some(paths))
    }

    /// The digest of inputs of which only that counts.
    ///
    /// # Errors
    /// When what was seen of a folder cannot be read again.
    pub(super) fn digest<'a>(
        &self,
        rest: String,
        folders: impl Iterator<Item = (&'a Part, &'a Survey)>,
    ) -> io::Result<Digest> {
        let seen = |(part, survey): (&Part, &Survey)| -> io::Result<Input> {
            let digest = match self.of(part) {
                None => survey.digest.clone(),
                Some(paths) => looked_at(survey, paths)?,
            };
            Ok(parts::folder(part.clone(), &digest))
        };
        let folders = folders.map(seen).collect::<io::Result<Vec<_>>>()?;
        // Another kind of digest than that of whole folders.
        let paths = serde_json::to_string(self)?;
        let paths = parts::folder(Part::Option("looked at".to_owned()), &paths);
        let folders: Vec<Input> = std::iter::once(paths).chain(folders).collect();
        let folders = parts::digest(&folders);
        Ok(Digest { rest, folders })
    }
}

/// The digest of these paths, of what is in them, and of the folders that they are in.
fn looked_at(survey: &Survey, paths: &BTreeSet<String>) -> io::Result<String> {
    let mut hasher = manifest::Hasher::new();
    for seen in survey.list()? {
        let seen = seen?;
        if is_in(&String::from_utf8_lossy(&seen.entry.path), paths) {
            hasher.add(&seen.entry);
        }
    }
    Ok(hasher.finish())
}

/// The path is one of these, in one of them, or leads to one.
fn is_in(path: &str, paths: &BTreeSet<String>) -> bool {
    let ends = path.match_indices('/').map(|(at, _)| at);
    let mut above = ends.chain([path.len()]).filter_map(|end| path.get(..end));
    let below = format!("{path}/");
    let mut from = paths.range(below.clone()..);
    above.any(|path| paths.contains(path)) || from.next().is_some_and(|it| it.starts_with(&below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_counts_with_what_is_in_it_and_what_leads_to_it() {
        let paths = ["app", "vendor/lib", "web/a.txt"].map(str::to_owned).into();
        for path in [
            "app",
            "app/x/y",
            "vendor",
            "vendor/lib",
            "vendor/lib/a",
            "web",
            "web/a.txt",
        ] {
            assert!(is_in(path, &paths), "{path}");
        }
        for path in [
            "ap",
            "apple",
            "app.txt",
            "vendor/libs",
            "vendor/a",
            "web/a.txts",
            "docs",
        ] {
            assert!(!is_in(path, &paths), "{path}");
        }
        assert!(!is_in("app", &BTreeSet::new()));
    }

    #[test]
    fn where_all_is_looked_at_nothing_is_narrower() {
        let all = Wanted::from([(Part::Context, None)]);
        assert_eq!(Gaze::new(&all), None);
        assert_eq!(Gaze::new(&Wanted::new()), None);
        let paths = BTreeSet::from(["app".to_owned()]);
        let some = Wanted::from([
            (Part::Context, None),
            (Part::NamedContext("web".into()), Some(paths.clone())),
        ]);
        let gaze = Gaze::new(&some).expect("a part of a folder");
        assert_eq!(gaze.of(&Part::Context), None);
        assert_eq!(gaze.of(&Part::NamedContext("web".into())), Some(&paths));
    }
}
