//! `hoist mcp --http` as its clients meet it, and as a page that means harm does: raw requests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Project, Running, engine, eventually, left_of};

const TOKEN: &str = "a-token-that-only-tests-know";
const PIPELINE: &str = r#"
name = "mcp-http"
[steps.quick]
image = "debian:bookworm-slim"
source = false
run = "sleep 2"
[steps.long]
image = "debian:bookworm-slim"
source = false
run = "sleep 8"
[steps.slow]
image = "debian:bookworm-slim"
source = false
run = "echo begun; sleep 300"
"#;

/// An answer to a request.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }

    /// The message in it, whether it came plain or as the last event of a stream.
    fn message(&self) -> Value {
        let mut events = self
            .body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        let text = events.next_back().unwrap_or(&self.body);
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A server over HTTP.
struct Server {
    running: Running,
    port: u16,
}

impl Server {
    fn start(project: &Project) -> Self {
        let mut running = project.start(&["mcp", "--http", "127.0.0.1:0"]);
        running.wait_for("the token is in");
        let said = running.said();
        let (_, rest) = said.split_once("http://127.0.0.1:").unwrap();
        let (port, _) = rest.split_once("/mcp").unwrap();
        let port = port.parse().unwrap();
        Self { running, port }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }

    /// A request with the right token and host, unless `headers` say otherwise.
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = self.connect();
        let request = request(method, path, headers, body);
        // A refusal may come before all is sent.
        let _ = stream.write_all(request.as_bytes());
        answer(stream)
    }

    fn post(&self, headers: &[(&str, &str)], message: &Value) -> Answer {
        self.ask("POST", "/mcp", headers, &message.to_string())
    }

    /// Says hello as clients did before 2026-07-28. Gives the session.
    fn hello(&self) -> String {
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "raw", "version": "1"}});
        let said = self.post(&[], &message("initialize", &params));
        assert_eq!(said.status, 200, "{said:?}");
        assert_eq!(said.message()["result"]["protocolVersion"], "2025-11-25");
        let session = said.header("mcp-session-id").unwrap().to_owned();
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let said = self.post(&[("Mcp-Session-Id", &session)], &ready);
        assert_eq!(said.status, 202, "{said:?}");
        session
    }

    fn old(&self, session: &str, method: &str, params: &Value) -> Value {
        let headers = [
            ("Mcp-Session-Id", session),
            ("Mcp-Protocol-Version", "2025-11-25"),
        ];
        self.post(&headers, &message(method, params)).message()
    }

    fn modern(&self, method: &str, params: Value) -> Value {
        let (headers, message) = modern(method, params);
        let headers: Vec<_> = headers.iter().map(|(k, v)| (*k, v.as_str())).collect();
        self.post(&headers, &message).message()
    }
}

fn message(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// A request that says all that 2026-07-28 wants said in each.
fn modern(method: &str, mut params: Value) -> (Vec<(&'static str, String)>, Value) {
    const VERSION: &str = "2026-07-28";
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let mut headers = vec![
        ("Mcp-Protocol-Version", VERSION.to_owned()),
        ("Mcp-Method", method.to_owned()),
    ];
    if let Some(name) = params["name"].as_str() {
        headers.push(("Mcp-Name", name.to_owned()));
    }
    (headers, message(method, &params))
}

fn call(tool: &str, arguments: &Value) -> Value {
    json!({"name": tool, "arguments": arguments})
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let bearer = format!("Bearer {TOKEN}");
    let length = body.len().to_string();
    let usual = [
        ("Host", "127.0.0.1"),
        ("Authorization", bearer.as_str()),
        ("Accept", "application/json, text/event-stream"),
        ("Content-Type", "application/json"),
        ("Content-Length", length.as_str()),
    ];
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    let said = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let usual = usual.iter().filter(|(name, _)| !said(name));
    for (name, value) in usual.chain(headers).filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n" + body
}

fn answer(mut stream: impl Read) -> Answer {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    // What came before a connection broke is an answer too.
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        bytes.extend_from_slice(&piece[..count]);
    }
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked {
        joined(body)
    } else {
        body.to_owned()
    };
    Answer {
        status,
        head: head.to_owned(),
        body,
    }
}

fn joined(mut chunks: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        let (chunk, rest) = rest.split_at(size);
        text.push_str(chunk);
        chunks = rest.trim_start_matches("\r\n");
    }
    text
}

