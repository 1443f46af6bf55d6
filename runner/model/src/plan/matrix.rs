//! Matrices: a step with axes becomes one step, a cell, for each combination of their values.
//! `include` and `exclude` mean what they mean in GitHub Actions.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::cx::{Cx, FileIx, Matrix, Step};
use crate::diag::{Diagnostic, either};
use crate::ids::StepId;
use crate::spec::{At, Combination, MatrixSpec, Scalar};

/// A matrix has no more cells.
const MOST: usize = 256;

/// One combination of a matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// The step as the file names it.
    pub of: StepId,
    /// The values by axis, in the file's order.
    pub values: Vec<(String, String)>,
    /// How many cells of the step may run at once, where that is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<usize>,
}

/// A cell of the file.
#[derive(Clone, Debug)]
pub(super) struct CellAt {
    /// `unit[python=3.12,db=16]`.
    pub(super) name: String,
    pub(super) values: Vec<(String, String)>,
    /// The names that any cell of the step has.
    pub(super) keys: Rc<BTreeSet<String>>,
}

/// A combination in the making: how many of its values, the first ones, name it.
#[derive(Clone, Debug, Default)]
struct Draft {
    values: Vec<(String, String)>,
    naming: usize,
}

impl Draft {
    fn get(&self, key: &str) -> Option<&str> {
        let found = self.values.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    }

    /// What names the cell.
    fn shown(&self) -> String {
        let naming = self.values.iter().take(self.naming);
        let pairs: Vec<String> = naming
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        pairs.join(",")
    }

    fn set(&mut self, key: &str, value: &str) {
        match self.values.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => value.clone_into(old),
            None => self.values.push((key.to_owned(), value.to_owned())),
        }
    }
}

/// A key and its value as they are meant.
type Pair = (At<String>, String);

impl<'a> Cx<'a> {
    /// Puts the cells of each step that has a matrix into its place.
    pub(super) fn expand_matrices(&mut self) {
        for step in std::mem::take(&mut self.steps) {
            let first = self.steps.len();
            match &step.spec.matrix {
                None => self.steps.push(step),
                Some(spec) => match self.combinations(step.id, spec) {
                    Some(cells) => self.push_cells(step, cells),
                    None => self.steps.push(Step {
                        matrix: Matrix::Broken,
                        ..step
                    }),
                },
            }
            let cells = first..self.steps.len();
            self.by_name.insert(step.id.as_str(), cells);
            self.check_max_parallel(step);
        }
        for at in 0..self.steps.len() {
            self.by_cell.insert(self.name_of(at).to_owned(), at);
        }
    }

    fn push_cells(&mut self, step: Step<'a>, cells: Vec<Draft>) {
        let keys = cells.iter().flat_map(|cell| &cell.values);
        let keys: Rc<BTreeSet<String>> = Rc::new(keys.map(|(key, _)| key.clone()).collect());
        for cell in cells {
            self.steps.push(Step {
                matrix: Matrix::Cell(self.cells.len()),
                ..step
            });
            self.cells.push(CellAt {
                name: format!("{}[{}]", step.id.value, cell.shown()),
                values: cell.values,
                keys: Rc::clone(&keys),
            });
        }
    }

    fn check_max_parallel(&mut self, step: Step<'a>) {
        let Some(at) = &step.spec.max_parallel else {
            return;
        };
        if at.value == 0 {
            let message = "`max_parallel` cannot be 0";
            self.fault(Diagnostic::error(message, at.span.clone()));
        }
        if step.spec.matrix.is_none() && !self.is_told(&["steps", step.id.as_str(), "matrix"]) {
            let message = format!("the step `{}` has no matrix", step.id.value);
            let fault = Diagnostic::error(message, at.span.clone());
            self.fault(fault.help("`--jobs` bounds how many steps run at once"));
        }
    }

    /// The name of a step, a cell's with its values.
    pub(super) fn name_of(&self, step: FileIx) -> &str {
        let step = self.steps.get(step);
        step.map_or("", |step| match self.cell_at(*step) {
            Some(cell) => &cell.name,
            None => step.id.as_str(),
        })
    }

