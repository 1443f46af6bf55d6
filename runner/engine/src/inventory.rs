//! All that a project has on an engine, of every environment and of runs, with what it takes. It
//! lists what carries hoist's labels, and judges nothing of it: what may go is `gc`'s to say.

use std::collections::BTreeMap;

use hoist_model::reason::Trouble;
use hoist_model::seen::{Object, ObjectKind};

use crate::backend::{Backend, BackendError, BackendErrorKind, LabelFilter, Labels};
use crate::labels;
use crate::release;

/// All objects of a project, and the proxies of the host that it has a part of, by kind, environment and name.
///
/// # Errors
/// When the engine does not say what there is. What it does not measure has no size.
pub async fn of_project(backend: &dyn Backend, project: &str) -> Result<Vec<Object>, Trouble> {
    let filter: LabelFilter<'_> = &[(labels::PROJECT, Some(project))];
    let listed = tokio::try_join!(
        backend.list_containers(filter),
        backend.list_images(filter),
        backend.list_networks(filter),
        backend.list_volumes(filter),
        measured(backend.container_sizes(filter)),
        measured(backend.volume_sizes()),
        release::shared_by(backend, project),
    );
    let (containers, images, networks, volumes, written, volume_sizes, shared) =
        listed.map_err(|error| error.trouble("the engine's objects cannot be listed"))?;
    let mut objects = Vec::new();
    for container in containers {
        objects.push(Object {
            state: Some(container.status),
            bytes: written.get(&container.id).copied(),
            ..object(ObjectKind::Container, container.name, &container.labels)
        });
    }
    for image in images {
        let name = image.tags.into_iter().next().unwrap_or(image.id);
        objects.push(Object {
            bytes: Some(image.bytes),
            // An image stays when its run is over.
            run: None,
            ..object(ObjectKind::Image, name, &image.labels)
        });
    }
    for network in networks {
        objects.push(object(ObjectKind::Network, network.name, &network.labels));
    }
    for volume in volumes {
        objects.push(Object {
            bytes: volume_sizes.get(&volume.name).copied(),
            ..object(ObjectKind::Volume, volume.name, &volume.labels)
        });
    }
    for container in shared {
        objects.push(Object {
            state: Some(container.status),
            ..object(ObjectKind::Container, container.name, &container.labels)
        });
    }
    objects.sort();
    Ok(objects)
}

/// Sizes; none where the engine cannot say them.
async fn measured(
    sizes: impl Future<Output = Result<BTreeMap<String, u64>, BackendError>>,
) -> Result<BTreeMap<String, u64>, BackendError> {
    match sizes.await {
        Err(error) if error.kind == BackendErrorKind::Unsupported => Ok(BTreeMap::new()),
        sizes => sizes,
    }
}

fn object(kind: ObjectKind, name: String, labels: &Labels) -> Object {
    let label = |key: &str| labels.get(key).map(String::as_str);
    let role = label(labels::ROLE);
    let named = label(labels::SERVICE).or(label(labels::NAME));
    let purpose = match (role, named) {
        (Some(role), None) if label(labels::SHARED).is_some() => format!("{role}, shared"),
        (Some(role), Some(named)) => format!("{role} {named}"),
        (Some(role), None) => role.to_owned(),
        (None, _) => {
            let of_run = [
                ("cache", label(labels::CACHE)),
                ("data of", label(labels::KEPT)),
                ("step", label(labels::STEP)),
            ];
            let of_run = of_run.into_iter();
            let mut of_run = of_run.filter_map(|(what, name)| Some(format!("{what} {}", name?)));
            of_run.next().unwrap_or_default()
        }
    };
    Object {
        kind,
        environment: label(labels::ENVIRONMENT).map(str::to_owned),
        name,
        purpose,
        state: None,
        bytes: None,
        run: label(labels::RUN).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::NetworkSpec;
    use crate::fake::FakeBackend;
    use crate::fake::tests::spec;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[tokio::test]
    async fn all_of_a_project_is_listed_and_nothing_else() {
        let engine = FakeBackend::new();
        let image = engine.add_image("base");
        let live = [(labels::PROJECT, "shop"), (labels::ENVIRONMENT, "live")];
        let with = |more: &[(&str, &str)]| labels(&[&live[..], more].concat());
        engine.label_image(
            &image.id,
            labels(&[(labels::PROJECT, "shop"), (labels::STEP, "image")]),
        );
        for (name, labels) in [
            (
                "web",
                with(&[(labels::ROLE, "service"), (labels::SERVICE, "web")]),
            ),
            ("edge", with(&[(labels::ROLE, "proxy")])),
            (
                "left",
                labels(&[
                    (labels::PROJECT, "shop"),
                    (labels::RUN, "r1"),
                    (labels::STEP, "unit"),
                ]),
            ),
            ("foreign", labels(&[(labels::PROJECT, "blog")])),
        ] {
            let spec = crate::backend::ContainerSpec {
                labels,
                ..spec(name)
            };
            engine.create_container(&spec).await.unwrap();
        }
        let network = NetworkSpec {
            name: "default".into(),
            labels: with(&[(labels::ROLE, "network"), (labels::NAME, "default")]),
            ..NetworkSpec::default()
        };
        engine.create_network(&network).await.unwrap();
        let cache = labels(&[(labels::PROJECT, "shop"), (labels::CACHE, "npm")]);
        engine.create_volume("cached", &cache).await.unwrap();
        let all = of_project(&engine, "shop").await.unwrap();
        let shown: Vec<_> = all
            .iter()
            .map(|it| format!("{:?} {} {}", it.kind, it.name, it.purpose))
            .collect();
        assert_eq!(
            shown,
            [
                "Container left step unit",
                "Container edge proxy",
                "Container web service web",
                "Image base step image",
                "Network default network default",
                "Volume cached cache npm",
            ]
        );
        assert_eq!(all[0].run.as_deref(), Some("r1"));
        assert!(all[0].bytes.is_some() && all[5].bytes.is_some() && all[4].bytes.is_none());
    }
}
