//! A step as written: one flat struct for all kinds, so that every fault keeps its place. Which
//! keys go with which kind is checked when the plan is made.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::attempts::{AllowFailureSpec, RetrySpec};
use super::build::BuildSpec;
use super::hook::Hooks;
use super::leaf::{At, CommandSpec, Number, OneOrMany, Scalar, Table, Word};
use super::matrix::MatrixSpec;
use super::service::{Artifacts, ServiceSpec, StepServiceSpec};
use super::when::WhenSpec;

/// A step. Exactly one of `run`, `build`, `scan`, `push` and `deploy` makes its kind; the keys
/// from `image` to `services` are those of a `run` step.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct StepSpec {
    /// Steps that must have ended well before this one starts. A reference such as
    /// `${steps.image.image}` says the same.
    pub needs: Option<Vec<At<String>>>,
    /// The longest that this step may take, such as `90s` or `15m`.
    #[schemars(with = "Option<String>")]
    pub timeout: Option<At<Scalar>>,
    /// When it is run; always if nothing is said. What needs a step that is not run is not run
    /// either.
    pub when: Option<WhenSpec>,
    /// When it is tried again; never if nothing is said.
    pub retry: Option<RetrySpec>,
    /// Which of its failures neither fail the run nor hold up what comes after it; none if nothing
    /// is said. What refers to the step, and what its gate guards, is held up still.
    pub allow_failure: Option<AllowFailureSpec>,
    /// It is run however the steps ended that `needs` names, also if they were skipped; not when
    /// the run is being stopped.
    pub always: Option<At<bool>>,
    /// Axes with their values, such as `matrix.python = ["3.11", "3.12"]`: the step is run for each
    /// combination, with `${matrix.python}` and the variable MATRIX_PYTHON.
    pub matrix: Option<MatrixSpec>,
    /// How many cells of the matrix may run at once; as many as `--jobs` lets if nothing is said.
    pub max_parallel: Option<At<u32>>,

    /// The image that the container runs on.
    pub image: Option<At<String>>,
    /// The command: a string goes to `sh -ec`, an array is executed as it is. It is never
    /// interpolated; give it values through `environment`. The image's ENTRYPOINT is cleared.
    pub run: Option<CommandSpec>,
    /// Variables of the container. `CI=true` is set unless it says otherwise.
    pub environment: Option<Table>,
    /// An absolute path in the container.
    pub working_dir: Option<At<String>>,
    /// The user that the command runs as; the image's own if nothing is said.
    #[schemars(with = "Option<Scalar>")]
    pub user: Option<At<Scalar>>,
    /// Memory file systems, such as `/run` or `/tmp:size=64m`.
    pub tmpfs: Option<OneOrMany>,
    /// The container cannot write to its root file system.
    pub read_only: Option<At<bool>>,
    /// The container's way out; it has none if nothing is said.
    #[schemars(with = "Option<Word<NetworkWord>>")]
    pub network: Option<At<String>>,
    /// Capabilities that the container keeps, such as `NET_BIND_SERVICE`; none if nothing is said.
    pub cap_add: Option<Vec<At<String>>>,
    /// The size of /dev/shm, such as `256m`.
    #[schemars(with = "Option<String>")]
    pub shm_size: Option<At<Scalar>>,
    /// Bounds of the container.
    pub resources: Option<Resources>,
    /// Put a copy of the project into /workspace and start there. True unless the image is one
    /// that this pipeline builds.
    pub source: Option<At<bool>>,
    /// The ignore file of that copy, instead of `.dockerignore`.
    pub source_ignorefile: Option<At<String>>,
    /// Names of secrets, each a file under /run/secrets.
    pub secrets: Option<Vec<At<String>>>,
    /// Grace between the stop signal and the kill, when the step is to stop before its end; `10s`
    /// if nothing is said.
    #[schemars(with = "Option<String>")]
    pub stop_grace_period: Option<At<Scalar>>,
    /// The signal that asks the command to end, such as `SIGINT`; the image's own if nothing is
    /// said, else SIGTERM.
    pub stop_signal: Option<At<String>>,
    /// Whether the step is spared where an earlier run did the same and passed: true unless it has a
    /// network.
    pub cache: Option<At<bool>>,
    /// What is kept of what the command leaves.
    pub artifacts: Option<Artifacts>,
    /// A file of the container that the command writes lines `KEY=VALUE` to, such as
    /// `/tmp/outputs`. Later steps have them as `${steps.NAME.outputs.KEY}`.
    pub outputs: Option<At<String>>,
    /// What earlier steps keep as artifacts, put into the container before the start: where to, and
    /// which, such as `"dist/" = "${steps.build-js.artifacts.dist}"`.
    pub inputs: Option<BTreeMap<At<String>, At<String>>>,
    /// Volumes that are kept between runs, as caches: `name:/path`, or `name:/path:ro`. What they
    /// are keyed by is said in `[volumes]`.
    pub volumes: Option<Vec<At<String>>>,
    /// Services beside the step, such as a database, by the names at which it reaches them. They
    /// are on a network of this step alone that has no way out.
    #[serde(default)]
    pub services: BTreeMap<At<String>, StepServiceSpec>,

    /// Builds an image from a Dockerfile.
    pub build: Option<Box<BuildSpec>>,
    /// Looks for vulnerabilities and secrets in an image with Trivy. Whatever pushes or deploys
    /// the same image waits for it.
    pub scan: Option<Box<ScanSpec>>,
    /// Sends an image to a registry.
    pub push: Option<Box<PushSpec>>,
    /// Puts a release on an engine.
    pub deploy: Option<Box<DeploySpec>>,
}

