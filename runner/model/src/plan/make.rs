//! Making a plan: the file is read for what it means, each step lowered, the edges found, and the
//! steps put in order. Faults are collected all the way, so that all are told at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::attempts::Attempts;
use super::cx::{Cx, FileIx, KindKey, Matrix, Step};
use super::settings::Tools;
use super::{Edge, Need, PROJECT_LABEL, Plan, PlannedStep, Surroundings, When};
use crate::attempts::AllowFailure;
use crate::diag::Diagnostic;
use crate::ids::StepId;
use crate::spec::{At, PipelineSpec, StepSpec};
use crate::step::lowered::Lowered;
use crate::step::volumes::unused;
use crate::step::{build, deploy, push, run, scan};
use crate::unit::{Limits, Unit};

/// The longest that a step may take if nothing is said.
const TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// A plan, and what people should know of it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// By the name of a step: the files of the project whose content stands in the plan for it.
    pub sources: BTreeMap<String, BTreeSet<String>>,
    /// Warnings, in the order of their places.
    pub warnings: Vec<Diagnostic>,
}

/// Makes the plan of a file: checks all of it, resolves names, finds the edges and lowers each
/// step. It touches nothing but `surroundings`.
///
/// # Errors
/// All that is wrong with the file, in the order of its places; warnings among them.
pub fn make(
    spec: &PipelineSpec,
    surroundings: &Surroundings<'_>,
) -> Result<Planned, Vec<Diagnostic>> {
    let mut cx = Cx::new(spec, surroundings);
    let name = cx.read_project_name();
    let timeout = cx.some_time("timeout", spec.timeout.as_ref());
    let owner = name
        .iter()
        .map(|name| (PROJECT_LABEL.to_owned(), name.clone()));
    cx.image_labels.extend(owner);
    cx.find_steps();
    cx.read_vars();
    cx.expand_matrices();
    let secrets = cx.read_secrets();
    let registries = cx.read_registries();
    let reports = cx.read_reports();
    let gc = cx.read_gc();
    cx.read_environments();
    let drafts = cx.lower_steps();
    unused(&mut cx);
    cx.add_gates(&drafts);
    let order = cx.order();
    let steps = order.and_then(|order| cx.in_order(&order, drafts));
    let (Some(name), Some(steps), false) = (name, steps, cx.has_errors()) else {
        return Err(cx.into_faults());
    };
    let never_sent = super::settings::never_sent(&secrets, &reports);
    let environments = std::mem::take(&mut cx.environments);
    let mut plan = Plan {
        name,
        timeout,
        steps,
        environments,
        secrets,
        registries,
        reports,
        gc,
        never_sent,
    };
    super::skip(&mut plan, |_| false);
    Ok(Planned {
        plan,
        sources: std::mem::take(&mut cx.sources),
        warnings: cx.into_faults(),
    })
}

/// A step that was lowered and has no place among the others yet.
pub(super) struct Draft {
    /// Absent if the step has a fault.
    pub(super) lowered: Option<Lowered>,
    timeout: Duration,
    when: Option<When>,
    attempts: Attempts,
}

impl Draft {
    pub(super) fn unit(&self) -> Option<&Unit> {
        self.lowered.as_ref().map(|lowered| &lowered.unit)
    }

    /// What needs it does not go on when it fails.
    pub(super) fn holds_back(&self) -> bool {
        self.attempts.allow_failure == AllowFailure::No
    }
}

impl<'a> Cx<'a> {
    /// Finds the steps and what kind each is.
    fn find_steps(&mut self) {
        let spec = self.spec;
        let mut steps: Vec<(&At<String>, &Box<StepSpec>)> = spec.steps.iter().collect();
        steps.sort_by_key(|(id, _)| id.span.start);
        for (at, (id, spec)) in steps.into_iter().enumerate() {
            self.name("a step", id);
            let kind = self.kind(id, spec);
            self.by_name.insert(id.as_str(), at..at + 1);
            self.steps.push(Step {
                id,
                spec,
                kind,
                matrix: Matrix::None,
            });
        }
        if self.steps.is_empty() && !self.is_told(&["steps"]) {
            let fault = Diagnostic::error_without_place("a pipeline needs a step");
            self.fault(fault.help("begin with `[steps.test]`, an `image` and what to `run`"));
        }
    }

