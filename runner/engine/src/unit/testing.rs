//! A step's surroundings for tests: an engine in memory, a project's folder, and what the step says.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, mpsc};

use hoist_model::attempts::{AllowFailure, Retry};
use hoist_model::event::EventKind;
use hoist_model::ids::{RunId, StepId};
use hoist_model::image::ImageSource;
use hoist_model::inputs::Force;
use hoist_model::plan::{Plan, PlannedStep, Reports, SecretSource};
use hoist_model::reason::Ending;
use hoist_model::redact::Redactor;
use hoist_model::step::StepKind;
use hoist_model::text::Text;
use hoist_model::unit::{Command, ContainerUnit, Harvest, Limits, Network, Security, Unit};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::context::{Made, Stop, UnitContext};
use crate::fake::FakeBackend;
use crate::labels;
use crate::output::OutputWriter;
use crate::reaper::UndoList;
use crate::recorder::{Message, queue};
use crate::secrets::Secrets;

/// A secret that steps of tests may have, and its value.
pub(crate) const SECRET: (&str, &str) = ("token", "tr0ub4dor-and-3");

/// One step and its surroundings.
pub(crate) struct Stage {
    pub(crate) engine: FakeBackend,
    pub(crate) context: UnitContext,
    pub(crate) stop: watch::Sender<Stop>,
    pub(crate) folder: TempDir,
    said: mpsc::Receiver<Message>,
}

/// All that a step said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) events: Vec<EventKind>,
    pub(crate) output: String,
}

impl Said {
    /// Messages of warnings.
    pub(crate) fn warnings<'a>(&'a self) -> Vec<&'a str> {
        let warning = |event: &'a EventKind| match event {
            EventKind::Warning { message, .. } => Some(message.as_str()),
            _ => None,
        };
        self.events.iter().filter_map(warning).collect()
    }
}

impl Stage {
    /// A stage for a step `unit` of that kind.
    pub(crate) fn new(kind: StepKind, unit: Unit) -> Self {
        Self::on(FakeBackend::new(), kind, unit)
    }

    /// A stage on an engine that is there already.
    pub(crate) fn on(engine: FakeBackend, kind: StepKind, unit: Unit) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = RunId(uuid::Uuid::now_v7());
        let run_folder = folder.path().join(".hoist/run");
        fs::create_dir_all(&run_folder).unwrap();
        let plan = plan(kind, unit);
        let environment = BTreeMap::from([("TOKEN".to_owned(), SECRET.1.to_owned())]);
        let secrets = Secrets::read(&plan, folder.path(), &environment).unwrap();
        let (events, lane, said) = queue();
        let log = fs::File::create(run_folder.join("log")).unwrap();
        let output = OutputWriter::new(StepId::from("unit"), log, &Redactor::default(), lane);
        let (stop, stopped) = watch::channel(Stop::No);
        let context = UnitContext {
            backend: Arc::new(engine.clone()),
            connector: engine.connector(),
            plan: Arc::new(plan),
            attempt: 1,
            ix: 0,
            run,
            approver: Arc::new(crate::approval::Nobody),
            shared: None,
            root: folder.path().to_owned(),
            artifacts: run_folder.join("artifacts/unit"),
            run_folder,
            events: events.clone(),
            output,
            made: Arc::new(Made::default()),
            secrets: Arc::new(secrets),
            logins: Arc::new(Vec::new()),
            lock_wait: crate::release::LOCK_WAIT,
            force_unverified: false,
            allow_host_network: false,
            undo: UndoList::over(None, events),
            labels: BTreeMap::from([(labels::RUN.to_owned(), run.to_string())]),
            shells: None,
            stop: stopped,
            ahead: None,
        };
        Self {
            engine,
            context,
            stop,
            folder,
            said,
        }
    }

    /// Writes a file of the project.
    pub(crate) fn file(&self, name: &str, content: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Executes the step to its end.
    pub(crate) async fn execute(&self) -> Ending {
        let ending = crate::unit::execute(self.context.clone()).await;
        self.context.made.chores.done().await;
        self.context.output.close().await.unwrap();
        ending
    }

    /// What was said since the last time.
    pub(crate) fn said(&self) -> Said {
        let mut said = Said::default();
        let mut output = Vec::new();
        for message in self.said.try_iter() {
            match message {
                Message::Event { kind, .. } => said.events.push(kind),
                Message::Output(piece, _) => output.extend(piece.bytes),
                Message::End(_) => {}
            }
        }
        said.output = String::from_utf8(output).unwrap();
        said
    }

    /// Nothing is on the engine but images and what is kept between runs.
    pub(crate) fn assert_clean(&self) {
        let containers = self.engine.containers();
        assert!(containers.is_empty(), "{containers:?}");
        let mut volumes = self.engine.volumes();
        volumes.retain(|volume| !volume.labels.contains_key(labels::KEPT));
        assert!(volumes.is_empty(), "{volumes:?}");
        let networks = self.engine.networks();
        assert!(networks.is_empty(), "{networks:?}");
    }
}

fn plan(kind: StepKind, unit: Unit) -> Plan {
    let step = PlannedStep {
        id: StepId::from("unit"),
        kind,
        line: 1,
        needs: Vec::new(),
        timeout: std::time::Duration::from_secs(60),
        unit,
        retry: Retry::default(),
        allow_failure: AllowFailure::No,
        always: false,
        cell: None,
        when: None,
        skip: None,
        relaxations: Vec::new(),
    };
    Plan {
        name: "shop".into(),
        steps: vec![step],
        environments: BTreeMap::new(),
        secrets: BTreeMap::from([(SECRET.0.into(), SecretSource::Environment("TOKEN".into()))]),
        registries: BTreeMap::new(),
        reports: Reports::default(),
        timeout: None,
        gc: Default::default(),
        never_sent: vec!["never".into()],
    }
}

/// A sealed container of `base:1` that runs `true`.
pub(crate) fn container() -> ContainerUnit {
    ContainerUnit {
        image: ImageSource::Name(Text::literal("base:1")),
        command: Command::Shell("true".into()),
        environment: BTreeMap::new(),
        working_dir: None,
        user: None,
        network: Network::None,
        security: Security::default(),
        limits: Limits::SEALED,
        tmpfs: Vec::new(),
        secrets: Vec::new(),
        source: None,
        inputs: Vec::new(),
        volumes: Vec::new(),
        image_archive: None,
        tool_data: None,
        stop: Default::default(),
        services: Vec::new(),
        harvest: Harvest::default(),
        // Else a second run would not be one.
        always_runs: Some(Force::Off),
    }
}

/// A stage for a container of `base:1`, which the engine has.
pub(crate) fn run(unit: ContainerUnit) -> Stage {
    let stage = Stage::new(StepKind::Run, Unit::Container(Box::new(unit)));
    stage.engine.add_image("base:1");
    stage
}
