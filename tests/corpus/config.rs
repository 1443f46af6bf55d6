//! What an image says of how it is to be run.

use super::{case, cases};

cases! {
    settings: case("FROM BASE
MAINTAINER someone
ENV A=1 B=\"two words\" C='$A' D=\"$A and ${B}\"
ENV OLD form with spaces
ENV A=2 E=${A}
ENV EMPTY= PATH=/x:$PATH
ENV UNICODE=ü QUOTE=\\\"
LABEL a=1 \"b c\"=\"d e\"
LABEL multi=\"line one \\
line two\" a=2
LABEL json='{\"a\": [1]}'
VOLUME /data /not-json
VOLUME [\"/one\", \"/two words\"]
EXPOSE 80 443/tcp 53/udp 8000-8002
STOPSIGNAL SIGQUIT
WORKDIR /a/b
WORKDIR c
USER nobody:daemon
WORKDIR /of/nobody
")
        .option(&["--label", "given=yes", "--label", "a=3"], "labels = { given = \"yes\", a = \"3\" }");
    commands: case("FROM BASE
ENTRYPOINT [\"/bin/sh\", \"-c\"]
CMD [\"echo \\\"a b\\\"\", \"ü\"]
HEALTHCHECK --interval=5s --timeout=3s --start-period=1m --retries=4 CMD [\"sh\", \"-c\", \"exit 0\"]
");
    commands_of_a_shell: case("FROM BASE
ENTRYPOINT exec sh -c 'echo $0'
CMD echo $HOME \"a\"
SHELL [\"/bin/sh\", \"-e\", \"-c\"]
HEALTHCHECK CMD exit 0
RUN touch -d @1000000000 /made
");
    settings_taken_away: case("FROM BASE AS parent
HEALTHCHECK CMD exit 0
FROM parent
HEALTHCHECK NONE
ENTRYPOINT [\"sh\"]
");
    triggers_for_others: case("FROM BASE\nONBUILD RUN echo \"x\" > /x\nONBUILD COPY . /src\n");
}
