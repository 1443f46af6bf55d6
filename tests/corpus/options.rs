//! What is said beside the Dockerfile: its text in pipeline.toml, secrets, further contexts, bounds.

use super::{case, cases, inline};

const SECRET: &str = "[secrets]\ntoken = { environment = \"CORPUS_TOKEN\" }\n";

cases! {
    a_dockerfile_in_the_pipeline: inline("FROM BASE
ARG A=$UNSET
COPY . /x/
ENV A=${A:-b} B='$$'
")
        .files(&["a", "sub/b"])
        .file(".dockerignore", "sub\n");
    a_secret: case("FROM BASE
RUN --mount=type=secret,id=token cp /run/secrets/token /one; stat -c '%a %u:%g' /run/secrets/token > /mode; \\
    touch -d @1100000000 /one /mode
RUN --mount=type=secret,id=token,target=/two,uid=3,gid=4,mode=0440 stat -c '%a %u:%g %s' /two > /seen; \\
    touch -d @1100000000 /seen
RUN ls -A /run > /left; touch -d @1100000000 /left
")
        .variable("CORPUS_TOKEN", "a token with spaces, ü\nand lines")
        .table(SECRET)
        .option(&["--secret", "id=token,env=CORPUS_TOKEN"], "secrets = [\"token\"]");
    a_secret_of_a_file: case("FROM BASE
RUN --mount=type=secret,id=token cp /run/secrets/token /one && touch -d @1100000000 /one
")
        .file("token.txt", "lines\r\n\nand no last newline, ü")
        .table("[secrets]\ntoken = { file = \"token.txt\" }\n")
        .option(&["--secret", "id=token,src=token.txt"], "secrets = [\"token\"]");
    a_secret_that_is_not_there: case("FROM BASE
RUN --mount=type=secret,id=other ls /run/secrets > /seen 2> /dev/null; touch -d @1100000000 /seen
");
    a_secret_that_must_be_there: case("FROM BASE
RUN --mount=type=secret,id=other,required cat /run/secrets/other
")
        .fails("other");
    further_contexts: case("FROM scratch
COPY --from=assets . /assets/
COPY --from=assets sub/b /one
COPY --from=more *.txt /more/
COPY a /a
")
        .files(&["a", "web/a", "web/sub/b", "web/left.log", "docs/c.txt", "docs/d"])
        .link("web/link", "sub")
        .file("web/.dockerignore", "*.log\n")
        .option(&["--build-context", "assets=web"], "contexts = { assets = \"web\", more = \"docs\" }")
        .option(&["--build-context", "more=docs"], "")
        .takes_modern("further contexts");
    a_further_context_as_a_base: case("FROM base
COPY a /a
")
        .files(&["a", "web/a", "web/etc/b"])
        .option(&["--build-context", "base=web"], "contexts = { base = \"web\" }")
        .takes_modern("further contexts");
    networks_and_hosts: case("FROM BASE
RUN ls /sys/class/net > /nets; cat /etc/hosts > /hosts; touch -d @1100000000 /nets /hosts
")
        .option(&["--network", "none"], "network = \"none\"")
        .option(&["--add-host", "db:10.0.0.2", "--add-host", "web:10.0.0.3"], "extra_hosts = [\"db:10.0.0.2\", \"web:10.0.0.3\"]");
    bounds: case("FROM BASE
RUN (ulimit -Sn; ulimit -Hn; stat -f -c '%s %b' /dev/shm) > /seen; touch -d @1100000000 /seen
")
        .option(&["--ulimit", "nofile=123:456"], "ulimits.nofile = { soft = 123, hard = 456 }")
        .option(&["--shm-size", "32m"], "shm_size = \"32m\"")
        .takes_modern("ulimits and shm_size");
    another_platform: case("FROM scratch
ARG TARGETPLATFORM
COPY a /a
LABEL for=$TARGETPLATFORM
")
        .files(&["a"])
        .option(&["--platform", "linux/s390x"], "platforms = [\"linux/s390x\"]");
}
