//! What an image says of how it is to be run.

use super::{case, cases};

cases! {
    environment: case("FROM BASE
ENV A=1 B=\"two words\" C='$A' D=\"$A and ${B}\"
ENV OLD form with spaces
ENV A=2 E=${A}
ENV EMPTY= PATH=/x:$PATH
ENV UNICODE=ü QUOTE=\\\"
");
    labels: case("FROM BASE
LABEL a=1 \"b c\"=\"d e\"
LABEL multi=\"line one \\
line two\" a=2
LABEL json='{\"a\": [1]}'
")
        .option(&["--label", "given=yes", "--label", "a=3"], "labels = { given = \"yes\", a = \"3\" }");
    commands: case("FROM BASE
ENTRYPOINT [\"/bin/sh\", \"-c\"]
CMD [\"echo \\\"a b\\\"\", \"ü\"]
");
    commands_of_a_shell: case("FROM BASE\nENTRYPOINT exec sh -c 'echo $0'\nCMD echo $HOME \"a\"\n");
    a_shell_of_its_own: case("FROM BASE
SHELL [\"/bin/sh\", \"-e\", \"-c\"]
CMD echo
RUN touch -d @1000000000 /made
");
    an_entrypoint_clears_the_command: case("FROM BASE\nENTRYPOINT [\"sh\"]\n");
    users_and_folders: case("FROM BASE
WORKDIR /a/b
WORKDIR c
USER nobody:daemon
WORKDIR /of/nobody
RUN id > /tmp/id && touch -d @1000000000 /tmp/id
");
    volumes_ports_and_signals: case("FROM BASE
VOLUME /data /not-json
VOLUME [\"/one\", \"/two words\"]
EXPOSE 80 443/tcp 53/udp 8000-8002
STOPSIGNAL SIGQUIT
MAINTAINER someone
");
    health: case("FROM BASE
HEALTHCHECK --interval=5s --timeout=3s --start-period=1m --retries=4 CMD [\"sh\", \"-c\", \"exit 0\"]
");
    health_by_a_shell: case("FROM BASE\nHEALTHCHECK CMD exit 0\n");
    health_taken_away: case("FROM BASE AS a\nHEALTHCHECK CMD exit 0\nFROM a\nHEALTHCHECK NONE\n");
    triggers_for_others: case("FROM BASE\nONBUILD RUN echo \"x\" > /x\nONBUILD COPY . /src\n");
    folders_made_by_workdir: case("FROM scratch\nWORKDIR /a\nCOPY a .\nWORKDIR /a/b/c\nCOPY a ../\n").files(&["a"]);
}
