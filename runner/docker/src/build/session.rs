//! A build's session with the engine's BuildKit: what the engine may ask hoist for while it builds.

mod filesync;
