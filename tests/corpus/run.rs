//! RUN: what it changes, and what it is given.

use super::{case, cases};

cases! {
    changes: case("FROM BASE
COPY . /x/
RUN set -e; rm /x/gone; rm -r /x/dir; chmod 0700 /x/mode; chown 5:6 /x/owner; mv /x/moved /x/there; \\
    echo new > /x/new; ln -s new /x/link; ln /x/new /x/hard; mkdir /x/made; mknod /x/pipe p; \\
    touch -d @1100000000 /x/new /x/made /x
RUN rm -r /x/again && mkdir /x/again && touch -d @1100000000 /x/again /x
COPY new /x/dir/
")
        .files(&["gone", "dir/file", "mode", "owner", "moved", "again/file", "new"]);
    arguments_and_variables: case("FROM BASE
ARG A=1
ARG B
ENV C=3
RUN env | sort > /env && touch -d @1100000000 /env
RUN [\"sh\", \"-c\", \"echo $A ${B}-$C > /exec && touch -d @1100000000 /exec\"]
")
        .option(&["--build-arg", "B=a b"], "args = { B = \"a b\" }");
    a_bind_mount: case("FROM BASE AS other
COPY other /from/other
FROM BASE
RUN --mount=type=bind,source=dir,target=/dir --mount=type=bind,from=other,source=/from,target=/from \\
    set -e; cp /dir/file /from/other /; find /dir | sort > /list; touch -d @1100000000 /file /other /list
COPY dir/file /second
")
        .files(&["dir/file", "dir/sub/deep", "other", "unused"]);
    a_bind_mount_of_all: case("FROM BASE
RUN --mount=target=/ctx find /ctx ! -type d -printf '%p %m %s %T@ %l\\n' | sort > /list; touch -d @1100000000 /list
")
        .files(&["a", "dir/b"])
        .link("link", "dir")
        .mode("a", 0o4755)
        .file(".dockerignore", "Dockerfile\npipeline.toml\n");
    mounts_that_leave_nothing: case("FROM BASE
RUN --mount=type=cache,target=/cache,id=hoist-corpus,uid=3,mode=0750 \\
    stat -c '%u %a' /cache > /seen; echo x > /cache/x; touch -d @1100000000 /seen
RUN --mount=type=tmpfs,target=/t echo x > /t/x
RUN ls /t > /then; touch -d @1100000000 /then
");
    a_users_files: case("FROM BASE
USER nobody
RUN echo x > /tmp/x && touch -d @1100000000 /tmp/x
COPY a /tmp/
COPY --chown=nobody a /tmp/mine
")
        .files(&["a"]);
    that_fails: case("FROM BASE\nRUN echo the last words; exit 9\n").fails("the last words");
}
