//! Every call of the backend on the engine in use. Without an engine each test is skipped by name.
//! Nothing here starts, stops or prunes an engine.

// Marked as tests, so that the lints for tests hold for their helpers too.
#[cfg(test)]
mod builds;
#[cfg(test)]
mod connecting;
#[cfg(test)]
mod containers;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod filesync;
#[cfg(test)]
mod images;
#[cfg(test)]
mod inside;
#[cfg(test)]
mod networks;
#[cfg(test)]
mod proxies;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
