//! What a step is made of, part by part, why it ran or did not, and what changed between two runs
//! of it. Digests come from the engine crate; here they are compared. No part holds a secret's
//! value, nor a digest from which one could be guessed.

mod explanation;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::RunId;
use crate::reason::Trouble;

pub use explanation::{Changed, Explained, Explanation, FileChange, FileChanges};

/// What a build or a container is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepInputs {
    /// Of all parts together: what has the same digest comes to the same. Absent where a part could
    /// not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// In their order, each once.
    pub parts: Vec<Input>,
}

/// One part of what a step is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Which.
    #[serde(flatten)]
    pub part: Part,
    /// Of its content, in hexadecimal digits.
    pub digest: String,
    /// Its content in a few words, where it is short and no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
}

/// What can be part of a step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "part", content = "name", rename_all = "snake_case")]
pub enum Part {
    /// The folder that COPY and ADD take from.
    Context,
    /// A further folder.
    NamedContext(String),
    /// The copy of the project that a container gets.
    Source,
    /// What an earlier step left, by where a container gets it and what it is.
    Given(String, String),
    /// The image that a container runs on.
    Image,
    /// The image that is scanned.
    Scanned,
    /// The data of a tool.
    Data(String),
    /// What a container executes.
    Command,
    /// A variable of a container.
    Variable(String),
    /// A service beside the step: its image.
    Service(String),
    /// The Dockerfile's text.
    Dockerfile,
    /// An image that is taken from, by the name that the Dockerfile gives it.
    Base(String),
    /// A build argument.
    Argument(String),
    /// A secret.
    Secret(String),
    /// An agent of ssh.
    Agent(String),
    /// The stage to build.
    Target,
    /// What is built for.
    Platform,
    /// A label that the file gives.
    Label(String),
    /// A way out.
    Network,
    /// Anything else that the file says of it: a bound, a host, a cache to fill.
    Option(String),
}

impl fmt::Display for Part {
    /// As people call it: `the build argument VERSION`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Context => f.write_str("the context"),
            Self::NamedContext(name) => write!(f, "the context {name}"),
            Self::Source => f.write_str("the source"),
            Self::Given(target, what) => write!(f, "{what}, given as {target}"),
            Self::Image => f.write_str("the step's image"),
            Self::Scanned => f.write_str("the scanned image"),
            Self::Data(title) => f.write_str(title),
            Self::Command => f.write_str("the command"),
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::Service(name) => write!(f, "the image of the service {name}"),
            Self::Dockerfile => f.write_str("the Dockerfile"),
            Self::Base(name) => write!(f, "the image {name}"),
            Self::Argument(name) => write!(f, "the build argument {name}"),
            Self::Secret(name) => write!(f, "the secret {name}"),
            Self::Agent(name) => write!(f, "the ssh agent {name}"),
            Self::Target => f.write_str("the target"),
            Self::Platform => f.write_str("the platform"),
            Self::Label(name) => write!(f, "the label {name}"),
            Self::Network => f.write_str("the network"),
            Self::Option(name) => write!(f, "the option {name}"),
        }
    }
}

/// Why a step ran, or did not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It did not: an earlier run did the same, and what it made is still there.
    Reused(EarlierRun),
    /// It did not: the run does again what another one did, and this is taken from that.
    Taken(EarlierRun),
    /// It ran: no earlier run of these inputs is known on this engine.
    New,
    /// It ran: what an earlier run made of the same is no longer there.
    Gone(EarlierRun),
    /// It ran: it is to run whatever is known.
    Forced(Vec<Force>),
    /// It ran: whether its inputs are the same cannot be told.
    Unsettled(Vec<Unsettled>),
}

/// The run that did what was not done again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierRun {
    /// The run.
    pub run: RunId,
    /// When it had done it.
    pub at: Timestamp,
}

/// What makes a step run whatever is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Force {
    /// `pull`: a registry may have newer base images.
    Pull,
    /// `no_cache`, in the file or on the command line.
    NoCache,
    /// `no_cache_filter`: some stages are to run again.
    NoCacheFilter,
    /// It has a network, and `cache` does not say that it is the same each time.
    Network,
    /// It has a volume that is kept between runs, and `cache` does not say that it is the same each
    /// time.
    Volume,
    /// `cache = false`.
    Off,
}

/// What keeps inputs from being told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsettled {
    /// The engine has no image of that name, and no digest pins it: the builder asks a registry.
    Base(String),
    /// An image is wanted for another platform than the engine's own, and no digest pins it.
    ForeignBase {
        /// The image.
        image: String,
        /// The platform.
        platform: String,
    },
    /// `ADD` fetches from there, and nothing pins it.
    Address(String),
    /// Variables of an instruction cannot be filled in.
    Instruction {
        /// Its line, from 1.
        line: usize,
        /// As written.
        text: String,
    },
    /// A tool's data is brought up to date first.
    Data(String),
    /// Something could not be read or looked up.
    Trouble(Trouble),
}

/// What is different in one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartChange {
    /// Which.
    #[serde(flatten)]
    pub part: Part,
    /// As it was; absent if there was no such part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Told>,
    /// As it is; absent if there is no such part any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<Told>,
}

/// A part's content, as far as it was written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Its digest.
    pub digest: String,
    /// In a few words, where it is short and no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
}

impl From<&Input> for Told {
    fn from(input: &Input) -> Self {
        Self {
            digest: input.digest.clone(),
            shown: input.shown.clone(),
        }
    }
}

impl StepInputs {
    /// What is different from an earlier run, in the order of the parts.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Vec<PartChange> {
        let mut both: BTreeMap<&Part, (Option<&Input>, Option<&Input>)> = BTreeMap::new();
        for input in &before.parts {
            both.entry(&input.part).or_default().0 = Some(input);
        }
        for input in &self.parts {
            both.entry(&input.part).or_default().1 = Some(input);
        }
        let different = both.into_iter().filter(|(_, (before, now))| {
            before.map(|input| &input.digest) != now.map(|input| &input.digest)
        });
        different
            .map(|(part, (before, now))| PartChange {
                part: part.clone(),
                before: before.map(Told::from),
                now: now.map(Told::from),
            })
            .collect()
    }
}
