//! Listening for devices that announce themselves (DNS-SD over multicast DNS).
//!
//! Anybody on the network can announce anything: what is heard is counted, cut, and only ever a place to ask.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use busbar_wire::{Endpoint, Host};
use futures_util::stream::{StreamExt, select_all};
use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent};
use tokio_util::sync::CancellationToken;

use super::networks::is_near;
use super::places::Service;

/// The port of multicast DNS.
pub const PORT: u16 = 5353;
/// How long a search listens: queries go out at once, after one second and after three.
pub const PATIENCE: Duration = Duration::from_millis(3500);

/// Announcements that are kept.
const MOST: usize = 256;
/// Addresses of one announcement that are kept.
const MOST_ADDRESSES: usize = 4;
/// Characters of a name that are kept.
const MOST_NAME: usize = 64;

/// Something that announces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// What it calls itself; printable.
    pub name: String,
    /// Where it may answer, likeliest first; never empty.
    pub endpoints: Vec<Endpoint>,
}

/// Listens for these services for a while. What was heard until then counts when it is stopped.
///
/// # Errors
/// In words, where this machine cannot do multicast DNS.
pub async fn listen(
    services: &[Service],
    port: u16,
    patience: Duration,
    cancel: &CancellationToken,
) -> Result<Vec<Announced>, String> {
    let daemon = ServiceDaemon::new_with_port(port).map_err(|e| e.to_string())?;
    let mut feeds = Vec::new();
    for service in services {
        let feed = daemon
            .browse(&format!("{}.local.", service.kind))
            .map_err(|e| e.to_string())?;
        feeds.push(feed.into_stream().map(move |event| (service, event)));
    }
    let mut events = select_all(feeds);
    let mut heard: Vec<Announced> = Vec::new();
    let end = tokio::time::sleep(patience);
    tokio::pin!(end);
    loop {
        let event = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            () = &mut end => break,
            event = events.next() => event,
        };
        let Some((service, event)) = event else { break };
        let ServiceEvent::ServiceResolved(resolved) = event else {
            continue;
        };
        if let Some(announced) = announced(service, &resolved)
            && !heard.contains(&announced)
        {
            heard.push(announced);
        }
        if heard.len() >= MOST {
            break;
        }
    }
    // Its thread ends by itself; there is nothing to take back from the network.
    let _ = daemon.shutdown();
    heard.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(heard)
}

/// What an announcement says that can be used; `None` where that is nothing.
fn announced(service: &Service, resolved: &ResolvedService) -> Option<Announced> {
    let addresses = resolved.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr);
    let endpoints = endpoints(service, resolved.port, addresses);
    (!endpoints.is_empty()).then(|| Announced {
        name: name(&resolved.fullname, &service.kind),
        endpoints,
    })
}

/// Where it may answer: the announced port first, then the usual one (some announce only their web page). Pure.
fn endpoints(service: &Service, port: u16, addresses: impl Iterator<Item = IpAddr>) -> Vec<Endpoint> {
    // IPv4 sorts first, and is what these devices have.
    let near: BTreeSet<IpAddr> = addresses.filter(|a| is_near(*a)).collect();
    let ports = [Some(port), service.port];
    let mut endpoints = Vec::new();
    for address in near.into_iter().take(MOST_ADDRESSES) {
        for port in ports.into_iter().flatten().filter(|p| *p != 0) {
            let host = Host {
                name: address.to_string(),
                port,
            };
            let endpoint = match service.scheme {
                "modbus+udp" => Endpoint::Udp(host),
                "modbus+rtu+tcp" => Endpoint::RtuOverTcp(host),
                _ => Endpoint::Tcp(host),
            };
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
    }
    endpoints
}

/// The name of an instance, without its type and without anything that could disturb a screen. Pure.
fn name(fullname: &str, kind: &str) -> String {
    let instance = match fullname.to_ascii_lowercase().find(&format!(".{kind}")) {
        Some(at) => fullname.get(..at).unwrap_or(fullname),
        None => fullname,
    };
    let clean: String = instance
        .chars()
        .filter(|c| !c.is_control())
        .take(MOST_NAME)
        .collect();
    crate::format::visible(clean.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        Service {
            kind: "_victron-energy-meter._udp".to_owned(),
            scheme: "modbus+udp",
            port: Some(502),
        }
    }

    fn urls(port: u16, addresses: &[&str]) -> Vec<String> {
        let addresses = addresses.iter().map(|a| a.parse().unwrap());
        endpoints(&service(), port, addresses)
            .iter()
            .map(Endpoint::to_string)
            .collect()
    }

    #[test]
    fn an_announcement_is_a_place_to_ask() {
        assert_eq!(urls(502, &["192.168.1.30"]), ["modbus+udp://192.168.1.30:502"]);
        assert_eq!(
            urls(80, &["fd00::7", "192.168.1.30"]),
            [
                "modbus+udp://192.168.1.30:80",
                "modbus+udp://192.168.1.30:502",
                "modbus+udp://[fd00::7]:80",
                "modbus+udp://[fd00::7]:502"
            ]
        );
    }

    #[test]
    fn lies_lead_nowhere() {
        assert!(urls(502, &["8.8.8.8", "2001:db8::1", "224.0.0.251", "0.0.0.0"]).is_empty());
        assert_eq!(urls(0, &["10.0.0.1"]), ["modbus+udp://10.0.0.1:502"]);
        let many: Vec<String> = (1..=200).map(|n| format!("10.0.0.{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(urls(502, &many).len(), MOST_ADDRESSES);
    }

    #[test]
    fn a_name_from_the_network_is_only_text() {
        let kind = "_victron-energy-meter._udp";
        for (full, shown) in [
            ("Heat pump._victron-energy-meter._udp.local.", "Heat pump"),
            ("a\x1b[2Jb\r\n._Victron-Energy-Meter._udp.local.", "a[2Jb"),
            ("\u{202e}evil", "\\u{202e}evil"),
            ("", ""),
        ] {
            assert_eq!(name(full, kind), shown);
        }
        assert_eq!(name(&"x".repeat(10_000), kind).len(), MOST_NAME);
        // Lower-casing must not move the place where the type begins into the middle of a character.
        assert_eq!(
            name("İİ._victron-energy-meter._udp.local.", kind).chars().count(),
            2
        );
    }
}
