use hoist_engine::backend::ContextFolder;
use hoist_model::unit::Ulimit;

use super::*;

/// What engines of these versions can do, with their images in containerd or not.
fn engine(minor: u32, containerd_images: bool) -> Abilities {
    let api = Api {
        version: (1, minor),
        engine: String::new(),
        platform: "linux/amd64".to_owned(),
        podman: false,
        classic: false,
    };
    Abilities::of(&api, containerd_images)
}

fn solved(request: &BuildRequest, abilities: Abilities) -> SolveRequest {
    let names = Names {
        session: "session".to_owned(),
        build: "build".to_owned(),
        host_gateway: Some("172.17.0.1".to_owned()),
    };
    solve(request, names, abilities)
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    owned.collect()
}

fn cache(kind: &str, attributes: &[(&str, &str)]) -> CacheSpec {
    CacheSpec {
        kind: kind.to_owned(),
        attributes: map(attributes),
    }
}

#[test]
fn all_that_is_asked_for_is_passed_on() {
    let request = BuildRequest {
        contexts: [("docs".to_owned(), ContextFolder::default())].into(),
        target: Some("test".to_owned()),
        args: map(&[("A", "a b"), ("EMPTY", "")]),
        tags: vec!["one:1".to_owned(), "two:2".to_owned()],
        labels: map(&[("of", "file")]),
        cache_from: vec![cache("registry", &[("ref", "r.example.com/c")])],
        cache_to: vec![cache(
            "registry",
            &[("ref", "r.example.com/c"), ("mode", "max")],
        )],
        pull: true,
        no_cache_filter: vec!["one".to_owned(), "two".to_owned()],
        network: Some(Network::None),
        platform: Some("linux/arm64".to_owned()),
        shm_size: Some(1 << 20),
        extra_hosts: map(&[("a", "10.0.0.1"), ("b", "[::1]"), ("c", "host-gateway")]),
        ulimits: [("nofile".to_owned(), Ulimit { soft: 1, hard: -1 })].into(),
        source_date_epoch: Some(7),
        ..BuildRequest::default()
    };
    let solve = solved(&request, engine(48, true));
    assert_eq!(
        (solve.r#ref.as_str(), solve.session.as_str()),
        ("build", "session")
    );
    let frontend: BTreeMap<_, _> = solve.frontend_attrs.into_iter().collect();
    assert_eq!(
        frontend,
        map(&[
            ("add-hosts", "a=10.0.0.1,b=::1,c=172.17.0.1"),
            ("build-arg:A", "a b"),
            ("build-arg:EMPTY", ""),
            ("build-arg:SOURCE_DATE_EPOCH", "7"),
            (
                "cache-imports",
                r#"[{"Attrs":{"ref":"r.example.com/c"},"Type":"registry"}]"#
            ),
            ("context:docs", "local:context-docs"),
            ("force-network-mode", "none"),
            ("image-resolve-mode", "pull"),
            ("label:of", "file"),
            ("no-cache", "one,two"),
            ("platform", "linux/arm64"),
            ("shm-size", "1048576"),
            ("target", "test"),
            ("ulimit", "nofile=1:-1"),
        ])
    );
    let exporter: BTreeMap<_, _> = solve.exporter_attrs_deprecated.into_iter().collect();
    assert_eq!(
        exporter,
        map(&[
            ("name", "one:1,two:2"),
            ("rewrite-timestamp", "true"),
            ("unpack", "false")
        ])
    );
    let exports = solve.cache.unwrap().exports;
    assert_eq!(exports.len(), 1);
    assert_eq!(exports[0].attrs["mode"], "max");
}

#[test]
fn what_is_not_asked_for_is_left_to_the_engine() {
    let solve = solved(&BuildRequest::default(), engine(41, false));
    assert!(solve.frontend_attrs.is_empty() && solve.exporter_attrs_deprecated.is_empty());
    let cache = solve.cache.unwrap();
    assert!(cache.exports.is_empty() && cache.imports.is_empty());
    let request = BuildRequest {
        no_cache: true,
        no_cache_filter: vec!["x".to_owned()],
        network: Some(Network::Bridge),
        args: map(&[("SOURCE_DATE_EPOCH", "5")]),
        source_date_epoch: Some(7),
        ..BuildRequest::default()
    };
    let solve = solved(&request, engine(41, false));
    let frontend: BTreeMap<_, _> = solve.frontend_attrs.into_iter().collect();
    let expected = [("build-arg:SOURCE_DATE_EPOCH", "5"), ("no-cache", "")];
    assert_eq!(frontend, map(&expected));
    assert!(solve.exporter_attrs_deprecated.is_empty());
}

#[test]
fn the_old_argument_for_a_cache_in_the_image_holds() {
    for (value, expected) in [("1", 1), ("true", 1), ("0", 0), ("", 0)] {
        let request = BuildRequest {
            args: map(&[("BUILDKIT_INLINE_CACHE", value)]),
            ..BuildRequest::default()
        };
        let solve = solved(&request, engine(41, false));
        assert_eq!(solve.cache.unwrap().exports.len(), expected, "{value}");
    }
}

#[test]
fn what_an_engine_would_pass_over_is_refused() {
    let contexts = BuildRequest {
        contexts: [("docs".to_owned(), ContextFolder::default())].into(),
        ..BuildRequest::default()
    };
    let to = |caches: &[CacheSpec]| BuildRequest {
        cache_to: caches.to_vec(),
        ..BuildRequest::default()
    };
    let inline = || cache("inline", &[]);
    let registry = || cache("registry", &[("ref", "r.example.com/c")]);
    for (request, engine, refused) in [
        (&contexts, engine(41, false), Some("Docker 23")),
        (&contexts, engine(42, false), None),
        (&to(&[inline()]), engine(41, false), None),
        (&to(&[registry()]), engine(48, false), Some("`inline` only")),
        (&to(&[registry()]), engine(43, true), None),
        (
            &to(&[registry(), inline()]),
            engine(43, true),
            Some("one only"),
        ),
        (&to(&[registry(), inline()]), engine(44, true), None),
        (
            &to(&[cache("local", &[])]),
            engine(48, true),
            Some("`inline` or `registry` or `gha`"),
        ),
    ] {
        match (engine.check(request, false), refused) {
            (Ok(()), None) => {}
            (Err(error), Some(words)) => {
                assert_eq!(error.kind, Kind::Unsupported);
                assert!(error.message.contains(words), "{error}");
            }
            (answer, _) => panic!("{answer:?}, not {refused:?}"),
        }
    }
    assert!(engine(41, false).check(&contexts, true).is_ok());
    let from = BuildRequest {
        cache_from: vec![inline()],
        ..BuildRequest::default()
    };
    let error = engine(48, true).check(&from, false).unwrap_err();
    assert!(error.message.contains("use `registry`"), "{error}");
}

#[test]
fn what_clones_cannot_have_in_common_is_known() {
    for (engine, creation, layers) in [
        (engine(41, false), true, true),
        (engine(43, false), false, true),
        (engine(44, true), false, true),
        (engine(48, false), false, true),
        (engine(45, true), false, false),
    ] {
        let said = engine.not_reproducible().unwrap_or_default();
        assert_eq!(said.contains("creation time"), creation, "{engine:?}");
        assert_eq!(said.contains("layers"), layers, "{engine:?}");
    }
}

#[test]
fn values_are_quoted_where_they_would_fall_apart() {
    let values = ["a=1", "b=1,2", "c=\"x\""].map(str::to_owned);
    assert_eq!(
        separated(values.into_iter()),
        "a=1,\"b=1,2\",\"c=\"\"x\"\"\""
    );
}