    /// Which cell a step is.
    pub(super) fn cell_at(&self, step: Step<'a>) -> Option<&CellAt> {
        match step.matrix {
            Matrix::Cell(at) => self.cells.get(at),
            Matrix::None | Matrix::Broken => None,
        }
    }

    /// The cell that a step is, for the plan.
    pub(super) fn cell(&self, step: Step<'a>) -> Option<Cell> {
        let max_parallel = step.spec.max_parallel.as_ref();
        Some(Cell {
            of: StepId::from(step.id.as_str()),
            values: self.cell_at(step)?.values.clone(),
            max_parallel: max_parallel.and_then(|at| usize::try_from(at.value).ok()),
        })
    }

    /// The values of the cell whose keys are being read.
    pub(crate) fn cell_values(&self) -> &[(String, String)] {
        let step = self.current.and_then(|at| self.steps.get(at));
        let cell = step.and_then(|step| self.cell_at(*step));
        cell.map_or(&[], |cell| &cell.values)
    }

    /// The combinations of a matrix; none if it has a fault, which was noted.
    fn combinations(&mut self, id: &At<String>, spec: &MatrixSpec) -> Option<Vec<Draft>> {
        let before = self.faults.len();
        let path = ["steps", id.as_str(), "matrix"];
        let told = self.is_told_below(&path);
        let mut axes: Vec<(String, Vec<String>)> = Vec::new();
        for (name, values) in &spec.axes {
            self.check_axis(name);
            axes.push((name.value.clone(), self.axis(name, values)));
        }
        if self.faults.len() > before {
            return None;
        }
        let count = axes.iter().try_fold(1_usize, |count, (_, values)| {
            count.checked_mul(values.len())
        });
        if count.is_none_or(|count| count > MOST) {
            let fault = Diagnostic::error(
                format!("the matrix has more than {MOST} cells"),
                self.key_span(&path),
            );
            self.fault(fault.help("split the step, or take values out of the axes"));
            return None;
        }
        let mut cells: Vec<Draft> = match axes.is_empty() {
            true => Vec::new(),
            false => vec![Draft::default()],
        };
        for (name, values) in &axes {
            let longer = |cell: &Draft| {
                let with = |value: &String| {
                    let mut cell = cell.clone();
                    cell.set(name, value);
                    cell.naming += 1;
                    cell
                };
                values.iter().map(with).collect::<Vec<_>>()
            };
            cells = cells.iter().flat_map(longer).collect();
        }
        for combination in &spec.exclude {
            self.exclude(combination, &axes, &mut cells);
        }
        let originals = cells.len();
        for combination in &spec.include {
            self.include(combination, &axes, &mut cells, originals);
        }
        if cells.is_empty() && self.faults.len() == before && !told {
            let fault = Diagnostic::error("the matrix has no cell", self.key_span(&path));
            self.fault(fault.help(match axes.is_empty() {
                true => "name an axis, such as `matrix.python = [\"3.11\", \"3.12\"]`",
                false => "`exclude` takes all of them out",
            }));
        }
        (self.faults.len() == before && !told).then_some(cells)
    }

    /// The values of an axis.
    fn axis(&mut self, name: &At<String>, values: &[At<Scalar>]) -> Vec<String> {
        if values.is_empty() {
            let message = format!("the axis `{}` has no value", name.value);
            self.fault(Diagnostic::error(message, name.span.clone()));
        }
        let mut seen: Vec<At<String>> = Vec::new();
        for at in values {
            let Some(at) = self.literal_at(at) else {
                continue;
            };
            self.check_value(&at);
            match seen.iter().find(|before| **before == at) {
                Some(before) => {
                    let message = format!("`{}` stands here twice", at.value);
                    let fault = Diagnostic::error(message, at.span);
                    self.fault(fault.context(before.span.clone(), "first here"));
                }
                None => seen.push(at),
            }
        }
        seen.into_iter().map(|at| at.value).collect()
    }

    fn check_axis(&mut self, name: &At<String>) {
        let starts = name
            .value
            .starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !starts || !name.value.chars().all(word) {
            let message = format!("`{}` cannot be the name of an axis", name.value);
            let fault = Diagnostic::error(message, name.span.clone());
            self.fault(fault.help("small letters, digits and `_` can; a step finds its value as the variable MATRIX_NAME"));
        }
    }

