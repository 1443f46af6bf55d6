//! Who the containers of an environment are, and which of them count: a generation that is kept for
//! a way back is stopped, and that is no fault.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use hoist_model::reason::Trouble;
use hoist_model::seen::Instance;

use super::names::{PROXY, Place, SERVICE};
use super::proxy::Shares;
use super::shared;
use crate::backend::{Backend, BackendError, ContainerInfo, Labels};
use crate::labels;

/// Why nothing can be shown or done.
#[derive(Clone, Debug)]
pub enum NotFound {
    /// There is nothing of that name.
    Unknown(Trouble),
    /// It does not run, or the engine does not say.
    Surroundings(Trouble),
}

/// A container of an environment.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) instance: Instance,
    pub(crate) role: String,
    /// As a listing has it, or an inspection.
    pub(crate) info: ContainerInfo,
}

impl Found {
    /// It is a replica of a service.
    pub(crate) fn is_service(&self) -> bool {
        self.role == SERVICE
    }

    /// It is a service or what leads to one, and not what hoist keeps for itself.
    pub(crate) fn serves(&self) -> bool {
        self.is_service() || self.role == PROXY
    }

    /// It runs, or the engine is about to start it again.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.info.status.as_str(), "running" | "restarting")
    }
}

/// All containers of an environment, those of the host that it has a part of among them, sorted by service, release and replica. Of each only what a
/// listing tells is known.
pub(crate) async fn find(backend: &dyn Backend, place: &Place) -> Result<Vec<Found>, BackendError> {
    let filter = [
        (labels::PROJECT, Some(place.project.as_str())),
        (labels::ENVIRONMENT, Some(place.environment.as_str())),
    ];
    let (listed, shared) =
        tokio::try_join!(backend.list_containers(&filter), shared::all(backend))?;
    let of_place =
        |(info, parts, _): (ContainerInfo, Shares, String)| parts.of(place).map(|_| info);
    let shared = shared.into_iter().filter_map(of_place);
    let mut found: Vec<Found> = listed
        .into_iter()
        .chain(shared)
        .map(|info| Found {
            instance: instance(place, &info.name, &info.labels),
            role: role(&info.labels),
            info,
        })
        .collect();
    found.sort_by(|a, b| order(&a.instance).cmp(&order(&b.instance)));
    Ok(found)
}

fn order(instance: &Instance) -> (&str, u64, u32, &str) {
    let Instance {
        service,
        replica,
        release,
        container,
    } = instance;
    (service, *release, *replica, container)
}

/// The same, as inspections have them. Those that went meanwhile are left out.
pub(crate) async fn inspect(
    backend: &dyn Backend,
    found: Vec<Found>,
) -> Result<Vec<Found>, BackendError> {
    let inspected = found.iter();
    let inspected = inspected.map(|found| backend.inspect_container(&found.info.id));
    let inspected = try_join_all(inspected).await?.into_iter();
    let known = found.into_iter().zip(inspected);
    Ok(known
        .filter_map(|(found, info)| {
            Some(Found {
                info: info?,
                ..found
            })
        })
        .collect())
}

/// Leaves those out that wait for a way back: stopped ones of a service that has another release in
/// their place. Where nothing of a service runs, its newest release is what should.
pub(crate) fn in_use(found: Vec<Found>) -> Vec<Found> {
    let mut newest = BTreeMap::<String, u64>::new();
    let mut up = Vec::new();
    for found in found.iter().filter(|found| found.is_service()) {
        let (service, release) = (&found.instance.service, found.instance.release);
        let known = newest.entry(service.clone()).or_default();
        *known = release.max(*known);
        if found.is_up() {
            up.push((service.clone(), release));
        }
    }
    let wanted = |instance: &Instance| {
        let mut up = up
            .iter()
            .filter(|(service, _)| *service == instance.service);
        match up.clone().next() {
            Some(_) => up.any(|(_, release)| *release == instance.release),
            None => newest.get(&instance.service) == Some(&instance.release),
        }
    };
    let mut found = found;
    found.retain(|found| !found.is_service() || wanted(&found.instance));
    found
}

