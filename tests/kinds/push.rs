//! The step kind `push`: the very image that was built, to a registry on loopback.

use crate::support::{Project, docker, engine, left_of, skip};

/// The address of a registry that the set-up started, or says that the test is skipped.
fn registry(test: &str, variable: &str) -> Option<String> {
    if !engine(test) {
        return None;
    }
    let address = crate::support::variable(variable);
    if address.is_none() {
        let _ = skip(test, &format!("{variable} is not set"));
    }
    address
}

fn pipeline(registry: &str, more: &str) -> String {
    format!(
        r#"
name = "kind-push"
[steps.image.build]
[steps.publish]
push = {{ image = "${{steps.image.image}}", tags = ["{registry}/kind/push:1", "{registry}/kind/push:2"] }}
{more}
"#
    )
}

#[test]
fn the_very_image_is_pushed_and_its_digest_recorded() {
    let test = "kinds::push::the_very_image_is_pushed_and_its_digest_recorded";
    let Some(registry) = registry(test, "HOIST_GROUND_REGISTRY") else {
        return;
    };
    let project = Project::new(&pipeline(&registry, "")).file(
        "Dockerfile",
        "FROM debian:bookworm-slim\nRUN echo pushed > /pushed\n",
    );
    project
        .hoist(&["run"])
        .expect(0)
        .says("kind/push:1 @ sha256:");
    let json = project.run_json();
    let steps = json["state"]["steps"].as_array().unwrap();
    let pushed = &steps.iter().find(|step| step["id"] == "publish").unwrap()["pushed"].clone();
    assert_eq!(pushed.as_array().unwrap().len(), 2, "{pushed}");
    let digest = pushed[0][1].as_str().unwrap();
    assert!(
        digest.starts_with("sha256:") && digest.len() == 71,
        "{digest}"
    );
    // What the registry gives back is what was built.
    let reference = format!("{registry}/kind/push@{digest}");
    docker(&["pull", "--quiet", &reference]);
    let image = steps.iter().find(|step| step["id"] == "image").unwrap()["image"]["id"].clone();
    assert_eq!(
        docker(&["image", "inspect", "--format", "{{.Id}}", &reference]),
        image.as_str().unwrap()
    );
    docker(&["image", "rm", "--force", &reference]);
    let tags = docker(&["image", "ls", "--format", "{{.Repository}}"]);
    assert!(
        !tags.contains(&format!("{registry}/kind/push")),
        "a push leaves no names behind: {tags}"
    );
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
    // A push is never cached: it asks the registry, which has it.
    project.hoist(&["run"]).expect(0);
    let json = project.run_json();
    let steps = json["state"]["steps"].as_array().unwrap();
    let publish = steps.iter().find(|step| step["id"] == "publish").unwrap();
    assert_eq!(publish["status"]["ended"], "passed", "{publish}");
    assert_eq!(&publish["pushed"], pushed);
}

#[test]
fn a_password_comes_from_the_file_or_from_docker() {
    let test = "kinds::push::a_password_comes_from_the_file_or_from_docker";
    let Some(registry) = registry(test, "HOIST_GROUND_REGISTRY_LOCKED") else {
        return;
    };
    let user = crate::support::variable("HOIST_GROUND_REGISTRY_USER").unwrap();
    let password = crate::support::variable("HOIST_GROUND_REGISTRY_PASSWORD").unwrap();
    let dockerfile = "FROM debian:bookworm-slim\n";

    let none = Project::new(&pipeline(&registry, "")).file("Dockerfile", dockerfile);
    let none = none.variable("HOME", "/nonexistent");
    none.hoist(&["run"]).expect(4).says("docker login");

    let login = format!(
        "[secrets]\nregistry_token = {{ environment = \"TOKEN\" }}\n\
         [registries.\"{registry}\"]\nusername = \"{user}\"\npassword = \"registry_token\"\n"
    );
    let file = Project::new(&pipeline(&registry, &login)).file("Dockerfile", dockerfile);
    let file = file.variable("HOME", "/nonexistent");
    let wrong = file.variable("TOKEN", "certainly-not-it");
    wrong.hoist(&["run"]).expect(4);
    let right = wrong.variable("TOKEN", &password);
    let ended = right.hoist(&["run"]).expect(0);
    assert!(!ended.stderr.contains(&password));

    let auth = crate::support::base64(format!("{user}:{password}").as_bytes());
    let config = format!("{{\"auths\":{{\"{registry}\":{{\"auth\":\"{auth}\"}}}}}}");
    let docker = Project::new(&pipeline(&registry, ""))
        .file("Dockerfile", dockerfile)
        .file("docker/config.json", config);
    let folder = docker.path().join("docker");
    let docker = docker.variable("DOCKER_CONFIG", folder.to_str().unwrap());
    docker.hoist(&["run"]).expect(0);
}

#[test]
fn several_platforms_are_pushed_as_one_index() {
    let test = "kinds::push::several_platforms_are_pushed_as_one_index";
    let Some(registry) = registry(test, "HOIST_GROUND_REGISTRY") else {
        return;
    };
    let pipeline = format!(
        r#"
name = "kind-index"
[steps.image.build]
platforms = ["linux/amd64", "linux/arm64"]
[steps.publish]
push = {{ image = "${{steps.image.image}}", tags = ["{registry}/kind/index:1"] }}
"#
    );
    let project = Project::new(&pipeline)
        .file(
            "Dockerfile",
            "FROM scratch\nARG TARGETARCH\nCOPY ${TARGETARCH} /arch\n",
        )
        .file("amd64", "amd64")
        .file("arm64", "arm64");
    let ended = project.hoist(&["run"]).expect(0);
    let ended = ended.says("kind/index:1 @ sha256:");
    let index = manifest(&registry, "kind/index", "1");
    let manifests = index["manifests"].as_array().unwrap();
    let platforms: Vec<_> = manifests
        .iter()
        .map(|one| one["platform"]["architecture"].as_str().unwrap())
        .collect();
    assert_eq!(platforms, ["amd64", "arm64"], "{}", ended.stderr);
    assert_ne!(manifests[0]["digest"], manifests[1]["digest"]);
    // Each is there under its digest, and is for what the index says.
    for one in manifests {
        let digest = one["digest"].as_str().unwrap();
        let manifest = manifest(&registry, "kind/index", digest);
        let config = manifest["config"]["digest"].as_str().unwrap();
        let config = get(&registry, &format!("/v2/kind/index/blobs/{config}"));
        assert_eq!(
            config["architecture"], one["platform"]["architecture"],
            "{config}"
        );
    }
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
}

fn manifest(registry: &str, repository: &str, name: &str) -> serde_json::Value {
    get(registry, &format!("/v2/{repository}/manifests/{name}"))
}

/// What a registry on loopback answers.
fn get(registry: &str, path: &str) -> serde_json::Value {
    use std::io::{Read as _, Write as _};
    let mut connection = std::net::TcpStream::connect(registry).unwrap();
    let accept = "application/vnd.oci.image.index.v1+json, \
        application/vnd.oci.image.manifest.v1+json, \
        application/vnd.docker.distribution.manifest.v2+json";
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {registry}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}\n{answer}"))
}
