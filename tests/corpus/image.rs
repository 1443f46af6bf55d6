//! What there is to know of an image, read from what `docker save` gives, as lines to be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::read::GzDecoder;
use serde_json::Value;
use tar::{Archive, Entry, EntryType};

use crate::support::docker;

/// What is known of an image: `layer 2 /a/file` to all of its properties, `config.User` to the user.
pub(super) struct Image {
    facts: BTreeMap<String, String>,
}

impl Image {
    /// Both images, each file of theirs told but in layers that they share.
    #[track_caller]
    pub(super) fn saved(one: &str, other: &str) -> [Self; 2] {
        let file = tempfile::NamedTempFile::new().unwrap();
        docker(&[
            "save",
            "--output",
            file.path().to_str().unwrap(),
            one,
            other,
        ]);
        let archive = Saved::open(file.path());
        let both = [one, other].map(|name| archive.image(name));
        let [theirs, ours] = &both;
        let shared: BTreeSet<String> = theirs.layers.intersection(&ours.layers).cloned().collect();
        both.map(|parts| Self {
            facts: archive.facts(&parts, &shared),
        })
    }
}

/// What only one of them has, or both have differently; the first is docker's.
pub(super) fn differences(theirs: &Image, ours: &Image) -> Vec<String> {
    let (theirs, ours) = (&theirs.facts, &ours.facts);
    let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let told = |facts: &BTreeMap<String, String>, name| {
        facts
            .get(name)
            .map_or("(absent)", String::as_str)
            .to_owned()
    };
    names
        .into_iter()
        .filter(|name| theirs.get(*name) != ours.get(*name))
        .map(|name| {
            let (theirs, ours) = (told(theirs, name), told(ours, name));
            format!("{name}\n  docker: {theirs}\n  hoist:  {ours}")
        })
        .collect()
}

/// An archive of images, and where in it each file lies.
struct Saved<'a> {
    path: &'a Path,
    places: BTreeMap<String, (u64, u64)>,
}

/// An image's settings, and its layers by their digests.
struct Parts {
    config: Value,
    layer_files: Vec<String>,
    layers: BTreeSet<String>,
}

impl<'a> Saved<'a> {
    fn open(path: &'a Path) -> Self {
        let mut archive = Archive::new(File::open(path).unwrap());
        let mut places = BTreeMap::new();
        let mut links = Vec::new();
        for entry in archive.entries_with_seek().unwrap() {
            let entry = entry.unwrap();
            let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            // Older engines write a layer once and link to it from then on.
            if entry.header().entry_type() == EntryType::Symlink {
                let target = entry.link_name().unwrap().unwrap();
                let layer = target
                    .to_str()
                    .unwrap()
                    .trim_start_matches("../")
                    .to_owned();
                links.push((name, layer));
            } else {
                places.insert(name, (entry.raw_file_position(), entry.size()));
            }
        }
        for (name, layer) in links {
            let place = places[&layer];
            places.insert(name, place);
        }
        Self { path, places }
    }

    fn read(&self, name: &str) -> impl Read + use<> {
        let (from, size) = self.places[name];
        let mut file = File::open(self.path).unwrap();
        file.seek(SeekFrom::Start(from)).unwrap();
        file.take(size)
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_reader(self.read(name)).unwrap()
    }

    fn image(&self, name: &str) -> Parts {
        let manifest = self.json("manifest.json");
        let named = |image: &&Value| {
            let tags = image["RepoTags"].as_array();
            tags.is_some_and(|tags| tags.iter().any(|tag| tag == name))
        };
        let image = manifest.as_array().unwrap().iter().find(named).unwrap();
        let config = self.json(image["Config"].as_str().unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let texts = |list: &Value| list.as_array().into_iter().flatten().map(text).collect();
        Parts {
            layer_files: texts(&image["Layers"]),
            layers: texts(&config["rootfs"]["diff_ids"]).into_iter().collect(),
            config,
        }
    }

    fn facts(&self, parts: &Parts, shared: &BTreeSet<String>) -> BTreeMap<String, String> {
        let mut facts = BTreeMap::new();
        settings("", &parts.config, &mut facts);
        let digests = parts.config["rootfs"]["diff_ids"].as_array();
        let digests = digests
            .into_iter()
            .flatten()
            .map(|digest| digest.as_str().unwrap());
        for ((number, digest), file) in (1..).zip(digests).zip(&parts.layer_files) {
            if shared.contains(digest) {
                facts.insert(format!("layer {number}"), digest.to_owned());
            } else {
                facts.insert(format!("layer {number}"), "of its own".to_owned());
                layer(number, self.read(file), &mut facts);
            }
        }
        facts
    }
}

/// The values of an image's settings, but for those that tell when and of which files it was built,
/// and for the label by which hoist knows its own.
fn settings(name: &str, value: &Value, facts: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let inner = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}.{key}")
                };
                let told_elsewhere = inner == "rootfs.diff_ids" || key == "created";
                if !told_elsewhere && key != "dev.hoist.project" {
                    settings(&inner, value, facts);
                }
            }
        }
        Value::Array(list) if name == "history" => {
            for (place, value) in list.iter().enumerate() {
                settings(&format!("history[{place}]"), value, facts);
            }
        }
        value => {
            facts.insert(name.to_owned(), value.to_string());
        }
    }
}

/// The files of a layer, packed or not.
fn layer(number: usize, mut file: impl Read + 'static, facts: &mut BTreeMap<String, String>) {
    let mut magic = [0; 2];
    file.read_exact(&mut magic).unwrap();
    let file = std::io::Cursor::new(magic).chain(file);
    let unpacked: Box<dyn Read> = match magic {
        [0x1f, 0x8b] => Box::new(GzDecoder::new(file)),
        _ => Box::new(file),
    };
    let mut archive = Archive::new(unpacked);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path_bytes().escape_ascii().to_string();
        let told = told(&mut entry);
        let before = facts.insert(format!("layer {number} /{path}"), told);
        assert_eq!(before, None, "layer {number} has {path} twice");
    }
}

/// All that a layer says of a file.
fn told<R: Read>(entry: &mut Entry<'_, R>) -> String {
    let header = entry.header().clone();
    let mut told = format!(
        "{:?} {:o} {}:{} {} bytes, {}",
        header.entry_type(),
        header.mode().unwrap(),
        header.uid().unwrap(),
        header.gid().unwrap(),
        entry.size(),
        time(header.mtime().unwrap()),
    );
    if let Some(target) = entry.link_name_bytes() {
        told.push_str(&format!(" -> {}", target.escape_ascii()));
    }
    let mut hasher = blake3::Hasher::new();
    std::io::copy(entry, &mut hasher).unwrap();
    told.push_str(&format!(", {}", hasher.finalize().to_hex()));
    let extensions = entry.pax_extensions().unwrap();
    for extension in extensions.into_iter().flatten() {
        let extension = extension.unwrap();
        if extension.key_bytes().starts_with(b"SCHILY.xattr.") {
            let (key, value) = (extension.key_bytes(), extension.value_bytes());
            told.push_str(&format!(
                ", {}={}",
                key.escape_ascii(),
                value.escape_ascii()
            ));
        }
    }
    told
}

/// A time of the context as it is; `now` for what the build itself made.
fn time(mtime: u64) -> String {
    let recently = SystemTime::now() - Duration::from_secs(3600);
    let recently = recently.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let soon = recently + 7200;
    if (recently..soon).contains(&mtime) {
        "now".to_owned()
    } else {
        format!("at {mtime}")
    }
}
