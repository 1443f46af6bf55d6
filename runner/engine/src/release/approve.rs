//! What is to be approved of: the changes of a release in words, and a digest of all of them. Two
//! deploys that would change the same to the same have one digest; what is asked later about a
//! changed image, setting or environment has another. It refuses to take up the values of secrets:
//! that they changed is said, not to what.

use hoist_model::event::{EventKind, Question};
use hoist_model::reason::FailureReason;
use hoist_model::unit::EnvironmentPlan;

use super::names::Place;
use super::plan::{Action, Goal, Program};
use super::settings::hash_network;
use super::stopped;
use crate::context::{Stop, UnitContext};

/// Changes whenever what is hashed does.
const VERSION: &str = "hoist approval 2";
/// Digits of a digest: enough that nobody finds another change with the same.
const DIGITS: usize = 32;

/// What is asked; `None` where nothing would be touched. `lines` are the changes in words.
pub(super) fn question(
    place: &Place,
    environment: &EnvironmentPlan,
    program: &Program,
    goal: &Goal,
    lines: &[String],
) -> Option<Question> {
    let touched = |action: &&Action| !action.only_looks();
    let actions = program.forward.iter().chain(&program.afterwards);
    let actions: Vec<&Action> = actions.filter(touched).collect();
    if actions.is_empty() {
        return None;
    }
    let mut hasher = blake3::Hasher::new_derive_key(VERSION);
    let mut add = |text: &str| {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        hasher.update(&length.to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(&place.project);
    add(&place.environment);
    add(environment.engine.as_deref().unwrap_or_default());
    for want in &goal.services {
        add(&want.name);
        add(want.config_digest.as_ref().unwrap_or(&want.image));
        add(&want.config_hash);
        for (gate, front) in &want.gates {
            add(&format!("{gate} {front:?}"));
        }
        add(if want.secrets_changed { "secrets" } else { "" });
    }
    for sentence in &goal.unverified {
        add(sentence);
    }
    for hook in goal.pre_deploy.iter().chain(&goal.post_deploy) {
        add(&hook.name);
        add(&hook.image);
        add(&hook.config_hash);
    }
    for action in actions {
        add(&format!("{action:?}"));
        if let Action::CreateNetwork(name) = action {
            let network = environment.networks.get(name);
            add(&network.map(hash_network).unwrap_or_default());
        }
    }
    let digest = hasher.finalize().to_hex();
    Some(Question {
        environment: place.environment.clone(),
        digest: digest.chars().take(DIGITS).collect(),
        changes: lines.to_vec(),
    })
}

/// Gives the digest that was approved of.
pub(super) async fn ask(
    context: &UnitContext,
    question: Question,
) -> Result<String, FailureReason> {
    let approver = &context.approver;
    let step = context.id();
    let beforehand = approver.beforehand(&question);
    // Whom nothing is asked keeps what they type.
    let asked = !beforehand && approver.attend();
    let given = if asked {
        context.phase("waiting for approval");
        context.events.send(EventKind::ApprovalAwaited {
            step: step.clone(),
            question: question.clone(),
        });
        tokio::select! {
            biased;
            _ = context.stopped(Stop::Grace) => return Err(stopped()),
            given = approver.ask(&question) => given,
        }
    } else {
        beforehand
    };
    let Question {
        environment,
        digest,
        ..
    } = question;
    if !given {
        return Err(FailureReason::NotApproved {
            environment,
            digest,
            denied: asked,
        });
    }
    context.events.send(EventKind::Approved {
        step,
        environment,
        digest: digest.clone(),
    });
    Ok(digest)
}