/// A container's way out.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
#[expect(dead_code, reason = "only the schema is made from it")]
pub(super) enum NetworkWord {
    None,
    Bridge,
}

/// Bounds of a container.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Resources {
    /// Upper bounds.
    pub limits: Option<LimitsSpec>,
    /// What it keeps where the host runs short.
    pub reservations: Option<ReservationsSpec>,
}

/// What a container keeps where the host runs short.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ReservationsSpec {
    /// Memory, such as `256m`: it is pushed back to this where the host has too little.
    #[schemars(with = "Option<String>")]
    pub memory: Option<At<Scalar>>,
}

/// Upper bounds of a container.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct LimitsSpec {
    /// Processors, such as `1.5`.
    pub cpus: Option<At<Number>>,
    /// Memory, such as `512m` or `1g`; swap is no addition to it.
    #[schemars(with = "Option<String>")]
    pub memory: Option<At<Scalar>>,
    /// Processes and threads.
    pub pids: Option<At<u32>>,
}

/// Looks for vulnerabilities and secrets in an image.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ScanSpec {
    /// The image.
    #[schemars(required)]
    pub image: Option<At<String>>,
    /// What to look for; both if nothing is said.
    #[schemars(with = "Option<Vec<Word<ScannerWord>>>")]
    pub scanners: Option<Vec<At<String>>>,
    /// What fails the gate; `HIGH` and `CRITICAL` if nothing is said. Everything found is
    /// reported.
    #[schemars(with = "Option<Vec<Word<SeverityWord>>>")]
    pub severity: Option<Vec<At<String>>>,
    /// Vulnerabilities without a fix do not fail the gate.
    pub ignore_unfixed: Option<At<bool>>,
}

/// What Trivy looks for.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
#[expect(dead_code, reason = "only the schema is made from it")]
enum ScannerWord {
    Vuln,
    Secret,
}

/// How bad a finding is.
#[derive(JsonSchema)]
#[schemars(rename_all = "UPPERCASE", inline)]
#[expect(dead_code, reason = "only the schema is made from it")]
enum SeverityWord {
    Unknown,
    Low,
    Medium,
    High,
    Critical,
}

/// Sends an image to a registry.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PushSpec {
    /// The image.
    #[schemars(required)]
    pub image: Option<At<String>>,
    /// Where to: full references, such as `registry.example.com/shop:1.2`.
    #[schemars(required)]
    pub tags: Option<Vec<At<String>>>,
}

/// Puts a release on an engine.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DeploySpec {
    /// The environment that it goes to.
    #[schemars(required)]
    pub environment: Option<At<String>>,
    /// How long the release may take to become healthy, all services together; `5m` if nothing is
    /// said.
    #[schemars(with = "Option<String>")]
    pub wait_timeout: Option<At<Scalar>>,
    /// How many earlier generations of each service stay, stopped, to go back to; 2 if nothing is
    /// said.
    #[schemars(range(max = 10))]
    pub keep: Option<At<u32>>,
    /// A step whose deploy this one is like: what it says of services and hooks holds here too, and
    /// what is said here stands over it, as Compose merges files. So do `environment`,
    /// `wait_timeout`, `keep` and `maintenance` where nothing is said here.
    pub extends: Option<At<String>>,
    /// Of each service that speaks HTTP and does not say otherwise: a page that says so, with the
    /// status 503, is what requests get instead.
    pub maintenance: Option<At<bool>>,
    /// What runs once before anything that serves is touched, such as a migration, by name, in the
    /// order of the file. A failure ends the release.
    #[serde(default)]
    pub pre_deploy: Hooks,
    /// What runs once when the release is in place, by name, in the order of the file.
    #[serde(default)]
    pub post_deploy: Hooks,
    /// The services, by name.
    #[serde(default)]
    #[schemars(required)]
    pub services: BTreeMap<At<String>, ServiceSpec>,
}
