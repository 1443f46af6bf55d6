//! Where keys are.
pub(crate) struct Keys;