fn project() -> Project {
    Project::new(PIPELINE).variable("HOIST_MCP_TOKEN", TOKEN)
}

fn begun(project: &Project) -> String {
    let mut run = String::new();
    eventually("the step runs", Duration::from_secs(30), || {
        run = project.runs().pop().unwrap_or_default();
        let log = format!(".hoist/runs/{run}/logs/slow.log");
        std::fs::read_to_string(project.path().join(log)).is_ok_and(|log| log.contains("begun"))
    });
    run
}

#[test]
fn mcp_http_lets_in_only_who_may() {
    let project = project();
    let server = Server::start(&project);
    let list = message("tools/list", &json!({}));
    let close = format!("Bearer {}", TOKEN.replace("know", "knew"));
    let longer = format!("Bearer {TOKEN}X");
    let basic = format!("Basic {TOKEN}");
    for wrong in ["", "Bearer", "Bearer x", TOKEN, &close, &longer, &basic] {
        let said = server.post(&[("Authorization", wrong)], &list);
        assert_eq!(said.status, 401, "{wrong}: {said:?}");
        let challenge = said.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer"), "{challenge}");
        assert!(!said.body.contains("tools"), "{said:?}");
    }
    for (name, value) in [
        ("Host", "evil.example"),
        ("Host", "127.0.0.1.evil.example"),
        ("Origin", "http://evil.example"),
        ("Origin", "http://localhost.evil.example"),
        ("Origin", "null"),
    ] {
        let said = server.post(&[(name, value)], &list);
        assert_eq!(said.status, 403, "{name}: {value}: {said:?}");
    }
    for origin in [
        "http://localhost:5173",
        "http://127.0.0.1",
        "http://[::1]:80",
    ] {
        let said = server.post(&[("Origin", origin)], &list);
        assert_ne!(said.status, 403, "{origin}: {said:?}");
    }
    let said = server.ask("GET", "/healthz", &[("Authorization", "")], "");
    assert_eq!((said.status, said.body.as_str()), (200, "ok\n"));
    let said = server.ask("GET", "/", &[], "");
    assert_eq!(said.status, 404);
}

#[test]
fn mcp_http_reads_no_request_without_end() {
    let project = project();
    let server = Server::start(&project);
    let said = server.ask("POST", "/mcp", &[("Content-Length", "900000000")], "");
    assert_eq!(said.status, 413, "{said:?}");
    let chunk = "x".repeat(1 << 20);
    let body = format!("100000\r\n{chunk}\r\n1\r\nx\r\n0\r\n\r\n");
    let headers = [("Content-Length", ""), ("Transfer-Encoding", "chunked")];
    let said = server.ask("POST", "/mcp", &headers, &body);
    assert_eq!(said.status, 413, "{said:?}");
    for wrong in ["{\"jsonrpc\":\"2.0\",\"id\":1,\"meth", "[]", "{}", "null"] {
        let said = server.ask("POST", "/mcp", &[], wrong);
        assert!((400..500).contains(&said.status), "{wrong}: {said:?}");
    }
    // Half a head, and nothing more.
    let mut half = server.connect();
    half.write_all(b"POST /mcp HT").unwrap();
    let said = server.modern("tools/list", json!({}));
    assert!(said["result"]["tools"].is_array(), "{said}");
}

#[test]
fn mcp_http_speaks_as_clients_do_and_did() {
    let project = project();
    let server = Server::start(&project);
    let session = server.hello();
    let old = server.old(&session, "tools/list", &json!({}));
    let new = server.modern("tools/list", json!({}));
    let tools = &old["result"]["tools"];
    assert!(tools.as_array().unwrap().len() > 10, "{old}");
    assert_eq!(tools, &new["result"]["tools"]);
    let list = call("list_pipelines", &json!({}));
    let old = server.old(&session, "tools/call", &list);
    let new = server.modern("tools/call", list);
    for said in [old, new] {
        let found = &said["result"]["structuredContent"]["pipelines"][0]["name"];
        assert_eq!(found, "mcp-http", "{said}");
    }
    let said = server.modern("server/discover", json!({}));
    let versions = said["result"]["supportedVersions"].as_array().unwrap();
    assert!(versions.contains(&json!("2026-07-28")), "{said}");
    let headers = [("Mcp-Session-Id", "no-such-session")];
    let said = server.post(&headers, &message("tools/list", &json!({})));
    assert_eq!(said.status, 404, "{said:?}");
}

