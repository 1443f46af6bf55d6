//! What waits for what: `needs`, references, and the gates that scans are for what pushes or
//! deploys the same image.

use std::collections::{BTreeSet, HashMap};

use super::Edge;
use super::cells::NoCell;
use super::cx::{Cx, EdgeAt, FileIx, KindKey};
use super::make::Draft;
use super::reference::Reference;
use crate::diag::Diagnostic;
use crate::graph;
use crate::ids::StepId;
use crate::image::ImageSource;
use crate::spec::At;
use crate::text::{Piece, StepValue};
use crate::unit::{RequiredGate, ServiceUnit, Unit};

/// An image, whichever way it is named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Identity {
    Built(FileIx),
    Named(String),
}

impl<'a> Cx<'a> {
    /// Notes the edges of a step's `needs`.
    pub(super) fn read_needs(&mut self, from: FileIx, needs: Option<&Vec<At<String>>>) {
        let mut seen: HashMap<FileIx, std::ops::Range<usize>> = HashMap::new();
        for at in self.literals(needs) {
            let bound = match self.bind(&at.value) {
                Ok(bound) if bound.named && bound.cells.len() > 1 => {
                    Err(self.several(&at.value, &bound.cells))
                }
                bound => bound,
            };
            let cells = match bound {
                Ok(bound) => bound.cells,
                Err(none) => {
                    self.no_cell(&at, none);
                    continue;
                }
            };
            for to in cells {
                if self.steps.get(to).map(|step| step.id)
                    == self.steps.get(from).map(|step| step.id)
                {
                    let fault = Diagnostic::error("a step cannot need itself", at.span.clone());
                    self.fault(fault);
                } else if let Some(first) = seen.insert(to, at.span.clone()) {
                    let message = format!("`{}` stands here twice", at.value);
                    let fault = Diagnostic::error(message, at.span.clone());
                    self.fault(fault.context(first, "first here"));
                } else {
                    self.edges.push(EdgeAt {
                        from,
                        to,
                        why: Edge::Needs,
                        span: at.span.clone(),
                    });
                }
            }
        }
    }

    /// Notes that a name means no cell.
    fn no_cell(&mut self, at: &At<String>, none: NoCell) {
        if let Some(help) = none.help {
            self.fault(Diagnostic::error(none.message, at.span.clone()).help(help));
            return;
        }
        let names: Vec<&str> = match &none.meant {
            Some(meant) => vec![meant],
            None => self.step_keys(),
        };
        self.unknown_name(at, none.message, names);
    }

    /// Notes the edges from what pushes or deploys an image to the scans of it.
    pub(super) fn add_gates(&mut self, drafts: &[Draft]) {
        let mut scans: HashMap<Identity, Vec<(FileIx, &ImageSource)>> = HashMap::new();
        for (at, step) in drafts.iter().enumerate() {
            if self.kind_of(at) == Some(KindKey::Scan)
                && let Some((image, _)) = step.lowered.iter().flat_map(|step| &step.images).next()
                && let Some(identity) = self.identity(image, drafts)
            {
                scans.entry(identity).or_default().push((at, image));
            }
        }
        for (from, step) in drafts.iter().enumerate() {
            let guarded = matches!(self.kind_of(from), Some(KindKey::Push | KindKey::Deploy));
            for (image, span) in step
                .lowered
                .iter()
                .filter(|_| guarded)
                .flat_map(|step| &step.images)
            {
                let Some(identity) = self.identity(image, drafts) else {
                    continue;
                };
                for (to, scanned) in scans.get(&identity).into_iter().flatten() {
                    // A scan of what this very step pushed can only come after it.
                    if !self.is_pushed_by(scanned, from) {
                        let edge = EdgeAt {
                            from,
                            to: *to,
                            why: Edge::Gate,
                            span: span.clone(),
                        };
                        self.edges.push(edge);
                    }
                }
            }
        }
    }

