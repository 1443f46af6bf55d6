use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

fn redactor(secrets: &[&str]) -> Redactor {
    Redactor::new(secrets).unwrap()
}

fn streamed(redactor: &Redactor, chunks: &[&[u8]]) -> Vec<u8> {
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    for chunk in chunks {
        out.extend_from_slice(&stream.push(chunk));
    }
    out.extend(stream.flush());
    out
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[test]
fn masks_a_secret_and_nothing_else() {
    let redactor = redactor(&["correct-horse"]);
    assert_eq!(redactor.redact("password=correct-horse!"), "password=***!");
    assert_eq!(redactor.redact("correct-hors"), "correct-hors");
    assert!(matches!(
        redactor.redact("nothing here"),
        Cow::Borrowed("nothing here")
    ));
}

#[test]
fn masks_the_spellings_of_programs() {
    let secret = r#"p/w <"7 & 8'é>+~x"#;
    let redactor = redactor(&[secret]);
    for spelling in [
        // Written out by hand, or by the tools named, so that this is no mirror of the code.
        r#"p/w <\"7 & 8'é>+~x"#,                      // JSON
        r#"p\/w <\"7 & 8'é>+~x"#,                     // PHP's JSON
        r#"p/w \u003c\"7 \u0026 8'é\u003e+~x"#,       // Go's JSON
        r#"p/w <\"7 & 8'\u00e9>+~x"#,                 // Python's JSON
        r#"p/w <\"7 & 8'\u00E9>+~x"#,                 // ASCII JSON, upper case
        r#"p/w <\\\"7 & 8'é>+~x"#,                    // JSON in JSON
        "p%2Fw%20%3C%227%20%26%208%27%C3%A9%3E%2B~x", // RFC 3986
        "p%2fw%20%3c%227%20%26%208%27%c3%a9%3e%2b~x", // lower case
        "p%2Fw+%3C%227+%26+8%27%C3%A9%3E%2B%7Ex",     // form data
        "p%2Fw%20%3C%227%20%26%208'%C3%A9%3E%2B~x",   // encodeURIComponent
        "p/w%20%3C%227%20&%208'%C3%A9%3E+~x",         // encodeURI
        "p/w%20%3C%227%20%26%208%27%C3%A9%3E%2B~x",   // Python's quote
        "p/w &lt;&quot;7 &amp; 8&apos;é&gt;+~x",      // XML
        "p/w &lt;&quot;7 &amp; 8&#x27;é&gt;+~x",      // Python's HTML
        "p/w &lt;&#34;7 &amp; 8&#39;é&gt;+~x",        // Go's HTML and XML
        "p/w &lt;\"7 &amp; 8'é&gt;+~x",               // XML text
        r#"p/w <"7 & 8'\''é>+~x"#,                    // bash -x
        "702f77203c22372026203827c3a93e2b7e78",       // xxd -p
        "702F77203C22372026203827C3A93E2B7E78",
        "cC93IDwiNyAmIDgnw6k+K354",     // base64
        "cC93IDwiNyAmIDgnw6k-K354",     // URL-safe base64
        "cC93IDwiNyAmIDgnw6k+K354Cg==", // echo | base64
    ] {
        assert_eq!(
            redactor.redact(&format!("[{spelling}]")),
            "[***]",
            "{spelling}"
        );
    }
}

#[test]
fn masks_base64_of_what_holds_a_secret() {
    let secret = "s3cr3t-t0ken";
    let redactor = redactor(&[secret]);
    for before in ["", "u", "us", "use", "user:"] {
        let text = STANDARD.encode(format!("{before}{secret}"));
        let masked = redactor.redact(&text).into_owned();
        assert!(masked.ends_with("***"), "{text} became {masked}");
        for after in ["\n", "x", "xy", "xyz"] {
            let text = STANDARD.encode(format!("{before}{secret}{after}"));
            let masked = redactor.redact(&text).into_owned();
            // Beside the mask stands what is before and after the secret, and at most two
            // characters with bits of both.
            let left = masked.replace("***", "").len();
            assert!(
                left <= (before.len() + after.len()) * 4 / 3 + 6,
                "{text} became {masked}"
            );
            assert!(masked.contains("***"));
        }
    }
}

#[test]
fn masks_the_last_character_of_base64_without_padding() {
    for secret in ["a>>b??c~~", "a>>b??c~~d", "a>>b??c~~de"] {
        let text = URL_SAFE_NO_PAD.encode(secret);
        assert!(text.contains('-') || text.contains('_'), "{text}");
        let redactor = redactor(&[secret]);
        assert_eq!(redactor.redact(&format!("[{text}]")), "[***]");
        let text = STANDARD_NO_PAD.encode(secret);
        assert_eq!(redactor.redact(&format!("[{text}]")), "[***]");
    }
}

#[test]
fn masks_each_line_of_a_key() {
    let key =
        "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\n  AQEFAASCBKcwggSjAgEAAoIB  \nshort\n";
    let redactor = redactor(&[key]);
    assert_eq!(redactor.redact("1: MIIEvQIBADANBgkqhkiG9w0B"), "1: ***");
    assert_eq!(redactor.redact("2: AQEFAASCBKcwggSjAgEAAoIB"), "2: ***");
    assert_eq!(redactor.redact(key), "***");
    assert_eq!(redactor.redact(key.trim()), "***");
    assert_eq!(redactor.redact(&key.replace('\n', "\r\n")).trim(), "***");
    assert_eq!(redactor.redact("short"), "short");
}

#[test]
fn masks_a_key_as_programs_embed_it() {
    // The last line is too short to be masked alone.
    let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq+kiG9w0B/AQEFAASC\nAAA=\n";
    let redactor = redactor(&[key]);
    let json = serde_json::to_string(key.trim()).unwrap();
    assert_eq!(redactor.redact(&json), r#""***""#);
    let url = key.trim().replace('\n', "%0A").replace(' ', "%20");
    let url = url
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    assert_eq!(redactor.redact(&url), "***");
    assert_eq!(redactor.redact(&STANDARD.encode(key)), "***");
    assert_eq!(
        redactor.redact(&format!("key: {}", key.trim().replace('\n', "\n  "))),
        "key: ***\n  ***\n  AAA="
    );
}

#[test]
fn masks_base64_that_a_tool_broke_into_lines() {
    let secret: String = (0..200)
        .map(|n| char::from(b'a' + (n * 7 % 26) as u8))
        .collect();
    let redactor = redactor(&[&secret]);
    let text = STANDARD.encode(&secret);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(76)
        .map(|l| str::from_utf8(l).unwrap())
        .collect();
    assert_eq!(redactor.redact(&lines.join("\n")), "***");
    for line in lines {
        assert_eq!(redactor.redact(&format!("12:00 {line}")), "12:00 ***");
    }
}

#[test]
fn leaves_no_tail_where_secrets_overlap() {
    let redactor = redactor(&["abcdefgh1234", "12345678", "abcdefgh"]);
    assert_eq!(redactor.redact("<abcdefgh12345678>"), "<***>");
    assert_eq!(redactor.redact("<abcdefgh123>"), "<***123>");
    assert_eq!(streamed(&redactor, &[b"<abcdefgh1234", b"5678>"]), b"<***>");
    assert_eq!(streamed(&redactor, &[b"<abcdefgh12345678", b">"]), b"<***>");
}

#[test]
fn a_secret_that_overlaps_itself_is_masked_whole() {
    let redactor = redactor(&["abababab"]);
    assert_eq!(redactor.redact("xababababababx"), "x***x");
    let text = "ab".repeat(10_000);
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    for chunk in text.as_bytes().chunks(3) {
        out.extend_from_slice(&stream.push(chunk));
        assert!(
            stream.held.len() <= 8,
            "what is masked already is not held back"
        );
    }
    out.extend(stream.flush());
    assert_eq!(out, b"***");
}

#[test]
fn the_end_of_a_secret_that_may_begin_another_stays_masked() {
    for secret in ["xabcdefx", "xyabcdefxy"] {
        let redactor = redactor(&[secret]);
        let mut stream = redactor.stream();
        assert_eq!(&*stream.push(secret.as_bytes()), b"***");
        assert_eq!(&*stream.push(b"!"), b"!");
        assert_eq!(&*stream.push(secret.as_bytes()), b"***");
        assert_eq!(stream.flush(), b"");
    }
}

#[test]
fn refuses_what_it_cannot_mask() {
    let short = Redactor::new(["long enough", "  seven77\n"]).unwrap_err();
    assert_eq!(
        short,
        Unmaskable::TooShort {
            index: 1,
            length: 7
        }
    );
    assert!(!short.to_string().contains("seven77"));
    assert!(short.to_string().contains("at least 8"), "{short}");
    let long = Redactor::new([vec![b'x'; Redactor::LONGEST + 1]]).unwrap_err();
    assert_eq!(
        long,
        Unmaskable::TooLong {
            index: 0,
            length: Redactor::LONGEST + 1
        }
    );
    assert!(Redactor::new(["eightxxx"]).is_ok());
}

#[test]
fn debug_shows_no_secret() {
    let redactor = redactor(&["correct-horse"]);
    let mut stream = redactor.stream();
    let _ = stream.push(b"correct-hor");
    let shown = format!("{redactor:?} {stream:?}");
    assert!(
        !shown.contains("correct") && !shown.contains("99, 111, 114"),
        "{shown}"
    );
}

#[test]
fn holds_back_only_what_may_be_a_secret() {
    let redactor = redactor(&["correct-horse"]);
    let mut stream = redactor.stream();
    assert_eq!(&*stream.push(b"say: cor"), b"say: ");
    assert_eq!(&*stream.push(b"n and corr"), b"corn and ");
    assert_eq!(&*stream.push(b"ect-horse."), b"***.");
    assert_eq!(&*stream.push(b"$ "), b"$ ");
    assert!(matches!(stream.push(b"plain"), Cow::Borrowed(b"plain")));
    assert_eq!(&*stream.push(b"correct"), b"");
    assert_eq!(stream.flush(), b"correct");
}

#[test]
fn a_prompt_shows_when_idle() {
    let redactor = redactor(&["d: correct-horse"]);
    let mut stream = redactor.stream();
    assert_eq!(&*stream.push(b"Password: "), b"Passwor");
    assert_eq!(stream.idle(), b"d: ");
    assert_eq!(
        &*stream.push(b"correct-horse\n"),
        b"***\n",
        "the rest is masked all the same"
    );
    // More than three bytes wait.
    assert_eq!(&*stream.push(b"d: c"), b"");
    assert_eq!(stream.idle(), b"");
    assert_eq!(&*stream.push(b"lear"), b"d: clear");
}

#[test]
fn idling_after_each_byte_shows_no_secret() {
    let redactor = redactor(&["correct-horse", "eeeeeeee"]);
    for text in ["correct-horse", "eeeeeeee"] {
        let mut stream = redactor.stream();
        let mut out = Vec::new();
        for byte in text.as_bytes() {
            out.extend_from_slice(&stream.push(&[*byte]));
            out.extend(stream.idle());
        }
        out.extend(stream.flush());
        assert_eq!(out, [&text.as_bytes()[..3], b"***"].concat());
    }
}

#[test]
fn a_secret_of_any_bytes_is_masked() {
    let redactor = Redactor::new([b"\x00\xff\xfe\x80abc\xc3\xa9"]).unwrap();
    assert_eq!(
        &*redactor.redact_bytes(b"<\x00\xff\xfe\x80abc\xc3\xa9>"),
        b"<***>"
    );
    // One that is no text may be found inside of characters; text stays text.
    let redactor = Redactor::new([b"\xa9234567\xc3"]).unwrap();
    assert_eq!(redactor.redact("é234567é"), "\u{fffd}***\u{fffd}");
}

#[test]
fn json_is_masked_in_keys_strings_and_numbers() {
    let redactor = redactor(&["correct-horse", "31415926535"]);
    let mut value = serde_json::json!({
        "correct-horse": ["a correct-horse b", 1, null],
        "***": 31_415_926_535_u64,
        "n": {"deep": {"correct-horse!": true}},
    });
    redactor.redact_json(&mut value);
    assert_eq!(
        value,
        serde_json::json!({
            "***": "***",
            "***'": ["a *** b", 1, null],
            "n": {"deep": {"***!": true}},
        })
    );
}

#[test]
fn without_secrets_nothing_is_copied() {
    let redactor = Redactor::default();
    assert!(matches!(redactor.redact("x"), Cow::Borrowed("x")));
    assert!(matches!(redactor.stream().push(b"x"), Cow::Borrowed(b"x")));
    assert!(Redactor::new::<&str>([]).unwrap().automaton.is_none());
}

/// Secrets that provoke trouble: of two letters, of any text, of several lines, of any bytes. A
/// mask's own character is left out: masks beside it could make such a secret anew.
fn secret() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ab]{8,20}".prop_map(String::into_bytes),
        "[!-)+-~é☃ ]{6}[a-z+/=%&<\"'\\\\]{8,40}".prop_map(String::into_bytes),
        "([a-f]{3,12}\n){2,5}[0-9a-zA-Z]{8,90}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>().prop_filter("mask", |b| *b != b'*'), 10..50)
            .prop_filter("white space", |bytes| bytes.trim_ascii().len() >= 8),
    ]
}

