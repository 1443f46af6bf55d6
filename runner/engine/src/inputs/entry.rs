//! An entry of a context as it is written down and hashed: what makes a difference to an image, and
//! nothing else.

use std::io::{self, ErrorKind, Read};

/// Bytes that a path or a link's target may have.
const LONGEST: u32 = 1 << 20;
const FOLDER: u8 = 0;
const FILE: u8 = 1;
const LINK: u8 = 2;

/// The BLAKE3 hash of a file's content.
pub(super) type Hash = [u8; 32];

/// Something in a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Below the context, with `/` between its parts.
    pub(super) path: Vec<u8>,
    /// Permissions with the bits above them; 0 for a link, whose own say nothing.
    pub(super) mode: u32,
    /// What it is.
    pub(super) content: Content,
}

/// What something in a context is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Folder,
    File(Hash),
    /// Where it leads.
    Link(Vec<u8>),
}

impl Entry {
    /// Adds the entry to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        bytes(&self.path, out);
        out.extend(self.mode.to_le_bytes());
        match &self.content {
            Content::Folder => out.push(FOLDER),
            Content::File(hash) => {
                out.push(FILE);
                out.extend(hash);
            }
            Content::Link(target) => {
                out.push(LINK);
                bytes(target, out);
            }
        }
    }

    /// The next entry; none at the end.
    pub(super) fn decode(from: &mut impl Read) -> io::Result<Option<Self>> {
        let Some(path) = read_bytes(from)? else {
            return Ok(None);
        };
        let mode = u32::from_le_bytes(array(from)?);
        let [kind] = array(from)?;
        let content = match kind {
            FOLDER => Content::Folder,
            FILE => Content::File(array(from)?),
            LINK => Content::Link(read_bytes(from)?.ok_or(ErrorKind::UnexpectedEof)?),
            _ => return Err(ErrorKind::InvalidData.into()),
        };
        Ok(Some(Self {
            path,
            mode,
            content,
        }))
    }

    /// The order of a walk: by the parts of the paths, folders before what is in them.
    pub(super) fn order(left: &[u8], right: &[u8]) -> std::cmp::Ordering {
        let part = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        left.iter().map(part).cmp(right.iter().map(part))
    }
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend(length.to_le_bytes());
    out.extend(bytes);
}

fn read_bytes(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read(&mut length)? {
        0 => return Ok(None),
        read => from.read_exact(length.get_mut(read..).unwrap_or_default())?,
    }
    let length = u32::from_le_bytes(length);
    if length > LONGEST {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    from.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

/// So many bytes.
pub(super) fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}