/// Who a container is by its labels and its name.
pub(crate) fn instance(place: &Place, name: &str, labels: &Labels) -> Instance {
    let number = |key: &str| labels.get(key).and_then(|text| text.parse().ok());
    // A proxy leads to a service and is none.
    let service = labels.get(labels::SERVICE);
    let service = service.filter(|_| role(labels) != PROXY).cloned();
    Instance {
        service: service.unwrap_or_else(|| {
            let own = place.object("");
            name.strip_prefix(&own).unwrap_or(name).to_owned()
        }),
        replica: number(labels::REPLICA)
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(1),
        release: number(labels::SEQUENCE).unwrap_or(0),
        container: name.to_owned(),
    }
}

pub(crate) fn role(labels: &Labels) -> String {
    labels.get(labels::ROLE).cloned().unwrap_or_default()
}

/// Those of a service, or of all where none is named; an error that says what there is, if it has
/// none.
pub(crate) fn of_service(
    place: &Place,
    service: Option<&str>,
    mut found: Vec<Found>,
) -> Result<Vec<Found>, Trouble> {
    let Some(service) = service else {
        return Ok(found);
    };
    let mut all: Vec<&str> = found
        .iter()
        .filter(|found| found.is_service())
        .map(|found| found.instance.service.as_str())
        .collect();
    all.dedup();
    if all.contains(&service) {
        found.retain(|found| found.is_service() && found.instance.service == service);
        return Ok(found);
    }
    let what = format!(
        "no service `{service}` is deployed to {}",
        place.environment
    );
    Err(Trouble::new(what).hint(match all.as_slice() {
        [] => "nothing is deployed there; `hoist run` deploys".to_owned(),
        all => format!("there is {}", all.join(", ")),
    }))
}

