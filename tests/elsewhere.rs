//! Releases on the engine of another host: images that no registry has, promotions, and ways back.

use std::time::Duration;

use crate::support::host::{Kind, OtherHost, get};
use crate::support::{Project, docker, engine, eventually, free_port, skip, variable};

/// Answers each request with the version that is in its image.
const SERVER: &str = r#"
import http.server
version = open("/version").read().strip()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(version.encode())
    def log_message(self, *args):
        pass
http.server.HTTPServer(("", 8000), Handler).serve_forever()
"#;

/// One service, deployed to this host and to another one.
struct Shop {
    project: Project,
    host: OtherHost,
    name: &'static str,
    port: u16,
}

impl Shop {
    /// `address` is how the other host's engine is reached.
    fn new(name: &'static str, host: OtherHost, address: &str) -> Self {
        let port = free_port();
        let pipeline = format!(
            r#"
name = "elsewhere-{name}"
[steps.image.build]
[steps.near.deploy]
environment = "near"
wait_timeout = "60s"
[steps.near.deploy.services.web]
image = "${{steps.image.image}}"
ports = ["127.0.0.1:{port}:8000"]
strategy = "blue-green"
update_config = {{ monitor = "0s" }}
stop_grace_period = "1s"
healthcheck = {{ test = "true", interval = "1s" }}
[steps.far.deploy]
environment = "far"
wait_timeout = "60s"
[steps.far.deploy.services.web]
image = "${{steps.image.image}}"
environment = {{ PLACE = "far" }}
ports = ["{port}:8000"]
strategy = "blue-green"
update_config = {{ monitor = "0s" }}
stop_grace_period = "1s"
healthcheck = {{ test = "true", interval = "1s" }}
[environments.near]
[environments.far]
engine = "{address}"
"#
        );
        let dockerfile = "FROM python:3.11-slim-bookworm\nCOPY serve.py /\nCOPY version /\n\
                          CMD [\"python\", \"/serve.py\"]\n";
        let project = Project::new(&pipeline)
            .file("Dockerfile", dockerfile)
            .file("serve.py", SERVER)
            .file("version", "one\n")
            .variable("DOCKER_TLS_VERIFY", "1")
            .variable("DOCKER_CERT_PATH", &host.certificates());
        Self {
            project,
            host,
            name,
            port,
        }
    }

    #[track_caller]
    fn answers(&self, near: &str, far: &str) {
        let address = ([127, 0, 0, 1], self.port).into();
        for (place, wanted) in [("near", near), ("far", far)] {
            let said = || match place {
                "near" => get(address, "/"),
                _ => self.host.get(self.port, "/"),
            };
            eventually(&format!("{place} says {wanted}"), SOON, || {
                said().as_deref() == Some(wanted)
            });
        }
    }

    /// The image that serves there, by the digest of its config, which is its ID on engines that keep
    /// images themselves.
    fn far_image(&self, release: u32) -> String {
        let name = format!("elsewhere-{}-far-web-{release}-1", self.name);
        self.host
            .docker(&["inspect", "--format", "{{.Image}}", &name])
    }

    /// The digest of the config of what the last run built.
    fn built(&self) -> String {
        let run = self.project.run_json();
        let image = &run["state"]["steps"][0]["image"];
        image["config_digest"].as_str().unwrap().to_owned()
    }

