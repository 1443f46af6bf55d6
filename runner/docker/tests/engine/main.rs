//! Every call of the backend on the engine in use. Without an engine each test is skipped by name.
//! Nothing here starts, stops or prunes an engine.

mod connecting;
mod containers;
mod images;
mod networks;
mod streams;
mod support;
