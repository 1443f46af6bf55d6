//! Ignore files: what stays out, what comes back, and which of them holds.

use super::{Case, case, cases};

const ALL: &str = "FROM scratch\nCOPY . /x/\n";

fn tree(ignore: &str) -> Case {
    case(ALL)
        .files(&[
            "a.txt",
            "b.log",
            "keep.log",
            "dir/a.txt",
            "dir/b.log",
            "dir/keep.log",
            "dir/sub/a.txt",
            "dir/sub/b.log",
            "dir/sub/deeper/still/a.txt",
            "other/a.txt",
            "other/sub/b.log",
        ])
        .folder("dir/empty")
        .mode("dir/sub", 0o700)
        .file(".dockerignore", ignore)
}

cases! {
    names_and_globs: tree("*.log\nother\ndir/sub/deeper/\n/a.txt\nDockerfile\n.dockerignore\n");
    at_any_depth: tree("**/*.log\n**/deeper\nother/**\n");
    taken_back: tree("*.log\n!keep.log\ndir/*\n!dir/keep.log\n");
    taken_back_below: tree("dir\n!dir/sub/deeper/still\nother/**\n!other/sub\n");
    taken_back_in_turns: tree("dir\n!dir/sub\ndir/sub/deeper\n!dir/sub/deeper/still/a.txt\n");
    all_but: tree("*\n!dir/sub\n!*.txt\n");
    all_but_deep_files: tree("**\n!**/a.txt\n");
    all: tree("*\n");
    the_last_holds: tree("!a.txt\na.txt\nkeep.log\n!keep.log\nkeep.log\n");
    comments_and_blanks: tree("# a comment\n\n   \n  *.log  \n#a.txt\n\tother\t\nno last newline\nkeep.log");
    a_mark_and_carriage_returns: tree("\u{feff}# first\r\n*.log\r\n\r\n!keep.log\r\n");
    unclean_paths: tree("./a.txt\ndir/../other\n//dir//sub//\n./.\n../*\n../../b.log\n!../dir\n");
    classes_and_marks: tree("[a-b].*\ndir/[^k]*.log\n?ther\n");
    signs_in_names: case(ALL)
        .files(&["a+b", "a.b", "aXb", "a(b)", "a^b", "a$b", "a b", "#a", "!a", "a{b}", "ü", "a|b", "a~b"])
        .file(".dockerignore", "a+b\na.b\na(b)\na^b\na$b\na b\n\\#a\n\\!a\na{b}\nü\na|b\na~b\n");
    what_is_copied: case("FROM scratch\nCOPY a.txt b.txt /x/\n")
        .files(&["a.txt", "b.txt"])
        .file(".dockerignore", "b.txt\n")
        .fails("b.txt");
    some_of_what_is_copied: case("FROM scratch\nCOPY *.txt dir /x/\n")
        .files(&["a.txt", "b.txt", "dir/a.txt", "dir/b.txt"])
        .file(".dockerignore", "**/b.txt\n");
    links_and_their_targets: case("FROM scratch\nCOPY . /x/\nCOPY to-other/ /y/\n")
        .files(&["dir/file", "file", "other/a.txt", "other/b.txt"])
        .link("to-dir", "dir")
        .link("to-file", "file")
        .link("to-other", "other")
        .file(".dockerignore", "dir\nto-file\nother/b.txt\n");
    the_dockerfiles_own: tree("*\n")
        .dockerfile("images/app.Dockerfile", ALL)
        .file("images/app.Dockerfile.dockerignore", "**/*.log\nimages\n");
    an_empty_own: tree("*\n")
        .dockerfile("app.Dockerfile", ALL)
        .file("app.Dockerfile.dockerignore", "");
    in_a_folder: tree("*\n")
        .context("dir")
        .dockerfile("dir/Dockerfile", ALL)
        .file("dir/.dockerignore", "*.log\n!keep.log\nDockerfile\n");
    of_a_dockerfile_elsewhere: tree("*\n")
        .context("dir")
        .dockerfile("app.Dockerfile", ALL)
        .file("dir/.dockerignore", "sub\n");
    of_a_dockerfile_elsewhere_its_own: tree("*\n")
        .context("dir")
        .dockerfile("app.Dockerfile", ALL)
        .file("app.Dockerfile.dockerignore", "**/a.txt\n")
        .file("dir/.dockerignore", "sub\n");
    a_pattern_that_is_none: tree("a[\n").refused();
    only_an_exclamation_mark: tree("!\n").refused();
}
