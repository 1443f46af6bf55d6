//! Names that are hard to write, to sort or to fit.

use super::{case, cases};

cases! {
    spaces_and_quotes: case("FROM scratch
COPY . /all/
COPY [\"it?s*\", \"/x y/\"]
COPY [\"a b\", \" leading\", \"/z/\"]
")
        .files(&["a b", " leading", "trailing ", "it's \"quoted\"", "two  spaces", "`back`", "tab\there"]);
    unicode: case("FROM scratch\nCOPY . /all/\nCOPY grüße /grüße/\nCOPY *.текст 日本/* /x/\n")
        .files(&["grüße/ä", "файл.текст", "日本/語", "emoji 🚢", "e\u{301}", "\u{e9}", "\u{200b}", "\u{202e}abc", "ﷺ"]);
    newlines_and_controls: case("FROM scratch\nCOPY . /all/\nCOPY li* /lines/\n")
        .files(&["line\nbreak", "line\r\nbreak", "\n", "bell\u{7}", "del\u{7f}", "esc\u{1b}[31m", "\u{1}"]);
    signs: case("FROM scratch\nCOPY . /all/\nCOPY a* /x/\n")
        .files(&[
            "a*b", "a?b", "a[b", "a]b", "a\\b", "a\\", "$a", "${a}", "#a", "-a", "--from=a", "a:b", "a=b", "a&b",
            "a|b", "a;b", "a,b", "~", "a~", "!a", "%41", "a%2fb", "a+b", "@a", "{a,b}", "<<EOF",
        ]);
    dots: case("FROM scratch\nCOPY . /all/\nCOPY ..a /x/\nCOPY .../ /y/\n")
        .files(&["..a", ".../file", "a..b", "a.", ".a/.b/.c", "...."]);
    long: case("FROM scratch\nCOPY . /all/\nCOPY l* /x/\n")
        .files(&[
            &"l".repeat(255),
            &"ü".repeat(127),
            &format!("{}/{}", "d".repeat(100), "f".repeat(100)),
            &format!("{}/{}/{}", "d".repeat(255), "e".repeat(255), "f".repeat(255)),
            &"x".repeat(99),
            &"y".repeat(100),
            &"z".repeat(101),
        ])
        .folder(&"folder".repeat(42));
    /// By their parts and not by their bytes: `a/b` comes before `a-b`.
    order: case("FROM scratch\nCOPY . /all/\n")
        .files(&["a/b/c", "a/b-c", "a/b.c", "a-b/c", "a.b/c", "a0", "a!", "A/b", "a b/c", "a\u{1}b", "ab/c", "é/a", "z"]);
    that_docker_gives_a_meaning: case("FROM scratch\nCOPY . /all/\n")
        .files(&["sub/Dockerfile", "dockerfile", "sub/.dockerignore", ".git/config", "tmp/x", ".dockerenv", "dev/null"]);
}