    /// What makes a step: exactly one key does.
    fn kind(&mut self, id: &At<String>, spec: &StepSpec) -> Option<KindKey> {
        let has = |kind: &KindKey| match kind {
            KindKey::Run => spec.run.is_some(),
            KindKey::Build => spec.build.is_some(),
            KindKey::Scan => spec.scan.is_some(),
            KindKey::Push => spec.push.is_some(),
            KindKey::Deploy => spec.deploy.is_some(),
        };
        let kinds: Vec<KindKey> = KindKey::ALL.into_iter().filter(has).collect();
        match kinds.as_slice() {
            [kind] => return Some(*kind),
            [] => {
                let path = |kind: KindKey| ["steps", id.as_str(), kind.name()];
                if KindKey::ALL
                    .into_iter()
                    .any(|kind| self.is_told(&path(kind)))
                {
                    return None;
                }
                let fault = if spec.image.is_some() {
                    let message = format!(
                        "the step `{}` has an image and nothing to run on it",
                        id.value
                    );
                    Diagnostic::error(message, id.span.clone()).help("say what to `run`")
                } else {
                    Diagnostic::error(
                        format!("the step `{}` does nothing", id.value),
                        id.span.clone(),
                    )
                    .help("a step has one of `run`, `build`, `scan`, `push` and `deploy`")
                };
                self.fault(fault);
            }
            several => {
                let names: Vec<&str> = several.iter().map(|kind| kind.name()).collect();
                let message = format!(
                    "the step `{}` is several at once: {}",
                    id.value,
                    crate::diag::list(&names)
                );
                let mut spans: Vec<_> = names
                    .iter()
                    .map(|name| self.key_span(&["steps", &id.value, name]))
                    .collect();
                spans.sort_by_key(|span| std::cmp::Reverse(span.start));
                let mut spans = spans.into_iter();
                let fault = Diagnostic::error(message, spans.next().unwrap_or_default());
                let fault = spans.fold(fault, |fault, span| fault.context(span, "and this"));
                self.fault(fault.help("make a step of each"));
            }
        }
        None
    }

    fn read_project_name(&mut self) -> Option<String> {
        let at = self.required(self.spec.name.as_ref(), &["name"])?;
        let at = self.literal_at(at)?;
        self.name("a project", &at);
        Some(at.value)
    }

    /// Lowers each step. Builds and pushes come first, since others may name what they make.
    fn lower_steps(&mut self) -> Vec<Draft> {
        let defaults = self.spec.defaults.as_ref();
        let resources = defaults.and_then(|all| all.resources.as_ref());
        self.run_limits = self.limits(resources, Limits::SEALED);
        let timeout = self.some_time("timeout", defaults.and_then(|all| all.timeout.as_ref()));
        let timeout = timeout.unwrap_or(TIMEOUT);
        let tools = self.read_tools();
        let mut drafts: Vec<Draft> = self
            .steps
            .iter()
            .map(|_| Draft {
                lowered: None,
                timeout,
                when: None,
                attempts: Attempts::default(),
            })
            .collect();
        let mut order: Vec<FileIx> = (0..drafts.len()).collect();
        order.sort_by_key(|at| match self.kind_of(*at) {
            Some(KindKey::Build) => 0,
            Some(KindKey::Push) => 1,
            _ => 2,
        });
        for at in order {
            let Some(step) = self.steps.get(at).copied() else {
                continue;
            };
            self.current = Some(at);
            self.read_needs(at, step.spec.needs.as_ref());
            let timeout = self
                .some_time("timeout", step.spec.timeout.as_ref())
                .unwrap_or(timeout);
            let when = self.when(step.id.as_str(), step.spec.when.as_ref());
            self.spared = when.as_ref().is_some_and(|when| !when.holds);
            let lowered = self.lower(step, &tools, timeout);
            self.spared = false;
            let attempts = self.attempts(step);
            if let Some(draft) = drafts.get_mut(at) {
                *draft = Draft {
                    lowered,
                    timeout,
                    when,
                    attempts,
                };
            }
        }
        self.current = None;
        drafts
    }

    fn lower(&mut self, step: Step<'a>, tools: &Tools, timeout: Duration) -> Option<Lowered> {
        let (id, spec) = (step.id.as_str(), step.spec);
        if step.kind? != KindKey::Run {
            self.refuse_keys_of_run(step);
        }
        match step.kind? {
            KindKey::Run => run::lower(self, id, spec),
            KindKey::Build => build::lower(self, id, spec.build.as_ref()?),
            KindKey::Scan => {
                let scanner = tools.scanner.as_ref();
                scan::lower(self, id, spec.scan.as_ref()?, scanner, timeout)
            }
            KindKey::Push => push::lower(self, id, spec.push.as_ref()?),
            KindKey::Deploy => {
                let proxy = tools.haproxy.as_deref();
                deploy::lower(self, id, spec.deploy.as_ref()?, proxy, timeout)
            }
        }
    }

