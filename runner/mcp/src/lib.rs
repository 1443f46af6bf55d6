//! hoist's MCP server: tools by which an agent runs pipelines, waits for them, reads what came of
//! them and cancels them, over the engine and the run folders of the command line.
//!
//! The only crate that names rmcp. It refuses to know Docker, the command line or a renderer:
//! whatever it needs of the process around it is a [`Host`]. It prints nothing, offers no raw call
//! to an engine, and starts nothing but what a checked-in file declares.

mod answer;
mod approval;
mod asking;
mod folders;
mod host;
mod http;
mod journal;
mod lines;
mod progress;
mod prompts;
mod resources;
mod runs;
mod server;
mod state;
mod stdio;
mod summary;
mod text;
mod tools;
mod wait;

pub use host::{Fault, Form, Host, Project};
pub use http::{Listen, Listener, Token, http};
pub use server::{Server, Settings};
pub use stdio::stdio;
