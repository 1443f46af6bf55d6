//! Bounds that an engine took and does not hold, seen by what it says of the container. Only those
//! are looked at that the engine's own account of itself leaves out.

use bollard::models::HostConfig;

/// The bounds that are wanted and not had, by Compose's names.
pub(crate) fn between(wanted: &HostConfig, has: &HostConfig) -> Vec<String> {
    fn lacks<T: PartialEq>(wanted: &Option<T>, has: &Option<T>) -> bool {
        wanted.is_some() && wanted != has
    }
    let bounds = [
        (
            "resources.reservations.memory",
            lacks(&wanted.memory_reservation, &has.memory_reservation),
        ),
        (
            "mem_swappiness",
            lacks(&wanted.memory_swappiness, &has.memory_swappiness),
        ),
        (
            "blkio_config.weight",
            lacks(&wanted.blkio_weight, &has.blkio_weight),
        ),
        (
            "blkio_config.weight_device",
            lacks(&wanted.blkio_weight_device, &has.blkio_weight_device),
        ),
        (
            "blkio_config.device_read_bps",
            lacks(&wanted.blkio_device_read_bps, &has.blkio_device_read_bps),
        ),
        (
            "blkio_config.device_write_bps",
            lacks(&wanted.blkio_device_write_bps, &has.blkio_device_write_bps),
        ),
        (
            "blkio_config.device_read_iops",
            lacks(&wanted.blkio_device_read_iops, &has.blkio_device_read_iops),
        ),
        (
            "blkio_config.device_write_iops",
            lacks(
                &wanted.blkio_device_write_iops,
                &has.blkio_device_write_iops,
            ),
        ),
    ];
    let dropped = bounds.into_iter().filter(|(_, dropped)| *dropped);
    dropped.map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use bollard::models::ThrottleDevice;

    use super::*;

    #[test]
    fn what_is_wanted_and_not_had_is_named() {
        let throttle = |rate| {
            let path = Some("/dev/sda".to_owned());
            Some(vec![ThrottleDevice { path, rate }])
        };
        let wanted = HostConfig {
            memory: Some(1),
            blkio_weight: Some(300),
            blkio_device_read_bps: throttle(Some(1)),
            blkio_device_write_bps: throttle(Some(1)),
            ..HostConfig::default()
        };
        let has = HostConfig {
            blkio_weight: Some(0),
            blkio_device_read_bps: throttle(Some(1)),
            blkio_device_write_bps: Some(Vec::new()),
            ..HostConfig::default()
        };
        assert_eq!(
            between(&wanted, &has),
            ["blkio_config.weight", "blkio_config.device_write_bps"]
        );
        assert!(between(&HostConfig::default(), &has).is_empty());
    }
}
