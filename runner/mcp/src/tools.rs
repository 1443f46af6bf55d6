//! The tools, in the order in which they are listed: each is a file of its own, and one line here.
//! The list never changes while a server runs, for clients do not look twice.

mod approve_deploy;
mod cancel_run;
mod get_failure_summary;
mod get_run;
mod list_artifacts;
mod list_pipelines;
mod list_runs;
mod read_artifact;
mod read_log;
mod run_pipeline;
mod search_log;
#[cfg(test)]
mod tests;
mod validate_pipeline;

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hoist_model::reason::Trouble;
use rmcp::handler::server::common::{schema_for_input, schema_for_output};
use rmcp::model::{JsonObject, Tool as Definition, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::asking::Asker;
use crate::progress::Wanted;
use crate::state::Shared;

/// A tool.
trait Tool {
    /// What it takes.
    type Arguments: DeserializeOwned + JsonSchema + Any + Send;
    /// What it answers.
    type Answer: Serialize + JsonSchema + Any;
    /// Its name.
    const NAME: &'static str;
    /// Its name for people.
    const TITLE: &'static str;
    /// What it does and when to call it, for a model.
    const DESCRIPTION: &'static str;
    /// What it does to the world.
    const EFFECT: Effect;

    /// Does it.
    fn call(
        call: Call,
        arguments: Self::Arguments,
    ) -> impl Future<Output = Result<Self::Answer, Trouble>> + Send;
}

/// What a tool does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    Reads,
    /// Whatever the steps of a pipeline do.
    Runs,
    /// It stops a run; twice is as good as once.
    Stops,
}

/// A call.
pub(crate) struct Call {
    /// What all calls share.
    pub(crate) shared: Arc<Shared>,
    /// Set when the client does not want the answer any more.
    pub(crate) cancelled: CancellationToken,
    /// Who can ask a person, if the client can.
    pub(crate) asker: Option<Asker>,
    /// The run of which an earlier answer to this call asked something.
    pub(crate) begun: Option<String>,
    /// Who wants to be told of progress.
    pub(crate) progress: Option<Wanted>,
}

type Answering = Pin<Box<dyn Future<Output = Result<Value, Trouble>> + Send>>;

/// A tool as the server has it.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// Its name.
    pub(crate) name: &'static str,
    title: &'static str,
    description: &'static str,
    effect: Effect,
    input: fn() -> Arc<JsonObject>,
    output: fn() -> Arc<JsonObject>,
    /// Reads the arguments and does it.
    pub(crate) call: fn(Call, Value) -> Answering,
}

/// All tools.
const ALL: [Entry; 12] = [
    entry::<list_pipelines::ListPipelines>(),
    entry::<validate_pipeline::ValidatePipeline>(),
    entry::<run_pipeline::RunPipeline>(),
    entry::<get_run::GetRun>(),
    entry::<list_runs::ListRuns>(),
    entry::<cancel_run::CancelRun>(),
    entry::<get_failure_summary::GetFailureSummary>(),
    entry::<read_log::ReadLog>(),
    entry::<search_log::SearchLog>(),
    entry::<list_artifacts::ListArtifacts>(),
    entry::<read_artifact::ReadArtifact>(),
    entry::<approve_deploy::ApproveDeploy>(),
];

/// The tools that are offered.
pub(crate) fn offered(read_only: bool) -> impl Iterator<Item = Entry> {
    let all = ALL.into_iter();
    all.filter(move |tool| !read_only || tool.effect == Effect::Reads)
}

const fn entry<T: Tool>() -> Entry {
    Entry {
        name: T::NAME,
        title: T::TITLE,
        description: T::DESCRIPTION,
        effect: T::EFFECT,
        input: || plain(&schema_for_input::<T::Arguments>().unwrap_or_default()),
        output: || plain(&schema_for_output::<T::Answer>()),
        call: |call, arguments| {
            Box::pin(async move {
                let arguments = serde_json::from_value(arguments).map_err(|error| {
                    Trouble::new(format!("{} does not take these arguments", T::NAME))
                        .cause(error.to_string())
                        .hint("its inputSchema says what it takes")
                })?;
                let answer = T::call(call, arguments).await?;
                serde_json::to_value(answer).map_err(|error| {
                    Trouble::new("the answer cannot be written").cause(error.to_string())
                })
            })
        },
    }
}

impl Entry {
    /// As clients see it.
    pub(crate) fn definition(self) -> Definition {
        let annotations = ToolAnnotations::with_title(self.title);
        let annotations = match self.effect {
            Effect::Reads => annotations.read_only(true).open_world(false),
            Effect::Runs => annotations
                .read_only(false)
                .destructive(true)
                .idempotent(false)
                .open_world(true),
            Effect::Stops => annotations
                .read_only(false)
                .destructive(true)
                .idempotent(true)
                .open_world(false),
        };
        Definition::new(self.name, self.description, (self.input)())
            .with_title(self.title)
            .with_raw_output_schema((self.output)())
            .with_annotations(annotations)
    }
}

/// The schema without what validators of clients warn of: formats that are Rust's alone, and `null`
/// beside a type where leaving a key out says the same.
fn plain(schema: &JsonObject) -> Arc<JsonObject> {
    let mut value = Value::Object(schema.clone());
    strip(&mut value);
    match value {
        Value::Object(object) => Arc::new(object),
        _ => Arc::default(),
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let rusts = |format: &str| {
                ["int", "uint", "float", "double"]
                    .iter()
                    .any(|f| format.starts_with(f))
            };
            if object
                .get("format")
                .and_then(Value::as_str)
                .is_some_and(rusts)
            {
                object.remove("format");
            }
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            if let Some(Value::Array(kinds)) = object.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [only] = kinds.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(kinds)) = object.get_mut("anyOf") {
                kinds.retain(|kind| kind.get("type").is_none_or(|kind| kind != "null"));
            }
            object.values_mut().for_each(strip);
        }
        Value::Array(all) => all.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
