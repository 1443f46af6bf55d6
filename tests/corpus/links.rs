//! Links in the context: what is a link in the image, and what is followed on the way.

use super::{Case, case, cases};

fn links(dockerfile: &str) -> Case {
    case(dockerfile)
        .files(&["file", "dir/file", "dir/sub/deep"])
        .link("to-file", "file")
        .link("to-dir", "dir")
        .link("dir/up", "../file")
        .link("dir/beside", "sub")
        .link("chain", "to-file")
        .link("chain-dir", "to-dir")
        .link("absolute", "/dir/file")
        .link("absolute-dir", "/dir")
}

cases! {
    they_stay_links_in_a_folder: links("FROM scratch\nCOPY . /x/\nCOPY dir /y/\n")
        .link("dangling", "nowhere/to/be/found")
        .link("dir/loop", "..")
        .link("spaces and 'quotes'", "a b \"c\"");
    named_they_are_followed: links("FROM scratch
COPY to-file /one
COPY to-file chain dir/up /several/
COPY to-dir /folder
COPY to-dir/ /slash/
COPY absolute /absolute
COPY absolute-dir /absolute-dir
COPY chain-dir /chain-dir/
");
    through_one: links("FROM scratch\nCOPY to-dir/file /x\n");
    through_two: links("FROM scratch\nCOPY chain-dir/beside/deep /x/\n");
    through_an_absolute_one: links("FROM scratch\nCOPY absolute-dir/sub/ /x/\n");
    to_one_above: links("FROM scratch\nCOPY dir/up /x\nCOPY dir/sub /y\n");
    in_globs: links("FROM scratch
COPY to-* /one/
COPY to-dir/* /two/
COPY dir/* /three/
COPY */deep* /four/
COPY chain*/s*/deep /five/
");
    only_the_target_of_one_is_not_enough: links("FROM scratch\nCOPY to-gone /x\n")
        .link("to-gone", "gone")
        .fails("gone");
    copied_onto_links: links("FROM BASE
RUN mkdir /real && ln -s real /via && ln -s /real/file /out && touch -d @1000000000 /real
COPY file /via/
COPY dir /via/more/
COPY to-dir/sub /via
COPY file /out
");
    from_a_stage: links("FROM scratch AS first
COPY . /x/
FROM scratch
COPY --from=first /x/to-file /one
COPY --from=first /x/to-dir /two
COPY --from=first /x/to-dir/up /three
COPY --from=first /x /all
");
    hard_links: case("FROM scratch\nCOPY . /x/\nCOPY one /y/\nCOPY two three /z/\n")
        .file("one", "shared")
        .hard_link("two", "one")
        .hard_link("sub/three", "one")
        .hard_link("three", "one");
    hard_links_to_what_is_ignored: case("FROM scratch\nCOPY . /x/\nCOPY two /y/\n")
        .file("one", "shared")
        .hard_link("two", "one")
        .hard_link("three", "one")
        .file(".dockerignore", "one\n");
    long_targets: case("FROM scratch\nCOPY . /x/\n")
        .link("long", &"target/".repeat(40))
        .link("longer", &"t".repeat(1000));
}
