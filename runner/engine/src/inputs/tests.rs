//! What makes a difference to a context's digest, what is read for it, and what is told of a change.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use hoist_model::ignore::IgnoreFile;
use hoist_model::inputs::FileChange;
use proptest::prelude::*;
use tempfile::TempDir;

use super::entry::{Content, Entry};
use super::folder::Shelf;
use super::list::{Reader, Seen, State, Writer};
use super::*;
use crate::walk::Stat;

/// A project whose root is the context.
struct Bench {
    root: TempDir,
    cache: Cache,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path(), None).unwrap();
        Self { root, cache }
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.root.path().join(path)
    }

    fn file(&self, path: &str, content: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn folder(&self) -> ContextFolder {
        let mut ignore = IgnoreFile::parse("**/*.log\n").unwrap();
        ignore.append(".hoist").unwrap();
        ContextFolder::new(self.root.path(), ignore)
    }

    /// Looks, and keeps what it came to.
    fn look(&self) -> String {
        self.survey(&self.folder()).digest
    }

    fn survey(&self, folder: &ContextFolder) -> Survey {
        let stop = Stop::default();
        let walked = Walked::walk(&self.cache, folder, &stop).unwrap();
        let mut survey = walked.read(&self.cache, &stop).unwrap();
        survey.unkept().unwrap().keep(&self.cache);
        survey
    }

    /// The one list that is kept.
    fn list(&self) -> std::path::PathBuf {
        let mut files = fs::read_dir(self.at(".hoist/cache/files")).unwrap();
        let list = files.next().unwrap().unwrap().path();
        assert!(files.next().is_none(), "drafts do not stay");
        list
    }

    /// Writes the list again as if each plain file had been seen with this hash, and settled or not.
    fn pretend(&self, hash: [u8; 32], settled: bool) {
        let path = self.list();
        let draft = self.cache.draft(Shelf::Files).unwrap();
        let list = Reader::open(&path).unwrap();
        let mut writer = Writer::new(draft, list.root());
        for seen in list {
            let mut seen = seen.unwrap();
            if let Content::File(old) = &mut seen.entry.content {
                *old = hash;
                let at = self.at(std::str::from_utf8(&seen.entry.path).unwrap());
                seen.stat = Stat::of(&fs::metadata(at).unwrap());
                seen.state = match settled {
                    true => State::Settled,
                    false => State::Racy,
                };
            }
            writer.add(&seen).unwrap();
        }
        let (draft, _) = writer.finish().unwrap();
        draft.persist(path).unwrap();
    }
}

#[test]
fn all_that_an_image_could_show_makes_a_difference() {
    let bench = Bench::new();
    bench.file("a/one", "1");
    bench.file("two", "2");
    symlink("two", bench.at("link")).unwrap();
    let mut seen = vec![bench.look()];
    let changes: [(&str, &dyn Fn()); 9] = [
        ("content", &|| bench.file("a/one", "x")),
        ("another file", &|| bench.file("a/three", "3")),
        ("another name", &|| {
            fs::rename(bench.at("a/three"), bench.at("a/four")).unwrap();
        }),
        ("an empty folder", &|| {
            fs::create_dir(bench.at("empty")).unwrap()
        }),
        ("permissions", &|| {
            fs::set_permissions(bench.at("two"), Permissions::from_mode(0o755)).unwrap();
        }),
        ("a folder's permissions", &|| {
            fs::set_permissions(bench.at("a"), Permissions::from_mode(0o700)).unwrap();
        }),
        ("another target", &|| {
            fs::remove_file(bench.at("link")).unwrap();
            symlink("a/one", bench.at("link")).unwrap();
        }),
        ("a file for a link", &|| {
            fs::remove_file(bench.at("link")).unwrap();
            bench.file("link", "x");
        }),
        ("a file gone", &|| fs::remove_file(bench.at("two")).unwrap()),
    ];
    for (what, change) in changes {
        change();
        let digest = bench.look();
        assert!(!seen.contains(&digest), "{what} makes no difference");
        assert_eq!(bench.look(), digest, "{what}: the second look says other");
        seen.push(digest);
    }
}

