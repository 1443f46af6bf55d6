//! The proxy in front of services: what it is told, and what it tells. Pure: texts are made here and
//! read here, and other rooms put them on an engine and fetch them. Refused here: to speak to a proxy
//! while it runs. There is no admin socket; what a proxy does is what its configuration says, so one
//! that starts anew does the same.

pub(crate) mod canary;
pub(crate) mod certificate;
mod config;
mod front;
mod log;
mod share;
#[cfg(test)]
mod tests;

pub(crate) use certificate::{Certificate, Expiry};
pub(crate) use config::{Config, FOLDER, Listen, Part, Server, ServerName, Services, listened};
pub(crate) use front::{Front, Refront};
pub(crate) use log::{Request, proved, requests, unqualified};
pub(crate) use share::{BOTH, Claim, Share, Shares, Unreadable, qualified};
