//! The names that strings may refer to: `[vars]`, `env.`, `git.` and `steps.`.

use std::ops::Range;

use super::Git;
use super::cx::{Cx, Matrix};
use crate::diag::{Diagnostic, list, near};
use crate::interpolate::{Fault, Found, expand};
use crate::spec::{At, inside};
use crate::text::Text;

/// Variables of `[vars]` that refer to one another more deeply than this are refused.
const DEPTH: usize = 100;

/// Branches as CI systems name them, best first: on a detached head git itself knows none.
const CI_BRANCH: [&str; 8] = [
    "GITHUB_HEAD_REF",
    "GITHUB_REF_NAME",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME",
    "CI_COMMIT_BRANCH",
    "BUILDKITE_BRANCH",
    "CIRCLE_BRANCH",
    "BITBUCKET_BRANCH",
    "BRANCH_NAME",
];

/// What is known of the commit.
const GIT: [&str; 4] = ["sha", "short_sha", "branch", "tag"];

/// What is known of a variable of `[vars]`.
#[derive(Clone, Debug)]
pub(crate) enum VarState {
    /// Its references are being looked up.
    Busy,
    /// Its value; absent if it has none, which was told.
    Done(Option<String>),
}

/// Whether a string may refer to what a step makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Steps {
    Allowed,
    /// It has to be an artifact.
    Artifact,
    /// With the reason.
    Refused(&'static str),
}

impl<'a> Cx<'a> {
    /// Looks up all of `[vars]`, so that each is checked even if nothing uses it.
    pub(super) fn read_vars(&mut self) {
        let mut vars: Vec<_> = self
            .spec
            .vars
            .iter()
            .flatten()
            .map(|(name, _)| name)
            .collect();
        vars.sort_by_key(|name| name.span.start);
        for name in vars {
            let starts = name
                .value
                .starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            if !starts
                || !name
                    .value
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_')
            {
                self.fault(
                    Diagnostic::error(
                        format!("`{}` cannot be the name of a variable", name.value),
                        name.span.clone(),
                    )
                    .help("letters, digits and `_` can; `-` would begin a default"),
                );
                self.vars.insert(&name.value, VarState::Done(None));
                continue;
            }
            if !self.vars.contains_key(name.as_str()) {
                self.read_var(name.as_str());
            }
        }
    }

    /// Looks up one of `[vars]`; `None` if there is none of that name.
    fn read_var(&mut self, name: &str) -> Option<VarState> {
        let (key, value) = self.spec.vars.as_ref()?.get_key_value(name)?;
        self.vars.insert(&key.value, VarState::Busy);
        self.vars_busy.push(&key.value);
        let text = self.expand(
            value,
            Steps::Refused("a variable has one value for all of the file"),
        );
        self.vars_busy.pop();
        let state = VarState::Done(text.and_then(|text| text.as_literal()));
        self.vars.insert(&key.value, state.clone());
        Some(state)
    }

    /// A string with its references replaced; `None` if it has a fault, which was noted.
    pub(super) fn expand(&mut self, at: &At<impl AsRef<str>>, steps: Steps) -> Option<Text> {
        let text = at.as_str();
        if !text.contains('$') {
            return Some(Text::literal(text));
        }
        let found = expand(text, &mut |name, range| self.find(name, range, at, steps));
        found
            .map_err(|faults| faults.into_iter().for_each(|fault| self.note(at, fault)))
            .ok()
    }

    pub(super) fn note(&mut self, at: &At<impl AsRef<str>>, fault: Fault) {
        let file = &self.spec.file.text;
        let place = |range: &Range<usize>| inside(file, &at.span, at.as_str(), range);
        let mut told = Diagnostic::error(fault.message, place(&fault.range));
        told.help = fault.help;
        if let Some((range, instead)) = &fault.suggestion {
            told = told.suggest(place(range), instead);
        }
        self.fault(told);
    }

    /// What a name is; `Err(None)` is a fault that was told already.
    pub(super) fn find(
        &mut self,
        name: &str,
        range: Range<usize>,
        at: &At<impl AsRef<str>>,
        steps: Steps,
    ) -> Result<Found, Option<Fault>> {
        let Some((space, rest)) = name.split_once('.') else {
            return self.find_var(name, range).map(Found::Value);
        };
        let fault = |message: String| Fault::new(range.clone(), message);
        Err(Some(match space {
            "env" if self.secret_of(rest).is_some() => {
                let secret = self.secret_of(rest).unwrap_or_default();
                fault(format!("`{rest}` is the value of the secret `{secret}`, which cannot be interpolated")).help(format!(
                    "give it to the step: `secrets = [\"{secret}\"]` makes it the file /run/secrets/{secret}"
                ))
            }
            "env" if !rest.is_empty() && !rest.contains('.') => {
                return Ok(self.or_unset(self.world.env.get(rest).cloned()));
            }
            "git" => match self.git(rest) {
                Ok(found) => return Ok(found),
                Err(meant) => {
                    let fault = fault(format!("there is no `{name}`"));
                    match meant {
                        Some(meant) => fault
                            .help(format!("did you mean `git.{meant}`?"))
                            .suggest(range.clone(), format!("git.{meant}")),
                        None => fault.help("there is `git.sha`, `git.short_sha`, `git.branch` and `git.tag`"),
                    }
                }
            },
            "steps" => return self.find_step(rest, range, at, steps).map_err(Some),
            "vars" => fault("variables are named without `vars.`".into())
                .help(format!("write `${{{rest}}}`"))
                .suggest(range.clone(), rest),
            "matrix" => return self.find_axis(rest, range),
            "secrets" => fault("a secret cannot be interpolated".into()).help(format!(
                "give it to the step: `secrets = [\"{rest}\"]` makes it the file /run/secrets/{rest}"
            )),
            _ => fault(format!("there is no `{name}`"))
                .help("names are those of `[vars]`, and `env.`, `git.` and `steps.`"),
        }))
    }