#[test]
fn mcp_http_serves_a_socket_of_its_owner() {
    let project = project();
    let mut running = project.start(&["mcp", "--http", "unix:mcp.sock"]);
    running.wait_for("the token is in HOIST_MCP_TOKEN");
    let path = project.path().join("mcp.sock");
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let ask = |headers: &[(&str, &str)]| {
        let mut stream = UnixStream::connect(&path).unwrap();
        let (modern, message) = modern("tools/list", json!({}));
        let modern = modern.iter().map(|(k, v)| (*k, v.as_str()));
        let headers: Vec<_> = modern.chain(headers.iter().copied()).collect();
        let text = request("POST", "/mcp", &headers, &message.to_string());
        stream.write_all(text.as_bytes()).unwrap();
        answer(stream)
    };
    assert_eq!(ask(&[("Host", "hoist")]).status, 200);
    assert_eq!(ask(&[("Authorization", "")]).status, 401);
    running.signal("TERM");
    running.end(Duration::from_secs(3)).expect(0);
    assert!(!path.exists());
}

#[test]
fn mcp_http_keeps_a_token_of_its_own() {
    let mut project = Project::new(PIPELINE);
    let state = project.path().join("state");
    project = project.variable("XDG_STATE_HOME", state.to_str().unwrap());
    let mut running = project.start(&["mcp", "--http", "127.0.0.1:0"]);
    running.wait_for("the token is in");
    let path = state.join("hoist/mcp-token");
    let token = std::fs::read_to_string(&path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let said = running.said();
    assert!(said.contains(path.to_str().unwrap()), "{said}");
    assert!(!said.contains(token.trim()), "{said}");
    drop(running);
    let mut again = project.start(&["mcp", "--http", "127.0.0.1:0"]);
    again.wait_for("the token is in");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), token);
}

#[test]
fn mcp_http_says_what_is_wrong_with_its_options() {
    let project = project().file("short", "secret\n");
    let wrong: [(&[&str], &str); 6] = [
        (&["--http", "unix:none/s"], "its folder is not there"),
        (&["--http", "0.0.0.0:0"], "--allow-remote"),
        (&["--http", "8808"], "ADDRESS:PORT"),
        (
            &["--http", "127.0.0.1:0", "--token-file", "none"],
            "cannot read the token in none",
        ),
        (
            &["--http", "127.0.0.1:0", "--token-file", "short"],
            "too short",
        ),
        (&["--http", "unix:pipeline.toml"], "something else is there"),
    ];
    for (options, text) in wrong {
        let arguments: Vec<_> = ["mcp"].iter().chain(options).copied().collect();
        let ended = project.hoist(&arguments).expect(2).says(text);
        assert!(!ended.stderr.contains("secret\n"), "{}", ended.stderr);
    }
}

#[test]
fn mcp_http_keeps_a_run_whose_client_is_gone() {
    if !engine("mcp_http_keeps_a_run_whose_client_is_gone") {
        return;
    }
    let project = project();
    let server = Server::start(&project);
    let session = server.hello();
    let start = message(
        "tools/call",
        &call("run_pipeline", &json!({"steps": ["quick"]})),
    );
    let headers = [("Mcp-Session-Id", session.as_str())];
    let mut stream = server.connect();
    let text = request("POST", "/mcp", &headers, &start.to_string());
    stream.write_all(text.as_bytes()).unwrap();
    eventually("the run begins", Duration::from_secs(30), || {
        !project.runs().is_empty()
    });
    drop(stream);
    // Somebody else, of the other era, sees it through.
    let wait = call("get_run", &json!({"run_id": "latest", "wait_seconds": 50}));
    let said = server.modern("tools/call", wait);
    let run = &said["result"]["structuredContent"];
    assert_eq!(run["status"], "succeeded", "{said}");
    // A run that its call does not wait for has nothing to lose.
    let start = call(
        "run_pipeline",
        &json!({"steps": ["quick"], "wait_seconds": 0}),
    );
    let said = server.modern("tools/call", start);
    let id = said["result"]["structuredContent"]["run"]["run_id"].clone();
    let wait = call("get_run", &json!({"run_id": id, "wait_seconds": 50}));
    let said = server.modern("tools/call", wait);
    let run = &said["result"]["structuredContent"];
    assert_eq!(run["status"], "succeeded", "{said}");
}