/// Text made of secrets, pieces of them, their spellings, and other things.
fn text(secrets: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let piece = (
        proptest::sample::select(secrets),
        0_u8..12,
        any::<proptest::sample::Index>(),
        "[ab\n -]{0,6}",
    );
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| {
        let mut out = Vec::new();
        for (secret, way, cut, filler) in pieces {
            let at = cut.index(secret.len());
            match way {
                0 | 1 => out.extend_from_slice(&secret),
                2 => out.extend_from_slice(&secret[..at]),
                3 => out.extend_from_slice(&secret[at..]),
                4 => out.extend(STANDARD.encode(&secret).into_bytes()),
                5 => {
                    let whole = [filler.as_bytes(), &secret, b"tail"].concat();
                    out.extend(URL_SAFE_NO_PAD.encode(whole).into_bytes());
                }
                6 => out.extend(secret.iter().flat_map(|b| format!("{b:02x}").into_bytes())),
                7 => out.extend(secret.iter().flat_map(|b| match b {
                    b if b.is_ascii_alphanumeric() || b"-._~".contains(b) => vec![*b],
                    b => format!("%{b:02X}").into_bytes(),
                })),
                8 => {
                    let json = serde_json::to_string(&String::from_utf8_lossy(&secret)).unwrap();
                    out.extend(json.into_bytes());
                }
                _ => out.extend(filler.into_bytes()),
            }
        }
        out
    })
}

