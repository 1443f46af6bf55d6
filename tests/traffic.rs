//! What comes in to services through proxies beside being handed on: what the service is told of its
//! client, what clients get instead of it, and where a connection ends.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};

use crate::load::{Load, Stream, connect};
use crate::support::{Ended, Project, docker, engine, eventually, free_port};

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

/// One request over plain HTTP: the status and all of the answer.
pub(crate) fn get(port: u16, host: &str, path: &str) -> (u16, String) {
    get_over(None, port, host, path)
}

fn get_over(tls: Option<&Arc<ClientConfig>>, port: u16, host: &str, path: &str) -> (u16, String) {
    let stream = connect(([127, 0, 0, 1], port).into(), tls).expect("a connection");
    get_by(stream, host, path)
}

pub(crate) fn get_by(mut stream: Box<dyn Stream>, host: &str, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    // A peer that hangs up after an answer that says so need not say more.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
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

/// A file in a proxy's folder.
struct Found {
    name: String,
    mode: u32,
    owner: u64,
    text: String,
}

fn files_of(proxy: &str) -> Vec<Found> {
    let folder = format!("{proxy}:/etc/hoist");
    let mut command = std::process::Command::new("docker");
    let tar = command.args(["cp", &folder, "-"]).output().expect("a tar");
    let mut tar = tar::Archive::new(tar.stdout.as_slice());
    let entries = tar.entries().expect("entries").map(|entry| {
        let mut entry = entry.expect("an entry");
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        Found {
            name: entry.path().expect("a path").display().to_string(),
            mode: entry.header().mode().expect("a mode"),
            owner: entry.header().uid().expect("an owner"),
            text,
        }
    });
    entries.collect()
}

/// A certificate that is valid for so many days, as a PEM text with its key, and its DER.
fn certificate(days: i32) -> (String, rustls::pki_types::CertificateDer<'static>) {
    certificate_of("shop.test", -40, days)
}

/// The same, from so many days on.
fn certificate_from(
    begins: i32,
    days: i32,
) -> (String, rustls::pki_types::CertificateDer<'static>) {
    certificate_of("shop.test", begins, days)
}

/// The same, of a host.
pub(crate) fn certificate_of(
    host: &str,
    begins: i32,
    days: i32,
) -> (String, rustls::pki_types::CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec![host.into()]).expect("a name");
    let day = |days: i32| {
        let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
        let date = now.date() + jiff::Span::new().days(days);
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        rcgen::date_time_ymd(i32::from(date.year()), month, day)
    };
    params.not_before = day(begins);
    params.not_after = day(days);
    let made = params.self_signed(&key).expect("a certificate");
    (made.pem() + &key.serialize_pem(), made.der().clone())
}

