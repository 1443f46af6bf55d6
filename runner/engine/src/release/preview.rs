//! What a deploy would change, found out without one: it reads the engine and changes nothing there.
//! It plans as the release itself does, so the digest that it gives is the one that would be asked
//! for. Where that depends on what only a run makes, it says so and gives none.

mod differences;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hoist_model::changes::{
    ChangesDigest, DeployChanges, HookRun, ImageChange, KnownImage, NamesChange, ServiceAction,
    ServiceChanges,
};
use hoist_model::ids::{RunId, StepId, StepIx};
use hoist_model::plan::Plan;
use hoist_model::reason::{FailureReason, Trouble};
use hoist_model::unit::{HookUnit, ReleaseUnit, Unit};
use tokio::sync::watch;
use uuid::Uuid;

use super::gate::Gate;
use super::journal::{Known, ServiceRecord};
use super::names::Place;
use super::plan::{self, Action, Change, Goal, Program, Wanted};
use super::prepare::{self, All, Prepared};
use super::state::{Deployed, Generation};
use super::target::Target;
use super::{
    approve, host_network_refused, lock, mend, next, preflight, read, record, secrets,
    surroundings, words,
};
use crate::approval::Nobody;
use crate::backend::{Backend, Connector, Labels};
use crate::context::{Made, Stop, UnitContext};
use crate::output::OutputWriter;
use crate::reaper::UndoList;
use crate::recorder::queue;
use crate::secrets::Secrets;
use crate::unit::build;

/// What is asked.
pub struct Preview<'a> {
    /// A plan with the deploy and the builds of what it deploys.
    pub plan: Arc<Plan>,
    /// The place of the deploy in it.
    pub step: StepIx,
    /// The project's root.
    pub root: &'a Path,
    /// The user's own cache, which knows of earlier builds.
    pub shared: Option<PathBuf>,
    /// The values of the plan's secrets: that one changed is found out by it.
    pub secrets: Arc<Secrets>,
    /// The way to engines.
    pub connector: Arc<dyn Connector>,
    /// The deploy may have services on the host's network.
    pub allow_host_network: bool,
}

/// Finds out what a deploy would change.
///
/// # Errors
/// What would keep the deploy from finding it out as well: an engine that does not answer, a history
/// that cannot be read.
pub async fn preview(asked: Preview<'_>) -> Result<DeployChanges, FailureReason> {
    if let Some(Unit::Release(unit)) = asked.plan.steps.get(asked.step).map(|step| &step.unit)
        && let Some(trouble) = host_network_refused(unit).filter(|_| !asked.allow_host_network)
    {
        return Err(FailureReason::Configuration(trouble));
    }
    let connected = asked.connector.connect(None).await;
    let backend =
        connected.map_err(|error| surroundings("no engine could be connected to", &error))?;
    let (_stop, stopped) = watch::channel(Stop::No);
    let context = context(&asked, backend, stopped)?;
    let Some(Unit::Release(unit)) = context.step().map(|step| &step.unit) else {
        let trouble = Trouble::new("the step is no deploy");
        return Err(FailureReason::Configuration(trouble));
    };
    for (ix, step) in asked.plan.steps.iter().enumerate() {
        if let Unit::Build(unit) = &step.unit {
            let of_build = UnitContext {
                ix,
                ..context.clone()
            };
            if let Some(image) = build::known(&of_build, unit).await {
                context.made.image(&step.id, image);
            }
        }
    }
    let place = Place::new(&asked.plan.name, &unit.environment.name);
    let target = Target::connect(&context, unit.environment.engine.as_deref()).await?;
    let backend = target.backend.as_ref();
    let history = record::read(&target, &place).await?;
    let deployed = read::read(backend, &place, &history).await;
    let deployed =
        deployed.map_err(|error| surroundings("what is deployed cannot be read", &error))?;
    let known = prepare::known(&context, &target, unit).await;
    let (all, unknown) = known.map_err(|missing| {
        let missing = preflight::failure(&place, missing);
        missing.unwrap_or_else(super::stopped)
    })?;
    let goal = prepare::goal(&target, &deployed, &all, next(&history, &deployed)).await?;
    let looked = Looked {
        place: &place,
        unit,
        history: &history,
        deployed: &deployed,
        program: plan::plan(&deployed, &goal),
        goal,
        all: &all,
        unknown: &unknown,
    };
    looked.changes(backend).await
}

