//! What a file is beside its content: modes, times, owners, attributes.

use super::{case, cases};

/// As the kernel keeps it: version 2, effective, and what is permitted (linux/capability.h).
const CAP_NET_RAW: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

cases! {
    modes: [0o000, 0o400, 0o444, 0o600, 0o640, 0o666, 0o700, 0o755, 0o777, 0o1644, 0o2755, 0o4755, 0o6711, 0o7777]
        .into_iter()
        .fold(case("FROM scratch\nCOPY . /x/\nCOPY f* /y/\nCOPY d4755 d1644/ /z/\n"), |case, mode| {
            case.file(&format!("f{mode:o}"), "x")
                .mode(&format!("f{mode:o}"), mode)
                .files(&[&format!("d{mode:o}/file")])
                .mode(&format!("d{mode:o}"), mode)
        });
    times: case("FROM scratch\nCOPY . /x/\nCOPY dir /y/\n")
        .files(&["epoch", "early", "late", "later", "dir/file", "dir/sub/file"])
        .link("link", "epoch")
        .time("epoch", 0, 0)
        .time("early", 1, 999_999_999)
        .time("late", 4_000_000_000, 1)
        .time("later", 9_000_000_000, 1)
        .time("dir", 1_200_000_000, 0)
        .time("link", 1_300_000_000, 5);
    times_to_the_nanosecond: case("FROM BASE AS look
COPY . /x/
RUN find /x -type f -printf '%p %T@\\n' | sort > /times && touch -d @1000000000 /times
FROM scratch
COPY --from=look /times /times
")
        .files(&["one", "two", "dir/three"])
        .time("one", 1_500_000_000, 1)
        .time("two", 1_500_000_000, 999_999_999);
    owners_and_attributes: case("FROM scratch\nCOPY . /x/\n")
        .files(&["file", "dir/file", "ping"])
        .owner("file", 1000)
        .owner("dir", 1001)
        .attribute("file", "user.hoist", b"not kept")
        .attribute("dir", "user.hoist", b"not kept")
        .attribute("ping", "security.capability", CAP_NET_RAW);
}
