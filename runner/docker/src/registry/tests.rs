//! Addresses, challenges, and a registry that gives tokens. No real one that can be had gives any;
//! what pushes go through is tried on a real one elsewhere.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;

#[test]
fn manifests_are_where_the_name_says() {
    for (reference, expected) in [
        (
            "shop:1",
            "https://registry-1.docker.io/v2/library/shop/manifests/",
        ),
        (
            "me/shop",
            "https://registry-1.docker.io/v2/me/shop/manifests/",
        ),
        (
            "localhost:5000/a/b:1",
            "http://localhost:5000/v2/a/b/manifests/",
        ),
        ("127.0.0.1:5000/a", "http://127.0.0.1:5000/v2/a/manifests/"),
        ("ghcr.io/a/b:1", "https://ghcr.io/v2/a/b/manifests/"),
    ] {
        assert_eq!(address(reference), expected);
    }
}

#[test]
fn challenges_are_read() {
    let asked = parameters(
        "realm=\"https://auth.example.com/token\", service=\"registry\",scope=\"repository:a/b:pull,push\"",
    );
    assert_eq!(asked["realm"], "https://auth.example.com/token");
    assert_eq!(asked["scope"], "repository:a/b:pull,push");
    assert_eq!(parameters("realm=plain,service=x")["service"], "x");
    assert!(parameters("").is_empty());
}

#[test]
fn a_platform_may_have_a_variant() {
    let platform = Platform::read("linux/arm/v7");
    assert_eq!(platform.variant.as_deref(), Some("v7"));
    assert_eq!(Platform::read("linux/amd64").variant, None);
}

/// A registry that hands out a token for each scope, and notes what it was asked.
struct WithTokens {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl WithTokens {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked, realm) = (Arc::<Mutex<Vec<String>>>::default(), address.clone());
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &realm, &noted);
            }
        });
        Self { address, asked }
    }

    fn registry(&self, password: &str) -> Registry {
        let credentials = DockerCredentials {
            username: Some("ann".to_owned()),
            password: Some(password.to_owned()),
            ..DockerCredentials::default()
        };
        Registry::new(&format!("{}/a/b:1", self.address), Some(credentials)).unwrap()
    }
}

fn answer(stream: TcpStream, realm: &str, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(&stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let named = |line: &&String| line.to_lowercase().starts_with(&format!("{name}: "));
        let line = head.iter().find(named)?;
        Some(line.split_once(": ")?.1.to_owned())
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    reader.read_exact(&mut vec![0; length]).unwrap();
    let request = head
        .first()
        .unwrap()
        .trim_end_matches(" HTTP/1.1")
        .to_owned();
    let by = header("authorization").unwrap_or_default();
    let answer = if let Some((_, scope)) = request.split_once("scope=repository%3Aa%2Fb%3A") {
        // ann:right
        match by == "Basic YW5uOnJpZ2h0" {
            true => (
                "200 OK",
                String::new(),
                format!("{{\"token\":\"{scope}\"}}")
                    .replace("%2C", ",")
                    .replace("&service=it", ""),
            ),
            false => ("401 Unauthorized", String::new(), String::new()),
        }
    } else {
        let scope = if request.starts_with("PUT") {
            "pull,push"
        } else {
            "pull"
        };
        match by.starts_with(&format!("Bearer {scope}")) {
            true => {
                let digest = format!("sha256:{}", "0".repeat(64));
                (
                    "200 OK",
                    format!("Docker-Content-Digest: {digest}\r\n"),
                    "{}".to_owned(),
                )
            }
            false => {
                let challenge = format!(
                    "Bearer realm=\"http://{realm}/token\",service=\"it\",scope=\"repository:a/b:{scope}\""
                );
                (
                    "401 Unauthorized",
                    format!("WWW-Authenticate: {challenge}\r\n"),
                    String::new(),
                )
            }
        }
    };
    asked.lock().unwrap().push(request);
    let (status, headers, body) = answer;
    let length = body.len();
    write!(
        &stream,
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
}

#[tokio::test]
async fn a_token_is_got_for_reading_and_another_for_writing() {
    let tokens = WithTokens::start();
    let mut registry = tokens.registry("right");
    registry.get("one").await.unwrap();
    registry.get("two").await.unwrap();
    let digest = registry.put("index", "{}".to_owned()).await.unwrap();
    assert!(digest.starts_with("sha256:"));
    let asked = tokens.asked.lock().unwrap();
    let times = |what: &str| asked.iter().filter(|line| line.contains(what)).count();
    // Asked twice only where the token was not enough: the first time, and for the first write.
    assert_eq!(
        (times("/one"), times("/two"), times("/index")),
        (2, 1, 2),
        "{asked:?}"
    );
    assert_eq!(times("/token"), 2, "{asked:?}");
}

#[tokio::test]
async fn a_password_that_gets_no_token_is_told() {
    let tokens = WithTokens::start();
    let refused = tokens.registry("wrong").get("one").await.unwrap_err();
    assert_eq!(refused.kind, Kind::Unauthorized);
    assert!(
        refused.message.contains("/token gives no token: 401"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn no_password_goes_out_in_the_clear() {
    let registry = Registry::new("registry.example.com/a/b:1", None).unwrap();
    let challenge = "Bearer realm=\"http://registry.example.com/token\"";
    let refused = registry.authorize(challenge).await.unwrap_err();
    assert!(refused.message.contains("in the clear"), "{refused:?}");
}
