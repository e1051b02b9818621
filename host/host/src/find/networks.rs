//! Which networks may be searched: private ones, of a bounded size.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The longest network that is searched without saying so: 1,022 addresses.
pub const WIDEST: u8 = 22;
/// The longest that is searched at all: 65,534 addresses.
pub const WIDEST_FULL: u8 = 16;
/// Of a network that is too large, the part around this machine: 254 addresses.
const AROUND: u8 = 24;
/// Interfaces of containers and virtual machines: nobody's meters are there.
const VIRTUAL: [&str; 5] = ["docker", "veth", "br-", "virbr", "cni"];

/// An IPv4 network whose addresses may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    base: Ipv4Addr,
    prefix: u8,
}

impl Network {
    /// The network of this length around an address; `None` where it is not private as a whole.
    pub fn around(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        if prefix > 32 {
            return None;
        }
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        let base = u32::from(address) & mask;
        let private = is_private(base.into()) && is_private((base | !mask).into());
        private.then_some(Network {
            base: base.into(),
            prefix,
        })
    }

    /// How many bits of an address name the network.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The addresses that a device can have: all but the first and the last, where there are more than two.
    pub fn addresses(self) -> impl Iterator<Item = Ipv4Addr> {
        let first = u32::from(self.base);
        let last = first | u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0);
        let ends = u32::from(last - first > 1);
        (first + ends..=last - ends).map(Ipv4Addr::from)
    }

    /// How many addresses that are.
    pub fn size(self) -> u32 {
        match self.prefix {
            32 => 1,
            31 => 2,
            prefix => u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0) - 1,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, prefix),
            None => (text, "32"),
        };
        if address.parse::<Ipv6Addr>().is_ok() {
            return Err(format!(
                "`{text}` is IPv6, where a network is too large to search: devices there are found by mDNS, or scanned by \
                 their address"
            ));
        }
        let (Ok(address), Ok(prefix)) = (address.parse::<Ipv4Addr>(), prefix.parse::<u8>()) else {
            return Err(format!("`{text}` is no network: write it as 192.168.1.0/24"));
        };
        let network = Network::around(address, prefix).ok_or_else(|| {
            format!(
                "`{text}` is not private; only networks within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16 \
                 and 127.0.0.0/8 are searched"
            )
        })?;
        if network.prefix < WIDEST_FULL {
            return Err(format!(
                "`{text}` has {} addresses; name the parts where devices are, /{WIDEST_FULL} at most",
                network.size()
            ));
        }
        Ok(network)
    }
}

/// Whether an address is one of a private network, of the link, or of this machine.
pub fn is_private(address: Ipv4Addr) -> bool {
    address.is_private() || address.is_link_local() || address.is_loopback()
}

/// Whether somebody on this network can be told to look there: what is announced may be a lie.
pub fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private(v4),
        // A link-local address of IPv6 means nothing without its interface, which a URL does not name.
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback(),
    }
}

/// All addresses of some networks, each once, in order.
pub fn addresses(networks: &[Network]) -> Vec<Ipv4Addr> {
    let all: BTreeSet<Ipv4Addr> = networks.iter().flat_map(|n| n.addresses()).collect();
    all.into_iter().collect()
}

/// A network that this machine is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// What would be searched.
    pub network: Network,
    /// The interface.
    pub interface: String,
    /// The whole of it, where only a part would be searched.
    pub whole: Option<Network>,
}

/// The private networks of this machine's interfaces.
///
/// # Errors
/// The system's.
pub fn own() -> std::io::Result<Vec<Own>> {
    let interfaces = if_addrs::get_if_addrs()?;
    Ok(own_of(interfaces.iter().filter_map(
        |interface| match &interface.addr {
            if_addrs::IfAddr::V4(v4) => Some((interface.name.as_str(), v4.ip, v4.prefixlen)),
            if_addrs::IfAddr::V6(_) => None,
        },
    )))
}

