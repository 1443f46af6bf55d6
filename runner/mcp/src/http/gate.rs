//! What stands before the server: whoever has not shown the token learns nothing but that one is
//! wanted. Whether it lives is told to everybody.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};

use super::BODY;
use super::token::Token;

/// Where the server is.
pub(super) const PATH: &str = "/mcp";
/// Where it says that it lives.
const HEALTH: &str = "/healthz";
/// How a token is shown; see RFC 6750.
const SCHEME: &str = "bearer";
/// What is said to those who show none.
const CHALLENGE: &str = "Bearer realm=\"hoist\"";
/// What is said to those who show a wrong one.
const WRONG: &str = "Bearer realm=\"hoist\", error=\"invalid_token\"";

/// An answer.
pub(super) type Answer = Response<BoxBody<Bytes, Infallible>>;

/// The gate.
pub(super) struct Gate(blake3::Hash);

impl Gate {
    /// A gate that this token opens.
    pub(super) fn new(token: &Token) -> Self {
        Self(digest(token.text()))
    }

    /// Why the request may not pass, or what is answered in the server's place.
    pub(super) fn refuses<B>(&self, request: &Request<B>) -> Option<Answer> {
        let path = request.uri().path();
        if path == HEALTH {
            let asks = [Method::GET, Method::HEAD].contains(request.method());
            return Some(if asks {
                answer(StatusCode::OK, "ok\n")
            } else {
                answer(StatusCode::METHOD_NOT_ALLOWED, "ask with GET\n")
            });
        }
        if let Err(challenge) = self.admits(request.headers()) {
            let text = "a bearer token is needed: see `hoist mcp --help`\n";
            let mut refusal = answer(StatusCode::UNAUTHORIZED, text);
            let challenge = HeaderValue::from_static(challenge);
            refusal.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            return Some(refusal);
        }
        if path != PATH {
            return Some(answer(StatusCode::NOT_FOUND, "the server is at /mcp\n"));
        }
        // Said before the body has come; the server counts what comes without a length.
        if declared(request.headers()).is_some_and(|bytes| bytes > BODY) {
            let text = format!("a request may hold at most {BODY} bytes\n");
            return Some(answer(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        None
    }

    fn admits(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let (Some(one), None) = (shown.next(), shown.next()) else {
            return Err(CHALLENGE);
        };
        let pair = one.to_str().ok().and_then(|text| text.split_once(' '));
        let Some((_, token)) = pair.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME))
        else {
            return Err(CHALLENGE);
        };
        // Digests are compared in constant time, and all of them are of one length.
        if digest(token.trim()) == self.0 {
            Ok(())
        } else {
            Err(WRONG)
        }
    }
}

fn digest(token: &str) -> blake3::Hash {
    blake3::hash(token.as_bytes())
}

fn declared(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn answer(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()).boxed());
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}
