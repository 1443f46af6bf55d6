//! What a kind makes of a step's keys. The kinds' files each give one; the plan is put together
//! from them.

use std::ops::Range;

use super::StepKind;
use crate::image::ImageSource;
use crate::unit::Unit;

/// A step, lowered.
pub(crate) struct Lowered {
    pub(crate) kind: StepKind,
    pub(crate) unit: Unit,
    /// What the file relaxes of the default sealing, in words.
    pub(crate) relaxations: Vec<String>,
    /// Images that are scanned, pushed or deployed, and where each is named: what gates go by.
    pub(crate) images: Vec<(ImageSource, Range<usize>)>,
}
