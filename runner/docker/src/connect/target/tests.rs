//! Addresses from settings and configurations.

use super::*;

fn configuration() -> (tempfile::TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        docker_config: Some(folder.path().display().to_string()),
        ..Settings::default()
    };
    (folder, settings)
}

fn write(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

const META: &str = r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://far:2376","SkipTLSVerify":false}}}"#;

#[test]
fn the_nearest_word_counts() {
    let (folder, mut settings) = configuration();
    write(
        folder.path(),
        "config.json",
        r#"{"currentContext":"far","auths":{}}"#,
    );
    write(folder.path(), "contexts/meta/0a1b/meta.json", META);
    let target = settings.resolve(None).unwrap();
    assert_eq!(
        (target.address.as_str(), target.tls),
        ("tcp://far:2376", None)
    );
    assert!(target.origin.contains("far"), "{}", target.origin);
    settings.docker_context = Some("default".to_owned());
    assert!(
        settings
            .resolve(None)
            .unwrap()
            .address
            .starts_with("unix://")
    );
    settings.docker_host = Some("tcp://near:2375".to_owned());
    assert_eq!(settings.resolve(None).unwrap().address, "tcp://near:2375");
    assert_eq!(
        settings.resolve(Some("unix:///x")).unwrap().address,
        "unix:///x"
    );
    assert_eq!(
        settings.resolve(Some("context:far")).unwrap().address,
        "tcp://far:2376"
    );
    assert_eq!(
        settings.resolve(Some("context:default")).unwrap().address,
        "tcp://near:2375"
    );
}

#[test]
fn certificates_come_with_a_context_or_from_the_environment() {
    let (folder, mut settings) = configuration();
    write(folder.path(), "contexts/meta/0a1b/meta.json", META);
    write(folder.path(), "contexts/tls/0a1b/docker/ca.pem", "");
    let tls = settings.resolve(Some("context:far")).unwrap().tls.unwrap();
    assert_eq!(
        tls.ca,
        folder.path().join("contexts/tls/0a1b/docker/ca.pem")
    );
    settings.docker_tls_verify = Some("1".to_owned());
    assert_eq!(settings.resolve(Some("unix:///x")).unwrap().tls, None);
    let tls = settings.resolve(Some("tcp://x:1")).unwrap().tls.unwrap();
    assert_eq!(tls.key, folder.path().join("key.pem"));
    settings.docker_cert_path = Some("/certificates".to_owned());
    let tls = settings.resolve(Some("tcp://x:1")).unwrap().tls.unwrap();
    assert_eq!(tls.cert, Path::new("/certificates/cert.pem"));
}

#[test]
fn a_context_that_cannot_be_used_is_refused() {
    let (folder, settings) = configuration();
    let kind = |name: &str| settings.resolve(Some(name)).unwrap_err().kind;
    assert_eq!(kind("context:far"), Kind::Unreachable);
    write(
        folder.path(),
        "contexts/meta/1/meta.json",
        &META.replace("false", "true"),
    );
    assert_eq!(kind("context:far"), Kind::Unsupported);
    write(
        folder.path(),
        "contexts/meta/1/meta.json",
        r#"{"Name":"far","Endpoints":{}}"#,
    );
    assert_eq!(kind("context:far"), Kind::Unsupported);
    write(folder.path(), "contexts/meta/1/meta.json", "not JSON");
    let error = settings.resolve(Some("context:far")).unwrap_err();
    assert!(error.message.contains("meta.json"), "{error}");
    write(folder.path(), "config.json", "{");
    assert!(
        settings
            .resolve(None)
            .unwrap_err()
            .message
            .contains("config.json")
    );
}

#[test]
fn users_own_sockets_come_after_the_default_one() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        xdg_runtime_dir: Some(folder.path().display().to_string()),
        ..Settings::default()
    };
    let expected = |path: PathBuf| {
        let first = [PathBuf::from(DEFAULT_SOCKET), path]
            .into_iter()
            .find(|path| path.exists());
        format!(
            "unix://{}",
            first.unwrap_or(DEFAULT_SOCKET.into()).display()
        )
    };
    write(folder.path(), "podman/podman.sock", "");
    let podman = expected(folder.path().join("podman/podman.sock"));
    assert_eq!(settings.resolve(None).unwrap().address, podman);
    write(folder.path(), "docker.sock", "");
    let rootless = expected(folder.path().join("docker.sock"));
    assert_eq!(settings.resolve(None).unwrap().address, rootless);
}

#[test]
fn empty_variables_are_not_set() {
    let settings =
        Settings::read(|name| Some(if name == "HOME" { "/home" } else { "" }.to_owned()));
    assert_eq!(settings.docker_host, None);
    assert_eq!(
        settings.config_file(),
        Some(PathBuf::from("/home/.docker/config.json"))
    );
}
