//! What comes in to services through proxies beside being handed on: what the service is told of its
//! client, what clients get instead of it, and where a connection ends.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::load::Load;
use crate::support::{Ended, Project, docker, engine};

/// Answers each request with its version, the client that it was told of and the scheme. With
/// PROXY it hangs up on whoever does not begin with a header of the PROXY protocol's version 2.
/// `/tunnel` becomes a connection that repeats what comes.
const SERVER: &str = r#"
import asyncio, os, signal, socket, struct
version = os.environ["VERSION"]
async def told(reader):
    head = await reader.readexactly(16)
    if head[:12] != b"\r\n\r\n\x00\r\nQUIT\n":
        return None
    rest = await reader.readexactly(struct.unpack("!H", head[14:])[0])
    return socket.inet_ntoa(rest[:4]) if head[12] == 0x21 and head[13] == 0x11 else "nobody"
async def serve(reader, writer):
    try:
        client = await told(reader) if "PROXY" in os.environ else "untold"
        while client:
            line = await reader.readline()
            if not line:
                break
            scheme = "-"
            while (header := (await reader.readline()).strip()):
                name, value = header.decode().split(":", 1)
                if name.lower() == "x-forwarded-proto":
                    scheme = value.strip()
            if line.split()[1] == b"/tunnel":
                writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
                while (data := await reader.read(100)):
                    writer.write(data)
                    await writer.drain()
                break
            body = f"{version} {client} {scheme}".encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "", 8000)
    async with server:
        await server.serve_forever()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
asyncio.run(main())
"#;

/// How a service's health is told, by a port that is listened on.
const HEALTH: &str = r#"test = ["CMD", "python", "-c", "import socket; socket.create_connection(('127.0.0.1', 8000))"]
interval = "500ms"
timeout = "5s"
retries = 3
start_period = "20s""#;

/// A project whose services are behind proxies.
struct Site {
    project: Project,
    name: &'static str,
}

impl Site {
    /// With these services: a name, and keys beside those that all have.
    fn new(name: &'static str, services: &[(&str, &str)]) -> Self {
        let mut pipeline = format!(
            r#"
name = "traffic-{name}"
[steps.up.deploy]
environment = "live"
wait_timeout = "60s"
[environments.live]
"#
        );
        for (service, keys) in services {
            pipeline += &format!(
                r#"
[steps.up.deploy.services.{service}]
image = "python:3.11-slim-bookworm"
command = ["python", "-c", '''{SERVER}''']
stop_grace_period = "2s"
{keys}
[steps.up.deploy.services.{service}.healthcheck]
{HEALTH}
"#
            );
        }
        let project = Project::new(&pipeline);
        Self { project, name }
    }

    fn deploy(&self) -> Ended {
        self.project.hoist(&["run"])
    }

    fn change(&self, from: &str, to: &str) {
        self.project.change("pipeline.toml", from, to);
    }

