//! ADD of what lies in the context: files as COPY has them, archives unpacked.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use tar::{Builder, EntryType, Header};

use super::{Case, case, cases};

/// An archive with owners, times, links and an empty folder.
fn archive() -> Vec<u8> {
    use EntryType::{Directory, Link, Regular, Symlink};
    let mut tar = Builder::new(Vec::new());
    let header = |kind, mode, size| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_uid(12);
        header.set_gid(34);
        header.set_mtime(1_100_000_000);
        header
    };
    let long = format!("{}/file", "long".repeat(60));
    for (kind, mode, path, content) in [
        (Directory, 0o750, "inside/", ""),
        (Regular, 0o4711, "inside/file", "12345"),
        (Directory, 0o1777, "inside/empty/", ""),
        (Regular, 0o600, &long, "x"),
    ] {
        let mut header = header(kind, mode, content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    for (kind, path, target) in [
        (Symlink, "inside/link", "file"),
        (Link, "hard", "inside/file"),
    ] {
        tar.append_link(&mut header(kind, 0o777, 0), path, target)
            .unwrap();
    }
    tar.into_inner().unwrap()
}

fn packed() -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&archive()).unwrap();
    gzip.finish().unwrap()
}

fn archives(dockerfile: &str) -> Case {
    case(dockerfile)
        .file("plain.tar", archive())
        .file("packed.tar.gz", packed())
        .file("any-name", packed())
        .file("no.tar", "no archive")
        .files(&["dir/file"])
        .file("dir/inner.tar", archive())
}

cases! {
    archives_are_unpacked: archives("FROM scratch
ADD plain.tar /plain/
ADD packed.tar.gz /packed
ADD any-name /any/
ADD no.tar /not/
ADD plain.tar no.tar /both/
ADD *.tar* /globs/
");
    into_a_tree: archives("FROM BASE
ADD plain.tar /
ADD packed.tar.gz /etc/
WORKDIR /x
ADD packed.tar.gz .
");
    files_and_folders: archives("FROM scratch
ADD no.tar /name
ADD no.tar dir /folder/
ADD --chown=8:9 dir /owned/
ADD [\"no.tar\", \"/array/\"]
ADD dir/ /y
ADD . /z/
");
    archives_in_other_ways: archives("FROM scratch
COPY plain.tar packed.tar.gz /copied/
ADD --chown=8:9 plain.tar /owned/
ADD link /linked/
")
        .link("link", "plain.tar");
    half_an_archive: archives("FROM scratch\nADD half.tar /x/\n").file("half.tar", &archive()[..1800]).fails("unexpected EOF");
}
