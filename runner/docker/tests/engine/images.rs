//! Images and registries.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind, Login};
use secrecy::SecretString;

use crate::support::{
    BASE, Bed, all, answers, env, files_of, locked_registry, on_engine, progress, skipped,
};

#[tokio::test]
async fn images_have_one_identity_under_all_their_names() {
    on_engine("tags", &[BASE], async |bed| {
        let engine = &bed.engine;
        let base = engine.inspect_image(BASE).await.unwrap().unwrap();
        assert!(base.id.starts_with("sha256:") && base.size > 0);
        assert!(base.tags.iter().any(|tag| tag == BASE), "{:?}", base.tags);
        let tag = bed.tag("");
        engine.tag_image(BASE, &tag).await.unwrap();
        let tagged = engine.inspect_image(&tag).await.unwrap().unwrap();
        assert_eq!(
            (&tagged.id, &tagged.config_digest),
            (&base.id, &base.config_digest)
        );
        let by_id = engine.inspect_image(&base.id).await.unwrap().unwrap();
        assert_eq!(by_id.id, base.id);
        engine.untag_image(&tag).await.unwrap();
        engine.untag_image(&tag).await.unwrap();
        assert!(engine.inspect_image(&tag).await.unwrap().is_none());
        assert!(engine.inspect_image(BASE).await.unwrap().is_some());
        assert_eq!(
            engine.tag_image(&tag, "x:1").await.unwrap_err().kind,
            Kind::NotFound
        );
        assert!(
            engine
                .inspect_image("../containers/json?all=1")
                .await
                .is_err()
        );
    })
    .await;
}

#[tokio::test]
async fn an_archive_is_what_docker_save_writes() {
    on_engine("export", &[BASE], async |bed| {
        let tag = bed.tag("");
        bed.engine.tag_image(BASE, &tag).await.unwrap();
        let archive = all(bed.engine.export_image(&tag).await.unwrap())
            .await
            .unwrap();
        let files = files_of(&archive);
        let manifest = String::from_utf8(files["manifest.json"].clone()).unwrap();
        assert!(manifest.contains(&tag), "{manifest}");
        let missing = bed.engine.export_image("hoist-test/never-built:1").await;
        assert_eq!(missing.err().expect("there is none").kind, Kind::NotFound);
    })
    .await;
}

/// Pushes the base to a registry, takes its name away and pulls it again.
async fn there_and_back(bed: &Bed, registry: &str, logins: &[Login]) {
    let engine = &bed.engine;
    let tag = bed.tag(registry);
    engine.tag_image(BASE, &tag).await.unwrap();
    let before = engine.inspect_image(&tag).await.unwrap().unwrap();
    let (sender, said) = progress();
    let digest = engine.push_image(&tag, logins, sender).await.unwrap();
    assert!(
        digest.starts_with("sha256:") && digest.len() == 71,
        "{digest}"
    );
    assert!(said.await.unwrap().contains(&digest));

    engine.untag_image(&tag).await.unwrap();
    let (sender, said) = progress();
    engine.pull_image(&tag, logins, sender).await.unwrap();
    assert!(said.await.unwrap().contains(&digest));
    let after = engine.inspect_image(&tag).await.unwrap().unwrap();
    assert_eq!(after.config_digest, before.config_digest);

    let name = tag.rsplit_once(':').unwrap().0;
    let (sender, _said) = progress();
    let error = engine
        .pull_image(&format!("{name}:never"), logins, sender)
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::NotFound, "{error}");
}

#[tokio::test]
async fn an_archive_is_taken_in_as_the_image_that_it_is() {
    on_engine("load", &[BASE], async |bed| {
        let engine = &bed.engine;
        let base = engine.inspect_image(BASE).await.unwrap().unwrap();
        let archive = engine.export_image(&base.id).await.unwrap();
        let loaded = engine.load_image(archive).await.unwrap();
        let found = engine.inspect_image(&loaded).await.unwrap().unwrap();
        assert_eq!(found.id, base.id);
        let loaded = engine.image_content(&loaded).await.unwrap();
        let base = engine.image_content(BASE).await.unwrap();
        assert_eq!(loaded, base);
        assert!(!base["layers"].as_array().unwrap().is_empty(), "{base}");
        assert_eq!(base["platform"][0], "linux");

        let broken = BackendError::new(Kind::Broken, "the other engine went away");
        let broken = stream::iter([Err(broken)]).boxed();
        let error = engine.load_image(broken).await.unwrap_err();
        assert_eq!(error.message, "the other engine went away");
        let nonsense = stream::iter([Ok(Bytes::from_static(&[7; 4096]))]).boxed();
        assert!(engine.load_image(nonsense).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_push_and_a_pull_without_a_password() {
    let name = "push-open";
    let registry = env("HOIST_GROUND_REGISTRY").unwrap_or_else(|| "127.0.0.1:5000".to_owned());
    if !answers(&registry) {
        return skipped(name, &format!("no registry answers at {registry}"));
    }
    on_engine(name, &[BASE], async |bed| {
        there_and_back(&bed, &registry, &[]).await
    })
    .await;
}

#[tokio::test]
async fn a_push_and_a_pull_with_a_password() {
    let name = "push-locked";
    let Some(right) = locked_registry(name) else {
        return;
    };
    let registry = right.registry.clone();
    let login = |password: &str| Login {
        password: SecretString::from(password),
        ..right.clone()
    };
    on_engine(name, &[BASE], async |bed| {
        there_and_back(&bed, &registry, std::slice::from_ref(&right)).await;
        // `~~~???` is what turns into `+` and `/` in the standard alphabet of base64.
        for logins in [vec![], vec![login("wrong")], vec![login("~~~???>>>ÿÿÿ")]] {
            let tag = bed.tag(&registry);
            bed.engine.tag_image(BASE, &tag).await.unwrap();
            let (sender, _said) = progress();
            let error = bed
                .engine
                .push_image(&tag, &logins, sender)
                .await
                .unwrap_err();
            assert_eq!(error.kind, Kind::Unauthorized, "{error}");
            let (sender, _said) = progress();
            let error = bed
                .engine
                .pull_image(&tag, &logins, sender)
                .await
                .unwrap_err();
            assert_eq!(error.kind, Kind::Unauthorized, "{error}");
        }
    })
    .await;
}
