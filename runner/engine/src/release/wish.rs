//! What a release is to come to: what the file says, or what the environment's history says of an
//! earlier one. Pure; it refuses to look whether that can still be had.

use std::collections::BTreeMap;

use hoist_model::image::ImageSource;
use hoist_model::reason::{FailureReason, Trouble};
use hoist_model::text::Text;
use hoist_model::unit::{ReleaseDeed, ReleaseUnit, ServiceUnit};

use super::journal::{Conclusion, Deed, GateRecord, Intent, Known, ServiceRecord};
use super::names::Place;
use super::promote;

/// What is wished.
pub(super) struct Wish {
    pub(super) unit: ReleaseUnit,
    pub(super) deed: Deed,
    /// The generations that are to come back as they were, by service.
    pub(super) restored: BTreeMap<String, u64>,
    /// What hooks did since the release that comes back, in words: nothing takes that back.
    pub(super) stays: Option<String>,
    /// What the history has of the images' gates, where they are an earlier release's.
    pub(super) recorded: Option<Recorded>,
    /// The services of a history whose images these are.
    pub(super) origin: Vec<ServiceRecord>,
}

/// What an earlier release has of its images' gates.
pub(super) struct Recorded {
    pub(super) gates: Vec<GateRecord>,
    /// By service: what its image is known by, the digest of its config among that. An engine may tell
    /// that only to who builds.
    pub(super) images: BTreeMap<String, Vec<String>>,
    /// It was done although gates did not pass.
    pub(super) forced: bool,
}

impl Recorded {
    fn of(release: &Intent) -> Self {
        Self {
            gates: release.gates.clone(),
            images: release.services.iter().map(known).collect(),
            forced: release.forced,
        }
    }
}

/// A service, and what its image is known by.
pub(super) fn known(record: &ServiceRecord) -> (String, Vec<String>) {
    let digest = record.config_digest.iter().cloned();
    let known = digest.chain([record.image.clone()]);
    (record.unit.name.clone(), known.collect())
}

/// Finds out what is wished. `source` is the history of the environment that is promoted.
pub(super) fn wish(
    unit: &ReleaseUnit,
    history: &Known,
    source: &Known,
    place: &Place,
) -> Result<Wish, FailureReason> {
    let configuration = |trouble| FailureReason::Configuration(trouble);
    match &unit.deed {
        ReleaseDeed::Deploy => Ok(Wish {
            unit: unit.clone(),
            deed: Deed::Deploy,
            restored: BTreeMap::new(),
            stays: None,
            recorded: None,
            origin: Vec::new(),
        }),
        ReleaseDeed::Promote { from } => {
            promote::promote(unit, from, source, place).map_err(configuration)
        }
        ReleaseDeed::Rollback { to } => {
            let release = earlier(history, *to, place).map_err(configuration)?;
            let outcome = history.outcome(release.sequence);
            Ok(Wish {
                unit: again(unit, release, &BTreeMap::new()),
                deed: Deed::Rollback {
                    to: release.sequence,
                },
                restored: outcome
                    .map(|outcome| outcome.serving.clone())
                    .unwrap_or_default(),
                stays: stays(history, release.sequence),
                recorded: Some(Recorded::of(release)),
                origin: release.services.clone(),
            })
        }
        ReleaseDeed::Scale { replicas } => {
            let unknown = |release: &Intent| {
                let has = |name: &str| release.services.iter().any(|one| one.unit.name == name);
                replicas.keys().find(|name| !has(name)).cloned()
            };
            if let Some(name) = current(history).and_then(unknown) {
                let what = format!("{} has no service {name}", place.environment);
                return Err(configuration(
                    Trouble::new(what).hint("`hoist ps` shows what it has"),
                ));
            }
            let wish = as_it_is(unit, history, place, Deed::Scale, replicas);
            let wish = wish.map_err(configuration)?;
            let mut services = wish.unit.services.iter();
            match services.find(|one| one.host_network && one.replicas > 1) {
                Some(one) => Err(configuration(alone(one))),
                None => Ok(wish),
            }
        }
        ReleaseDeed::UpgradeProxies => {
            let (deed, replicas) = (Deed::UpgradeProxies, BTreeMap::new());
            as_it_is(unit, history, place, deed, &replicas).map_err(configuration)
        }
    }
}

