//! What an engine says of itself. It refuses to judge what follows from that.

/// What an engine says of itself.
#[derive(Clone, Debug, Default)]
pub struct EngineInfo {
    /// A stable ID of the engine. Hosts that were copied from one may share it.
    pub id: String,
    /// The name of its host.
    pub host: String,
    /// The address that was connected to, for messages.
    pub address: String,
    /// Its version.
    pub version: String,
    /// The API version that is spoken, such as `1.41`.
    pub api: String,
    /// Operating system and architecture, such as `linux/amd64`.
    pub platform: String,
    /// Images are kept in containerd: an image's ID is its manifest's digest.
    pub containerd_images: bool,
    /// It builds with BuildKit.
    pub buildkit: bool,
    /// Which bounds it can enforce.
    pub enforces: Enforces,
    /// Security options, such as `name=seccomp,profile=default`.
    pub security_options: Vec<String>,
    /// Where it keeps its data, on its own host.
    pub data_root: String,
    /// Bytes of memory of its host.
    pub memory: u64,
    /// Processors of its host.
    pub cpus: u64,
    /// Seconds since the epoch, by its clock; 0 where it does not say.
    pub time: i64,
}

impl EngineInfo {
    /// It is the engine that the other tells of. Older engines are known by a key that a copied host
    /// has too, so the host's name has to be the same.
    #[must_use]
    pub fn is_that_of(&self, other: &Self) -> bool {
        !self.id.is_empty() && self.id == other.id && self.host == other.host
    }

    /// It is on this host, so that what its host has can be looked at from here.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.address.starts_with("unix://")
    }

    /// It speaks this version of the API, or a newer one.
    #[must_use]
    pub fn speaks(&self, version: (u32, u32)) -> bool {
        let spoken = self.api.split_once('.').and_then(|(major, minor)| {
            let numbers: (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
            Some(numbers)
        });
        spoken.is_some_and(|spoken| spoken >= version)
    }
}

/// Which bounds an engine can enforce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enforces {
    /// Memory.
    pub memory: bool,
    /// Memory and swap together.
    pub swap: bool,
    /// Processors.
    pub cpus: bool,
    /// Weights of containers where processors are short.
    pub cpu_shares: bool,
    /// Sets of processors.
    pub cpuset: bool,
    /// Processes.
    pub pids: bool,
}
