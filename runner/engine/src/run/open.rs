//! Opening a run: connect, take an ID, begin the record, start the reaper. What dead runs left is
//! swept while signals are heeded already, and so is the shell's first wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hoist_model::attempts::Retry;
use hoist_model::event::{EventKind, StepOutline};
use hoist_model::ids::RunId;
use hoist_model::plan::Plan;
use hoist_model::unit::{Limits, Unit};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::perform::Run;
use super::{RunError, RunRequest, warning};
use crate::backend::{Backend, Connector, EngineInfo, Labels};
use crate::bounds;
use crate::context::Made;
use crate::countdown::Countdown;
use crate::dispatcher::{Dispatcher, Policy};
use crate::labels;
use crate::owner::Owner;
use crate::reaper::{Line, UndoList};
use crate::recorder::{Paper, Recorder};
use crate::store::RunFolder;

/// What opening and closing may take at most, beyond the steps.
const MARGIN: Duration = Duration::from_secs(3600);

/// Opens a run.
///
/// # Errors
/// When it cannot begin.
pub(super) async fn open(mut request: RunRequest) -> Result<Run, RunError> {
    let (backend, info) = tokio::select! {
        biased;
        Some(signal) = request.signals.recv() => return Err(RunError::Interrupted(signal)),
        connected = connect(&*request.connector, request.engine.as_deref()) => connected?,
    };
    let owner = Owner::here();
    let id = RunId(Uuid::now_v7());
    let plan = Arc::clone(&request.plan);
    let ids = plan.steps.iter().map(|step| &step.id);
    let folder = RunFolder::create(&request.root, id, ids).map_err(RunError::Folder)?;
    // A plan that holds a secret's value, in a variable, is not written down.
    if let Ok(text) = serde_json::to_string(&*plan)
        && request.redactor.redact(&text) == text.as_str()
    {
        folder.keep_plan(&text).map_err(RunError::Folder)?;
    }
    let paper = Paper {
        folder: folder.clone(),
        journal: folder.journal().map_err(RunError::Folder)?,
        version: request.version.clone(),
        owner: owner.to_string(),
    };
    let reporters = std::mem::take(&mut request.reporters);
    let recorder = Recorder::start(id, request.redactor.clone(), paper, reporters)
        .map_err(RunError::Folder)?;
    let events = recorder.events();
    events.send(started(&request));
    let (version, api) = (info.version.clone(), info.api.clone());
    events.send(EventKind::EngineConnected { version, api });
    let known = request.rerun.iter().flat_map(|rerun| rerun.resolved());
    known.for_each(|event| events.send(event));
    for message in unenforced(&plan, &info) {
        let hint = "`hoist doctor` says what the engine's host lacks";
        events.send(warning(message, Some(hint)));
    }
    let hello = Line::Hello {
        run: id,
        engine: request.engine.clone(),
        others: other_engines(&plan),
    };
    let undo = UndoList::start(request.reaper.as_ref(), hello, events.clone()).await;
    let policy = Policy {
        jobs: request.jobs,
        fail_fast: request.fail_fast,
    };
    let deadline = request.timeout.map(Countdown::new);
    Ok(Run {
        id,
        dispatcher: Dispatcher::new(&plan, policy),
        labels: run_labels(id, &request, &owner, info.time),
        logins: Arc::new(request.secrets.logins(&plan)),
        made: Arc::new(Made::beside(request.rerun.clone())),
        running: BTreeMap::new(),
        ahead: BTreeMap::new(),
        tasks: JoinSet::new(),
        disturbed: false,
        engines: BTreeSet::new(),
        interrupted: None,
        deadline,
        now: info.time,
        request,
        backend,
        owner,
        folder,
        recorder,
        events,
        undo,
    })
}

async fn connect(
    connector: &dyn Connector,
    engine: Option<&str>,
) -> Result<(Arc<dyn Backend>, EngineInfo), RunError> {
    let backend = connector.connect(engine).await.map_err(RunError::Engine)?;
    let info = backend.info().await.map_err(RunError::Engine)?;
    Ok((backend, info))
}

fn started(request: &RunRequest) -> EventKind {
    let steps = &request.plan.steps;
    let outlines = steps.iter().map(|step| StepOutline {
        id: step.id.clone(),
        kind: step.kind.name().to_owned(),
        needs: step
            .needs
            .iter()
            .filter_map(|n| Some(steps.get(n.step)?.id.clone()))
            .collect(),
        relaxations: step.relaxations.clone(),
    });
    EventKind::RunStarted {
        project: request.plan.name.clone(),
        version: request.version.clone(),
        steps: outlines.collect(),
        jobs: request.jobs.max(1),
        commit: request.commit.clone(),
        rerun_of: request.rerun.as_ref().map(|rerun| rerun.run),
    }
}

/// The labels of whatever the run puts on an engine.
fn run_labels(run: RunId, request: &RunRequest, owner: &Owner, now: i64) -> Labels {
    let mut labels = Labels::from([
        (labels::RUN.to_owned(), run.to_string()),
        (labels::PROJECT.to_owned(), request.plan.name.clone()),
        (labels::OWNER.to_owned(), owner.to_string()),
    ]);
    // Without the engine's clock there is nothing to measure by.
    if now > 0 {
        let seconds = longest(request).as_secs();
        let expires = now.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX));
        labels.insert(labels::EXPIRES.to_owned(), expires.to_string());
    }
    labels
}

/// What the run can take at most: its own bound, or its steps' attempts one after another.
fn longest(request: &RunRequest) -> Duration {
    let steps = request.plan.steps.iter().map(|step| {
        let pauses = Retry::LONGEST_PAUSE.saturating_mul(step.retry.max);
        let attempts = step.retry.max.saturating_add(1);
        step.timeout.saturating_mul(attempts).saturating_add(pauses)
    });
    let all = steps.fold(Duration::ZERO, Duration::saturating_add);
    request.timeout.unwrap_or(all).saturating_add(MARGIN)
}

/// Engines besides the one in use on which the plan's releases are put.
fn other_engines(plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter().filter(|step| step.skip.is_none());
    let engines = steps.filter_map(|step| match &step.unit {
        Unit::Release(release) => release.environment.engine.clone(),
        Unit::Container(_) | Unit::Build(_) | Unit::Push(_) => None,
    });
    engines.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Bounds that the plan sets and the engine cannot enforce. What a release sets is said when it is
/// made, for its engine may be another one.
fn unenforced(plan: &Plan, info: &EngineInfo) -> Vec<String> {
    let steps = plan.steps.iter().filter(|step| step.skip.is_none());
    let limits: Vec<&Limits> = steps.flat_map(|step| limits(&step.unit)).collect();
    let missing = bounds::unenforced(&limits, &info.enforces).into_iter();
    missing
        .map(|what| format!("this engine cannot bound {what}: steps run without it"))
        .collect()
}

fn limits(unit: &Unit) -> Vec<&Limits> {
    match unit {
        Unit::Container(container) => {
            let beside = container.services.iter().map(|service| &service.limits);
            beside.chain([&container.limits]).collect()
        }
        Unit::Build(_) | Unit::Push(_) | Unit::Release(_) => Vec::new(),
    }
}
