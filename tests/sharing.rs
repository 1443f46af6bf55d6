//! A port of the host that projects share which know nothing of each other: each has its own requests,
//! and whatever one does, no request of the other is lost.

use std::time::Duration;

use crate::load::{Load, Tally, connect_to};
use crate::support::{Ended, Project, docker, engine, free_port};
use crate::switching::another_proxy;
use crate::traffic::{certificate_of, get, get_by, trusting};

/// Answers with its version. The one that is called sick says that it is not well.
const SERVER: &str = r#"
import http.server, os
version = os.environ["VERSION"]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = version.encode()
        self.send_response(500 if version == "sick" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"#;

/// A project with one service.
struct Site(Project);

impl Site {
    fn new(name: &str, port: u16, keys: &str) -> Self {
        Self(Project::new(&format!(
            r#"
name = "0-sharing-{name}"
[steps.up.deploy]
environment = "live"
wait_timeout = "60s"
[steps.up.deploy.services.web]
image = "python:3.11-slim-bookworm"
command = ["python", "-c", '''{SERVER}''']
environment = {{ VERSION = "{name}" }}
ports = ["127.0.0.1:{port}:8000"]
strategy = "blue-green"
app_protocol = "http"
drain = "2s"
stop_grace_period = "1s"
update_config = {{ monitor = "500ms" }}
{keys}
[steps.up.deploy.services.web.healthcheck]
test = ["CMD", "python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/')"]
interval = "500ms"
timeout = "5s"
retries = 3
start_period = "10s"
[environments.live]
"#
        )))
    }

    fn deploy(&self) -> Ended {
        self.0.hoist(&["run"])
    }

    fn change(&self, from: &str, to: &str) {
        self.0.change("pipeline.toml", from, to);
    }

    fn down(&self) -> Ended {
        self.0.hoist(&["down", "live", "--volumes"])
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.down();
    }
}

/// Clients of whoever has the host `localhost`, for as long as a test takes.
fn load(port: u16) -> Load {
    let pause = Duration::from_millis(20);
    let load = Load::start(port, "/", 4, pause, 1_000_000, Duration::from_secs(240));
    load.reach(100);
    load
}

#[track_caller]
fn nothing_lost(tally: &Tally) {
    let lost = &tally.lost;
    assert!(
        lost.is_empty(),
        "{} of {}: {lost:?}",
        lost.len(),
        tally.requests()
    );
}

fn said(port: u16, host: &str) -> (u16, String) {
    let (status, answer) = get(port, host, "/");
    (status, answer.lines().last().unwrap_or_default().to_owned())
}

/// What there is of the proxy that is the host's.
fn proxies(port: u16) -> Vec<String> {
    let name = format!("name=hoist-proxy-127.0.0.1-{port}");
    let containers = docker(&["ps", "--all", "--filter", &name, "--format", "{{.ID}}"]);
    let volumes = docker(&["volume", "ls", "--filter", &name, "--format", "{{.Name}}"]);
    let networks = docker(&["network", "ls", "--filter", &name, "--format", "{{.ID}}"]);
    let all = [containers, volumes, networks].join("\n");
    all.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn what_one_project_does_loses_no_request_of_another() {
    if !engine("what_one_project_does_loses_no_request_of_another") {
        return;
    }
    let port = free_port();
    let shop = Site::new("shop", port, r#"routes = [{ host = "localhost" }]"#);
    shop.deploy().expect(0);
    assert_eq!(said(port, "localhost"), (200, "shop".to_owned()));
    assert_eq!(said(port, "blog.test").0, 404);
    let proxy = proxies(port);
    assert_eq!(proxy.len(), 3, "{proxy:?}");

    let load = load(port);
    // Its name comes before the other's, and so do those of its networks.
    let blog = Site::new("blog", port, r#"routes = [{ host = "localhost" }]"#);
    blog.deploy()
        .expect(4)
        .says("the route `localhost` of web on port 127.0.0.1:")
        .says("web of 0-sharing-shop (live) has it");
    blog.change("routes = [{ host = \"localhost\" }]", "");
    blog.deploy()
        .expect(4)
        .says("web of 0-sharing-shop (live) has a part of it, and web has no `routes`");
    blog.change(
        "[steps.up.deploy.services.web.healthcheck]",
        "routes = [{ host = \"blog.test\" }]\n[steps.up.deploy.services.web.healthcheck]",
    );
    blog.deploy().expect(0);
    assert_eq!(said(port, "blog.test"), (200, "blog".to_owned()));
    let shown = shop.0.hoist(&["ps", "live"]).expect(0).stdout;
    let shared = format!("web of live shares 127.0.0.1:{port} with 0-sharing-blog (live)");
    assert!(shown.contains(&shared), "{shown}");

    blog.change("VERSION = \"blog\"", "VERSION = \"next\"");
    blog.deploy().expect(0);
    assert_eq!(said(port, "blog.test"), (200, "next".to_owned()));
    blog.0.hoist(&["scale", "live", "web=2"]).expect(0);
    blog.0.hoist(&["restart", "live", "web"]).expect(0);
    blog.change("VERSION = \"next\"", "VERSION = \"sick\"");
    blog.deploy().expect(5);
    assert_eq!(said(port, "blog.test"), (200, "next".to_owned()));
    blog.0.hoist(&["rollback", "live"]).expect(0);
    assert_eq!(said(port, "blog.test"), (200, "blog".to_owned()));
    // Both at once.
    shop.change("VERSION = \"shop\"", "VERSION = \"more\"");
    blog.change("VERSION = \"sick\"", "VERSION = \"both\"");
    let other = blog.0.start(&["run"]);
    shop.deploy().expect(0);
    other.end(Duration::from_secs(90)).expect(0);
    assert_eq!(said(port, "blog.test"), (200, "both".to_owned()));
    blog.down().expect(0);
    assert_eq!(said(port, "blog.test").0, 404);
    let tally = load.stop();
    nothing_lost(&tally);
    assert!(tally.answers.contains_key("more"), "{:?}", tally.answers);
    assert_eq!(proxies(port), proxy, "it was never another one");

    shop.down().expect(0);
    assert_eq!(proxies(port), [""; 0]);
}

#[test]
fn the_first_may_go_and_the_second_serves_on_by_its_own_certificate() {
    if !engine("the_first_may_go_and_the_second_serves_on_by_its_own_certificate") {
        return;
    }
    let port = free_port();
    let keys = |host: &str| {
        format!("tls = {{ certificate = \"pem\" }}\nroutes = [{{ host = \"{host}\" }}]")
    };
    let site = |name: &str, host: &str, certificate: &str| {
        let site = Site::new(name, port, &keys(host));
        let secrets = "[environments.live]\n[secrets]\npem = { file = \"site.pem\" }";
        site.change("[environments.live]", secrets);
        let pem = site.0.path().join("site.pem");
        std::fs::write(pem, certificate).expect("written");
        site
    };
    let certificates = ["shop.test", "news.test"].map(|host| certificate_of(host, -40, 90));
    let client = trusting(&[&certificates[0].1, &certificates[1].1]);
    let asked = |host: &'static str| {
        let stream = connect_to(host, ([127, 0, 0, 1], port).into(), Some(&client));
        get_by(stream.expect("a connection"), host, "/").0
    };
    let shop = site("tls", "shop.test", &certificates[0].0);
    shop.deploy().expect(0);
    assert_eq!(asked("shop.test"), 200);
    let news = site("other", "news.test", &certificates[1].0);
    news.deploy().expect(0);
    // Each by its own certificate: that of the other has another name.
    assert_eq!((asked("shop.test"), asked("news.test")), (200, 200));
    shop.down().expect(0);
    assert_eq!(asked("news.test"), 200);
    assert_eq!(proxies(port).len(), 3);
    shop.deploy().expect(0);
    assert_eq!((asked("shop.test"), asked("news.test")), (200, 200));
}

#[test]
fn a_port_of_one_project_is_shared_once_it_has_routes() {
    if !engine("a_port_of_one_project_is_shared_once_it_has_routes") {
        return;
    }
    let port = free_port();
    let first = Site::new("alone", port, "# routes");
    first.deploy().expect(0);
    assert!(proxies(port).is_empty());
    let second = Site::new("guest", port, r#"routes = [{ host = "guest.test" }]"#);
    second
        .deploy()
        .expect(4)
        .says("0-sharing-alone (live) has it for itself")
        .says("give all services that publish it `routes`");
    first.change("# routes", r#"routes = [{ host = "localhost" }]"#);
    first
        .deploy()
        .expect(0)
        .says("becomes one that other projects can share")
        .says("nobody got through it for ");
    assert_eq!(said(port, "localhost"), (200, "alone".to_owned()));
    second.deploy().expect(0);
    assert_eq!(said(port, "guest.test"), (200, "guest".to_owned()));
    assert_eq!(said(port, "localhost"), (200, "alone".to_owned()));
    first
        .deploy()
        .expect(0)
        .says("did not change and is left running");
}

#[test]
fn one_project_puts_the_proxy_on_another_image_for_all() {
    let test = "sharing::one_project_puts_the_proxy_on_another_image_for_all";
    if !engine(test) {
        return;
    }
    let Some(image) = another_proxy(test, "sharing") else {
        return;
    };
    let port = free_port();
    let shop = Site::new("first", port, r#"routes = [{ host = "localhost" }]"#);
    shop.deploy().expect(0);
    let mut news = Site::new("second", port, r#"routes = [{ host = "news.test" }]"#);
    news.deploy().expect(0);
    let project = std::mem::replace(&mut news.0, Project::empty());
    news.0 = project.variable("HOIST_TOOLS_HAPROXY", &image);
    news.0
        .hoist(&["proxy", "upgrade", "live"])
        .expect(0)
        .says("nobody gets through it, to 0-sharing-first (live) neither");
    let proxy = format!("hoist-proxy-127.0.0.1-{port}");
    let inspect = |what: &str, format: &str| docker(&["inspect", "--format", format, what]);
    assert_eq!(inspect(&proxy, "{{.Image}}"), inspect(&image, "{{.Id}}"));
    assert_eq!(said(port, "localhost"), (200, "first".to_owned()));
    assert_eq!(said(port, "news.test"), (200, "second".to_owned()));
    // What is there is left as it is by those who have another image.
    shop.change("VERSION = \"first\"", "VERSION = \"again\"");
    shop.deploy().expect(0);
    assert_eq!(said(port, "localhost"), (200, "again".to_owned()));
    assert_eq!(inspect(&proxy, "{{.Image}}"), inspect(&image, "{{.Id}}"));
    drop((shop, news));
    docker(&["rmi", &image]);
}
