//! What is known while a plan is made: the file, the world, the faults found so far. The files
//! beside this one add what can be asked of it; lowering a step asks and never looks for itself.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use super::files::FileCache;
use super::images::Made;
use super::matrix::CellAt;
use super::vars::VarState;
use super::{Edge, Surroundings};
use crate::diag::{Diagnostic, Severity, list, near};
use crate::spec::{At, KeyPlace, Keys, PipelineSpec, StepSpec};
use crate::unit::Limits;

/// From here on no names are suggested.
const MANY_FAULTS: usize = 200;

/// A step's place in the file's order. Plans have an order of their own.
pub(crate) type FileIx = usize;

/// What makes a step, as the file has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KindKey {
    Run,
    Build,
    Scan,
    Push,
    Deploy,
}

/// A step of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    pub(crate) id: &'a At<String>,
    pub(crate) spec: &'a StepSpec,
    /// Absent where the file does not make it clear; that was told then.
    pub(crate) kind: Option<KindKey>,
    pub(super) matrix: Matrix,
}

/// What a step's matrix makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matrix {
    /// There is none.
    None,
    /// It has a fault, which was told.
    Broken,
    /// The step is this one of [`Cx::cells`].
    Cell(usize),
}

/// One step waits for another.
#[derive(Clone, Debug)]
pub(crate) struct EdgeAt {
    pub(crate) from: FileIx,
    pub(crate) to: FileIx,
    pub(crate) why: Edge,
    pub(crate) span: Range<usize>,
}

/// What is known while a plan is made.
pub(crate) struct Cx<'a> {
    pub(crate) spec: &'a PipelineSpec,
    pub(crate) world: &'a Surroundings<'a>,
    /// The steps in the file's order, each cell of a matrix one of them.
    pub(crate) steps: Vec<Step<'a>>,
    pub(super) cells: Vec<CellAt>,
    /// The cells of each step, by its name in the file; a step without a matrix is its only one.
    pub(super) by_name: HashMap<&'a str, Range<FileIx>>,
    /// Each by its name in the plan.
    pub(super) by_cell: HashMap<String, FileIx>,
    /// The step whose keys are being read, if it is one's.
    pub(super) current: Option<FileIx>,
    /// Nothing will be done with what is being read: its step is not run.
    pub(crate) spared: bool,
    pub(super) edges: Vec<EdgeAt>,
    pub(super) vars: HashMap<&'a str, VarState>,
    pub(super) vars_busy: Vec<&'a str>,
    pub(super) made: HashMap<String, Made>,
    pub(super) files: FileCache,
    /// By step: the files of the project whose content stands in the plan.
    pub(super) sources: BTreeMap<String, BTreeSet<String>>,
    /// The bounds of a run step that says nothing.
    pub(crate) run_limits: Limits,
    /// Labels that every built image gets.
    pub(crate) image_labels: BTreeMap<String, String>,
    pub(crate) environments: BTreeMap<String, crate::unit::EnvironmentPlan>,
    pub(crate) claims: super::clashes::Claims,
    keys: OnceCell<Keys<'a>>,
    /// Keys of which something was told, so that it need not be said that they are missing.
    told: Vec<Vec<String>>,
    pub(super) faults: Vec<Diagnostic>,
}

impl KindKey {
    pub(crate) const ALL: [Self; 5] =
        [Self::Run, Self::Build, Self::Scan, Self::Push, Self::Deploy];

    /// The key.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Build => "build",
            Self::Scan => "scan",
            Self::Push => "push",
            Self::Deploy => "deploy",
        }
    }
}

impl<'a> Cx<'a> {
    pub(super) fn new(spec: &'a PipelineSpec, world: &'a Surroundings<'a>) -> Self {
        Self {
            spec,
            world,
            steps: Vec::new(),
            cells: Vec::new(),
            by_name: HashMap::new(),
            by_cell: HashMap::new(),
            current: None,
            sources: BTreeMap::new(),
            spared: false,
            edges: Vec::new(),
            vars: HashMap::new(),
            vars_busy: Vec::new(),
            made: HashMap::new(),
            files: FileCache::default(),
            run_limits: Limits::SEALED,
            image_labels: super::labels::of(&world.git),
            environments: BTreeMap::new(),
            claims: super::clashes::Claims::default(),
            keys: OnceCell::new(),
            told: spec.broken.clone(),
            faults: spec.faults.clone(),
        }
    }

    /// Notes a fault or a warning.
    pub(crate) fn fault(&mut self, fault: Diagnostic) {
        self.faults.push(fault);
    }

    /// The name of the step whose keys are being read, a cell's with its values; empty between
    /// steps.
    pub(crate) fn step_name(&self) -> &str {
        self.current.map_or("", |at| self.name_of(at))
    }

