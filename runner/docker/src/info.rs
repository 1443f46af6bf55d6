//! What an engine says of itself. It refuses to guess: what an engine does not say is absent.

use bollard::models::{SystemInfo, SystemVersion};
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind, Enforces, EngineInfo};

use crate::errors::Result;

/// The oldest API version that hoist works with: Docker 20.10.
const OLDEST: (u32, u32) = (1, 41);

/// What is spoken with an engine, and what follows from it.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    /// Major and minor.
    pub(crate) version: (u32, u32),
    /// The engine's own version.
    pub(crate) engine: String,
    /// Operating system and architecture.
    pub(crate) platform: String,
    /// Podman, which answers Docker's API but has no BuildKit.
    pub(crate) podman: bool,
    /// Builds are to go through the classic builder.
    pub(crate) classic: bool,
}

impl Api {
    /// Reads an engine's answer.
    pub(crate) fn read(answer: SystemVersion) -> Result<Self> {
        let shown = answer.api_version.unwrap_or_default();
        let engine = answer.version.unwrap_or_default();
        let version = parse(&shown).ok_or_else(|| {
            BackendError::new(
                Kind::Engine,
                format!("`{shown}` is no version of Docker's API"),
            )
        })?;
        if version < OLDEST {
            let (major, minor) = OLDEST;
            return Err(BackendError::new(
                Kind::TooOld,
                format!(
                    "the engine ({engine}) speaks version {shown} of the API; hoist needs \
                     {major}.{minor} or newer"
                ),
            ));
        }
        let components = answer.components.unwrap_or_default();
        Ok(Self {
            version,
            engine,
            platform: format!(
                "{}/{}",
                answer.os.unwrap_or_default(),
                answer.arch.unwrap_or_default()
            ),
            classic: false,
            podman: components.iter().any(|part| part.name.contains("Podman")),
        })
    }

    /// More than one network can be given when a container is created.
    pub(crate) fn several_networks_at_create(&self) -> bool {
        self.version >= (1, 44) && !self.podman
    }

    /// The builder knows what came with Docker 23: texts in a Dockerfile, `COPY --link` and such.
    pub(crate) fn modern_builder(&self) -> bool {
        self.version >= (1, 42) && !self.podman
    }

    /// Builds can go through BuildKit.
    pub(crate) fn buildkit(&self) -> bool {
        !self.podman && !self.classic && self.platform.starts_with("linux/")
    }
}

fn parse(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// What an engine's answer says.
pub(crate) fn read(answer: SystemInfo, api: &Api, address: &str) -> EngineInfo {
    let (major, minor) = api.version;
    let status = answer.driver_status.unwrap_or_default();
    let in_containerd = status
        .iter()
        .flatten()
        .any(|word| word.starts_with("io.containerd.snapshotter"));
    let unsigned = |number: Option<i64>| {
        number
            .and_then(|number| u64::try_from(number).ok())
            .unwrap_or_default()
    };
    EngineInfo {
        id: answer.id.unwrap_or_default(),
        host: answer.name.unwrap_or_default(),
        address: address.to_owned(),
        version: api.engine.clone(),
        api: format!("{major}.{minor}"),
        platform: api.platform.clone(),
        containerd_images: in_containerd,
        buildkit: api.buildkit(),
        enforces: Enforces {
            memory: answer.memory_limit.unwrap_or_default(),
            swap: answer.swap_limit.unwrap_or_default(),
            cpus: answer.cpu_cfs_quota.unwrap_or_default(),
            cpu_shares: answer.cpu_shares.unwrap_or_default(),
            cpuset: answer.cpu_set.unwrap_or_default(),
            pids: answer.pids_limit.unwrap_or_default(),
        },
        security_options: answer.security_options.unwrap_or_default(),
        data_root: answer.docker_root_dir.unwrap_or_default(),
        memory: unsigned(answer.mem_total),
        cpus: unsigned(answer.ncpu),
        time: answer
            .system_time
            .and_then(|time| time.parse::<jiff::Timestamp>().ok())
            .map_or(0, jiff::Timestamp::as_second),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(api: &str) -> SystemVersion {
        SystemVersion {
            api_version: Some(api.to_owned()),
            ..SystemVersion::default()
        }
    }

    #[test]
    fn versions_are_numbers() {
        assert_eq!(Api::read(answer("1.41")).unwrap().version, (1, 41));
        assert!(
            Api::read(answer("1.100"))
                .unwrap()
                .several_networks_at_create()
        );
        assert!(
            !Api::read(answer("1.43"))
                .unwrap()
                .several_networks_at_create()
        );
    }

    #[test]
    fn an_engine_that_is_too_old_or_none_at_all_is_refused() {
        assert_eq!(Api::read(answer("1.40")).unwrap_err().kind, Kind::TooOld);
        assert_eq!(Api::read(answer("1.9")).unwrap_err().kind, Kind::TooOld);
        assert_eq!(Api::read(answer("")).unwrap_err().kind, Kind::Engine);
    }
}
