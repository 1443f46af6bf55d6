//! A run of one release over a rig, with a reaper at the other end of a pipe.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use hoist_model::attempts::{AllowFailure, Retry};
use hoist_model::event::EventKind;
use hoist_model::ids::{RunId, StepId};
use hoist_model::plan::{Plan, PlannedStep, Reports, SecretSource};
use hoist_model::reason::Ending;
use hoist_model::redact::Redactor;
use hoist_model::step::StepKind;
use hoist_model::unit::{EnvironmentPlan, NetworkPlan, ReleaseUnit, ServiceUnit, Unit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;
use uuid::Uuid;

use super::rig::Rig;
use crate::backend::{Backend, Connector, Labels};
use crate::context::{Made, Stop, UnitContext};
use crate::fake::FakeBackend;
use crate::labels;
use crate::output::OutputWriter;
use crate::owner::Owner;
use crate::reaper::{Line, UndoList, reap};
use crate::recorder::{Message, queue};
use crate::release::execute;
use crate::secrets::Secrets;

/// The value of the secret `token`, until a test says otherwise.
pub(crate) const TOKEN: &str = "correct horse battery";

/// A deploy that is under way.
pub(crate) struct Deploy {
    pub(crate) context: UnitContext,
    pub(crate) stop: watch::Sender<Stop>,
    rig: Arc<Rig>,
    events: mpsc::Receiver<Message>,
    pipe: DuplexStream,
    _folder: tempfile::TempDir,
}

impl Deploy {
    pub(crate) async fn new(rig: Rig, unit: ReleaseUnit, token: &str) -> Self {
        Self::of("shop", rig, unit, token).await
    }

    /// One of that project.
    pub(crate) async fn of(project: &str, rig: Rig, unit: ReleaseUnit, token: &str) -> Self {
        let rig = Arc::new(rig);
        let run = RunId(Uuid::now_v7());
        let mut plan = plan(unit);
        project.clone_into(&mut plan.name);
        let environment = BTreeMap::from([("TOKEN".to_owned(), token.to_owned())]);
        let folder = tempfile::tempdir().expect("a folder");
        let secrets = Secrets::read(&plan, folder.path(), &environment).expect("secrets");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let (events, lane, received) = queue();
        let (mut ours, pipe) = tokio::io::duplex(1 << 20);
        let hello = Line::Hello {
            run,
            engine: None,
            others: Vec::new(),
        };
        let hello = serde_json::to_string(&hello).expect("a line") + "\n";
        ours.write_all(hello.as_bytes()).await.expect("room");
        let (stop, stopping) = watch::channel(Stop::No);
        let context = UnitContext {
            attempt: 1,
            backend: Arc::clone(&rig) as Arc<dyn Backend>,
            connector: Arc::clone(&rig) as Arc<dyn Connector>,
            plan: Arc::new(plan),
            ix: 0,
            run,
            approver: Arc::new(crate::approval::Nobody),
            shared: None,
            root: PathBuf::new(),
            artifacts: PathBuf::new(),
            run_folder: PathBuf::new(),
            events: events.clone(),
            output: OutputWriter::new("staging".into(), log, &Redactor::default(), lane),
            made: Arc::new(Made::default()),
            secrets: Arc::new(secrets),
            logins: Arc::new(Vec::new()),
            lock_wait: crate::release::LOCK_WAIT,
            force_unverified: false,
            allow_host_network: false,
            undo: UndoList::over(Some(Box::new(ours)), events),
            labels: Labels::from([
                (labels::RUN.to_owned(), run.to_string()),
                (labels::OWNER.to_owned(), gone().to_string()),
            ]),
            shells: None,
            stop: stopping,
            ahead: None,
        };
        Self {
            context,
            stop,
            rig,
            events: received,
            pipe,
            _folder: folder,
        }
    }

    /// The engine in use.
    pub(crate) fn engine(&self) -> &FakeBackend {
        &self.rig.engine
    }

    /// Runs it to its end; gives the ending and how many calls it took.
    pub(crate) async fn run(&self) -> (Ending, usize) {
        let step = self.context.step().expect("in the plan").clone();
        let Unit::Release(unit) = &step.unit else {
            panic!("not a release")
        };
        let ending = execute(&self.context, &step, unit).await;
        (ending, self.rig.calls())
    }

    /// Runs it until its process dies, and lets the reaper do its part with so many lines of the
    /// pipe. Gives how many there were.
    pub(crate) async fn run_and_die(mut self, lines: usize) -> usize {
        self.run_to_death().await;
        drop(self.context);
        let mut text = String::new();
        self.pipe.read_to_string(&mut text).await.expect("lines");
        let kept: String = text.split_inclusive('\n').take(lines).collect();
        reap(kept.as_bytes(), self.rig).await;
        text.lines().count()
    }

    /// Runs it until its process dies, or to a good end.
    pub(crate) async fn run_to_death(&self) {
        tokio::select! {
            (ending, _) = self.run() => assert_eq!(ending, Ending::Passed),
            () = self.rig.died.notified() => {}
        }
    }

    /// What was said.
    pub(crate) fn events(&self) -> Vec<EventKind> {
        let mut kinds = Vec::new();
        while let Ok(message) = self.events.try_recv() {
            if let Message::Event { kind, .. } = message {
                kinds.push(kind);
            }
        }
        kinds
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        let warning = |event| match event {
            EventKind::Warning { message, .. } => Some(message),
            _ => None,
        };
        self.events().into_iter().filter_map(warning).collect()
    }
}

/// A process that is provably gone.
fn gone() -> Owner {
    Owner {
        pid: u32::MAX,
        ..Owner::here()
    }
}

fn plan(unit: ReleaseUnit) -> Plan {
    Plan {
        name: "shop".to_owned(),
        steps: vec![PlannedStep {
            id: StepId::from("staging"),
            kind: StepKind::Deploy,
            line: 1,
            needs: Vec::new(),
            timeout: Duration::from_secs(600),
            unit: Unit::Release(Box::new(unit)),
            retry: Retry::default(),
            allow_failure: AllowFailure::No,
            always: false,
            cell: None,
            when: None,
            skip: None,
            relaxations: Vec::new(),
        }],
        environments: BTreeMap::new(),
        secrets: [(
            "token".to_owned(),
            SecretSource::Environment("TOKEN".to_owned()),
        )]
        .into(),
        registries: BTreeMap::new(),
        reports: Reports::default(),
        timeout: None,
        gc: Default::default(),
        never_sent: Vec::new(),
    }
}

/// A release of these services.
pub(crate) fn unit(services: Vec<ServiceUnit>) -> ReleaseUnit {
    ReleaseUnit {
        environment: EnvironmentPlan {
            name: "staging".to_owned(),
            engine: None,
            approval: false,
            networks: [("default".to_owned(), NetworkPlan::default())].into(),
        },
        services,
        healthy_within: Duration::from_secs(60),
        pre_deploy: Vec::new(),
        post_deploy: Vec::new(),
        keep: 0,
        proxy: "proxy:1".to_owned(),
        deed: Default::default(),
        gates: Vec::new(),
    }
}

/// Deploys, and gives the ending.
pub(crate) async fn deploy(rig: &Rig, services: Vec<ServiceUnit>) -> Ending {
    Deploy::new(rig.with(&[]), unit(services), TOKEN)
        .await
        .run()
        .await
        .0
}
