//! Plans for tests, of container steps on the image `base`.

use std::time::Duration;

use hoist_model::attempts::{AllowFailure, Retry};
use hoist_model::ids::{StepId, StepIx};
use hoist_model::image::ImageSource;
use hoist_model::inputs::Force;
use hoist_model::plan::{Edge, Need, Plan, PlannedStep, Reports};
use hoist_model::step::StepKind;
use hoist_model::text::Text;
use hoist_model::unit::{Command, ContainerUnit, Harvest, Limits, Network, Security, Unit};

/// A plan of container steps: each its name and the places of the steps that it needs.
#[must_use]
pub fn plan(steps: &[(&str, &[StepIx])]) -> Plan {
    let steps = steps
        .iter()
        .map(|(id, needs)| step(id, needs, Unit::Container(container())));
    Plan {
        name: "project".to_owned(),
        steps: steps.collect(),
        environments: Default::default(),
        secrets: Default::default(),
        registries: Default::default(),
        reports: Reports::default(),
        timeout: None,
        gc: Default::default(),
        never_sent: Vec::new(),
    }
}

/// A step that may take a minute.
#[must_use]
pub fn step(id: &str, needs: &[StepIx], unit: Unit) -> PlannedStep {
    PlannedStep {
        id: StepId::from(id),
        kind: StepKind::Run,
        line: 1,
        needs: needs
            .iter()
            .map(|step| Need {
                step: *step,
                why: Edge::Needs,
            })
            .collect(),
        timeout: Duration::from_secs(60),
        unit,
        retry: Retry::default(),
        allow_failure: AllowFailure::No,
        always: false,
        cell: None,
        when: None,
        skip: None,
        relaxations: Vec::new(),
    }
}

/// A container on the image `base`, as sealed as can be.
#[must_use]
pub fn container() -> Box<ContainerUnit> {
    Box::new(ContainerUnit {
        image: ImageSource::Name(Text::literal("base")),
        command: Command::Shell("true".to_owned()),
        environment: Default::default(),
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
        always_runs: Some(Force::Off),
    })
}
