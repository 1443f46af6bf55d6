//! Shells in containers over an engine in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::StreamExt;

use super::*;
use crate::backend::Input;
use crate::shell::{Host, Occasion, Session, Shells};

/// Notes what it was offered and what it saw.
#[derive(Clone, Default)]
struct Visitor(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl Host for Visitor {
    async fn attend(&self, invitation: &str, mut session: Session) -> Result<(), Trouble> {
        self.0.lock().unwrap().push(invitation.to_owned());
        session.size.send_replace((90, 24));
        while let Some(Ok(bytes)) = session.output.next().await {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            self.0.lock().unwrap().push(text);
        }
        Ok(())
    }
}

/// A stage whose step runs a program, and the visitor of its shells.
fn stage(program: Program, occasion: Occasion) -> (Stage, Visitor) {
    let mut stage = run(container());
    let visitor = Visitor::default();
    let shells = Shells::new(Box::new(visitor.clone()), vec!["sh".to_owned()], occasion);
    stage.context.shells = Some(Arc::new(shells));
    stage
        .engine
        .program(|spec| spec.input == Input::Terminal, Program::default());
    stage
        .engine
        .program(|spec| spec.input != Input::Terminal, program);
    (stage, visitor)
}

fn shells(stage: &Stage) -> usize {
    let calls = stage.engine.calls();
    calls
        .iter()
        .filter(|call| call.starts_with("attach_terminal"))
        .count()
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_is_looked_into_with_its_own_settings_and_stays_failed() {
    let (stage, visitor) = stage(Program::exits(3).prints("no\n"), Occasion::Failure);
    let shell = Program::default()
        .prints("# ")
        .takes(Duration::from_secs(3600));
    stage.engine.program(
        |spec| {
            spec.input == Input::Terminal
                && spec.command == Some(vec!["sh".to_owned()])
                && spec.environment.get("CI").map(String::as_str) == Some("true")
                && spec.security == Default::default()
        },
        shell,
    );
    assert_eq!(
        stage.execute().await,
        Ending::Failed(FailureReason::Exit { code: 3 })
    );
    let seen = visitor.0.lock().unwrap().clone();
    assert_eq!(
        seen,
        [
            "no\nunit failed with exit code 3: a shell in its container\n",
            "# "
        ]
    );
    let calls = stage.engine.calls();
    assert!(
        calls.iter().any(|call| call.ends_with(" 90x24")),
        "{calls:?}"
    );
    let names = stage.engine.image_names();
    assert!(
        !names.iter().any(|name| name.starts_with("hoist-shell")),
        "{names:?}"
    );
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn no_shell_is_opened_where_nothing_failed_for_good() {
    let (passed, _) = stage(Program::default(), Occasion::Failure);
    assert_eq!(passed.execute().await, Ending::Passed);
    let (mut again, _) = stage(Program::exits(1), Occasion::Failure);
    let mut plan = again.context.plan.as_ref().clone();
    plan.steps[0].retry.max = 1;
    again.context.plan = Arc::new(plan);
    assert!(!again.execute().await.is_good());
    assert_eq!((shells(&passed), shells(&again)), (0, 0));
    again.context.attempt = 2;
    assert!(!again.execute().await.is_good());
    assert_eq!(shells(&again), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_shell() {
    let (stage, _) = stage(Program::exits(1), Occasion::Failure);
    stage
        .engine
        .program(|spec| spec.input == Input::Terminal, Program::forever());
    let stop = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        stage.stop.send(Stop::Grace).unwrap();
    };
    let (ending, ()) = tokio::join!(stage.execute(), stop);
    assert!(!ending.is_good());
    assert_eq!(shells(&stage), 1);
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_shell_instead_of_the_command_starts_no_command() {
    let (stage, visitor) = stage(Program::exits(1), Occasion::Instead);
    assert_eq!(stage.execute().await, Ending::Passed);
    assert_eq!(shells(&stage), 1);
    let started = stage.engine.calls();
    let started = started
        .iter()
        .filter(|call| call.starts_with("start_container"));
    assert_eq!(started.count(), 1);
    assert!(visitor.0.lock().unwrap()[0].contains("as `unit` would find it"));
    stage.assert_clean();
}