#[test]
fn times_and_what_is_left_out_make_none() {
    let bench = Bench::new();
    bench.file("a/one", "1");
    let before = bench.look();
    let file = fs::File::open(bench.at("a/one")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    bench.file("a/left.log", "x");
    bench.file(".hoist/more", "x");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bench.at("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(bench.look(), before);
}

#[test]
fn a_file_in_the_same_state_is_not_read_again() {
    let bench = Bench::new();
    bench.file("a/one", "1");
    bench.file("two", "2");
    let honest = bench.look();
    bench.pretend([7; 32], true);
    let pretended = bench.look();
    assert_ne!(pretended, honest, "the list was not believed");
    assert_eq!(bench.look(), pretended);
    // The same length, and the time put back.
    let modified = fs::metadata(bench.at("two")).unwrap().modified().unwrap();
    bench.file("two", "x");
    let file = fs::File::open(bench.at("two")).unwrap();
    file.set_modified(modified).unwrap();
    assert_ne!(bench.look(), pretended);
    bench.pretend([7; 32], false);
    bench.file("two", "2");
    assert_eq!(bench.look(), honest, "what is racy is read again");
}

#[test]
fn a_file_changed_when_it_was_read_is_racy() {
    let bench = Bench::new();
    bench.file("a", "1");
    let stat = |path: &str| Stat::of(&fs::metadata(bench.at(path)).unwrap());
    let now = SystemTime::now();
    assert!(stat("a").is_racy(now));
    assert!(!stat("a").is_racy(now + Duration::from_secs(10)));
    // A clock that went back since: nothing is certain.
    assert!(stat("a").is_racy(now - Duration::from_secs(3600)));
    let file = fs::File::open(bench.at("a")).unwrap();
    file.set_modified(now + Duration::from_secs(20)).unwrap();
    assert!(stat("a").is_racy(now + Duration::from_secs(19)));
    assert!(
        !stat("a").is_racy(now + Duration::from_secs(10)),
        "a day to come says nothing"
    );
}

#[test]
fn a_list_that_is_broken_or_of_another_version_is_none() {
    let bench = Bench::new();
    bench.file("a", "1");
    let honest = bench.look();
    bench.pretend([7; 32], true);
    let path = bench.list();
    let whole = fs::read(&path).unwrap();
    let mut other = whole.clone();
    other[12] = b'0';
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let cut = whole[..whole.len() - 3].to_vec();
    for broken in [other, flipped, cut, Vec::new(), vec![0; 40]] {
        fs::write(&path, &broken).unwrap();
        assert_eq!(bench.look(), honest);
        assert!(Reader::open(&path).is_some(), "it is written anew");
    }
}

#[test]
fn other_rules_have_a_list_of_their_own() {
    let bench = Bench::new();
    bench.file("a", "1");
    bench.file("b", "1");
    let all = bench.look();
    let mut folder = bench.folder();
    let mut ignore = IgnoreFile::parse("b\n").unwrap();
    ignore.append(".hoist").unwrap();
    folder.ignore = Arc::new(ignore);
    assert_ne!(bench.survey(&folder).digest, all);
    let lists = fs::read_dir(bench.at(".hoist/cache/files")).unwrap();
    assert_eq!(lists.count(), 2);
}

#[test]
fn a_look_that_nobody_waits_for_ends() {
    let bench = Bench::new();
    bench.file("a", "1");
    let stop = Stop::default();
    drop(stop.clone().guard());
    assert!(Walked::walk(&bench.cache, &bench.folder(), &stop).is_err());
    let going = Stop::default();
    let walked = Walked::walk(&bench.cache, &bench.folder(), &going).unwrap();
    assert!(walked.read(&bench.cache, &stop).is_err());
}

#[test]
fn whatever_is_touched_after_the_walk_is_noticed() {
    type Touch = fn(&Bench);
    let touches: [(&str, Touch); 6] = [
        ("nothing", |_| {}),
        ("a file", |bench| bench.file("a/one", "1")),
        ("a file more", |bench| bench.file("more", "1")),
        ("a file that came and went", |bench| {
            bench.file("a/more", "1");
            fs::remove_file(bench.at("a/more")).unwrap();
        }),
        ("permissions", |bench| {
            fs::set_permissions(bench.at("two"), Permissions::from_mode(0o755)).unwrap();
        }),
        ("a link", |bench| {
            fs::remove_file(bench.at("link")).unwrap();
            symlink("two", bench.at("link")).unwrap();
        }),
    ];
    for (number, (what, touch)) in touches.into_iter().enumerate() {
        let bench = Bench::new();
        bench.file("a/one", "1");
        bench.file("two", "2");
        symlink("two", bench.at("link")).unwrap();
        let survey = bench.survey(&bench.folder());
        touch(&bench);
        assert_eq!(survey.holds(), number == 0, "{what}");
    }
}

#[test]
fn a_file_that_changes_between_walk_and_read_is_refused() {
    let bench = Bench::new();
    bench.file("a/one", "1");
    let stop = Stop::default();
    let walked = Walked::walk(&bench.cache, &bench.folder(), &stop).unwrap();
    bench.file("a/one", "22");
    let refused = walked.read(&bench.cache, &stop).unwrap_err();
    assert_eq!(refused.what, "`a/one` changed");
    let walked = Walked::walk(&bench.cache, &bench.folder(), &stop).unwrap();
    fs::remove_file(bench.at("a/one")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bench.at("a/one"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(
        walked.read(&bench.cache, &stop).is_err(),
        "a pipe does not block"
    );
}

#[test]
fn the_few_files_that_changed_since_a_look_are_read_by_the_walk() {
    let bench = Bench::new();
    for name in ["a", "b", "c"] {
        bench.file(name, name);
    }
    let walk = || Walked::walk(&bench.cache, &bench.folder(), &Stop::default()).unwrap();
    assert!(walk().is_unread(), "the first look reads later, by threads");
    let before = bench.look();
    bench.file("b", "other");
    let walked = walk();
    assert!(!walked.is_unread());
    let changed = walked.read(&bench.cache, &Stop::default()).unwrap();
    assert_ne!(changed.digest, before);
    fs::remove_dir_all(bench.at(".hoist/cache/files")).unwrap();
    fs::create_dir(bench.at(".hoist/cache/files")).unwrap();
    assert_eq!(bench.look(), changed.digest, "as if all were read");
    bench.file("large", &"x".repeat(100_000));
    assert!(walk().is_unread(), "a large one is not");
}

#[test]
fn many_files_are_read_by_several_threads_in_their_order() {
    let bench = Bench::new();
    for number in 0..1500 {
        bench.file(&format!("f{}/{number}", number % 7), &number.to_string());
    }
    let digest = bench.look();
    assert_eq!(bench.look(), digest);
    let seen: Vec<Seen> = Reader::open(&bench.list())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(seen.len(), 1507);
    let sorted = seen.is_sorted_by(|a, b| Entry::order(&a.entry.path, &b.entry.path).is_lt());
    assert!(sorted);
    let of = |path: &str| {
        let found = seen.iter().find(|one| one.entry.path == path.as_bytes());
        found.unwrap().entry.content.clone()
    };
    let hash = Content::File(*blake3::hash(b"1234").as_bytes());
    assert_eq!(of("f2/1234"), hash);
}

#[test]
fn changes_are_told_by_name() {
    let bench = Bench::new();
    for name in ["a/gone", "a-b", "a.b", "a/kept", "mode", "changed", "kind"] {
        bench.file(name, name);
    }
    let before = bench.look();
    fs::remove_file(bench.at("a/gone")).unwrap();
    bench.file("a/new", "x");
    bench.file("changed", "x");
    fs::set_permissions(bench.at("mode"), Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(bench.at("kind")).unwrap();
    fs::create_dir(bench.at("kind")).unwrap();
    let now = bench.look();
    let compared = |root: &Path, before: &str, now: &str| {
        let mut told = Vec::new();
        manifest::compare(root, before, now, |path, change| told.push((path, change)))
            .map(|()| told)
    };
    let root = bench.root.path();
    let told = compared(root, &before, &now).unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|(path, change)| (path.as_str(), *change))
        .collect();
    assert_eq!(
        told,
        [
            ("a/gone", FileChange::Removed),
            ("a/new", FileChange::Added),
            ("changed", FileChange::Changed),
            ("kind", FileChange::Kind),
            ("mode", FileChange::Mode),
        ]
    );
    assert!(compared(root, &now, &now).unwrap().is_empty());
    assert!(compared(root, "../../../etc/passwd", &now).is_err());
    let path = bench.at(".hoist/cache/contexts").join(&before);
    let mut content = fs::read(&path).unwrap();
    content.pop();
    fs::write(&path, content).unwrap();
    assert!(
        compared(root, &before, &now).is_err(),
        "it is not what its name says"
    );
}

fn entries() -> impl Strategy<Value = Entry> {
    let bytes = || proptest::collection::vec(1u8..=255, 0..20);
    let content = prop_oneof![
        Just(Content::Folder),
        any::<[u8; 32]>().prop_map(Content::File),
        bytes().prop_map(Content::Link),
    ];
    (bytes(), any::<u32>(), content).prop_map(|(path, mode, content)| Entry {
        path,
        mode,
        content,
    })
}

proptest! {
    #[test]
    fn entries_are_read_as_they_are_written(all in proptest::collection::vec(entries(), 0..8)) {
        let mut bytes = Vec::new();
        all.iter().for_each(|entry| entry.encode(&mut bytes));
        let mut from = bytes.as_slice();
        let read: Vec<_> = std::iter::from_fn(|| Entry::decode(&mut from).unwrap()).collect();
        prop_assert_eq!(read, all);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let mut from = bytes.as_slice();
        while let Ok(Some(_)) = Entry::decode(&mut from) {}
        // Sealed, as a file of another program might be.
        let folder = tempfile::tempdir().unwrap();
        let mut sealed = b"hoist files 2\n".to_vec();
        sealed.extend(&bytes);
        let seal = *blake3::hash(&sealed).as_bytes();
        sealed.extend(seal);
        fs::write(folder.path().join("list"), sealed).unwrap();
        let read = Reader::open(&folder.path().join("list"));
        prop_assert!(read.is_none_or(|list| list.count() <= bytes.len()));
    }

    #[test]
    fn the_order_is_that_of_paths(left in "[a-c./-]{0,6}", right in "[a-c./-]{0,6}") {
        let clean = |text: &str| {
            let parts: Vec<_> = text.split('/').filter(|part| !["", ".", ".."].contains(part)).collect();
            parts.join("/")
        };
        let (left, right) = (clean(&left), clean(&right));
        let expected = Path::new(&left).cmp(Path::new(&right));
        prop_assert_eq!(Entry::order(left.as_bytes(), right.as_bytes()), expected);
    }
}