    /// Notes the keys that only a `run` step has.
    fn refuse_keys_of_run(&mut self, step: Step<'a>) {
        let StepSpec {
            needs: _,
            timeout: _,
            when: _,
            retry: _,
            allow_failure: _,
            always: _,
            matrix: _,
            max_parallel: _,
            image,
            run: _,
            environment,
            working_dir,
            user,
            tmpfs,
            read_only,
            network,
            cap_add,
            shm_size,
            resources,
            source,
            source_ignorefile,
            secrets,
            stop_grace_period,
            stop_signal,
            cache,
            artifacts,
            inputs,
            outputs,
            volumes,
            services,
            build: _,
            scan: _,
            push: _,
            deploy: _,
        } = step.spec;
        let keys = [
            ("image", image.is_some()),
            ("environment", environment.is_some()),
            ("working_dir", working_dir.is_some()),
            ("user", user.is_some()),
            ("tmpfs", tmpfs.is_some()),
            ("read_only", read_only.is_some()),
            ("network", network.is_some()),
            ("cap_add", cap_add.is_some()),
            ("shm_size", shm_size.is_some()),
            ("resources", resources.is_some()),
            ("source", source.is_some()),
            ("source_ignorefile", source_ignorefile.is_some()),
            ("secrets", secrets.is_some()),
            ("stop_grace_period", stop_grace_period.is_some()),
            ("stop_signal", stop_signal.is_some()),
            ("cache", cache.is_some()),
            ("artifacts", artifacts.is_some()),
            ("inputs", inputs.is_some()),
            ("outputs", outputs.is_some()),
            ("volumes", volumes.is_some()),
            ("services", !services.is_empty()),
        ];
        let kind = step.kind.map_or("", KindKey::name);
        for (key, _) in keys.into_iter().filter(|(_, is_there)| *is_there) {
            let span = self.key_span(&["steps", step.id.as_str(), key]);
            let message = format!("`{key}` belongs to a run step, and this is a {kind}");
            let fault = Diagnostic::error(message, span);
            self.tell(&["steps", step.id.as_str(), kind, key]);
            self.fault(match (key, kind) {
                ("image", "scan" | "push") => {
                    fault.help(format!("put it into `[steps.{}.{kind}]`", step.id.value))
                }
                ("environment", "build") => fault.help("a build takes `args`"),
                ("network" | "secrets" | "shm_size", "build") => {
                    fault.help(format!("put it into `[steps.{}.build]`", step.id.value))
                }
                ("services", "deploy") => fault.help(format!(
                    "those of a deploy are in `[steps.{}.deploy.services.NAME]`",
                    step.id.value
                )),
                (_, "deploy") => fault.help(format!(
                    "put it into a service: `[steps.{}.deploy.services.NAME]`",
                    step.id.value
                )),
                _ => fault,
            });
        }
    }

    /// The steps of the plan, in the given order.
    fn in_order(&self, order: &[FileIx], drafts: Vec<Draft>) -> Option<Vec<PlannedStep>> {
        let mut place = vec![0; order.len()];
        for (at, from) in order.iter().enumerate() {
            *place.get_mut(*from)? = at;
        }
        let mut needs: Vec<Vec<Need>> = vec![Vec::new(); order.len()];
        for edge in &self.edges {
            let need = Need {
                step: *place.get(edge.to)?,
                why: edge.why,
            };
            needs.get_mut(edge.from)?.push(need);
        }
        let mut required = self.required_gates(&drafts);
        let mut drafts: Vec<Option<Draft>> = drafts.into_iter().map(Some).collect();
        let lines = Lines::of(&self.spec.file.text);
        order
            .iter()
            .map(|at| {
                let step = self.steps.get(*at)?;
                let draft = drafts.get_mut(*at)?.take()?;
                let Lowered {
                    kind,
                    mut unit,
                    relaxations,
                    images: _,
                } = draft.lowered?;
                if let Unit::Release(release) = &mut unit {
                    release.gates = required.remove(at).unwrap_or_default();
                }
                Some(PlannedStep {
                    id: StepId::from(self.name_of(*at)),
                    cell: self.cell(*step),
                    kind,
                    line: lines.number(step.id.span.start),
                    needs: once(std::mem::take(needs.get_mut(*at)?)),
                    timeout: draft.timeout,
                    retry: draft.attempts.retry,
                    allow_failure: draft.attempts.allow_failure,
                    always: draft.attempts.always,
                    when: draft.when,
                    skip: None,
                    unit,
                    relaxations,
                })
            })
            .collect()
    }
}

/// Each step once, with the reason that says most: a gate before a reference before `needs`.
fn once(mut needs: Vec<Need>) -> Vec<Need> {
    let weight = |edge: Edge| match edge {
        Edge::Gate => 0,
        Edge::Reference => 1,
        Edge::Needs => 2,
    };
    needs.sort_by_key(|need| (need.step, weight(need.why)));
    needs.dedup_by_key(|need| need.step);
    needs
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(
            std::iter::once(0)
                .chain(ends.map(|(at, _)| at + 1))
                .collect(),
        )
    }

    /// The line of a byte, from 1.
    fn number(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
}
