//! COPY: what is taken, where it lands, whose it is.

use super::{Case, case, cases};

/// A folder with files, folders and an empty folder.
fn tree(dockerfile: &str) -> Case {
    case(dockerfile)
        .files(&[
            "a.txt",
            "b.txt",
            "c.log",
            ".hidden",
            "dir/a.txt",
            "dir/sub/deep.txt",
        ])
        .file("dir/tool.sh", "#!/bin/sh\n")
        .mode("dir/tool.sh", 0o755)
        .folder("dir/empty")
        .mode("dir/sub", 0o750)
}

cases! {
    a_file_to_a_folder_and_to_a_name: tree("FROM scratch
COPY a.txt /folder/
COPY a.txt /name
COPY a.txt /deep/folders/name
COPY a.txt b.txt /several/
COPY a.txt .
COPY a.txt ./relative/
");
    a_file_to_a_folder_that_is_there: tree("FROM BASE
COPY a.txt /tmp
COPY a.txt b.txt /etc/
COPY a.txt /new/
COPY b.txt /new
COPY b.txt /new/a.txt
");
    a_folder_gives_what_is_in_it: tree("FROM scratch
COPY dir /plain
COPY dir/ /slash
COPY dir /slashes/
COPY dir/. /dot/
COPY ./dir/../dir/sub /roundabout
COPY dir a.txt /mixed/
");
    everything: tree("FROM scratch\nCOPY . /\n");
    everything_into_a_tree: tree("FROM BASE\nWORKDIR /etc\nCOPY . .\nCOPY dir /\n");
    folders_merge: tree("FROM scratch
COPY dir /x/
COPY more /x/
COPY more/sub /x/sub/
COPY a.txt /x/sub/deep.txt
")
        .files(&["more/a.txt", "more/sub/other.txt", "more/new/file"])
        .mode("more/sub", 0o700);
    a_folder_on_a_file: tree("FROM scratch\nCOPY a.txt /x\nCOPY dir /x\n").fails("dir");
    a_file_on_a_folder: tree("FROM scratch\nCOPY dir /x/a\nCOPY one /x/\n")
        .file("one/a", "a file")
        .fails("a");
    globs: tree("FROM scratch
COPY *.txt /stars/
COPY ?.log /marks/
COPY [a-b].txt /classes/
COPY [^a].txt /others/
COPY d*/*.txt /folders/
COPY d* /dir-itself/
COPY */*/deep.* /deep/
COPY * /all/
COPY .hid* /hidden/
COPY a.tx? /one
");
    globs_that_are_escaped: case("FROM scratch\nCOPY a[[]1].txt b\\*.txt /x/\n")
        .files(&["a[1].txt", "b*.txt", "bb.txt", "a1.txt"]);
    globs_that_match_nothing: tree("FROM scratch\nCOPY a.txt *.nothing /x/\nCOPY *.nothing /y/\n");
    a_file_that_is_not_there: tree("FROM scratch\nCOPY missing /x/\n").fails("missing");
    out_of_the_context_and_the_image: tree("FROM scratch
COPY ../a.txt ../../dir/a.txt /x/
COPY a.txt /x/../../../y/
");
    several_to_no_folder: tree("FROM scratch\nCOPY a.txt b.txt /x\n");
    an_owner_that_is_unknown: tree("FROM scratch
COPY a.txt b.txt /x
COPY --chown=noone a.txt /y
")
    .takes_modern("owners that no image has");
    the_array_form: case("FROM scratch
COPY [\"two words\", \"three more words/\", \"/some where/\"]
COPY [\"*.txt\", \"/globs/\"]
")
        .files(&["two words", "three more words/file", "with space.txt"]);
    owners: tree("FROM BASE
COPY --chown=1:2 a.txt dir /numbers/
COPY --chown=65534 a.txt /one
COPY --chown=nobody:daemon dir/ /names/
COPY --chown=nobody a.txt /its-group/
COPY --chown=0:7 a.txt /etc/passwd
");
    relative_to_the_working_directory: tree("FROM scratch
WORKDIR /one
COPY a.txt .
WORKDIR two
COPY a.txt ./three/
COPY dir ../four
");
    arguments_and_variables: tree("FROM scratch
ARG NAME=a
ARG FOLDER
ENV TARGET=/from-env
COPY ${NAME}.txt $TARGET/
COPY ${NAME:-x}.txt ${OTHER:-/default}/
COPY $FOLDER ${TARGET:+/plus}/
COPY --chown=${UID:-3}:4 \\$literal /
")
        .file("$literal", "no variable")
        .option(&["--build-arg", "FOLDER=dir/sub"], "args = { FOLDER = \"dir/sub\" }");
    empty_folders: case("FROM scratch\nCOPY . /all/\nCOPY empty /one/\nCOPY e*y /two/\n")
        .folder("empty")
        .folder("nested/empty/folders")
        .mode("empty", 0o711);
    only_an_empty_folder: case("FROM scratch\nCOPY empty /x\n").folder("empty");
    no_more_than_what_is_named: tree("FROM scratch\nCOPY dir/sub/deep.txt /x/y/\n")
        .files(&["unused/large", "dir/unused"]);
    many_files: (0..2000).fold(case("FROM scratch\nCOPY . /x/\nCOPY many/1* /some/\n"), |case, number| {
        case.file(&format!("many/{}/{number}.txt", number % 100), number.to_string())
    });
    deep_folders: case("FROM scratch\nCOPY . /x/\n")
        .files(&[&"folder/".repeat(200), "folder/"].map(|path| path.to_owned() + "file").each_ref().map(String::as_str));
    big_and_empty_files: case("FROM scratch\nCOPY . /x/\n")
        .file("big", (0..24 << 20).map(|place: u32| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>())
        .file("empty", "")
        .file("one", "1")
        .file("block", vec![7; 32 << 10])
        .file("blocks", vec![8; (64 << 10) + 1]);
    heredocs: case("FROM BASE
COPY <<one <<-\"two\" a.txt /x/
one $PATH
one
	two $PATH
	two
COPY --chown=5:6 <<EOF /name
named
EOF
RUN <<EOF
  echo a > /run
  touch -d @1000000000 /run
EOF
")
        .files(&["a.txt"])
        .takes_modern("heredocs");
    linked: tree("FROM BASE
COPY --link a.txt /etc/
COPY --link dir /x/
COPY --link --chown=3:4 *.txt /y/
")
        .takes_modern("COPY --link");
    parents: tree("FROM scratch
COPY --parents dir/sub/*.txt a.txt /x/
COPY --parents ./dir/./sub/deep.txt /y/
COPY --parents **/*.txt /z/
")
        .takes_modern("COPY --parents");
    excluded: tree("FROM scratch
COPY --exclude=*.log --exclude=dir/sub . /x/
COPY --exclude=**/a.txt dir /y/
")
        .takes_modern("COPY --exclude");
    modes_by_flag: tree("FROM scratch
COPY --chmod=0640 a.txt dir /x/
COPY --chmod=4755 --chown=1:1 b.txt /x/
")
        .takes_modern("COPY --chmod without a frontend of its own");
}