/// The running container of a service to which a command is to go: that of the newest release, and
/// of the first replica unless one is named.
///
/// # Errors
/// When there is none, or the engine does not say.
pub async fn running(
    backend: &dyn Backend,
    project: &str,
    environment: &str,
    service: &str,
    replica: Option<u32>,
) -> Result<String, NotFound> {
    let place = Place::new(project, environment);
    let found = find(backend, &place).await.map_err(|error| {
        NotFound::Surroundings(error.trouble("what is deployed cannot be read"))
    })?;
    let found = of_service(&place, Some(service), found);
    let mut found = found.map_err(NotFound::Unknown)?;
    found.retain(Found::is_up);
    let newest = found.iter().map(|found| found.instance.release).max();
    found.retain(|found| Some(found.instance.release) == newest);
    let mut chosen = found
        .iter()
        .filter(|found| replica.is_none_or(|replica| replica == found.instance.replica));
    if let Some(chosen) = chosen.next() {
        return Ok(chosen.info.id.clone());
    }
    let Some(replica) = replica.filter(|_| !found.is_empty()) else {
        let what = format!("no container of {service} runs in {environment}");
        let trouble = Trouble::new(what);
        return Err(NotFound::Surroundings(
            trouble.hint(format!("`hoist diagnose {environment}` says why")),
        ));
    };
    let all = found.iter().map(|found| found.instance.replica.to_string());
    let all: Vec<_> = all.collect();
    let what = format!("{service} has no replica {replica} that runs in {environment}");
    let trouble = Trouble::new(what).hint(format!("there is {}", all.join(", ")));
    Err(NotFound::Unknown(trouble))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(service: &str, release: u64, replica: u32, status: &str) -> Found {
        let labels = [
            (labels::SERVICE, service.to_owned()),
            (labels::SEQUENCE, release.to_string()),
            (labels::REPLICA, replica.to_string()),
            (labels::ROLE, SERVICE.to_owned()),
        ];
        let labels: Labels = labels.map(|(key, value)| (key.to_owned(), value)).into();
        let name = format!("shop-live-{service}-{release}-{replica}");
        Found {
            instance: instance(&Place::new("shop", "live"), &name, &labels),
            role: role(&labels),
            info: ContainerInfo {
                status: status.to_owned(),
                name,
                labels,
                ..ContainerInfo::default()
            },
        }
    }

    fn kept_of(all: Vec<Found>) -> Vec<(u64, u32)> {
        let used = in_use(all).into_iter();
        used.map(|it| (it.instance.release, it.instance.replica))
            .collect()
    }

    #[test]
    fn what_waits_for_a_way_back_does_not_count() {
        let blue_green = vec![
            found("web", 1, 1, "exited"),
            found("web", 2, 1, "running"),
            found("web", 2, 2, "exited"),
        ];
        assert_eq!(kept_of(blue_green), [(2, 1), (2, 2)]);
        let rolled_back = vec![found("web", 1, 1, "running"), found("web", 2, 1, "exited")];
        assert_eq!(kept_of(rolled_back), [(1, 1)]);
        let both = vec![
            found("web", 1, 1, "running"),
            found("web", 2, 1, "restarting"),
        ];
        assert_eq!(kept_of(both), [(1, 1), (2, 1)]);
        let down = vec![found("web", 1, 1, "exited"), found("web", 2, 1, "exited")];
        assert_eq!(kept_of(down), [(2, 1)]);
    }

    #[tokio::test]
    async fn a_command_goes_to_the_newest_release_that_runs() {
        use crate::fake::{FakeBackend, Program};
        use crate::release::bare::bare;
        let engine = FakeBackend::new();
        engine.add_image("base");
        engine.program(|_| true, Program::forever());
        let mut ids = Vec::new();
        for (release, replica, starts) in [(1, 1, true), (2, 1, true), (2, 2, true), (3, 1, false)]
        {
            let mut all = Place::new("shop", "live").labels(SERVICE);
            all.extend(found("web", release, replica, "").info.labels);
            let name = format!("web-{release}-{replica}");
            let id = engine.create_container(&bare(&name, "base", all)).await;
            let id = id.expect("created");
            if starts {
                engine.start_container(&id).await.expect("started");
            }
            ids.push(id);
        }
        let chosen =
            async |service, replica| running(&engine, "shop", "live", service, replica).await;
        assert_eq!(chosen("web", None).await.ok().as_ref(), ids.get(1));
        assert_eq!(chosen("web", Some(2)).await.ok().as_ref(), ids.get(2));
        for (service, replica) in [("web", Some(3)), ("nobody", None)] {
            let error = chosen(service, replica).await.expect_err("none");
            assert!(matches!(error, NotFound::Unknown(_)), "{error:?}");
        }
        for id in &ids {
            engine
                .stop_container(id, std::time::Duration::ZERO)
                .await
                .expect("stopped");
        }
        let error = chosen("web", None).await.expect_err("none runs");
        assert!(matches!(error, NotFound::Surroundings(_)), "{error:?}");
    }

    #[test]
    fn a_container_without_a_service_goes_by_its_own_name() {
        let place = Place::new("shop", "live");
        let proxy = instance(&place, "shop-live-proxy-8080", &Labels::new());
        assert_eq!((proxy.service.as_str(), proxy.replica), ("proxy-8080", 1));
        let of_web = [(labels::ROLE, PROXY), (labels::SERVICE, "web")];
        let of_web = of_web.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let same = instance(&place, "shop-live-proxy-8080", &of_web.into());
        assert_eq!(same.service, "proxy-8080", "whatever it leads to");
        let odd = Labels::from([(labels::REPLICA.to_owned(), "many".to_owned())]);
        assert_eq!(instance(&place, "x", &odd).replica, 1);
    }

    #[test]
    fn a_service_that_is_not_there_is_said_with_those_that_are() {
        let place = Place::new("shop", "live");
        let all = || vec![found("db", 1, 1, "running"), found("web", 1, 1, "running")];
        assert_eq!(
            of_service(&place, Some("web"), all()).map(|it| it.len()),
            Ok(1)
        );
        let trouble = of_service(&place, Some("wbe"), all()).unwrap_err();
        assert_eq!(trouble.what, "no service `wbe` is deployed to live");
        assert_eq!(trouble.hint.as_deref(), Some("there is db, web"));
    }
}
