//! What a promotion comes to: the services of an environment as the file has them, on the very images
//! that serve in another one. Pure; it refuses to build, to guess an image, and to leave a service
//! out.

use std::collections::BTreeSet;

use hoist_model::diag::list;
use hoist_model::image::ImageSource;
use hoist_model::reason::Trouble;
use hoist_model::text::Text;
use hoist_model::unit::{ReleaseUnit, ServiceUnit};

use super::journal::{Deed, Known, ServiceRecord};
use super::names::Place;
use super::wish::{Recorded, Wish, known, nothing};

/// Finds out what is wished.
pub(super) fn promote(
    unit: &ReleaseUnit,
    from: &str,
    source: &Known,
    place: &Place,
) -> Result<Wish, Trouble> {
    let environment = &place.environment;
    if from == environment {
        return Err(Trouble::new(format!("{from} cannot be promoted to itself"))
            .hint(format!("`hoist rollback {from}` goes back to what it had")));
    }
    let serving = serving(source);
    if serving.is_empty() {
        return Err(nothing(from));
    }
    let record = |name: &str| serving.iter().find(|record| record.unit.name == name);
    let lacking = unit
        .services
        .iter()
        .filter(|one| record(&one.name).is_none());
    let lacking: Vec<&str> = lacking.map(|service| service.name.as_str()).collect();
    if !lacking.is_empty() {
        let what = format!("{from} has no {} to promote", list(&lacking));
        let there: Vec<&str> = serving
            .iter()
            .map(|record| record.unit.name.as_str())
            .collect();
        return Err(Trouble::new(what)
            .cause(format!(
                "{environment} has it in the file; {from} serves {}",
                list(&there)
            ))
            .hint(format!("deploy it to {from} first")));
    }
    // Of what the file says is one image, one is promoted.
    let images = unit.services.iter();
    let images: Vec<(&ImageSource, &ServiceRecord)> = images
        .filter_map(|service| Some((&service.image, *record(&service.name)?)))
        .collect();
    let mut promoted = unit.clone();
    for service in &mut promoted.services {
        if let Some(record) = record(&service.name) {
            service.image = of(record);
        }
        settle(service)?;
    }
    for hook in promoted
        .pre_deploy
        .iter_mut()
        .chain(&mut promoted.post_deploy)
    {
        let container = &mut hook.container;
        let found = images
            .iter()
            .find(|(source, _)| **source == container.image);
        if let Some((_, record)) = found {
            container.image = of(record);
        }
        settle(container)?;
    }
    Ok(Wish {
        unit: promoted,
        deed: Deed::Promote {
            from: from.to_owned(),
        },
        restored: Default::default(),
        stays: None,
        recorded: Some(gates(source, &serving)),
        origin: serving.into_iter().cloned().collect(),
    })
}

/// The services that serve, each as the release has it whose containers do.
fn serving(source: &Known) -> Vec<&ServiceRecord> {
    let serving = source.serving();
    let record = |(name, sequence): (&String, &u64)| {
        let mut services = source.release(*sequence)?.services.iter();
        services.find(|record| record.unit.name == *name)
    };
    serving.iter().filter_map(record).collect()
}

/// What the images passed on their way to the environment that is promoted.
fn gates(source: &Known, serving: &[&ServiceRecord]) -> Recorded {
    let sequences: BTreeSet<u64> = source.serving().into_values().collect();
    let releases = || sequences.iter().filter_map(|one| source.release(*one));
    Recorded {
        gates: releases()
            .flat_map(|release| release.gates.clone())
            .collect(),
        images: serving.iter().map(|record| known(record)).collect(),
        forced: releases().any(|release| release.forced),
    }
}

fn of(record: &ServiceRecord) -> ImageSource {
    ImageSource::Name(Text::literal(record.image.clone()))
}

/// Nothing of it is yet to be made by a step: none runs.
fn settle(container: &ServiceUnit) -> Result<(), Trouble> {
    let name = &container.name;
    let refused = |what: String, step: &str| {
        let cause = format!("it comes from the step `{step}`, and a promotion runs no step");
        Trouble::new(what).cause(cause)
    };
    let step = match &container.image {
        ImageSource::Step(step) => Some(step),
        ImageSource::Name(text) => text.references().next().map(|(step, _)| step),
    };
    if let Some(step) = step {
        let what = format!("the image of {name} cannot be promoted");
        let hint = "let it run on the image of a service: that one is promoted";
        return Err(refused(what, step.as_str()).hint(hint));
    }
    for (variable, text) in &container.environment {
        if let Some((step, _)) = text.references().next() {
            let what = format!("the variable {variable} of {name} has no value in a promotion");
            let hint = "give it a value of its own, or deploy with `hoist run`";
            return Err(refused(what, step.as_str()).hint(hint));
        }
    }
    Ok(())
}