    /// A value has to be told from others in the name of its cell.
    fn check_value(&mut self, at: &At<String>) {
        let bad = |c: char| c.is_control() || matches!(c, ',' | '[' | ']' | '=' | '{' | '}');
        if at.value.is_empty() || at.value.contains(bad) || at.value.trim() != at.value {
            let message = format!("`{}` cannot be a value of a matrix", at.value);
            let fault = Diagnostic::error(message, at.span.clone());
            self.fault(
                fault.help("a value is not empty and has none of `,`, `=`, `[`, `]`, `{` and `}`"),
            );
        }
    }

    /// The keys and values of a combination, in the file's order.
    fn pairs(&mut self, combination: &At<Combination>) -> Option<Vec<Pair>> {
        let before = self.faults.len();
        let mut written: Vec<_> = combination.value.iter().collect();
        written.sort_by_key(|(key, _)| key.span.start);
        let mut pairs = Vec::new();
        for (key, value) in written {
            self.check_axis(key);
            if let Some(value) = self.literal_at(value) {
                self.check_value(&value);
                pairs.push((key.clone(), value.value));
            }
        }
        if pairs.is_empty() && self.faults.len() == before {
            let message = "this combination has no value";
            self.fault(Diagnostic::error(message, combination.span.clone()));
        }
        (self.faults.len() == before).then_some(pairs)
    }

    fn exclude(
        &mut self,
        combination: &At<Combination>,
        axes: &[(String, Vec<String>)],
        cells: &mut Vec<Draft>,
    ) {
        let Some(pairs) = self.pairs(combination) else {
            return;
        };
        let known: Vec<&str> = axes.iter().map(|(name, _)| name.as_str()).collect();
        let mut is_known = true;
        for (key, _) in &pairs {
            if !known.contains(&key.as_str()) {
                is_known = false;
                let message = format!("the matrix has no axis `{}`", key.value);
                self.unknown_name(key, message, known.iter().copied());
            }
        }
        let count = cells.len();
        let is_out = |cell: &Draft| {
            let mut pairs = pairs.iter();
            pairs.all(|(key, value)| cell.get(key.as_str()) == Some(value))
        };
        cells.retain(|cell| !is_out(cell));
        if is_known && cells.len() == count {
            let message = "no combination has these values";
            let fault = Diagnostic::error(message, combination.span.clone());
            let values = axes
                .iter()
                .map(|(name, values)| format!("`{name}` is {}", either(values)));
            self.fault(fault.help(values.collect::<Vec<_>>().join(", ")));
        }
    }

    /// Adds the values to each combination of the axes that agrees with them; where there is none,
    /// they are one of their own.
    fn include(
        &mut self,
        combination: &At<Combination>,
        axes: &[(String, Vec<String>)],
        cells: &mut Vec<Draft>,
        originals: usize,
    ) {
        let Some(pairs) = self.pairs(combination) else {
            return;
        };
        let is_axis = |key: &str| axes.iter().any(|(name, _)| name == key);
        let mut added = false;
        for cell in cells.iter_mut().take(originals) {
            let mut of_axes = pairs.iter().filter(|(key, _)| is_axis(key.as_str()));
            if of_axes.all(|(key, value)| cell.get(key.as_str()) == Some(value)) {
                added = true;
                for (key, value) in &pairs {
                    cell.set(key.as_str(), value);
                }
            }
        }
        if added {
            return;
        }
        let mut own = Draft::default();
        for (key, value) in &pairs {
            own.set(key.as_str(), value);
            own.naming += 1;
        }
        if cells.iter().any(|cell| cell.shown() == own.shown()) {
            let message = format!("two cells are called `{}`", own.shown());
            self.fault(Diagnostic::error(message, combination.span.clone()));
        } else if cells.len() == MOST {
            let message = format!("the matrix has more than {MOST} cells");
            self.fault(Diagnostic::error(message, combination.span.clone()));
        } else {
            cells.push(own);
        }
    }
}
