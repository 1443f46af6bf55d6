//! Text that holds references which only a run can resolve, such as `${steps.image.image}`. All
//! other interpolation is over when a plan exists, and this type refuses to know of it.

use serde::{Deserialize, Serialize};

use crate::ids::StepId;

/// A string of the plan: literal pieces and references to what steps make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(pub Vec<Piece>);

/// One piece of a [`Text`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// Text as it is.
    Literal(String),
    /// What a step makes.
    Step {
        /// The step that makes it.
        step: StepId,
        /// Which of its values.
        value: StepValue,
    },
}

/// What can be asked of a step in a reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepValue {
    /// `${steps.ID.image}` of a build: a name by which the engine finds the image.
    Image,
    /// `${steps.ID.digest}` of a push: `repository@sha256:...`.
    Digest,
    /// `${steps.ID.artifacts.NAME}` of a run: what it left under that name. It has no text.
    Artifact(String),
    /// `${steps.ID.outputs.KEY}` of a run: the value that it gave that key.
    Output(String),
}

impl Text {
    /// Text without references.
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        Self(vec![Piece::Literal(text.into())])
    }

    /// The text, if nothing in it waits for a run.
    #[must_use]
    pub fn as_literal(&self) -> Option<String> {
        self.resolve(|_, _| None::<String>)
    }

    /// The text with each reference replaced by what `lookup` gives; `None` as soon as it gives none.
    pub fn resolve<S: AsRef<str>>(
        &self,
        mut lookup: impl FnMut(&StepId, &StepValue) -> Option<S>,
    ) -> Option<String> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Step { step, value } => out.push_str(lookup(step, value)?.as_ref()),
            }
        }
        Some(out)
    }

    /// The steps that this text refers to, in order, with repeats.
    pub fn references(&self) -> impl Iterator<Item = (&StepId, &StepValue)> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Step { step, value } => Some((step, value)),
        })
    }
}

impl std::fmt::Display for Text {
    /// As it was written, references in their `${...}` form.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => f.write_str(text)?,
                Piece::Step { step, value } => write!(f, "${{steps.{step}.{value}}}")?,
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for StepValue {
    /// As a reference has it after the step's name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Image => f.write_str("image"),
            Self::Digest => f.write_str("digest"),
            Self::Artifact(name) => write!(f, "artifacts.{name}"),
            Self::Output(key) => write!(f, "outputs.{key}"),
        }
    }
}
