//! When a step is run. All that `when` asks for is known while a plan is made: the commit, the files
//! that changed, hoist's own variables. A step for which it does not hold stays in the plan, with
//! the reason.

mod expression;

use serde::{Deserialize, Serialize};

use super::cx::Cx;
use super::vars::Steps;
use crate::diag::{Diagnostic, either, list};
use crate::glob;
use crate::ignore::IgnoreFile;
use crate::interpolate::{Fault, Found};
use crate::spec::{At, OneOrMany, WhenSpec};

/// What `when` comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// The step is run.
    pub holds: bool,
    /// Why, or why not: a few words.
    pub reason: String,
}

/// Commits that a change is compared with, as CI systems name them: a variable, and what comes
/// before its value.
const CI_BASE: [(&str, &str); 6] = [
    ("GITHUB_BASE_REF", "origin/"),
    ("CI_MERGE_REQUEST_DIFF_BASE_SHA", ""),
    ("CI_COMMIT_BEFORE_SHA", ""),
    ("BUILDKITE_PULL_REQUEST_BASE_BRANCH", "origin/"),
    ("BITBUCKET_PR_DESTINATION_BRANCH", "origin/"),
    ("CHANGE_TARGET", "origin/"),
];

const KEYS: [&str; 5] = ["branch", "tag", "paths", "environment", "expression"];

const NO_STEPS: &str = "whether a step is run is decided before any step is";

/// One of the conditions.
type Condition = Option<(bool, String)>;