    /// The same as the file has it.
    pub(super) fn step_key(&self) -> &'a str {
        let step = self.current.and_then(|at| self.steps.get(at));
        step.map_or("", |step| step.id.as_str())
    }

    /// Where a key is.
    pub(crate) fn key(&self, path: &[&str]) -> Option<KeyPlace> {
        self.keys
            .get_or_init(|| Keys::read(&self.spec.file.text))
            .find(path)
    }

    /// The place of a key, or of the nearest table above it that is there.
    pub(crate) fn key_span(&self, path: &[&str]) -> Range<usize> {
        let nearest = (1..=path.len())
            .rev()
            .find_map(|parts| self.key(path.get(..parts)?));
        nearest.map(|place| place.key).unwrap_or_default()
    }

    /// Something was told of this key already, or of one that was probably meant to be it.
    pub(crate) fn is_told(&self, path: &[&str]) -> bool {
        let is_start = |told: &Vec<String>| {
            told.len() <= path.len() && told.iter().zip(path).all(|(told, part)| told == part)
        };
        self.told.iter().any(is_start)
    }

    /// Something was told of a key below this one already.
    pub(super) fn is_told_below(&self, path: &[&str]) -> bool {
        let is_below = |told: &Vec<String>| {
            told.len() > path.len() && told.iter().zip(path).all(|(told, part)| told == part)
        };
        self.told.iter().any(is_below)
    }

    /// That this key is missing need not be said any more.
    pub(crate) fn tell(&mut self, path: &[&str]) {
        self.told
            .push(path.iter().map(|part| (*part).to_owned()).collect());
    }

    /// A value that has to be there. `path` is its key's.
    pub(crate) fn required<'v, T>(&mut self, value: Option<&'v T>, path: &[&str]) -> Option<&'v T> {
        if value.is_none() && !self.is_told(path) {
            let (key, table) = path.split_last()?;
            self.fault(match table {
                [] => Diagnostic::error_without_place(format!("`{key}` is missing"))
                    .help(format!("write it at the top: `{key} = \"...\"`")),
                _ => {
                    let message = format!("`{}` needs `{key}`", table.join("."));
                    Diagnostic::error(message, self.key_span(table))
                }
            });
        }
        value
    }

    /// A name that should be one of some, and is none.
    pub(crate) fn unknown_name<'n>(
        &mut self,
        name: &At<impl AsRef<str>>,
        message: String,
        known: impl IntoIterator<Item = &'n str>,
    ) {
        let known: Vec<&str> = known.into_iter().collect();
        let mut fault = Diagnostic::error(message, name.span.clone());
        if let Some(meant) = self.near(name.as_str(), known.iter().copied()) {
            fault = fault.help(format!("did you mean `{meant}`?"));
            if let Some(quote) = self.quote(name) {
                fault = fault.suggest(name.span.clone(), format!("{quote}{meant}{quote}"));
            }
        } else if (1..=12).contains(&known.len()) {
            fault = fault.help(format!("there is only {}", list(&known)));
        }
        self.fault(fault);
    }

    /// A name like the one that is wrong. With very many faults none is looked for, as each is
    /// compared with all.
    pub(super) fn near<'n>(
        &self,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) -> Option<&'n str> {
        (self.faults.len() < MANY_FAULTS)
            .then(|| near(name, known))
            .flatten()
    }

    /// The quote around a name that is written as it is, none around a bare key. What came from
    /// elsewhere by interpolation cannot be replaced where it is used.
    fn quote(&self, name: &At<impl AsRef<str>>) -> Option<&'static str> {
        let raw = self.spec.file.text.get(name.span.clone())?;
        let around = |quote: &&str| {
            let inner = raw
                .strip_prefix(quote)
                .and_then(|rest| rest.strip_suffix(quote));
            inner == Some(name.as_str())
        };
        ["", "\"", "'"].into_iter().find(|quote| around(quote))
    }

    /// What was found, in the order of its places.
    pub(super) fn into_faults(self) -> Vec<Diagnostic> {
        let mut faults = self.faults;
        faults.sort_by_key(|fault| (fault.offset(), std::cmp::Reverse(fault.severity)));
        // Each cell of a matrix tells the same of what all of them share.
        let mut told: Vec<Diagnostic> = Vec::new();
        for fault in faults {
            let here = |before: &&Diagnostic| before.offset() == fault.offset();
            if !told
                .iter()
                .rev()
                .take_while(here)
                .any(|before| *before == fault)
            {
                told.push(fault);
            }
        }
        told
    }

    pub(super) fn has_errors(&self) -> bool {
        self.faults
            .iter()
            .any(|fault| fault.severity == Severity::Error)
    }
}
