//! hoist.
fn main() {}