impl Cx<'_> {
    /// What a step's `when` comes to. Without one, and where it has a fault, there is nothing.
    pub(super) fn when(&mut self, id: &str, spec: Option<&WhenSpec>) -> Option<When> {
        let WhenSpec {
            branch,
            tag,
            paths,
            base,
            environment,
            expression,
        } = spec?;
        let mut all: Vec<Condition> = Vec::new();
        if let Some(patterns) = branch {
            let branch = self.branch();
            all.push(self.name_is("branch", "the branch is not known", branch, patterns));
        }
        if let Some(patterns) = tag {
            let tag = self.world.git.tag.clone();
            all.push(self.name_is("tag", "the commit has no tag", tag, patterns));
        }
        if let Some(patterns) = paths {
            all.push(self.changed(patterns, base.as_ref()));
        } else if let Some(base) = base {
            let fault = Diagnostic::error("there are no `paths` to compare", base.span.clone());
            self.fault(fault.help("say which: `paths = [\"src\"]`"));
        }
        for (name, patterns) in environment.iter().flatten() {
            all.push(self.variable_is(name, patterns));
        }
        all.extend(expression.as_ref().map(|at| self.expression(at)));
        if all.is_empty() {
            let told = KEYS
                .iter()
                .any(|key| self.is_told(&["steps", id, "when", key]));
            if base.is_none() && !told {
                let place = self.key_span(&["steps", id, "when"]);
                let fault = Diagnostic::error("`when` says nothing", place);
                self.fault(fault.help(format!("it can have {}", list(&KEYS))));
            }
            return None;
        }
        let all: Vec<(bool, String)> = all.into_iter().collect::<Option<_>>()?;
        let reason = match all.iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => reason.clone(),
            None => {
                let reasons: Vec<&str> = all.iter().map(|(_, reason)| reason.as_str()).collect();
                reasons.join(", ")
            }
        };
        let holds = all.iter().all(|(holds, _)| *holds);
        Some(When { holds, reason })
    }

    /// A branch or a tag against its patterns.
    fn name_is(
        &mut self,
        what: &str,
        unknown: &str,
        name: Option<String>,
        patterns: &OneOrMany,
    ) -> Condition {
        let patterns = self.patterns(&[what], patterns)?;
        let Some(name) = name else {
            return Some((false, unknown.to_owned()));
        };
        Some(match patterns.holds(&name) {
            true => (true, format!("the {what} is `{name}`")),
            false => (
                false,
                format!("the {what} is `{name}`, not {}", patterns.shown),
            ),
        })
    }

    /// A variable of hoist's environment against its patterns. Its value is never shown.
    fn variable_is(&mut self, name: &At<String>, patterns: &OneOrMany) -> Condition {
        if let Some(secret) = self.secret_of(&name.value) {
            let message = format!("`{}` is the value of the secret `{secret}`", name.value);
            let fault = Diagnostic::error(message, name.span.clone());
            self.fault(fault.help("what is run cannot hang from a secret; use another variable"));
            return None;
        }
        if name.value.is_empty() || name.value.contains(['=', '\0']) {
            let message = format!("`{}` is not the name of a variable", name.value);
            self.fault(Diagnostic::error(message, name.span.clone()));
            return None;
        }
        let patterns = self.patterns(&["environment", &name.value], patterns)?;
        let value = self.world.env.get(name.as_str());
        let holds = patterns.holds(value.map_or("", String::as_str));
        let name = &name.value;
        Some(match (holds, value) {
            (true, _) => (true, format!("{name} is {}", patterns.shown)),
            (false, None) => (false, format!("{name} is not set")),
            (false, Some(_)) => (false, format!("{name} is not {}", patterns.shown)),
        })
    }

    /// Notes that a key of `when` names nothing.
    fn nothing<T>(&mut self, path: &[&str]) -> Option<T> {
        let path: Vec<&str> = ["steps", self.step_key(), "when"]
            .into_iter()
            .chain(path.iter().copied())
            .collect();
        let key = path.last().copied().unwrap_or_default();
        let message = format!("`{key}` names nothing, so that it could never hold");
        let fault = Diagnostic::error(message, self.key_span(&path));
        self.fault(fault.help("leave it out, or name something"));
        None
    }

    fn patterns(&mut self, path: &[&str], all: &OneOrMany) -> Option<Patterns> {
        if all.0.is_empty() {
            return self.nothing(path);
        }
        let mut globs = Vec::new();
        let mut written = Vec::new();
        for at in &all.0 {
            let at = self.literal_at(at)?;
            let (negated, pattern) = match at.value.strip_prefix('!') {
                Some(pattern) => (true, pattern),
                None => (false, at.value.as_str()),
            };
            globs.push((negated, pattern.to_owned()));
            written.push(at.value);
        }
        let shown = either(&written);
        Some(Patterns { globs, shown })
    }

    /// Whether a file changed that the patterns name. Where that cannot be told the step is run.
    fn changed(&mut self, patterns: &OneOrMany, base: Option<&At<String>>) -> Condition {
        let mut rules = IgnoreFile::default();
        let mut written = Vec::new();
        for at in &patterns.0 {
            let at = self.literal_at(at)?;
            let cleaned = at.value.trim_start_matches('/');
            if cleaned.is_empty() {
                self.fault(Diagnostic::error("a path cannot be empty", at.span));
                return None;
            }
            if let Err(error) = rules.append(cleaned) {
                let fault = Diagnostic::error(error.to_string(), at.span);
                self.fault(fault.help("the rules of `paths` are those of `.dockerignore`"));
                return None;
            }
            written.push(at.value);
        }
        if written.is_empty() {
            return self.nothing(&["paths"]);
        }
        let named = match base {
            Some(base) => Some(self.literal_at(base)?),
            None => None,
        };
        let Some(base) = self.base(named.as_ref()) else {
            let reason = "everything counts as changed, as there is nothing to compare with";
            return Some((true, reason.into()));
        };
        let changed = match self.changes(&base) {
            Ok(changed) => changed,
            Err(why) => {
                let span = named.map_or_else(
                    || patterns.0.first().map(|at| at.span.clone()),
                    |at| Some(at.span),
                );
                let message = format!("what changed cannot be told: {why}");
                let warning = Diagnostic::warning(message, span.unwrap_or_default());
                self.fault(warning.help(
                    "the step is run; fetch more of the history, or name another commit with `base`",
                ));
                return Some((true, "everything counts as changed".into()));
            }
        };
        let first = changed.iter().find(|path| rules.is_ignored(path));
        Some(match first {
            Some(path) => (true, format!("`{path}` changed since `{base}`")),
            None => {
                let shown = either(&written);
                (false, format!("nothing in {shown} changed since `{base}`"))
            }
        })
    }

    /// The commit to compare with: hoist's own setting, the file's, or what the CI names.
    fn base(&self, named: Option<&At<String>>) -> Option<String> {
        let env = &self.world.env;
        let is_named = |value: &&String| !value.is_empty() && value.chars().any(|c| c != '0');
        let own = env.get("HOIST_BASE").filter(is_named).cloned();
        let named = named
            .map(|at| at.value.clone())
            .filter(|base| is_named(&base));
        let mut ci = CI_BASE.iter().filter_map(|(name, before)| {
            let value = env.get(*name).filter(is_named)?;
            Some(format!("{before}{value}"))
        });
        own.or(named).or_else(|| ci.next())
    }

    fn expression(&mut self, at: &At<String>) -> Condition {
        let text = at.value.as_str();
        let mut lookup = |name: &str, range: std::ops::Range<usize>| match self.find(
            name,
            range.clone(),
            at,
            Steps::Refused(NO_STEPS),
        )? {
            Found::Value(value) => Ok(value),
            Found::Unset | Found::Spare => Ok(String::new()),
            Found::Step(..) => Err(Some(Fault::new(range, NO_STEPS))),
        };
        let holds = match expression::holds(text, &mut lookup) {
            Ok(holds) => holds,
            Err(fault) => {
                if let Some(fault) = fault {
                    self.note(at, fault);
                }
                return None;
            }
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let verb = if holds { "holds" } else { "does not hold" };
        Some((holds, format!("`{}` {verb}", words.join(" "))))
    }
}

/// Patterns in their order.
struct Patterns {
    /// Each with whether it takes back.
    globs: Vec<(bool, String)>,
    /// As messages name them.
    shown: String,
}

impl Patterns {
    /// The last pattern that is like the name decides; where the first one takes back, it takes
    /// back from all.
    fn holds(&self, name: &str) -> bool {
        let start = self.globs.first().is_some_and(|(negated, _)| *negated);
        let last = self
            .globs
            .iter()
            .rev()
            .find(|(_, glob)| glob::matches(glob, name));
        last.map_or(start, |(negated, _)| !negated)
    }
}