fn case() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>)> {
    proptest::collection::vec(secret(), 1..4)
        .prop_flat_map(|secrets| (Just(secrets.clone()), text(secrets)))
}

/// Cuts at random places.
fn chunks<'a>(text: &'a [u8], cuts: &[proptest::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| &text[pair[0]..pair[1]])
        .collect()
}

/// Slow and obvious: marks every byte of every occurrence, and shows each marked run as masks.
fn reference(secrets: &[Vec<u8>], text: &[u8]) -> Vec<bool> {
    let mut patterns = spelling::Patterns::new();
    secrets
        .iter()
        .for_each(|secret| spelling::collect(secret, &mut patterns));
    let mut marked = vec![false; text.len()];
    for pattern in patterns {
        for at in 0..(text.len() + 1).saturating_sub(pattern.len()) {
            if text[at..].starts_with(&pattern) {
                marked[at..at + pattern.len()].fill(true);
            }
        }
    }
    marked
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn output_never_holds_a_secret((secrets, text) in case()) {
        let out = Redactor::new(&secrets).unwrap().redact_bytes(&text).into_owned();
        for secret in &secrets {
            let plain = secret.trim_ascii();
            prop_assert!(!holds(&out, plain));
            prop_assert!(!holds(&out, STANDARD.encode(plain).trim_end_matches('=').as_bytes()));
            for before in 0..3_usize {
                let whole = [&vec![b'.'; before], plain, b"..."].concat();
                let encoded = STANDARD.encode(whole);
                // Leaves out the two characters on either side that other bytes share.
                let inner = encoded.get((before * 8).div_ceil(6)..(before + plain.len()) * 8 / 6).unwrap();
                prop_assert!(!holds(&out, inner.as_bytes()));
                prop_assert!(!holds(&out, inner.replace('+', "-").replace('/', "_").as_bytes()));
            }
            let hex: String = plain.iter().map(|b| format!("{b:02x}")).collect();
            prop_assert!(!holds(&out, hex.as_bytes()));
            prop_assert!(!holds(&out, hex.to_uppercase().as_bytes()));
        }
    }

    #[test]
    fn masks_exactly_what_a_naive_search_finds((secrets, text) in case()) {
        let redactor = Redactor::new(&secrets).unwrap();
        let mut spans = Spans::default();
        let automaton = redactor.automaton.as_ref().unwrap();
        automaton.scan(automaton.start(), &text, |end, length| spans.add(end - length..end));
        let mut marked = vec![false; text.len()];
        for span in spans.0 {
            marked[span].fill(true);
        }
        prop_assert_eq!(marked, reference(&secrets, &text));
    }

    #[test]
    fn chunks_make_no_difference(
        (secrets, text) in case(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..40),
    ) {
        let redactor = Redactor::new(&secrets).unwrap();
        let out = streamed(&redactor, &chunks(&text, &cuts));
        prop_assert_eq!(out, redactor.redact_bytes(&text).into_owned());
    }

    #[test]
    fn what_is_held_back_may_be_a_secret(
        (secrets, text) in case(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..10),
    ) {
        let mut patterns = spelling::Patterns::new();
        secrets.iter().for_each(|secret| spelling::collect(secret, &mut patterns));
        let mut stream = Redactor::new(&secrets).unwrap().stream();
        for chunk in chunks(&text, &cuts) {
            let _ = stream.push(chunk);
            let held = &stream.held;
            prop_assert!(held.is_empty() || patterns.iter().any(|p| p.starts_with(held)));
        }
    }

    #[test]
    fn idling_anywhere_shows_no_secret(
        (secrets, text) in case(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..40),
    ) {
        let mut stream = Redactor::new(&secrets).unwrap().stream();
        let mut out = Vec::new();
        for chunk in chunks(&text, &cuts) {
            out.extend_from_slice(&stream.push(chunk));
            out.extend(stream.idle());
        }
        out.extend(stream.flush());
        for secret in &secrets {
            prop_assert!(!holds(&out, secret.trim_ascii()));
        }
    }

    #[test]
    fn without_secrets_output_is_input(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let redactor = Redactor::default();
        prop_assert_eq!(&*redactor.redact_bytes(&text), &text[..]);
        prop_assert_eq!(streamed(&redactor, &[&text]), text);
    }
}