    /// All of it once: there and back again.
    fn round(&self) {
        let plain = |arguments: &[&str]| {
            let all = [&["--progress", "plain"], arguments].concat();
            self.project.hoist(&all)
        };
        plain(&["run"]).expect(0).says("sending ").says("MiB");
        self.answers("one", "one");
        assert_eq!(self.far_image(1), self.built(), "the very image");
        let again = plain(&["run"]).expect(0);
        assert!(!again.stderr.contains("sending "), "{}", again.stderr);

        self.project.change("version", "one", "two");
        plain(&["run", "near"]).expect(0);
        self.answers("two", "one");
        let built = self.built();
        plain(&["promote", "far", "--from", "near"])
            .expect(0)
            .says("sending ")
            .says("its image changed");
        self.answers("two", "two");
        assert_eq!(self.far_image(2), built);
        let name = format!("elsewhere-{}-far-web-2-1", self.name);
        let variables = self
            .host
            .docker(&["inspect", "--format", "{{.Config.Env}}", &name]);
        assert!(variables.contains("PLACE=far"), "{variables}");
        let releases = self.project.hoist(&["releases", "far"]).expect(0);
        assert!(
            releases.stdout.contains("promote from near"),
            "{}",
            releases.stdout
        );
        plain(&["promote", "far", "--from", "near"])
            .expect(0)
            .says("did not change");

        plain(&["rollback", "far"]).expect(0);
        self.answers("two", "one");
        let back = plain(&["promote", "near", "--from", "far"]).expect(0);
        self.answers("one", "one");
        assert!(!back.stderr.contains("sending "), "{}", back.stderr);
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        for environment in ["near", "far"] {
            self.project.hoist(&["down", environment, "--volumes"]);
        }
        let kept = format!("reference=hoist.local/elsewhere-{}", self.name);
        let kept = docker(&["images", "--quiet", "--filter", &kept]);
        for image in kept.lines() {
            docker(&["rmi", "--force", image]);
        }
    }
}

const SOON: Duration = Duration::from_secs(20);

/// Another host with the proxy on board, or the word that the test is skipped.
fn host(test: &str) -> Option<OtherHost> {
    if !engine(test) {
        return None;
    }
    let Some(proxy) = variable("HOIST_TOOLS_HAPROXY") else {
        let _ = skip(
            test,
            "HOIST_TOOLS_HAPROXY names no proxy that is on this machine",
        );
        return None;
    };
    OtherHost::start(test, Kind::Debian, &[&proxy])
}

#[test]
fn a_release_gets_to_another_host_over_tls_and_back() {
    let Some(host) = host("elsewhere::a_release_gets_to_another_host_over_tls_and_back") else {
        return;
    };
    let address = host.engine();
    Shop::new("tls", host, &address).round();
}

/// What ssh does, without a way between: it runs the command that comes after the host's name.
const SSH: &str = "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift 2\nexec \"$@\"\n";

#[test]
fn a_release_gets_to_another_host_over_what_ssh_starts_and_back() {
    let test = "elsewhere::a_release_gets_to_another_host_over_what_ssh_starts_and_back";
    let Some(host) = host(test) else {
        return;
    };
    let socket = host.socket();
    let address = socket.replace("unix://", "ssh://another.host");
    let mut shop = Shop::new("ssh", host, &address);
    let path = variable("PATH").unwrap_or_default();
    let folder = shop.project.path().join("bin");
    let project = std::mem::replace(&mut shop.project, Project::empty());
    shop.project = project
        .file("bin/ssh", SSH)
        .variable("PATH", &format!("{}:{path}", folder.display()));
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.join("ssh"), mode).unwrap();
    shop.round();
}

#[test]
fn what_cannot_be_promoted_is_refused_before_anything_is_touched() {
    let test = "elsewhere::what_cannot_be_promoted_is_refused_before_anything_is_touched";
    let Some(host) = host(test) else {
        return;
    };
    let address = host.engine();
    let shop = Shop::new("refused", host, &address);
    let promote = |to: &str, from: &str| shop.project.hoist(&["promote", to, "--from", from]);
    promote("far", "nowhere")
        .expect(2)
        .says("there is no environment `nowhere`");
    promote("nowhere", "near")
        .expect(2)
        .says("no step deploys to `nowhere`");
    promote("near", "near")
        .expect(2)
        .says("near cannot be promoted to itself");
    promote("far", "near")
        .expect(2)
        .says("nothing is deployed in near");
    assert_eq!(shop.host.docker(&["ps", "--all", "--quiet"]), "");

    let image = "image = \"localhost:5000/app:1\"";
    shop.project
        .change("pipeline.toml", "image = \"${steps.image.image}\"", image);
    shop.project
        .hoist(&["run", "far"])
        .expect(2)
        .says("localhost:5000/app:1 means another one");
    assert_eq!(shop.host.docker(&["ps", "--all", "--quiet"]), "");
}
