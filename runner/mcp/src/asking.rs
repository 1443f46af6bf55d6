//! Asks whoever sits before the client whether a deploy may go on, where the client can show a form.
//! As on a terminal, approval is the environment's name: a client that accepts by itself whatever it
//! is asked approves of nothing. It refuses to ask by the newer protocol, which forbids requests to
//! clients: there approval is a tool's.

use hoist_model::event::Question;
use rmcp::model::{
    ElicitRequestParams, ElicitationAction, ElicitationSchema, PrimitiveSchemaDefinition,
    ProtocolVersion, StringSchema,
};
use rmcp::service::{ElicitationMode, Peer, RequestContext, RoleServer};
use serde_json::Value;

/// What is asked for.
const FIELD: &str = "environment";
/// So many changes are shown.
const CHANGES: usize = 12;

/// A client that can ask.
#[derive(Clone, Debug)]
pub(crate) struct Asker(Peer<RoleServer>);

impl Asker {
    /// The client of a request, if it can.
    pub(crate) fn by(context: &RequestContext<RoleServer>) -> Option<Self> {
        let older = context.protocol_version()? < ProtocolVersion::V_2026_07_28;
        let modes = context.peer.supported_elicitation_modes();
        (older && modes.contains(&ElicitationMode::Form)).then(|| Self(context.peer.clone()))
    }

    /// Asks. No answer, another name and a client that failed are no approval.
    pub(crate) async fn ask(&self, question: &Question) -> bool {
        let Some(requested_schema) = form(question) else {
            return false;
        };
        let request = ElicitRequestParams::FormElicitationParams {
            meta: None,
            message: message(question),
            requested_schema,
        };
        let Ok(answer) = self.0.create_elicitation(request).await else {
            return false;
        };
        let typed = answer
            .content
            .as_ref()
            .and_then(|content| content.get(FIELD));
        let typed = typed.and_then(Value::as_str).map(str::trim);
        answer.action == ElicitationAction::Accept && typed == Some(question.environment.as_str())
    }
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
