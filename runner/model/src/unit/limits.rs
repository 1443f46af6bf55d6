//! What bounds a container, and what it may do. The minimum is the default: each field that is not
//! at its default relaxes or narrows it, and none can hand over the machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Bounds of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Processors, where bounded: 1.5 is one and a half.
    pub cpus: Option<f64>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
    /// Bytes of /dev/shm, where not the engine's default.
    pub shm_size: Option<u64>,
    /// Bytes that it is pushed back to where the host runs short of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<u64>,
    /// Bytes of memory and swap together, -1 for no bound; the same number as `memory` where
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_swap: Option<i64>,
    /// How readily its memory goes to swap, 0 to 100; the host's own setting where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_swappiness: Option<u8>,
    /// Its weight where processors are short; 1024 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u32>,
    /// Microseconds of processor time in each period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<u64>,
    /// That period in microseconds; 100000 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_period: Option<u64>,
    /// The processors that it runs on, such as `0-2,4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpuset: Option<String>,
    /// Its share of the host's disks.
    #[serde(default, skip_serializing_if = "BlkioLimits::is_default")]
    pub blkio: BlkioLimits,
    /// Bounds of each of its processes, by Docker's names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// -1000 to 1000: the kernel kills what has the most first where memory is short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i16>,
}

impl Limits {
    /// What a test container has unless the file says otherwise: 1 GiB and 512 processes.
    pub const SEALED: Self = Self::of(Some(1 << 30));
    /// What a deployed service has unless the file says otherwise: 512 processes.
    pub const SERVICE: Self = Self::of(None);

    const fn of(memory: Option<u64>) -> Self {
        Self {
            cpus: None,
            memory,
            pids: Some(512),
            shm_size: None,
            memory_reservation: None,
            memory_swap: None,
            memory_swappiness: None,
            cpu_shares: None,
            cpu_quota: None,
            cpu_period: None,
            cpuset: None,
            blkio: BlkioLimits {
                weight: None,
                weight_device: Vec::new(),
                device_read_bps: Vec::new(),
                device_write_bps: Vec::new(),
                device_read_iops: Vec::new(),
                device_write_iops: Vec::new(),
            },
            ulimits: BTreeMap::new(),
            oom_score_adj: None,
        }
    }
}

/// A container's share of the host's disks. The names are those of Compose's `blkio_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlkioLimits {
    /// 10 to 1000, where disks are busy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// The same for single devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weight_device: Vec<DeviceRate>,
    /// Bytes in a second.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_read_bps: Vec<DeviceRate>,
    /// Bytes in a second.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_write_bps: Vec<DeviceRate>,
    /// Operations in a second.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_read_iops: Vec<DeviceRate>,
    /// Operations in a second.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_write_iops: Vec<DeviceRate>,
}

impl BlkioLimits {
    /// Nothing is said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A number for a device of the engine's host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRate {
    /// The device, such as `/dev/sda`.
    pub path: String,
    /// A weight, or bytes or operations in a second.
    pub rate: u64,
}

/// A bound of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// What it has; -1 for none.
    pub soft: i64,
    /// What it may ask for; -1 for none.
    pub hard: i64,
}

/// What a container may do beyond the minimum. The default is the minimum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// Capabilities left after all were dropped, without `CAP_`, such as `NET_BIND_SERVICE`.
    pub cap_add: Vec<String>,
    /// The root file system cannot be written to.
    pub read_only: bool,
    /// A seccomp profile as JSON; the engine's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<String>,
    /// An AppArmor profile that the engine's host has loaded; the engine's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apparmor: Option<String>,
    /// The user namespace, in the engine's words; the engine's choice where absent. Never the
    /// host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userns: Option<String>,
}
