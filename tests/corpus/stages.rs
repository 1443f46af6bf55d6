//! Several stages, their arguments, their bases, and where Dockerfiles lie.

use super::{Case, case, cases};

fn stages() -> Case {
    case(
        "ARG PARENT=BASE
FROM ${PARENT} AS first
COPY a /first/a
RUN touch -d @1000000000 /first/made

FROM scratch AS Second
COPY --from=first /first /from-first/
COPY b /b

FROM second
COPY --from=0 /first/a /by-number
COPY --from=second /b /again
ARG VALUE=default
ENV VALUE=$VALUE
LABEL value=${VALUE}
",
    )
    .files(&["a", "b"])
}

cases! {
    the_last: stages();
    a_target: stages().option(&["--target", "second"], "target = \"second\"");
    a_target_by_number: stages().option(&["--target", "1"], "target = \"1\"")
        .fails("could not be found");
    arguments: stages().option(
        &["--build-arg", "VALUE=with \"quotes\" & $signs", "--build-arg", "UNUSED=x"],
        "args = { VALUE = 'with \"quotes\" & $$signs', UNUSED = \"x\" }",
    );
    an_argument_before_from: case("ARG NAME=first
FROM scratch AS first
COPY a /a
FROM scratch AS other
COPY b /b
FROM ${NAME}
ARG NAME
LABEL name=$NAME
")
        .files(&["a", "b"])
        .option(&["--build-arg", "NAME=other"], "args = { NAME = \"other\" }");
    arguments_that_are_given: case("FROM scratch
ARG TARGETPLATFORM
ARG TARGETARCH
ARG TARGETOS
ARG HTTP_PROXY
LABEL platform=$TARGETPLATFORM arch=${TARGETARCH}-${TARGETOS} proxy=$HTTP_PROXY
COPY a /$TARGETARCH/
")
        .files(&["a"]);
    from_an_image: case("FROM scratch\nCOPY --from=BASE /etc/passwd /etc/group /x/\n");
    a_stage_that_fails_and_is_not_needed: case("FROM BASE AS broken
RUN false
FROM scratch
COPY a /
")
        .files(&["a"]);
    triggers: case("FROM scratch AS parent
ONBUILD COPY a /triggered/
ONBUILD LABEL triggered=yes
ONBUILD ENV A=b
COPY b /parent/
FROM parent
COPY a /child/
")
        .files(&["a", "b"]);
    a_dockerfile_in_a_folder: case("FROM scratch\n")
        .dockerfile("images/app/Größe & more.docker file", "FROM scratch\nCOPY . /x/\n")
        .files(&["a", "images/app/b"]);
    a_linked_context: case("FROM scratch\nCOPY . /x/\n")
        .context("link")
        .files(&["real/a"])
        .link("link", "real");
    a_linked_dockerfile: case("FROM scratch\n")
        .without("Dockerfile")
        .file("real.Dockerfile", "FROM scratch\nCOPY a real.Dockerfile /x/\n")
        .link("Dockerfile", "real.Dockerfile")
        .files(&["a"]);
    a_dockerfile_of_windows: case("\u{feff}FROM scratch\r\nCOPY a \\\r\n  b /x/\r\nLABEL a=b\r\n")
        .files(&["a", "b"]);
    comments_and_continuations: case("# escape=`
FROM scratch
# a comment
COPY a `
  # within
  b `

  /x/
label a=`
b
")
        .files(&["a", "b"]);
    only_a_base: case("FROM BASE\n");
}