/// The networks of these interfaces (name, address, prefix) that may be searched: private, not this machine's own
/// loopback, nothing virtual; of a large one the part around this machine. Pure.
fn own_of<'a>(interfaces: impl Iterator<Item = (&'a str, Ipv4Addr, u8)>) -> Vec<Own> {
    let mut own: Vec<Own> = Vec::new();
    for (interface, address, prefix) in interfaces {
        let skip = address.is_loopback() || prefix > 30 || VIRTUAL.iter().any(|v| interface.starts_with(v));
        let Some(whole) = Network::around(address, prefix).filter(|_| !skip) else {
            continue;
        };
        let part = match prefix < WIDEST {
            true => Network::around(address, AROUND),
            false => None,
        };
        let network = part.unwrap_or(whole);
        if own.iter().all(|o| o.network != network) {
            own.push(Own {
                network,
                interface: interface.to_owned(),
                whole: part.map(|_| whole),
            });
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn only_private_networks_are_searched() {
        for text in [
            "10.1.2.0/24",
            "172.16.0.0/16",
            "172.31.255.0/24",
            "192.168.1.77/22",
            "169.254.1.0/24",
            "127.0.1.0/28",
            "192.168.1.20",
        ] {
            assert!(text.parse::<Network>().is_ok(), "{text}");
        }
        for text in [
            "8.8.8.0/24",
            "172.32.0.0/16",
            "192.169.1.0/24",
            "100.64.0.0/16",
            "0.0.0.0/16",
            "224.0.0.0/24",
            "255.255.255.255",
            "203.0.113.7",
        ] {
            let refused = text.parse::<Network>().unwrap_err();
            assert!(refused.contains("is not private"), "{text}: {refused}");
        }
        // A network that is private only in part is not.
        assert!(
            "192.168.0.0/15"
                .parse::<Network>()
                .unwrap_err()
                .contains("not private")
        );
        assert!(
            "10.0.0.0/8"
                .parse::<Network>()
                .unwrap_err()
                .contains("16777214 addresses")
        );
        assert!("fd00::/64".parse::<Network>().unwrap_err().contains("mDNS"));
        for text in [
            "192.168.1.0/33",
            "192.168.1.0/",
            "192.168.1/24",
            "gx.local",
            "",
            "192.168.1.0/-1",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_has_the_addresses_that_a_device_can_have() {
        for (text, size, first, last) in [
            ("192.168.1.77/24", 254, "192.168.1.1", "192.168.1.254"),
            ("192.168.1.77/22", 1022, "192.168.0.1", "192.168.3.254"),
            ("10.0.0.4/31", 2, "10.0.0.4", "10.0.0.5"),
            ("10.0.0.4/32", 1, "10.0.0.4", "10.0.0.4"),
            ("10.0.0.4/30", 2, "10.0.0.5", "10.0.0.6"),
        ] {
            let all: Vec<String> = network(text).addresses().map(|a| a.to_string()).collect();
            assert_eq!(
                (all.len(), all[0].as_str(), all[all.len() - 1].as_str()),
                (size, first, last)
            );
            assert_eq!(network(text).size() as usize, size);
        }
        let both = [network("10.0.0.0/30"), network("10.0.0.0/29")];
        assert_eq!(addresses(&both).len(), 6);
    }

    #[test]
    fn what_is_announced_elsewhere_is_not_asked() {
        for (address, near) in [
            ("192.168.1.5", true),
            ("127.0.0.1", true),
            ("fd00::5", true),
            ("::1", true),
            ("8.8.8.8", false),
            ("fe80::1", false),
            ("2001:db8::1", false),
            ("0.0.0.0", false),
            ("224.0.0.251", false),
        ] {
            assert_eq!(is_near(address.parse().unwrap()), near, "{address}");
        }
    }

    #[test]
    fn of_its_own_networks_a_machine_offers_what_can_be_searched() {
        let offered = own_of(
            [
                ("lo", Ipv4Addr::LOCALHOST, 8),
                ("eth0", Ipv4Addr::new(192, 168, 1, 20), 24),
                ("eth0", Ipv4Addr::new(192, 168, 1, 21), 24),
                ("wlan0", Ipv4Addr::new(10, 1, 2, 3), 8),
                ("docker0", Ipv4Addr::new(172, 17, 0, 1), 16),
                ("ppp0", Ipv4Addr::new(10, 9, 9, 9), 32),
                ("wan", Ipv4Addr::new(192, 0, 2, 2), 24),
            ]
            .into_iter(),
        );
        assert_eq!(
            offered
                .iter()
                .map(|o| format!("{} {}", o.interface, o.network))
                .collect::<Vec<_>>(),
            ["eth0 192.168.1.0/24", "wlan0 10.1.2.0/24"]
        );
        assert_eq!(
            offered[1].whole.map(|w| w.to_string()).as_deref(),
            Some("10.0.0.0/8")
        );
    }
}