    /// A value of the cell whose keys are being read.
    fn find_axis(&self, name: &str, range: Range<usize>) -> Result<Found, Option<Fault>> {
        let fault = |message: String| Fault::new(range.clone(), message);
        if !self.vars_busy.is_empty() {
            let fault = fault("a variable has one value for all of the file".into());
            return Err(Some(
                fault.help(format!("write `${{matrix.{name}}}` where it is used")),
            ));
        }
        let Some(step) = self.current.and_then(|at| self.steps.get(at)) else {
            let fault = fault(format!("`matrix.{name}` has a value in a step only"));
            return Err(Some(fault.help("write it where it is used")));
        };
        if step.matrix == Matrix::Broken {
            return Err(None);
        }
        let Some(cell) = self.cell_at(*step) else {
            let fault = fault(format!("the step `{}` has no matrix", step.id.value));
            return Err(Some(
                fault.help(format!("give it one: `matrix.{name} = [\"...\"]`")),
            ));
        };
        if let Some((_, value)) = cell.values.iter().find(|(key, _)| key == name) {
            return Ok(Found::Value(value.clone()));
        }
        // Some cells may have what others lack.
        if cell.keys.contains(name) {
            return Ok(self.or_unset(None));
        }
        let keys: Vec<&str> = cell.keys.iter().map(String::as_str).collect();
        let fault = fault(format!("the matrix has no `{name}`"));
        Err(Some(match self.near(name, keys.iter().copied()) {
            Some(meant) => fault
                .help(format!("did you mean `matrix.{meant}`?"))
                .suggest(range, format!("matrix.{meant}")),
            None => fault.help(format!("it has {}", list(&keys))),
        }))
    }

    /// The secret whose value that variable of the environment is.
    pub(super) fn secret_of(&self, variable: &str) -> Option<&'a str> {
        let is_it = |secret: &crate::spec::SecretSpec| {
            secret
                .environment
                .as_ref()
                .is_some_and(|name| name.value == variable)
        };
        let found = self.spec.secrets.iter().find(|(_, secret)| is_it(secret));
        found.map(|(name, _)| name.value.as_str())
    }

    fn find_var(&mut self, name: &str, range: Range<usize>) -> Result<String, Option<Fault>> {
        if self.vars_busy.len() > DEPTH {
            return Err(Some(Fault::new(
                range,
                "variables refer to one another too deeply",
            )));
        }
        let known = self.vars.get(name).cloned().or_else(|| self.read_var(name));
        match known {
            Some(VarState::Done(value)) => value.ok_or(None),
            Some(VarState::Busy) => {
                let from = self
                    .vars_busy
                    .iter()
                    .position(|busy| *busy == name)
                    .unwrap_or(0);
                let mut way: Vec<&str> = self.vars_busy.iter().skip(from).copied().collect();
                way.push(name);
                let message = format!("a variable refers to itself: {}", way.join(" -> "));
                Err(Some(Fault::new(range, message)))
            }
            None => Err(Some(self.no_var(name, range))),
        }
    }

    fn no_var(&self, name: &str, range: Range<usize>) -> Fault {
        let fault = Fault::new(range.clone(), format!("there is no variable `{name}`"));
        let vars = self
            .spec
            .vars
            .iter()
            .flatten()
            .map(|(name, _)| name.as_str());
        if let Some(meant) = self.near(name, vars) {
            return fault
                .help(format!("did you mean `{meant}`?"))
                .suggest(range, meant);
        }
        if GIT.contains(&name) {
            return fault
                .help(format!("the commit's is named `git.{name}`"))
                .suggest(range, format!("git.{name}"));
        }
        if self.world.env.contains_key(name) {
            return fault
                .help(format!(
                    "variables of the environment are named `env.{name}`"
                ))
                .suggest(range, format!("env.{name}"));
        }
        fault.help(format!(
            "set it in `[vars]`, or write `${{env.{name}}}` for a variable of the environment"
        ))
    }

    /// A value of the commit; or a name like the one asked for.
    fn git(&self, name: &str) -> Result<Found, Option<&'static str>> {
        let Git {
            sha,
            short_sha,
            tag,
            ..
        } = &self.world.git;
        let value = match name {
            "sha" => sha.clone(),
            "short_sha" => short_sha.clone(),
            "tag" => tag.clone(),
            "branch" => self.branch(),
            _ => return Err(near(name, GIT)),
        };
        Ok(self.or_unset(value))
    }

    /// A value that may be missing, and has to be there only where something is done with it.
    fn or_unset(&self, value: Option<String>) -> Found {
        match value {
            Some(value) => Found::Value(value),
            None if self.spared && self.vars_busy.is_empty() => Found::Spare,
            None => Found::Unset,
        }
    }

    /// The branch as git has it, else as the CI names it.
    pub(super) fn branch(&self) -> Option<String> {
        let env = &self.world.env;
        let is_tag = env.get("GITHUB_REF_TYPE").is_some_and(|kind| kind == "tag");
        let names = CI_BRANCH
            .iter()
            .filter(|name| !(is_tag && **name == "GITHUB_REF_NAME"));
        let mut named = names
            .filter_map(|name| env.get(*name))
            .filter(|value| !value.is_empty());
        self.world
            .git
            .branch
            .clone()
            .or_else(|| named.next().cloned())
    }
}
