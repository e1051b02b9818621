//! Giving an address: a URL, or only a host, where the usual wires are tried.

use busbar_wire::{Endpoint, EndpointError};

use super::super::screen::{Answer, Ask, Block};
use super::super::work::Work;
use super::{Answered, Flow, Next, Page, text};

pub(super) fn page(flow: &Flow) -> Page {
    Page {
        title: "The address of the device".to_owned(),
        step: Some(1),
        blocks: vec![
            Block::text(
                "A host name or an IP address is enough: Modbus TCP is tried, and Modbus over UDP, which the Victron \
                 VM-3P75CT speaks. A URL says it exactly:",
            ),
            Block::Pairs {
                rows: [
                    ("192.168.1.20", "the usual ways at this address"),
                    ("modbus+tcp://192.168.1.20:502", "Modbus TCP"),
                    ("modbus+udp://192.168.1.30", "Modbus over UDP"),
                    ("modbus+rtu:///dev/ttyUSB0?baud=9600&parity=none", "a serial line"),
                    (
                        "modbus+rtu+tcp://192.168.1.40:4001",
                        "a serial line behind a gateway",
                    ),
                ]
                .map(|(url, what)| (url.to_owned(), what.to_owned()))
                .to_vec(),
            },
        ],
        ask: Ask::Text {
            prompt: "Address".to_owned(),
            default: flow.draft.url.clone(),
        },
        help: "The device's own display tells its address under network or Ethernet, or your router lists it. On a GX: \
               Settings, Connectivity. A serial port has a name below /dev/serial/by-id that survives a replug.",
    }
}

pub(super) fn answer(flow: &mut Flow, answer: Answer) -> Answered {
    let default = flow.draft.url.clone();
    let typed = text(answer, &default)?;
    let urls = urls(&typed)?;
    flow.draft.url = typed;
    Ok(Next::Do(Work::Look { urls }))
}

/// What to try for an address as people write it, likeliest first.
///
/// # Errors
/// What to write instead.
pub(super) fn urls(typed: &str) -> Result<Vec<String>, String> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Err("Type where the device is, such as 192.168.1.20, or `back`.".to_owned());
    }
    let parse = |url: &str| -> Result<String, String> {
        let told = |e: EndpointError| format!("{e}. {}", e.hint());
        url.parse::<Endpoint>()
            .map(|endpoint| endpoint.to_string())
            .map_err(told)
    };
    if typed.contains("://") {
        return Ok(vec![parse(typed)?]);
    }
    if typed.starts_with('/') {
        return Ok(vec![parse(&format!(
            "modbus+rtu://{typed}?baud=9600&parity=none"
        ))?]);
    }
    // An address of IPv6 needs brackets in a URL, and nobody types them.
    let host = match typed.parse::<std::net::Ipv6Addr>() {
        Ok(v6) => format!("[{v6}]"),
        Err(_) => typed.to_owned(),
    };
    let mut all = vec![
        parse(&format!("modbus+tcp://{host}"))?,
        parse(&format!("modbus+udp://{host}"))?,
    ];
    // Behind another port than Modbus' own there may be a gateway.
    let port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if port && !host.ends_with(']') {
        all.push(parse(&format!("modbus+rtu+tcp://{host}"))?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_host_is_tried_on_the_usual_wires() {
        assert_eq!(
            urls(" 192.168.1.20 ").unwrap(),
            ["modbus+tcp://192.168.1.20:502", "modbus+udp://192.168.1.20:502"]
        );
        assert_eq!(urls("gx.local:5020").unwrap().len(), 3);
        assert_eq!(urls("fd00::7").unwrap()[0], "modbus+tcp://[fd00::7]:502");
        assert_eq!(
            urls("modbus+udp://10.0.0.3").unwrap(),
            ["modbus+udp://10.0.0.3:502"]
        );
        assert!(urls("/dev/ttyUSB0").unwrap()[0].starts_with("modbus+rtu:///dev/ttyUSB0"));
    }

    #[test]
    fn what_is_no_address_says_what_to_write() {
        for (typed, word) in [
            ("", "192.168.1.20"),
            ("http://gx", "modbus+tcp"),
            ("two words", ""),
        ] {
            let fault = urls(typed).unwrap_err();
            assert!(fault.contains(word), "{typed}: {fault}");
        }
    }
}