    /// The containers of a role that run, by name and ID.
    fn running(&self, role: &str) -> Vec<String> {
        let project = format!("label=dev.hoist.project=traffic-{}", self.name);
        let role = format!("label=dev.hoist.role={role}");
        let format = "{{.Names}} {{.ID}}";
        let listed = docker(&[
            "ps", "--filter", &project, "--filter", &role, "--format", format,
        ]);
        let mut names: Vec<String> = listed.lines().map(str::to_owned).collect();
        names.sort();
        names
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.project.hoist(&["down", "live", "--volumes"]);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// One request over plain HTTP: the status and all of the answer.
fn get(port: u16, host: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let timeout = Some(Duration::from_secs(20));
    stream.set_read_timeout(timeout).expect("a socket");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or(0), answer)
}

#[test]
fn a_service_is_told_its_client_by_the_proxy_protocol() {
    if !engine("a_service_is_told_its_client_by_the_proxy_protocol") {
        return;
    }
    let port = free_port();
    let told = "proxy_protocol = true\nenvironment = { VERSION = \"one\", PROXY = \"1\" }";
    let untold = "environment = { VERSION = \"two\" }";
    let keys = format!(
        "strategy = \"blue-green\"\nupdate_config = {{ monitor = \"500ms\" }}\nports = [\"127.0.0.1:{port}:8000\"]\n{told}"
    );
    let site = Site::new("told", &[("web", &keys)]);
    site.deploy().expect(0);
    let said = || {
        let (status, answer) = get(port, "localhost", "/");
        assert_eq!(status, 200, "{answer}");
        answer.lines().last().unwrap_or_default().to_owned()
    };
    let first = said();
    let client: Vec<&str> = first.split(' ').collect();
    assert_eq!((client[0], client[2]), ("one", "http"), "{first}");
    let address: std::net::Ipv4Addr = client[1].parse().expect("the client's address");
    assert!(address.is_private(), "{first}");
    // Others of the environment come through a proxy too.
    let inside = "import urllib.request as r; print(r.urlopen('http://web:8000/').read().decode())";
    let called = site
        .project
        .hoist(&["exec", "live", "web", "--", "python", "-c", inside])
        .expect(0);
    assert!(called.stdout.starts_with("one "), "{}", called.stdout);

    // Each generation is told or not as it expects, also while both run.
    site.change(told, untold);
    site.deploy().expect(0).says("its settings changed");
    assert_eq!(said(), "two untold http");
    site.project.hoist(&["rollback", "live"]).expect(0);
    assert!(said().starts_with("one "));
}

#[test]
fn a_maintenance_page_comes_and_goes_without_a_new_container() {
    if !engine("a_maintenance_page_comes_and_goes_without_a_new_container") {
        return;
    }
    let port = free_port();
    let keys = format!(
        "app_protocol = \"http\"\ndrain = \"2s\"\nports = [\"127.0.0.1:{port}:8000\"]\nenvironment = {{ VERSION = \"one\" }}\nmaintenance = false"
    );
    let site = Site::new("page", &[("web", &keys)]);
    site.deploy().expect(0);
    let (services, proxies) = (site.running("service"), site.running("proxy"));
    let load = load(port);
    load.reach(500);
    site.change("maintenance = false", "maintenance = true");
    site.deploy()
        .expect(0)
        .says("a maintenance page takes its place from now on");
    let (status, answer) = get(port, "localhost", "/");
    assert_eq!(status, 503, "{answer}");
    let head = answer.to_lowercase();
    assert!(head.contains("retry-after: 60") && head.contains("content-type: text/html"));
    assert!(answer.contains("Down for maintenance"), "{answer}");
    site.deploy()
        .expect(0)
        .says("did not change and is left running");
    site.change("maintenance = true", "maintenance = false");
    site.deploy()
        .expect(0)
        .says("it takes the place of the maintenance page again");
    assert_eq!(get(port, "localhost", "/").0, 200);
    // Nobody gets anything but the service or the page.
    let tally = load.stop();
    let other = tally.lost.iter().filter(|(_, why)| !why.contains("503"));
    assert_eq!(other.count(), 0, "{:?}", tally.lost.last());
    assert!(!tally.lost.is_empty() && !tally.answers.is_empty());
    assert_eq!(site.running("service"), services);
    assert_eq!(site.running("proxy"), proxies);

    // A new release comes behind the page, which goes when it serves.
    site.change("maintenance = false", "maintenance = true");
    site.deploy().expect(0);
    site.change("maintenance = true", "maintenance = false");
    site.change("\"one\"", "\"two\"");
    let load = self::load(port);
    load.reach(100);
    site.deploy().expect(0);
    let (_, answer) = get(port, "localhost", "/");
    assert!(answer.contains("two"), "{answer}");
    let tally = load.stop();
    assert!(
        tally.answers.keys().all(|answer| answer.starts_with("two")),
        "{:?}",
        tally.answers
    );
}

/// Clients that go on until they are told to stop.
fn load(port: u16) -> Load {
    let (pause, within) = (Duration::from_millis(10), Duration::from_secs(120));
    Load::start(port, "/", 4, pause, 1_000_000, within)
}