    /// The steps for which each deploy waits and that look at an image which it deploys, in the order
    /// of the file. One that may fail holds nothing back.
    pub(super) fn required_gates(&self, drafts: &[Draft]) -> HashMap<FileIx, Vec<RequiredGate>> {
        let mut required = HashMap::new();
        for (deploy, draft) in drafts.iter().enumerate() {
            let Some(Unit::Release(release)) = draft.unit() else {
                continue;
            };
            let mut gates = Vec::new();
            for gate in self.waits_for(deploy) {
                let subject = drafts.get(gate).filter(|draft| draft.holds_back());
                let subject = subject.and_then(|draft| match draft.unit() {
                    Some(Unit::Container(unit)) => self.identity(unit.subject(), drafts),
                    _ => None,
                });
                let looks_at = |container: &&ServiceUnit| {
                    subject.is_some() && self.identity(&container.image, drafts) == subject
                };
                let containers = release.containers().filter(looks_at);
                gates.extend(containers.map(|container| RequiredGate {
                    step: StepId::from(self.name_of(gate)),
                    service: container.name.clone(),
                }));
            }
            required.insert(deploy, gates);
        }
        required
    }

    /// All that comes before a step, directly or through others.
    fn waits_for(&self, step: FileIx) -> BTreeSet<FileIx> {
        let mut found = BTreeSet::new();
        let mut left = vec![step];
        while let Some(from) = left.pop() {
            let before = self.edges.iter().filter(|edge| edge.from == from);
            left.extend(before.map(|edge| edge.to).filter(|to| found.insert(*to)));
        }
        found
    }

    fn is_pushed_by(&self, image: &ImageSource, push: FileIx) -> bool {
        let ImageSource::Name(text) = image else {
            return false;
        };
        text.references().any(|(step, value)| {
            *value == StepValue::Digest && self.by_cell.get(step.as_str()) == Some(&push)
        })
    }

    fn identity(&self, image: &ImageSource, drafts: &[Draft]) -> Option<Identity> {
        let mut image = image;
        // Each turn goes from a push to what it pushes; more turns than steps would be a circle.
        for _ in 0..=drafts.len() {
            let text = match image {
                ImageSource::Step(step) => {
                    return self
                        .by_cell
                        .get(step.as_str())
                        .copied()
                        .map(Identity::Built);
                }
                ImageSource::Name(text) => text,
            };
            let [Piece::Step { step, .. }] = text.0.as_slice() else {
                let name = Reference::parse(&text.as_literal()?).ok()?.canonical();
                return Some(Identity::Named(name));
            };
            let push = *self.by_cell.get(step.as_str())?;
            let Some(Unit::Push(unit)) = drafts.get(push)?.lowered.as_ref().map(|step| &step.unit)
            else {
                return None;
            };
            image = &unit.image;
        }
        None
    }

    /// The steps in an order in which each comes after those that it needs; faults of circles are
    /// noted.
    pub(super) fn order(&mut self) -> Option<Vec<FileIx>> {
        let mut needs: Vec<Vec<FileIx>> = vec![Vec::new(); self.steps.len()];
        for edge in &self.edges {
            if let Some(needs) = needs.get_mut(edge.from) {
                needs.push(edge.to);
            }
        }
        let circles = match graph::order(&needs) {
            Ok(order) => return Some(order),
            Err(circles) => circles,
        };
        for circle in circles {
            let fault = self.circle(&circle);
            self.fault(fault);
        }
        None
    }

    fn circle(&self, circle: &[FileIx]) -> Diagnostic {
        let name = |at: FileIx| self.name_of(at);
        let ends: Vec<FileIx> = circle
            .iter()
            .copied()
            .chain(circle.first().copied())
            .collect();
        let way: Vec<&str> = ends.iter().map(|at| name(*at)).collect();
        let mut fault: Option<Diagnostic> = None;
        for pair in ends.windows(2) {
            let [from, to] = *pair else { continue };
            let edges = self
                .edges
                .iter()
                .filter(|edge| edge.from == from && edge.to == to);
            let Some(edge) = edges.min_by_key(|edge| edge.why as u8) else {
                continue;
            };
            let why = match edge.why {
                Edge::Needs => format!("`{}` needs `{}`", name(from), name(to)),
                Edge::Reference => format!("`{}` uses what `{}` makes", name(from), name(to)),
                Edge::Gate => format!(
                    "`{}` waits for `{}`, which scans this image",
                    name(from),
                    name(to)
                ),
            };
            fault = Some(match fault {
                Some(fault) => fault.context(edge.span.clone(), why),
                None => {
                    let message = format!("steps wait for one another: {}", way.join(" -> "));
                    Diagnostic::error(message, edge.span.clone()).says(why)
                }
            });
        }
        fault.unwrap_or_else(|| Diagnostic::error_without_place("steps wait for one another"))
    }
}
