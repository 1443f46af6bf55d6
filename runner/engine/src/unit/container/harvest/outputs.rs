//! Outputs that a step leaves for later ones. A secret in them is masked before anyone has them: what
//! is passed on is written down, and would be a way around the files that secrets are.

use std::collections::BTreeMap;

use hoist_model::event::EventKind;
use hoist_model::outputs::{self, MAX_BYTES};
use hoist_model::reason::Trouble;

use super::download;
use crate::archive;
use crate::context::UnitContext;

/// Fetches the file at `path` and tells of what is in it.
pub(super) async fn gather(
    context: &UnitContext,
    container: &str,
    path: &str,
) -> Result<(), Trouble> {
    let what = format!("the outputs in {path} could not be fetched");
    let Some(archive) = download(context, container, path, &what).await? else {
        let hint = "its command writes lines `KEY=VALUE` there";
        context.warn(
            format!("the step left no outputs: there is no {path}"),
            Some(hint.into()),
        );
        return Ok(());
    };
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    let file = archive::first_file(archive, most).await;
    let Some(file) = file.map_err(|error| error.trouble(&what))? else {
        let most = MAX_BYTES >> 10;
        let message =
            format!("there are no outputs: {path} is no plain file, or longer than {most} KiB");
        context.warn(message, Some("pass on much as an artifact".to_owned()));
        return Ok(());
    };
    let read = outputs::read(&file);
    if !read.left_out.is_empty() {
        let message = format!(
            "some lines of {path} are no outputs: {}",
            read.left_out.join(", ")
        );
        let hint = "each is `KEY=VALUE`, with a value of one line";
        context.warn(message, Some(hint.to_owned()));
    }
    let values = masked(context, read.values);
    context.made.outputs(&context.id(), values.clone());
    context.events.send(EventKind::OutputsFound {
        step: context.id(),
        outputs: values,
    });
    Ok(())
}

fn masked(context: &UnitContext, values: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let redactor = context.secrets.redactor();
    let mut clean = BTreeMap::new();
    for (key, value) in values {
        let shown = redactor.redact(&value);
        let name = redactor.redact(&key);
        if shown != value || name != key {
            let message = format!("the output `{name}` held a secret: it was masked");
            let hint = "name the secret in the `secrets` of the step that needs it";
            context.warn(message, Some(hint.to_owned()));
        }
        clean.insert(name.into_owned(), shown.into_owned());
    }
    clean
}
