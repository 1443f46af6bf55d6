//! Which cells a name means: a step without a matrix is its own only cell; of one that has a
//! matrix, those that agree with the step that names it in every axis which both have.

use std::ops::Range;

use super::cx::{Cx, FileIx};
use crate::diag::list;

/// More cells than these are not listed.
const LISTED: usize = 6;

/// Why a name means no step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoCell {
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// The name that was probably meant.
    pub(super) meant: Option<String>,
}

/// The cells that a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) cells: Vec<FileIx>,
    /// The name says which.
    pub(super) named: bool,
}

impl<'a> Cx<'a> {
    /// The steps as the file names them, in its order.
    pub(super) fn step_keys(&self) -> Vec<&'a str> {
        let mut keys: Vec<&str> = self.steps.iter().map(|step| step.id.as_str()).collect();
        keys.dedup();
        keys
    }

    /// The cells that a name means where the current step names them; at least one.
    pub(super) fn bind(&self, name: &str) -> Result<Bound, NoCell> {
        let (id, pairs) = match name.split_once('[') {
            Some((id, rest)) => (id, Some(rest)),
            None => (name, None),
        };
        let Some(group) = self.by_name.get(id).cloned() else {
            return Err(NoCell {
                message: format!("there is no step `{id}`"),
                help: None,
                meant: self.near(id, self.step_keys()).map(str::to_owned),
            });
        };
        let wanted = match pairs {
            Some(pairs) => self.named(id, pairs, &group)?,
            None => Vec::new(),
        };
        let own = self.cell_values();
        let agrees = |cell: &[(String, String)]| {
            let value = |key: &str| cell.iter().find(|(known, _)| known == key);
            let is_named = |key: &str| wanted.iter().any(|(known, _)| *known == key);
            let mut named = wanted.iter();
            let mut shared = own.iter().filter(|(key, _)| !is_named(key));
            named.all(|(key, wanted)| value(key).is_some_and(|(_, value)| value == wanted))
                && shared.all(|(key, own)| value(key).is_none_or(|(_, value)| value == own))
        };
        let cells = group
            .clone()
            .filter(|at| agrees(self.values_of(*at)))
            .collect::<Vec<_>>();
        if cells.is_empty() {
            return Err(self.none_agrees(id, &group, pairs.is_some()));
        }
        Ok(Bound {
            cells,
            named: pairs.is_some(),
        })
    }

    /// The one cell that a name means.
    pub(super) fn bind_one(&self, name: &str) -> Result<FileIx, NoCell> {
        let bound = self.bind(name)?;
        match bound.cells.as_slice() {
            [cell] => Ok(*cell),
            cells => Err(self.several(name, cells)),
        }
    }

    /// That a name means several cells where it has to mean one.
    pub(super) fn several(&self, name: &str, cells: &[FileIx]) -> NoCell {
        let first = cells.first().map_or("", |cell| self.name_of(*cell));
        NoCell {
            message: format!("`{name}` is one of {} cells", cells.len()),
            help: Some(format!(
                "name it, such as `{first}`; there is {}",
                self.shown(cells)
            )),
            meant: None,
        }
    }

    fn none_agrees(&self, id: &str, group: &Range<FileIx>, named: bool) -> NoCell {
        let cells: Vec<FileIx> = group.clone().collect();
        let current = self.current.map_or("", |at| self.name_of(at));
        let message = match named {
            true => format!("no cell of `{id}` is like this"),
            false => format!("no cell of `{id}` agrees with `{current}`"),
        };
        NoCell {
            message,
            help: Some(format!("there is {}", self.shown(&cells))),
            meant: None,
        }
    }

    fn shown(&self, cells: &[FileIx]) -> String {
        let names: Vec<&str> = cells.iter().map(|cell| self.name_of(*cell)).collect();
        match names.get(..LISTED) {
            Some(first) if names.len() > LISTED => {
                format!(
                    "{} and {} more",
                    list(first).replace(" and ", ", "),
                    names.len() - LISTED
                )
            }
            _ => list(&names),
        }
    }

    fn values_of(&self, step: FileIx) -> &[(String, String)] {
        let cell = self.steps.get(step).and_then(|step| self.cell_at(*step));
        cell.map_or(&[], |cell| &cell.values)
    }

    /// The axes and values of a name after its `[`.
    fn named<'n>(
        &self,
        id: &str,
        pairs: &'n str,
        group: &Range<FileIx>,
    ) -> Result<Vec<(&'n str, &'n str)>, NoCell> {
        let form = || NoCell {
            message: format!("`{id}[{pairs}` is not the name of a cell"),
            help: Some("cells are named like `unit[python=3.12,db=16]`".into()),
            meant: None,
        };
        let pairs = pairs.strip_suffix(']').ok_or_else(form)?;
        let step = self.steps.get(group.start);
        let Some(cell) = step.and_then(|step| self.cell_at(*step)) else {
            return Err(NoCell {
                message: format!("the step `{id}` has no matrix"),
                help: None,
                meant: Some(id.to_owned()),
            });
        };
        let mut named = Vec::new();
        for pair in pairs.split(',') {
            let (key, value) = pair.split_once('=').ok_or_else(form)?;
            let (key, value) = (key.trim(), value.trim());
            if !cell.keys.contains(key) {
                let keys: Vec<&str> = cell.keys.iter().map(String::as_str).collect();
                return Err(NoCell {
                    message: format!("the matrix of `{id}` has no `{key}`"),
                    help: Some(format!("it has {}", list(&keys))),
                    meant: None,
                });
            }
            named.push((key, value));
        }
        Ok(named)
    }
}
