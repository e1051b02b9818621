//! The MAC address of this machine: that of the interface by which it reaches the world.

use std::path::Path;

use super::encode::{mac, mac_of};

/// The address, or where it has none (in a container without a network) one that is made of what tells this host from
/// others.
pub fn of_this_machine(host_id: &str) -> [u8; 6] {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    of(Path::new("/sys/class/net"), &routes).unwrap_or_else(|| mac_of(host_id))
}

/// `interfaces`: a directory for each, with its address in a file. `routes`: the table of the kernel.
fn of(interfaces: &Path, routes: &str) -> Option<[u8; 6]> {
    let address = |name: &str| {
        // A name is a name, whatever the table says.
        let plain = !name.is_empty() && !name.contains('/') && !name.starts_with('.') && name != "lo";
        let file = interfaces.join(name).join("address");
        plain
            .then(|| std::fs::read_to_string(file).ok())
            .flatten()
            .and_then(|text| mac(&text))
    };
    let default = routes.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (name, destination) = (fields.next()?, fields.next()?);
        (destination == "00000000").then_some(name)
    });
    let others = || {
        let mut names: Vec<String> = std::fs::read_dir(interfaces)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        names.iter().find_map(|name| address(name))
    };
    default.into_iter().find_map(address).or_else(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway\n";

    #[test]
    fn the_way_to_the_world_counts_then_the_first_name() {
        let dir = tempfile::tempdir().unwrap();
        for (name, address) in [
            ("eth0", "02:00:00:00:00:01\n"),
            ("wlan0", "02:00:00:00:00:02\n"),
            ("lo", "02:00:00:00:00:03\n"),
            ("tun0", "\n"),
        ] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("address"), address).unwrap();
        }
        let of = |routes: &str| of(dir.path(), &format!("{HEAD}{routes}")).map(|mac| mac[5]);
        assert_eq!(of("eth0\t0000A8C0\t0\nwlan0\t00000000\t0\n"), Some(2));
        assert_eq!(of("tun0\t00000000\t0\n"), Some(1));
        assert_eq!(of("../x\t00000000\t0\n"), Some(1));
        assert_eq!(of(""), Some(1));
        assert_eq!(super::of(&dir.path().join("none"), ""), None);
    }
}
