//! What an engine asks for: the metadata of its call. It refuses text that is not UTF-8.

use hoist_model::reason::Trouble;
use percent_encoding::percent_decode;
use tonic::metadata::MetadataMap;

/// What of which folder the engine wants to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Its name for the folder.
    pub(super) dir: String,
    /// Patterns of what it wants; all where there are neither these nor paths to follow.
    pub(super) include: Vec<String>,
    /// Patterns of what it does not want, as in an ignore file.
    pub(super) exclude: Vec<String>,
    /// Paths that it wants besides, with what the links in them lead to.
    pub(super) follow: Vec<String>,
}

/// The file that older engines look for beside all others, whatever they are told of it.
const RULES: &str = ".dockerignore";

impl Asked {
    /// It wants the ignore file and nothing else.
    pub(super) fn is_for_rules(&self) -> bool {
        self.include.is_empty() && self.follow == [RULES]
    }

    /// Reads the metadata.
    ///
    /// # Errors
    /// When a value is not UTF-8.
    pub(super) fn read(metadata: &MetadataMap) -> Result<Self, Trouble> {
        Ok(Self {
            dir: values(metadata, "dir-name")?
                .into_iter()
                .next()
                .unwrap_or_default(),
            include: values(metadata, "include-patterns")?,
            exclude: values(metadata, "exclude-patterns")?,
            follow: values(metadata, "followpaths")?,
        })
    }
}

/// The values of a key. Newer engines escape all of them as in a query where one is not ASCII, and
/// say so; older ones send them as they are.
fn values(metadata: &MetadataMap, key: &str) -> Result<Vec<String>, Trouble> {
    let mark = metadata.get(format!("{key}-encoded"));
    let encoded =
        mark.is_some_and(|mark| mark == "1" || mark.as_bytes().eq_ignore_ascii_case(b"true"));
    let text = |bytes: &[u8]| {
        let bytes = if encoded {
            let spaced: Vec<u8> = bytes
                .iter()
                .map(|byte| if *byte == b'+' { b' ' } else { *byte })
                .collect();
            percent_decode(&spaced).collect()
        } else {
            bytes.to_vec()
        };
        String::from_utf8(bytes).map_err(|error| {
            let shown = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Trouble::new(format!("`{shown}` in the Dockerfile cannot be used"))
                .cause("it is not UTF-8")
        })
    };
    let values = metadata.get_all(key);
    values.iter().map(|value| text(value.as_bytes())).collect()
}
