//! What the ledgers tell about where devices are: ports, probes, announcements, units.

use std::collections::BTreeSet;
use std::sync::Arc;

use busbar_ledger::model::Ledger;
use busbar_ledger::span::Span;

use crate::catalog::Catalog;

/// Modbus TCP's port, where most devices are.
const MODBUS: u16 = 502;
/// The service name that goes with it, as IANA registered both.
const MBAP: &str = "_mbap._tcp";

/// Where to knock and what to listen for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// TCP ports, each with the scheme that is spoken there.
    pub tcp: Vec<Port>,
    /// Reads that a device on UDP would answer.
    pub udp: Vec<Datagram>,
    /// Announcements.
    pub services: Vec<Service>,
    /// Units on a serial line that ledgers name, in order.
    pub units: Vec<u8>,
}

/// A TCP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Its number.
    pub number: u16,
    /// The scheme of the URL of what answers there.
    pub scheme: &'static str,
}

/// One read that tells a kind of device on UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where.
    pub port: u16,
    /// Whom.
    pub unit: u8,
    /// What.
    pub span: Span,
}

/// A kind of announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `_name._udp` or `_name._tcp`.
    pub kind: String,
    /// What is spoken where it points.
    pub scheme: &'static str,
    /// The usual port, where it differs from the announced one.
    pub port: Option<u16>,
}

impl Places {
    /// Gathers what all ledgers tell. One that is faulty tells nothing; `busbar ledger check` says why.
    pub fn of(catalog: &Catalog) -> Self {
        let names = catalog.ledger_names();
        let ledgers: Vec<_> = names
            .iter()
            .filter_map(|name| catalog.ledger(name).ok())
            .collect();
        Self::of_ledgers(&ledgers)
    }

    /// The same of these ledgers. Pure.
    pub fn of_ledgers(ledgers: &[Arc<Ledger>]) -> Self {
        let mut tcp = BTreeSet::from([Port {
            number: MODBUS,
            scheme: "modbus+tcp",
        }]);
        let mut units = BTreeSet::new();
        let mut places = Places::default();
        places.service(MBAP, "modbus+tcp", None);
        for ledger in ledgers {
            for transport in &ledger.transports {
                let port = transport.port;
                let scheme = match transport.scheme.as_str() {
                    "modbus+tcp" => "modbus+tcp",
                    "modbus+rtu+tcp" => "modbus+rtu+tcp",
                    "modbus+udp" => "modbus+udp",
                    "modbus+rtu" => {
                        units.extend(transport.units.iter().copied());
                        continue;
                    }
                    _ => continue,
                };
                if let Some(kind) = &transport.mdns {
                    places.service(kind, scheme, port);
                }
                match (scheme, port) {
                    ("modbus+udp", port) => places.datagram(ledger, port, &transport.units),
                    (_, Some(number)) => {
                        tcp.insert(Port { number, scheme });
                    }
                    (_, None) => {}
                }
            }
        }
        places.tcp = tcp.into_iter().collect();
        places.units = units.into_iter().collect();
        places
    }

    /// The same with more ports: each for Modbus TCP, and for every probe on UDP.
    pub fn with_ports(mut self, ports: &[u16]) -> Self {
        let probes = self.udp.clone();
        for &number in ports {
            let port = Port {
                number,
                scheme: "modbus+tcp",
            };
            if self.tcp.iter().all(|p| p.number != number) {
                self.tcp.push(port);
            }
            for probe in &probes {
                let probe = Datagram {
                    port: number,
                    ..*probe
                };
                if !self.udp.contains(&probe) {
                    self.udp.push(probe);
                }
            }
        }
        self
    }

    fn service(&mut self, kind: &str, scheme: &'static str, port: Option<u16>) {
        let kind = kind
            .trim_end_matches('.')
            .trim_end_matches(".local")
            .to_ascii_lowercase();
        let service = Service { kind, scheme, port };
        let known = |s: &Service| s.kind == service.kind && s.scheme == service.scheme;
        if is_kind(&service.kind) && !self.services.iter().any(known) {
            self.services.push(service);
        }
    }

    fn datagram(&mut self, ledger: &Ledger, port: Option<u16>, units: &[u8]) {
        // A device that knows only one of the two functions is known to know this one.
        let by_holding = ledger.in_holding();
        let ledger = by_holding.as_ref().unwrap_or(ledger);
        let probe = ledger.identify.as_ref().and_then(|i| i.probe.as_ref());
        let (Some(probe), Some(&unit)) = (probe, units.first()) else {
            return;
        };
        let datagram = Datagram {
            port: port.unwrap_or(MODBUS),
            unit,
            span: probe.span,
        };
        if !self.udp.contains(&datagram) {
            self.udp.push(datagram);
        }
    }
}

/// A service type as DNS-SD has it: `_name._udp` or `_name._tcp`, the name of up to 15 letters, digits and hyphens (a
/// few vendors, Victron among them, take more).
fn is_kind(kind: &str) -> bool {
    let Some(name) = kind
        .strip_suffix("._udp")
        .or_else(|| kind.strip_suffix("._tcp"))
        .and_then(|k| k.strip_prefix('_'))
    else {
        return false;
    };
    (1..=30).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(text: &str) -> Arc<Ledger> {
        let text = format!("title = \"T\"\n{text}\n[points]\np = {{ at = 1, type = \"u16\" }}\n");
        Arc::new(busbar_ledger::parse("t", &text).unwrap())
    }

    #[test]
    fn the_ledgers_say_where_to_look() {
        let meter = "[[transport]]\nscheme = \"modbus+udp\"\nport = 502\nunits = [1]\nmdns = \"_victron-energy-meter._udp\"\n\
            [identify]\nprobe = { at = 0x1000, type = \"u16\", equals = { 0xA1B1 = \"VM\" } }\n";
        let places = Places::of_ledgers(&[
            ledger(&format!("ledger = \"a/b\"\n{meter}")),
            // The same probe of another ledger is asked once.
            ledger(&format!("ledger = \"a/c\"\n{meter}")),
            ledger(
                "ledger = \"a/d\"\n[[transport]]\nscheme = \"modbus+rtu\"\nunits = [7, 3]\n\
                 [[transport]]\nscheme = \"modbus+tcp\"\nport = 1502\nunits = [1]\n",
            ),
        ]);
        let port = |number| Port {
            number,
            scheme: "modbus+tcp",
        };
        assert_eq!(places.tcp, [port(502), port(1502)]);
        let datagram = Datagram {
            port: 502,
            unit: 1,
            span: Span::holding(0x1000, 1),
        };
        assert_eq!(places.udp, [datagram]);
        let kinds: Vec<_> = places.services.iter().map(|s| s.kind.as_str()).collect();
        assert_eq!(kinds, ["_mbap._tcp", "_victron-energy-meter._udp"]);
        assert_eq!(places.units, [3, 7]);
    }

    #[test]
    fn a_service_type_is_one_of_dns_sd() {
        for (kind, right) in [
            ("_victron-p1link._udp", true),
            ("_a._tcp", true),
            ("victron._udp", false),
            ("_a b._udp", false),
            ("_._udp", false),
            ("_a._sctp", false),
            ("_a.b._tcp", false),
        ] {
            assert_eq!(is_kind(kind), right, "{kind}");
        }
    }
}
