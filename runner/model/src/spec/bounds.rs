//! A service's share of the host's disks, as written. The keys are those of Compose.

use schemars::JsonSchema;
use serde::Deserialize;

use super::leaf::{At, Scalar};

/// A share of the disks of the engine's host.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct BlkioSpec {
    /// The weight where disks are busy.
    #[schemars(range(min = 10, max = 1000))]
    pub weight: Option<At<u32>>,
    /// The weight for single devices.
    pub weight_device: Option<Vec<DeviceWeightSpec>>,
    /// Bounds on reading, such as `{ path = "/dev/sda", rate = "12m" }`: bytes in a second.
    pub device_read_bps: Option<Vec<DeviceRateSpec>>,
    /// Bounds on writing: bytes in a second.
    pub device_write_bps: Option<Vec<DeviceRateSpec>>,
    /// Bounds on reading, such as `{ path = "/dev/sda", rate = 120 }`: operations in a second.
    pub device_read_iops: Option<Vec<DeviceRateSpec>>,
    /// Bounds on writing: operations in a second.
    pub device_write_iops: Option<Vec<DeviceRateSpec>>,
}

/// A weight for a device.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DeviceWeightSpec {
    /// The device on the engine's host, such as `/dev/sda`.
    #[schemars(required)]
    pub path: Option<At<String>>,
    /// The weight.
    #[schemars(required, range(min = 10, max = 1000))]
    pub weight: Option<At<u32>>,
}

/// A bound for a device.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DeviceRateSpec {
    /// The device on the engine's host, such as `/dev/sda`.
    #[schemars(required)]
    pub path: Option<At<String>>,
    /// Bytes such as `12m`, or a number of operations.
    #[schemars(required, with = "Option<Scalar>")]
    pub rate: Option<At<Scalar>>,
}