/// What a unit is given, of a run that there is not.
fn context(
    asked: &Preview<'_>,
    backend: Arc<dyn Backend>,
    stop: watch::Receiver<Stop>,
) -> Result<UnitContext, FailureReason> {
    let nowhere = File::options().write(true).open("/dev/null");
    let nowhere = nowhere.map_err(|error| {
        let trouble = Trouble::new("cannot open /dev/null").cause(error.to_string());
        FailureReason::Surroundings(trouble)
    })?;
    // Nobody is told anything: what there is to say is in the answer.
    let (events, lane, _) = queue();
    let step = asked.plan.steps.get(asked.step);
    let id = step.map_or_else(|| StepId::from(""), |step| step.id.clone());
    Ok(UnitContext {
        backend,
        connector: Arc::clone(&asked.connector),
        approver: Arc::new(Nobody),
        plan: Arc::clone(&asked.plan),
        ix: asked.step,
        attempt: 1,
        run: RunId(Uuid::now_v7()),
        root: asked.root.to_owned(),
        shared: asked.shared.clone(),
        artifacts: PathBuf::new(),
        run_folder: PathBuf::new(),
        output: OutputWriter::new(id, nowhere, &asked.secrets.redactor(), lane),
        undo: UndoList::over(None, events.clone()),
        events,
        made: Arc::new(Made::default()),
        secrets: Arc::clone(&asked.secrets),
        logins: Arc::new(asked.secrets.logins(&asked.plan)),
        lock_wait: super::LOCK_WAIT,
        force_unverified: false,
        allow_host_network: asked.allow_host_network,
        labels: Labels::new(),
        shells: None,
        stop,
        ahead: None,
    })
}

/// All that was found out.
struct Looked<'a> {
    place: &'a Place,
    unit: &'a ReleaseUnit,
    history: &'a Known,
    deployed: &'a Deployed,
    goal: Goal,
    program: Program,
    all: &'a All<'a>,
    /// Why images are not known, by service and hook.
    unknown: &'a BTreeMap<String, String>,
}

