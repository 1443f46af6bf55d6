//! The spellings in which programs print a secret. Only such as a program makes without meaning to
//! hide anything: a log line, a URL, a JSON or XML file, a Basic authorization, a traced shell.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::Redactor;

/// What is to be found, each once.
pub(super) type Patterns = BTreeSet<Vec<u8>>;

/// A longer text gets its common spellings only: each takes memory for each of its bytes.
const LONG: usize = 1 << 10;

/// Adds all spellings of a secret. Of one of several lines the rare spellings are those of its
/// lines.
pub(super) fn collect(secret: &[u8], to: &mut Patterns) {
    let trimmed = secret.trim_ascii();
    spell(secret, to);
    spell(trimmed, to);
    for line in trimmed.split(|&byte| matches!(byte, b'\n' | b'\r')) {
        let line = line.trim_ascii();
        if line.len() >= Redactor::SHORTEST {
            spell(line, to);
        }
    }
}

fn spell(plain: &[u8], to: &mut Patterns) {
    to.insert(plain.to_vec());
    base64(plain, to);
    hexadecimal(plain, to);
    percent(plain, b"-._~", to);
    let text = std::str::from_utf8(plain).ok();
    if let Some(text) = text {
        insert_text(text.to_owned(), to);
        insert_text(json_string(text), to);
    }
    if plain.len() <= LONG && !plain.contains(&b'\n') {
        RARELY_KEPT.iter().for_each(|kept| percent(plain, kept, to));
        if let Some(text) = text {
            escape(text, to);
        }
    }
}

/// A terminal makes `\r\n` of every end of line.
fn insert_text(text: String, to: &mut Patterns) {
    if text.contains('\n') {
        to.insert(
            text.replace("\r\n", "\n")
                .replace('\n', "\r\n")
                .into_bytes(),
        );
    }
    to.insert(text.into_bytes());
}

/// Tools break long lines; each of them, and all of them together, is a spelling.
fn insert_wrapped(text: &str, width: usize, to: &mut Patterns) {
    if text.len() > width {
        let lines: Vec<&[u8]> = text.as_bytes().chunks(width).collect();
        to.insert(lines.join(&b'\n'));
        let long = lines
            .into_iter()
            .filter(|line| line.len() >= Redactor::SHORTEST);
        to.extend(long.map(<[u8]>::to_vec));
    }
}

/// Base64 of the secret alone, and of anything in which it stands: of the three ways in which its
/// bytes can fall on groups of three, the characters that depend on the secret alone.
fn base64(plain: &[u8], to: &mut Patterns) {
    let line = [plain, b"\n"].concat();
    for whole in [plain, &line] {
        let text = STANDARD.encode(whole);
        insert_wrapped(&text, 76, to);
        insert_wrapped(&text, 64, to);
    }
    // A character holds 6 bits: the first ones hold bits of what is before the secret, the last one
    // may hold bits of what is after it.
    for (before, first) in [(0, 0), (1, 2), (2, 3)] {
        let inner = (before + plain.len()) * 8 / 6;
        for end in [plain, &line] {
            let mut bytes = vec![0; before];
            bytes.extend_from_slice(end);
            for text in [
                STANDARD.encode(&bytes),
                STANDARD_NO_PAD.encode(&bytes),
                URL_SAFE.encode(&bytes),
                URL_SAFE_NO_PAD.encode(&bytes),
            ] {
                to.extend(text.get(first..inner).map(Into::into));
                to.extend(text.get(first..).map(Into::into));
            }
        }
    }
}

fn hexadecimal(plain: &[u8], to: &mut Patterns) {
    for upper in [false, true] {
        let mut text = String::with_capacity(plain.len() * 2);
        for &byte in plain {
            push_hex(byte, upper, &mut text);
        }
        to.insert(text.into_bytes());
    }
}

fn push_hex(byte: u8, upper: bool, to: &mut String) {
    for digit in [byte >> 4, byte & 15] {
        let digit = char::from_digit(u32::from(digit), 16).unwrap_or_default();
        to.push(if upper {
            digit.to_ascii_uppercase()
        } else {
            digit
        });
    }
}

/// What percent-encoding leaves as it is beside letters, digits and, by the RFC, `-._~`: in paths,
/// form data, encodeURI, encodeURIComponent, and the URL functions of Java, Go, Python and PHP.
const RARELY_KEPT: [&[u8]; 7] = [
    b"-._",
    b"*-._",
    b"-._~/",
    b"-._~!'()*",
    b"-._~!'()*;,/?:@&=+$#",
    b"-._~!$&'()*+,;=:@",
    b"-._~$&+:=@",
];

fn percent(plain: &[u8], kept: &[u8], to: &mut Patterns) {
    for upper in [false, true] {
        for plus in [false, true] {
            let mut text = String::with_capacity(plain.len() * 3);
            for &byte in plain {
                if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
                    text.push(char::from(byte));
                } else if plus && byte == b' ' {
                    text.push('+');
                } else {
                    text.push('%');
                    push_hex(byte, upper, &mut text);
                }
            }
            to.insert(text.into_bytes());
        }
    }
}

/// What JSON of other writers, XML and shells make of special characters.
fn escape(text: &str, to: &mut Patterns) {
    let json = json_string(text);
    for text in [
        json.replace('/', "\\/"),
        json.replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026"),
        json_ascii(&json, false),
        json_ascii(&json, true),
        json_string(&json),
        text.replace('\'', r"'\''"),
        text.replace('\'', r#"'"'"'"#),
    ] {
        insert_text(text, to);
    }
    let xml = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    for (quote, apostrophe) in [
        ("&quot;", "&apos;"),
        ("&#34;", "&#39;"),
        ("&quot;", "&#39;"),
        ("&quot;", "&#x27;"),
    ] {
        let quoted = xml.replace('"', quote);
        insert_text(quoted.replace('\'', apostrophe), to);
        insert_text(quoted, to);
    }
    insert_text(xml, to);
}

/// What stands between the quotes of a JSON string.
fn json_string(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.strip_prefix('"')
        .and_then(|json| json.strip_suffix('"'))
        .unwrap_or(&json)
        .to_owned()
}

/// JSON without a character beyond ASCII.
fn json_ascii(json: &str, upper: bool) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            out.push_str("\\u");
            for byte in unit.to_be_bytes() {
                push_hex(byte, upper, &mut out);
            }
        }
    }
    out
}
