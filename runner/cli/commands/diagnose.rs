//! `hoist diagnose`: says what is wrong in an environment, and what to do. It changes nothing.

use hoist_engine::release::{self, WantedPort};
use hoist_engine::secrets::Secrets;
use hoist_model::plan::Plan;
use hoist_model::reason::{Trouble, Verdict};
use hoist_model::unit::{ReleaseUnit, Unit};
use hoist_report::seen::diagnosis as report;

use super::{Outcome, print};
use crate::args::{self, Format};
use crate::exit::CliError;
use crate::options::Options;

pub(super) async fn execute(args: &args::Diagnose, options: &Options) -> Outcome {
    let environment = args.environment.as_str();
    let (project, backend) = super::environment(options, environment).await?;
    let plan = &project.plan;
    let redactor = Secrets::known(plan, &options.root, &options.environment);
    let redactor = redactor.map_err(CliError::trouble)?;
    let services = releases(plan, environment).flat_map(|unit| &unit.services);
    let ports: Vec<WantedPort<'_>> = services
        .flat_map(|service| {
            service
                .ports
                .iter()
                .map(|port| (service.name.as_str(), port))
        })
        .collect();
    let diagnosis = release::diagnose(backend.as_ref(), &plan.name, environment, &ports);
    let diagnosis = diagnosis.await.map_err(CliError::trouble)?;
    // Last lines of containers are quoted in it.
    let masked = diagnosis.found.into_iter().map(|trouble| Trouble {
        cause: trouble
            .cause
            .map(|cause| redactor.redact(&cause).into_owned()),
        ..trouble
    });
    let found: Vec<Trouble> = masked.collect();
    let count = diagnosis.containers;
    print(&match args.format {
        Format::Text => report::text(environment, count, &found, options.colour_out),
        Format::Json => report::json(environment, count, &found),
    })?;
    Ok(match found.is_empty() {
        true => Verdict::Passed,
        false => Verdict::StepFailed,
    })
}

/// What the file deploys to an environment.
pub(super) fn releases<'a>(
    plan: &'a Plan,
    environment: &'a str,
) -> impl Iterator<Item = &'a ReleaseUnit> {
    let units = plan.steps.iter().filter_map(|step| match &step.unit {
        Unit::Release(unit) => Some(unit.as_ref()),
        Unit::Container(_) | Unit::Build(_) | Unit::Push(_) => None,
    });
    units.filter(move |unit| unit.environment.name == environment)
}