impl Looked<'_> {
    async fn changes(&self, backend: &dyn Backend) -> Result<DeployChanges, FailureReason> {
        let locked = lock::is_held(backend, self.place).await;
        let locked =
            locked.map_err(|error| surroundings("the lock cannot be looked at", &error))?;
        let findings = preflight::look(backend, self.place, self.deployed, self.unit).await;
        let findings =
            findings.map_err(|error| surroundings("the engine cannot be looked at", &error))?;
        let problems = findings.problems.into_iter().filter_map(trouble);
        let certificates = self.all.warnings.iter();
        let certificates = certificates.map(|one| (one.what.clone(), one.hint.clone()));
        let notes = findings.warnings.into_iter().chain(certificates);
        let notes = notes.map(|(message, hint)| match hint {
            Some(hint) => format!("{message}; {hint}"),
            None => message,
        });
        let mut services = Vec::new();
        for want in &self.goal.services {
            if let Some(mut service) = self.service(want) {
                service.secrets_changed |= self.has_other_secrets(backend, &service).await?;
                services.push(service);
            }
        }
        services.extend(self.removed());
        Ok(DeployChanges {
            environment: self.place.environment.clone(),
            engine: self.unit.environment.engine.clone(),
            release: self.goal.sequence,
            services,
            hooks: self.hooks(),
            networks: self.named(|action| match action {
                Action::CreateNetwork(name) => Some((true, name.clone())),
                Action::RemoveNetwork(name) => Some((false, name.clone())),
                _ => None,
            }),
            volumes: self.named(|action| match action {
                Action::CreateVolume(name) => Some((true, name.clone())),
                _ => None,
            }),
            proxies: self.proxies(self.named(|action| match action {
                Action::OpenGate { gate, .. } => {
                    let is_new = self.deployed.gate(gate).is_none();
                    is_new.then(|| (true, shown(gate)))
                }
                Action::CloseGate(gate) => Some((false, shown(gate))),
                _ => None,
            })),
            approval: self.unit.environment.approval,
            digest: self.digest(locked),
            problems: problems.collect(),
            notes: notes.collect(),
        })
    }

    /// The secrets that a service has and keeps are of other values. Where it is replaced for its
    /// settings, the release itself need not know that.
    async fn has_other_secrets(
        &self,
        backend: &dyn Backend,
        service: &ServiceChanges,
    ) -> Result<bool, FailureReason> {
        let prepared = self.all.services.get(&service.service);
        let prepared =
            prepared.filter(|one| !one.values.is_empty() && service.secrets.is_nothing());
        let running = self.deployed.current(&service.service).into_iter().next();
        let Some((prepared, running)) = prepared.zip(running) else {
            return Ok(false);
        };
        let same = secrets::same(backend, &running.id, &prepared.values).await;
        let same = same.map_err(|error| surroundings("secrets cannot be compared", &error))?;
        Ok(!same)
    }

    /// The digest of exactly what the release itself would ask for.
    fn digest(&self, locked: bool) -> ChangesDigest {
        let mut why: Vec<String> = self
            .unknown
            .iter()
            .map(|(of, why)| format!("{of}: {why}"))
            .collect();
        let is_whole = self.history.open().is_none() && mend::mend(self.deployed).is_nothing();
        if locked {
            why.push("a deploy is under way, and what it leaves is not known yet".to_owned());
        } else if !is_whole {
            let what = "an earlier deploy was cut off, and what it left is put right first";
            why.push(what.to_owned());
        }
        if !why.is_empty() {
            return ChangesDigest::Unknown(why);
        }
        let environment = &self.unit.environment;
        let lines = words::changes(self.deployed, &self.program, &self.goal);
        let (program, goal) = (&self.program, &self.goal);
        match approve::question(self.place, environment, program, goal, &lines) {
            Some(question) => ChangesDigest::Known(question.digest),
            None => ChangesDigest::Nothing,
        }
    }

    fn service(&self, want: &Wanted) -> Option<ServiceChanges> {
        let change = self.program.changes.get(&want.name)?;
        let prepared = self.all.services.get(&want.name)?;
        let before = self.record(&want.name);
        let differences = differences::of(before, prepared);
        let running = self.deployed.current(&want.name).into_iter().next();
        Some(ServiceChanges {
            service: want.name.clone(),
            action: action(change),
            summary: self.summary(want, change),
            strategy: differences::strategy(want.update.strategy),
            downtime: action(change) == ServiceAction::Replaced
                && want.update.has_downtime(want.replicas),
            image: self.image(prepared, before, running),
            secrets_changed: want.secrets_changed,
            gates: self.gates(&want.name),
            ..differences
        })
    }

    fn gates(&self, service: &str) -> Vec<String> {
        let gates = self.unit.gates.iter();
        let gates = gates.filter(|gate| gate.service == service);
        gates.map(|gate| gate.step.to_string()).collect()
    }

    fn summary(&self, want: &Wanted, change: &Change) -> String {
        let line = words::line(self.deployed, want, change, self.goal.sequence);
        // Where its settings are others, it is replaced whatever its image is.
        let is_open = want.image.is_empty() == (change.why == Some(plan::IMAGE_CHANGED));
        let line = match self.unknown.get(&want.name) {
            Some(why) if !change.is_new && is_open => format!(
                "{} is replaced where what the run makes is not what runs: {why}",
                want.name
            ),
            _ => line,
        };
        line + &words::fronts(&self.program, want)
    }

    /// What the last release says of a service.
    fn record(&self, service: &str) -> Option<&ServiceRecord> {
        let (intent, _) = self.history.last_passed()?;
        let mut services = intent.services.iter();
        services.find(|record| record.unit.name == service)
    }

    fn image(
        &self,
        prepared: &Prepared<'_>,
        before: Option<&ServiceRecord>,
        running: Option<&Generation>,
    ) -> ImageChange {
        let from = running.map(|old| KnownImage {
            name: before
                .map(|record| record.shown.clone())
                .unwrap_or_default(),
            identity: old.config_digest.as_ref().unwrap_or(&old.image).clone(),
        });
        let image = &prepared.image;
        let is_known = !image.image.id.is_empty();
        ImageChange {
            from,
            to: is_known.then(|| KnownImage {
                name: image.shown.clone(),
                identity: image.image.identity().to_owned(),
            }),
            unknown: self.unknown.get(&prepared.unit.name).cloned(),
        }
    }

    /// The services that the file has no more.
    fn removed(&self) -> Vec<ServiceChanges> {
        let mut removed: Vec<ServiceChanges> = Vec::new();
        for old in &self.deployed.generations {
            let name = &old.service;
            if self.program.changes.contains_key(name)
                || removed.iter().any(|it| it.service == *name)
            {
                continue;
            }
            let record = self.record(name);
            removed.push(ServiceChanges {
                summary: format!("{name} is no longer wanted and removed"),
                downtime: true,
                image: ImageChange {
                    from: Some(KnownImage {
                        name: record.map(|it| it.shown.clone()).unwrap_or_default(),
                        identity: old.config_digest.as_ref().unwrap_or(&old.image).clone(),
                    }),
                    ..ImageChange::default()
                },
                ..differences::nothing(name, ServiceAction::Removed)
            });
        }
        removed
    }

    fn hooks(&self) -> Vec<HookRun> {
        let run = |name: &String| {
            let actions = self.program.forward.iter();
            let mut hooks = actions.filter(|action| matches!(action, Action::RunHook(_)));
            hooks.any(|action| *action == Action::RunHook(name.clone()))
        };
        let of = |when: &'static str, hooks: &[HookUnit]| -> Vec<HookRun> {
            let hooks = hooks.iter().map(|hook| &hook.container.name);
            let hooks = hooks.filter(|name| run(name)).filter_map(|name| {
                let prepared = &self.all.hooks.get(name)?.service;
                Some(HookRun {
                    hook: name.clone(),
                    when: when.to_owned(),
                    image: self.image(prepared, None, None),
                })
            });
            hooks.collect()
        };
        let mut hooks = of("pre_deploy", &self.unit.pre_deploy);
        hooks.extend(of("post_deploy", &self.unit.post_deploy));
        hooks
    }

    /// With those that other projects can share from then on.
    fn proxies(&self, made: NamesChange) -> NamesChange {
        let shared = self.program.afterwards.iter();
        let shared = shared.filter_map(|action| match action {
            Action::ShareGate { gate, .. } => Some(shown(gate)),
            _ => None,
        });
        NamesChange {
            changed: shared.collect(),
            ..made
        }
    }

    /// What the program makes and removes, by name.
    fn named(&self, of: impl Fn(&Action) -> Option<(bool, String)>) -> NamesChange {
        let actions = self.program.forward.iter().chain(&self.program.afterwards);
        let (added, removed): (Vec<_>, Vec<_>) =
            actions.filter_map(of).partition(|(is_new, _)| *is_new);
        let names = |all: Vec<(bool, String)>| all.into_iter().map(|(_, name)| name).collect();
        NamesChange {
            added: names(added),
            removed: names(removed),
            changed: Vec::new(),
        }
    }
}

fn action(change: &Change) -> ServiceAction {
    if change.is_nothing() {
        ServiceAction::Unchanged
    } else if change.is_new {
        ServiceAction::Created
    } else if change.why.is_some() {
        ServiceAction::Replaced
    } else {
        ServiceAction::Adjusted
    }
}

fn shown(gate: &Gate) -> String {
    match gate {
        Gate::Port { address, port } | Gate::Shared { address, port } => match address {
            Some(address) => format!("{address}:{port}"),
            None => format!("port {port}"),
        },
        Gate::Chosen {
            service, target, ..
        } => format!("a free port for {service}:{target}"),
        Gate::Name(service) => format!("the name {service}"),
    }
}

fn trouble(reason: FailureReason) -> Option<Trouble> {
    let (FailureReason::Configuration(trouble) | FailureReason::Surroundings(trouble)) = reason
    else {
        return None;
    };
    Some(trouble)
}
