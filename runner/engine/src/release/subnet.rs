//! Addresses of an environment's networks: a subnet that overlaps no other, and in it the part for
//! fixed addresses apart from the part that the engine hands out. Pure: it is told which subnets
//! are taken and looks at no host.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The smallest subnet with room for fixed addresses beside the gateway has this prefix.
const LONGEST_PREFIX: u8 = 29;

/// Where subnets are chosen from, in this order. Left out are the ranges that home networks,
/// Docker's own pool at its start and the default networks of clouds (172.31.0.0/16) take first.
const POOLS: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(172, 30, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 29, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 28, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(10, 224, 0, 0), 11),
];

/// How a network's subnet is divided: its lower half is for fixed addresses, its upper half is the
/// engine's to hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) subnet: Ipv4Net,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) ip_range: Ipv4Net,
    fixed: Ipv4Net,
}

impl Layout {
    /// Divides a subnet. The gateway is its first address unless said otherwise. Fails with why
    /// the subnet will not do.
    pub(crate) fn new(subnet: Ipv4Net, gateway: Option<Ipv4Addr>) -> Result<Self, String> {
        let subnet = subnet.trunc();
        if subnet.prefix_len() > LONGEST_PREFIX {
            return Err(format!(
                "{subnet} is too small: a subnet of /{LONGEST_PREFIX} or larger has room for services"
            ));
        }
        let gateway = match gateway.or_else(|| subnet.hosts().next()) {
            Some(gateway) if subnet.contains(&gateway) => gateway,
            Some(gateway) => return Err(format!("the gateway {gateway} is not in {subnet}")),
            None => return Err(format!("{subnet} has no addresses")),
        };
        let mut halves = subnet
            .subnets(subnet.prefix_len() + 1)
            .into_iter()
            .flatten();
        match (halves.next(), halves.next()) {
            (Some(fixed), Some(ip_range)) => Ok(Self {
                subnet,
                gateway,
                ip_range,
                fixed,
            }),
            _ => Err(format!("{subnet} cannot be divided")),
        }
    }

    /// The address is one of the fixed ones.
    pub(crate) fn is_fixed(&self, address: Ipv4Addr) -> bool {
        self.fixed.contains(&address) && address != self.subnet.network() && address != self.gateway
    }

    /// The lowest fixed address that is not taken.
    pub(crate) fn free(&self, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        let (first, last) = (
            u32::from(self.fixed.network()),
            u32::from(self.fixed.broadcast()),
        );
        (first..=last)
            .map(Ipv4Addr::from)
            .find(|address| self.is_fixed(*address) && !taken.contains(address))
    }
}

/// A subnet of /24 that overlaps none of `taken`.
pub(crate) fn free_subnet(taken: &[Ipv4Net]) -> Option<Ipv4Net> {
    let overlaps = |a: &Ipv4Net, b: &Ipv4Net| a.contains(&b.network()) || b.contains(&a.network());
    POOLS
        .iter()
        .flat_map(|pool| pool.subnets(24).into_iter().flatten())
        .find(|subnet| !taken.iter().any(|other| overlaps(subnet, other)))
}

/// The subnets that a host's routes lead to, from the text of Linux's `/proc/net/route`. The default
/// route is none: it leads to what nothing else does.
pub(crate) fn routed(table: &str) -> Vec<Ipv4Net> {
    // As the kernel has them in memory: on the machines that engines run on, least byte first.
    let address =
        |hex: &str| u32::from_str_radix(hex, 16).map(|bits| Ipv4Addr::from(bits.to_ne_bytes()));
    let route = |line: &str| {
        let mut fields = line.split_whitespace();
        let (destination, mask) = (fields.nth(1)?, fields.nth(5)?);
        Ipv4Net::with_netmask(address(destination).ok()?, address(mask).ok()?).ok()
    };
    let routes = table.lines().skip(1).filter_map(route);
    routes.filter(|route| route.prefix_len() > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().expect("a subnet")
    }

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().expect("an address")
    }

    #[test]
    fn fixed_addresses_lie_outside_what_the_engine_hands_out() {
        let layout = Layout::new(net("172.28.0.0/24"), None).expect("room");
        assert_eq!(layout.gateway, ip("172.28.0.1"));
        assert_eq!(layout.ip_range, net("172.28.0.128/25"));
        assert_eq!(layout.free(&BTreeSet::new()), Some(ip("172.28.0.2")));
        let taken = [ip("172.28.0.2"), ip("172.28.0.4")].into();
        assert_eq!(layout.free(&taken), Some(ip("172.28.0.3")));
        assert!(layout.is_fixed(ip("172.28.0.127")));
        assert!(!layout.is_fixed(ip("172.28.0.128")));
        assert!(!layout.is_fixed(ip("172.28.0.1")), "the gateway");
    }

    #[test]
    fn a_full_subnet_has_no_free_address() {
        let layout = Layout::new(net("10.0.0.8/29"), None).expect("room");
        let mut taken = BTreeSet::new();
        while let Some(address) = layout.free(&taken) {
            assert!(taken.insert(address));
        }
        assert_eq!(taken, [ip("10.0.0.10"), ip("10.0.0.11")].into());
    }

    #[test]
    fn a_gateway_elsewhere_leaves_the_first_address_free() {
        let layout = Layout::new(net("10.0.0.0/24"), Some(ip("10.0.0.254"))).expect("room");
        assert_eq!(layout.free(&BTreeSet::new()), Some(ip("10.0.0.1")));
        let inside = Layout::new(net("10.0.0.0/24"), Some(ip("10.0.0.2"))).expect("room");
        assert_eq!(inside.free(&[ip("10.0.0.1")].into()), Some(ip("10.0.0.3")));
    }

    #[test]
    fn what_will_not_do_is_said() {
        assert!(
            Layout::new(net("10.0.0.0/30"), None)
                .expect_err("small")
                .contains("too small")
        );
        let outside = Layout::new(net("10.0.0.0/24"), Some(ip("10.0.1.1"))).expect_err("outside");
        assert!(outside.contains("10.0.1.1"), "{outside}");
        assert!(
            Layout::new(net("0.0.0.0/0"), None).is_ok(),
            "no overflow at the other end"
        );
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn what_a_host_has_routes_to_is_taken() {
        let table = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
br-1\t00001EAC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
";
        assert_eq!(routed(table), [net("172.30.0.0/24"), net("10.0.0.0/8")]);
        assert_eq!(free_subnet(&routed(table)), Some(net("172.30.1.0/24")));
        assert!(routed("").is_empty());
    }

    #[test]
    fn a_chosen_subnet_overlaps_nothing_that_is_there() {
        assert_eq!(free_subnet(&[]), Some(net("172.30.0.0/24")));
        assert_eq!(
            free_subnet(&[net("172.30.0.0/25")]),
            Some(net("172.30.1.0/24"))
        );
        assert_eq!(
            free_subnet(&[net("172.16.0.0/12")]),
            Some(net("10.224.0.0/24"))
        );
        assert_eq!(free_subnet(&[net("0.0.0.0/0")]), None);
    }
}