#[test]
fn mcp_http_keeps_a_run_whose_session_is_over() {
    if !engine("mcp_http_keeps_a_run_whose_session_is_over") {
        return;
    }
    let project = project();
    let server = Server::start(&project);
    let session = server.hello();
    let headers = [("Mcp-Session-Id", session.as_str())];
    let start = |step: &str, id: u64| {
        let before = project.runs().len();
        let arguments = json!({"steps": [step]});
        let mut start = message("tools/call", &call("run_pipeline", &arguments));
        start["id"] = json!(id);
        let mut stream = server.connect();
        let text = request("POST", "/mcp", &headers, &start.to_string());
        stream.write_all(text.as_bytes()).unwrap();
        eventually("the run begins", Duration::from_secs(30), || {
            project.runs().len() > before
        });
        (stream, project.runs().pop().unwrap())
    };
    let status = |run: &str| {
        let wait = call("get_run", &json!({"run_id": run, "wait_seconds": 50}));
        let said = server.modern("tools/call", wait);
        said["result"]["structuredContent"]["status"].clone()
    };
    // What a client calls off is cancelled; what it leaves behind is not.
    let (_, slow) = start("slow", 7);
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": 7}});
    assert_eq!(server.post(&headers, &cancel).status, 202);
    assert_eq!(status(&slow), "cancelled");
    let (_, long) = start("long", 8);
    let said = server.ask("DELETE", "/mcp", &headers, "");
    assert!((200..300).contains(&said.status), "{said:?}");
    assert_eq!(status(&long), "succeeded");
}

#[test]
fn mcp_http_cancels_the_run_whose_call_is_closed() {
    if !engine("mcp_http_cancels_the_run_whose_call_is_closed") {
        return;
    }
    let project = project();
    let server = Server::start(&project);
    let start = call("run_pipeline", &json!({"steps": ["slow"]}));
    let (headers, message) = modern("tools/call", start);
    let headers: Vec<_> = headers.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let mut stream = server.connect();
    let text = request("POST", "/mcp", &headers, &message.to_string());
    stream.write_all(text.as_bytes()).unwrap();
    let run = begun(&project);
    drop(stream);
    let wait = call("get_run", &json!({"run_id": run, "wait_seconds": 50}));
    let said = server.modern("tools/call", wait);
    let state = &said["result"]["structuredContent"];
    assert_eq!(state["status"], "cancelled", "{said}");
    assert_eq!(left_of(&run), "");
}

#[test]
fn mcp_http_leaves_nothing_when_it_is_ended() {
    if !engine("mcp_http_leaves_nothing_when_it_is_ended") {
        return;
    }
    for signal in ["TERM", "INT"] {
        let project = project();
        let server = Server::start(&project);
        let session = server.hello();
        let start = message(
            "tools/call",
            &call("run_pipeline", &json!({"steps": ["slow"]})),
        );
        let mut stream = server.connect();
        let headers = [("Mcp-Session-Id", session.as_str())];
        let text = request("POST", "/mcp", &headers, &start.to_string());
        stream.write_all(text.as_bytes()).unwrap();
        let run = begun(&project);
        assert_ne!(left_of(&run), "");
        server.running.signal(signal);
        server.running.end(Duration::from_secs(30)).expect(0);
        // Nothing but the process itself cleaned up: it ended after that.
        assert_eq!(left_of(&run), "");
        let said = answer(stream).message();
        let state = &said["result"]["structuredContent"]["run"];
        assert_eq!(state["status"], "cancelled", "{said}");
    }
}

#[test]
fn mcp_http_ends_though_no_connection_is_left() {
    let project = project();
    let server = Server::start(&project);
    // More than are served at once; none says anything.
    let open: Vec<_> = (0..300).map(|_| server.connect()).collect();
    server.running.signal("TERM");
    server.running.end(Duration::from_secs(5)).expect(0);
    drop(open);
}
