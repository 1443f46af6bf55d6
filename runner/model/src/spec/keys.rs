//! Where keys stand in a file, found by their path. Values carry their places; this is for what
//! has to be said of a key itself, so the file is only read again when there is something to say.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// The keys of a file.
pub(crate) struct Keys<'t> {
    root: DeTable<'t>,
}

/// Where a key and its value are, bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPlace {
    /// The key where it is named first. Of an element of an array, the element.
    pub(crate) key: Range<usize>,
    /// Its value; of a table with a header of its own, the header.
    pub(crate) value: Range<usize>,
}

impl<'t> Keys<'t> {
    /// Reads the keys of a text as far as it is TOML.
    pub(crate) fn read(text: &'t str) -> Self {
        Self {
            root: DeTable::parse_recoverable(text).0.into_inner(),
        }
    }

    /// Where a key is.
    pub(crate) fn find(&self, path: &[impl AsRef<str>]) -> Option<KeyPlace> {
        let (first, rest) = path.split_first()?;
        let (key, mut value) = self.root.get_key_value(first.as_ref())?;
        let mut place = KeyPlace {
            key: key.span(),
            value: value.span(),
        };
        for part in rest {
            let (key, next) = step(value, part.as_ref())?;
            place = KeyPlace {
                key,
                value: next.span(),
            };
            value = next;
        }
        Some(place)
    }

    /// The value at a path.
    pub(crate) fn value(&self, path: &[impl AsRef<str>]) -> Option<&DeValue<'t>> {
        let (first, rest) = path.split_first()?;
        let start = self.root.get(first.as_ref())?;
        rest.iter()
            .try_fold(start, |value, part| Some(step(value, part.as_ref())?.1))
            .map(Spanned::get_ref)
    }
}

impl Keys<'_> {
    /// The way to the value at a place; of an element of an array, to its array.
    pub(crate) fn path_to(&self, place: &Range<usize>) -> Vec<String> {
        fn search(table: &DeTable<'_>, place: &Range<usize>, path: &mut Vec<String>) -> bool {
            table.iter().any(|(key, value)| {
                path.push(key.get_ref().to_string());
                let found = value.span() == *place
                    || match value.get_ref() {
                        DeValue::Table(inner) => search(inner, place, path),
                        DeValue::Array(inner) => holds(inner, place),
                        _ => false,
                    };
                if !found {
                    path.pop();
                }
                found
            })
        }
        fn holds(array: &DeArray<'_>, place: &Range<usize>) -> bool {
            array.iter().any(|element| match element.get_ref() {
                _ if element.span() == *place => true,
                DeValue::Array(inner) => holds(inner, place),
                DeValue::Table(inner) => search(inner, place, &mut Vec::new()),
                _ => false,
            })
        }
        let mut path = Vec::new();
        search(&self.root, place, &mut path);
        path
    }
}

/// What a part of a path leads to in a value, and the place of its name.
fn step<'v, 't>(
    value: &'v Spanned<DeValue<'t>>,
    part: &str,
) -> Option<(Range<usize>, &'v Spanned<DeValue<'t>>)> {
    match value.get_ref() {
        DeValue::Table(table) => table
            .get_key_value(part)
            .map(|(key, value)| (key.span(), value)),
        DeValue::Array(array) => {
            let element = array.get(part.parse::<usize>().ok()?)?;
            Some((element.span(), element))
        }
        _ => None,
    }
}

/// Takes a key out of a table, and says whether it was there.
pub(crate) fn remove(table: &mut DeTable<'_>, path: &[impl AsRef<str>]) -> bool {
    match path {
        [] => false,
        [last] => table.remove(last.as_ref()).is_some(),
        [first, rest @ ..] => match table.get_mut(first.as_ref()).map(Spanned::get_mut) {
            Some(DeValue::Table(inner)) => remove(inner, rest),
            _ => false,
        },
    }
}
