//! Where the instructions of a Dockerfile stand: the model's reading of it, which is all that
//! progress and failures need. It refuses to read one in another way.

pub(crate) use hoist_model::dockerfile::{Dockerfile, Instruction};
