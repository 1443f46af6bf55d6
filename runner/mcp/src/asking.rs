//! Asks whoever sits before the client whether a deploy may go on, where the client can show a form.
//! As on a terminal, approval is the environment's name: a client that accepts by itself whatever it
//! is asked approves of nothing. The newer protocol forbids requests to clients: there a call is
//! answered with the question, and the client makes it again with what was said. It refuses to take
//! what was said of one plan for another: answers go by the plan's digest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hoist_model::event::Question;
use hoist_model::ids::RunId;
use rmcp::model::{
    CallToolRequestParams, ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction,
    ElicitationSchema, InputRequest, InputRequiredResult, InputResponses,
    PrimitiveSchemaDefinition, ProtocolVersion, StringSchema,
};
use rmcp::service::{ElicitationMode, Peer, RequestContext, RoleServer};
use serde_json::Value;

/// What is asked for.
const FIELD: &str = "environment";
/// So many changes are shown.
const CHANGES: usize = 12;

/// A client that can ask.
#[derive(Clone, Debug)]
pub(crate) enum Asker {
    /// It is sent a request.
    AtOnce(Peer<RoleServer>),
    /// It is given the question as the answer to its call.
    ByAnswer(Slip),
}

/// What goes to and fro with a call and its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slip {
    said: InputResponses,
    asked: Arc<Mutex<Option<InputRequiredResult>>>,
}

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The deploy may go on.
    Approved,
    /// No answer, another name or a client that failed.
    NotApproved,
    /// The call has to be answered before anyone can say anything.
    NothingYet,
}

impl Asker {
    /// The client of a call, if it can.
    pub(crate) fn by(
        context: &RequestContext<RoleServer>,
        call: &CallToolRequestParams,
    ) -> Option<Self> {
        if context.protocol_version()? < ProtocolVersion::V_2026_07_28 {
            let modes = context.peer.supported_elicitation_modes();
            let can = modes.contains(&ElicitationMode::Form);
            return can.then(|| Self::AtOnce(context.peer.clone()));
        }
        let modes = context.client_capabilities()?.elicitation?;
        let can = modes.form.is_some() || modes.url.is_none();
        can.then(|| {
            Self::ByAnswer(Slip {
                said: call.input_responses.clone().unwrap_or_default(),
                asked: Arc::default(),
            })
        })
    }

    /// Asks what a run waits for.
    pub(crate) async fn ask(&self, run: RunId, question: &Question) -> Said {
        let Some(requested_schema) = form(question) else {
            return Said::NotApproved;
        };
        let request = ElicitRequestParams::FormElicitationParams {
            meta: None,
            message: message(question),
            requested_schema,
        };
        let answer = match self {
            Self::AtOnce(peer) => peer.create_elicitation(request).await.ok(),
            Self::ByAnswer(slip) => match slip.said.get(&question.digest) {
                Some(said) => serde_json::from_value(said.clone()).ok(),
                None => {
                    slip.put(run, question, request);
                    return Said::NothingYet;
                }
            },
        };
        match answer {
            Some(answer) if approves(&answer, question) => Said::Approved,
            _ => Said::NotApproved,
        }
    }

    /// The question that the call is to be answered with.
    pub(crate) fn question(&self) -> Option<InputRequiredResult> {
        match self {
            Self::AtOnce(_) => None,
            Self::ByAnswer(slip) => slip.lock().take(),
        }
    }
}

impl Slip {
    /// The run goes with the question, so that the same call made again begins no other.
    fn put(&self, run: RunId, question: &Question, request: ElicitRequestParams) {
        let request = InputRequest::Elicitation(ElicitRequest::new(request));
        let requests = BTreeMap::from([(question.digest.clone(), request)]);
        *self.lock() = Some(InputRequiredResult::new(
            Some(requests),
            Some(run.to_string()),
        ));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<InputRequiredResult>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn approves(answer: &ElicitResult, question: &Question) -> bool {
    let content = answer.content.as_ref();
    let typed = content.and_then(|content| content.get(FIELD));
    let typed = typed.and_then(Value::as_str).map(str::trim);
    answer.action == ElicitationAction::Accept && typed == Some(question.environment.as_str())
}

fn form(question: &Question) -> Option<ElicitationSchema> {
    let name = StringSchema::new()
        .title("Environment")
        .description(format!("type {} to approve", question.environment));
    let name = PrimitiveSchemaDefinition::String(name);
    let form = ElicitationSchema::builder().required_property(FIELD, name);
    form.build().ok()
}

fn message(question: &Question) -> String {
    let mut text = format!("Deploy to {}? This would change:\n", question.environment);
    for change in question.changes.iter().take(CHANGES) {
        text += &format!(
            "- {}\n",
            crate::text::short(&crate::text::line(change), 200)
        );
    }
    if let Some(more @ 1..) = question.changes.len().checked_sub(CHANGES) {
        text += &format!("- and {more} more, which the step's log has\n");
    }
    text + &format!("Digest of all that: {}", question.digest)
}