/// A client that trusts these and would rather speak HTTP/2.
pub(crate) fn trusting(
    certificates: &[&rustls::pki_types::CertificateDer<'static>],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add((*certificate).clone()).expect("trusted");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

#[test]
fn tls_ends_at_the_proxy_and_a_renewed_certificate_makes_no_release() {
    if !engine("tls_ends_at_the_proxy_and_a_renewed_certificate_makes_no_release") {
        return;
    }
    let port = free_port();
    let keys = format!(
        "app_protocol = \"http\"\ntls = {{ certificate = \"pem\" }}\nports = [\"127.0.0.1:{port}:8000\"]\nenvironment = {{ VERSION = \"one\" }}"
    );
    let site = Site::new("tls", &[("web", &keys)]);
    site.change(
        "[environments.live]",
        "[environments.live]\n[secrets]\npem = { file = \"site.pem\" }",
    );
    let write =
        |text: &str| std::fs::write(site.project.path().join("site.pem"), text).expect("written");
    let (first, first_der) = certificate(90);
    let (second, second_der) = certificate(10);

    // What will not do is said before anything is touched.
    let key = second.split_once("-----BEGIN PRIVATE").expect("a key").1;
    let (stranger, _) = first.split_once("-----BEGIN PRIVATE").expect("a key");
    write(&format!("{stranger}-----BEGIN PRIVATE{key}"));
    site.deploy()
        .expect(2)
        .says("its key is not the first certificate's");
    write(stranger);
    site.deploy().expect(2).says("there is no key in it");
    write(&certificate(-1).0);
    site.deploy().expect(2).says("of web expired on ");
    write(&certificate_from(3, 90).0);
    site.deploy().expect(2).says("of web is not valid before ");
    assert!(site.running("service").is_empty() && site.running("proxy").is_empty());

    write(&first);
    site.deploy().expect(0);
    let client = trusting(&[&first_der]);
    let (status, answer) = get_over(Some(&client), port, "shop.test", "/");
    assert_eq!(status, 200, "{answer}");
    assert!(answer.ends_with("one untold https"), "{answer}");
    let (services, proxies) = (site.running("service"), site.running("proxy"));
    let seen = site.project.hoist(&["ps", "live"]).expect(0);
    assert!(seen.stdout.contains("CERTIFICATE"), "{}", seen.stdout);
    site.project.hoist(&["diagnose", "live"]).expect(0);

    // The key is the proxy's alone, and nowhere else.
    let proxy = proxies[0].split(' ').next_back().expect("an ID");
    let files = files_of(proxy);
    let of = |end: &str| files.iter().find(|file| file.name.ends_with(end));
    let pem = of(".pem").expect("a certificate");
    assert_eq!((pem.mode & 0o7777, pem.owner), (0o400, 99));
    assert!(pem.text == first.trim_end() || pem.text == first);
    let secret = first.lines().rev().nth(2).expect("a line of the key");
    let config = of("haproxy.cfg").expect("a configuration");
    assert!(!config.text.contains(secret) && !docker(&["inspect", proxy]).contains(secret));

    let both = trusting(&[&first_der, &second_der]);
    let (pause, within) = (Duration::from_millis(5), Duration::from_secs(120));
    let load = Load::start_over(Some(both), port, "/", 8, pause, 1_000_000, within);
    load.reach(1_000);
    write(&second);
    site.deploy()
        .expect(0)
        .says("gets the renewed certificate, valid until ")
        .says("the certificate of web expires on ");
    let client = trusting(&[&second_der]);
    assert_eq!(get_over(Some(&client), port, "shop.test", "/").0, 200);
    let tally = load.stop();
    assert!(
        tally.lost.is_empty() && tally.requests() > 1_000,
        "{:?}",
        tally.lost
    );
    assert_eq!(site.running("service"), services);
    assert_eq!(site.running("proxy"), proxies);
    let releases = site
        .project
        .hoist(&["releases", "live", "--format", "json"])
        .expect(0);
    let releases: serde_json::Value = serde_json::from_str(&releases.stdout).expect("JSON");
    assert_eq!(
        releases["releases"].as_array().expect("a list").len(),
        1,
        "{releases}"
    );
    site.project.hoist(&["diagnose", "live"]).expect(1);
    site.deploy()
        .expect(0)
        .says("did not change and is left running");
}

/// Clients that go on until they are told to stop.
fn load(port: u16) -> Load {
    let (pause, within) = (Duration::from_millis(10), Duration::from_secs(120));
    Load::start(port, "/", 4, pause, 1_000_000, within)
}

#[test]
fn services_share_a_port_by_their_routes() {
    if !engine("services_share_a_port_by_their_routes") {
        return;
    }
    let port = free_port();
    let keys = |version: &str, more: &str| {
        format!(
            "strategy = \"blue-green\"\nupdate_config = {{ monitor = \"500ms\" }}\nports = [\"127.0.0.1:{port}:8000\"]\nenvironment = {{ VERSION = \"{version}\" }}\n{more}"
        )
    };
    let (web, api) = (
        keys("web-one", ""),
        keys("api-one", "routes = [{ path = \"/api\" }]"),
    );
    let shop = keys(
        "shop-one",
        "app_protocol = \"http\"\nroutes = [{ host = \"shop.test\" }]\nmaintenance = false",
    )
    .replace("blue-green", "recreate")
    .replace("update_config = { monitor = \"500ms\" }\n", "");
    let site = Site::new("share", &[("web", &web), ("api", &api), ("shop", &shop)]);
    site.deploy().expect(0);
    let had = |host: &str, path: &str| {
        let (status, answer) = get(port, host, path);
        let body = answer.lines().last().unwrap_or_default();
        let version = body.split(' ').next().unwrap_or_default().to_owned();
        (status, version)
    };
    let is = |version: &str| (200, version.to_owned());
    assert_eq!(had("localhost", "/"), is("web-one"));
    assert_eq!(had("localhost", "/api/1"), is("api-one"));
    assert_eq!(had("localhost", "/apis"), is("web-one"));
    assert_eq!(had("Shop.test", "/api"), is("shop-one"));
    let owners = site.running("proxy").into_iter();
    let owners = owners.filter(|name| name.contains(&format!("proxy-127.0.0.1-{port}")));
    assert_eq!(owners.count(), 1);
    let seen = site.project.hoist(&["ps", "live"]).expect(0);
    let published = format!("127.0.0.1:{port}");
    let lines = seen.stdout.lines();
    assert_eq!(
        lines.filter(|line| line.contains(&published)).count(),
        3,
        "{}",
        seen.stdout
    );

    // One changes, and the others lose nothing; nor does it itself.
    let others = load(port);
    let own = Load::start(
        port,
        "/api",
        4,
        Duration::from_millis(5),
        1_000_000,
        Duration::from_secs(120),
    );
    own.reach(300);
    site.change("api-one", "api-two");
    site.deploy().expect(0).says("web did not change");
    assert_eq!(had("localhost", "/api"), is("api-two"));
    site.change("maintenance = false", "maintenance = true");
    site.deploy().expect(0);
    assert_eq!(had("shop.test", "/").0, 503);
    let (others, own) = (others.stop(), own.stop());
    assert!(others.lost.is_empty(), "{:?}", others.lost);
    assert!(own.lost.is_empty(), "{:?}", own.lost);
    let all = others.answers.keys();
    assert!(all.clone().all(|answer| answer.starts_with("web-one")));
    assert!(own.answers.len() == 2, "{:?}", own.answers);

    // What leaves has no requests any more, and what has only routes leaves the rest to nobody.
    let text = site.project.read("pipeline.toml");
    let start = text.find("[steps.up.deploy.services.web]").expect("web");
    let end = text.find("[steps.up.deploy.services.api]").expect("api");
    let without = text.replace(text.get(start..end).expect("web"), "");
    std::fs::write(site.project.path().join("pipeline.toml"), without).expect("written");
    site.deploy().expect(0).says("web is no longer wanted");
    assert_eq!(had("localhost", "/").0, 404);
    assert_eq!(had("localhost", "/api"), is("api-two"));
}

#[test]
fn an_upgraded_connection_goes_on_until_the_drain_ends() {
    if !engine("an_upgraded_connection_goes_on_until_the_drain_ends") {
        return;
    }
    let port = free_port();
    let keys = format!(
        "strategy = \"blue-green\"\ndrain = \"8s\"\nupdate_config = {{ monitor = \"500ms\" }}\nports = [\"127.0.0.1:{port}:8000\"]\nenvironment = {{ VERSION = \"one\" }}"
    );
    let site = Site::new("tunnel", &[("web", &keys)]);
    site.deploy().expect(0);
    let mut tunnel = connect(([127, 0, 0, 1], port).into(), None).expect("a connection");
    let ask =
        "GET /tunnel HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    tunnel.write_all(ask.as_bytes()).expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tunnel.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    let mut echoes = move || {
        let mut back = [0; 4];
        tunnel
            .write_all(b"ping")
            .and_then(|()| tunnel.read_exact(&mut back))
            .is_ok_and(|()| back == *b"ping")
    };
    assert!(echoes());
    site.change("\"one\"", "\"two\"");
    let deploy = site.project.start(&["run"]);
    eventually("the new one serves", Duration::from_secs(60), || {
        get(port, "localhost", "/").1.contains("two untold")
    });
    assert!(echoes(), "it goes on beside the new one");
    deploy.end(Duration::from_secs(60)).expect(0);
    assert!(!echoes(), "the drain has an end");
}