/// What serves, with other numbers of containers where they are said.
fn as_it_is(
    unit: &ReleaseUnit,
    history: &Known,
    place: &Place,
    deed: Deed,
    replicas: &BTreeMap<String, u32>,
) -> Result<Wish, Trouble> {
    let last = history.last_passed();
    let (release, outcome) = last.ok_or_else(|| nothing(&place.environment))?;
    Ok(Wish {
        unit: again(unit, release, replicas),
        deed,
        restored: outcome.serving.clone(),
        stays: None,
        recorded: Some(Recorded::of(release)),
        origin: release.services.clone(),
    })
}

fn alone(service: &ServiceUnit) -> Trouble {
    let (name, replicas) = (&service.name, service.replicas);
    Trouble::new(format!("{name} cannot have {replicas} containers"))
        .cause("it has the host's network, and two would want the same ports")
}

/// The release that serves.
fn current(history: &Known) -> Option<&Intent> {
    history.last_passed().map(|(intent, _)| intent)
}

/// The release of that number, else the one before the one that serves.
fn earlier<'h>(history: &'h Known, to: Option<u64>, place: &Place) -> Result<&'h Intent, Trouble> {
    let environment = &place.environment;
    let passed = |sequence: u64| {
        let outcome = history.outcome(sequence);
        outcome.is_some_and(|outcome| outcome.result == Conclusion::Passed)
    };
    let hint = format!("`hoist releases {environment}` shows what there was");
    if let Some(to) = to {
        let what = format!("{environment} has no release {to} to go back to");
        let found = history.release(to);
        let found = found.ok_or_else(|| Trouble::new(what.clone()).hint(hint.clone()))?;
        return match passed(to) {
            true => Ok(found),
            false => Err(Trouble::new(what)
                .cause("it never came to serve")
                .hint(hint)),
        };
    }
    let serving = history.serving();
    let differs = |intent: &&Intent| {
        let outcome = history.outcome(intent.sequence);
        passed(intent.sequence) && outcome.is_some_and(|outcome| outcome.serving != serving)
    };
    let last = current(history).map_or(0, |intent| intent.sequence);
    let mut before = history
        .intents()
        .rev()
        .filter(|intent| intent.sequence <= last);
    before.find(differs).ok_or_else(|| {
        Trouble::new(format!(
            "{environment} has no earlier release to go back to"
        ))
        .hint(hint)
    })
}

/// What hooks did in releases after that one.
fn stays(history: &Known, release: u64) -> Option<String> {
    let later = history.intents().filter(|intent| intent.sequence > release);
    let ran = later.filter_map(|intent| {
        let hooks = &history.outcome(intent.sequence)?.hooks_run;
        let names = hooks.join(", ");
        (!hooks.is_empty()).then(|| format!("{names} in release {}", intent.sequence))
    });
    let ran: Vec<String> = ran.collect();
    let all = ran.join("; ");
    (!ran.is_empty())
        .then(|| format!("since release {release} there ran: {all}. What that did stays"))
}

pub(super) fn nothing(environment: &str) -> Trouble {
    Trouble::new(format!("nothing is deployed in {environment}")).hint("`hoist run` deploys it")
}

/// The unit of a recorded release, with other numbers of containers where they are said.
fn again(unit: &ReleaseUnit, release: &Intent, replicas: &BTreeMap<String, u32>) -> ReleaseUnit {
    let service = |record: &ServiceRecord| {
        let environment = record.environment.iter();
        let environment =
            environment.map(|(name, value)| (name.clone(), Text::literal(value.clone())));
        let wanted = replicas.get(&record.unit.name).copied();
        ServiceUnit {
            image: ImageSource::Name(Text::literal(record.image.clone())),
            environment: environment.collect(),
            replicas: wanted.unwrap_or(record.unit.replicas),
            ..record.unit.clone()
        }
    };
    ReleaseUnit {
        services: release.services.iter().map(service).collect(),
        pre_deploy: Vec::new(),
        post_deploy: Vec::new(),
        ..unit.clone()
    }
}
