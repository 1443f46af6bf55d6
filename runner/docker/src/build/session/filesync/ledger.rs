//! What the engine was told of: an entry's number is its place in the order of telling. Kept small,
//! for there may be hundreds of thousands: a name without its folder's, a size, and the folder's
//! number. It refuses more than numbers can name.

use std::collections::HashMap;

use hoist_model::reason::Trouble;

/// The folder of what is in no other.
const TOP: u32 = u32::MAX;

/// The size of what is no plain file.
const NO_FILE: u64 = u64::MAX;

/// The entries told so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    names: String,
    entries: Vec<Entry>,
    /// The numbers of the entry told last and of the folders above it, outermost first.
    trail: Vec<u32>,
    /// The first file told of each that has several names, by device and inode.
    first: HashMap<(u64, u64), u32>,
}

#[derive(Debug)]
struct Entry {
    size: u64,
    folder: u32,
    /// Where its name ends in `names`; it begins where the one before ends.
    end: u32,
}

impl Ledger {
    /// Adds the next entry; parents come before what is in them. `size` is that of a plain file,
    /// `inode` of one with several names its device and inode: gives the one told first, if it is
    /// another.
    ///
    /// # Errors
    /// When there are too many.
    pub(super) fn push(
        &mut self,
        path: &str,
        size: Option<u64>,
        inode: Option<(u64, u64)>,
    ) -> Result<Option<String>, Trouble> {
        let (depth, name) = match path.rsplit_once('/') {
            Some((above, name)) => (above.split('/').count(), name),
            None => (0, path),
        };
        self.trail.truncate(depth);
        self.names.push_str(name);
        let number = u32::try_from(self.entries.len()).ok();
        let end = u32::try_from(self.names.len()).ok();
        let (Some(number), Some(end)) = (number.filter(|number| *number != TOP), end) else {
            return Err(Trouble::new("there are too many files to be sent")
                .hint("leave out what is not needed with .dockerignore"));
        };
        let first = inode.map(|inode| *self.first.entry(inode).or_insert(number));
        let before = first.filter(|first| *first != number);
        self.entries.push(Entry {
            size: size.filter(|_| before.is_none()).unwrap_or(NO_FILE),
            folder: self.trail.last().copied().unwrap_or(TOP),
            end,
        });
        self.trail.push(number);
        Ok(before.and_then(|before| self.path(before)))
    }

    /// The size of a plain file that is asked for, which it can be once.
    pub(super) fn take(&mut self, number: u32) -> Option<u64> {
        let entry = self.entries.get_mut(usize::try_from(number).ok()?)?;
        let size = std::mem::replace(&mut entry.size, NO_FILE);
        (size != NO_FILE).then_some(size)
    }

    /// The path of an entry.
    pub(super) fn path(&self, number: u32) -> Option<String> {
        let mut names = Vec::new();
        let mut next = number;
        while next != TOP {
            let entry = self.entry(next)?;
            let begin = match next.checked_sub(1) {
                Some(before) => self.entry(before)?.end,
                None => 0,
            };
            let name = usize::try_from(begin).ok()?..usize::try_from(entry.end).ok()?;
            names.push(self.names.get(name)?);
            next = entry.folder;
        }
        names.reverse();
        Some(names.join("/"))
    }

    fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.get(usize::try_from(number).ok()?)
    }

    /// The bytes that it takes.
    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        self.names.capacity() + self.entries.capacity() * size_of::<Entry>()
    }
}
