//! Knocking at every address of some networks: who accepts a connection, who answers a datagram.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use busbar_wire::{Endpoint, Host, Sweep, sweep};
use futures_util::stream::{self, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::places::{Datagram, Port};
use super::progress::{Event, Progress};

/// Connections that are tried at once.
pub const AT_ONCE: usize = 64;
/// Between two knocks: 200 a second, which no home router minds.
pub const PACE: Duration = Duration::from_millis(5);
/// Addresses of one sweep over UDP: each has an id of its own.
const ONE_SWEEP: usize = 1 << 16;
/// How often the progress is told, in knocks.
const TELL_EVERY: u32 = 16;

/// What knocking brought.
#[derive(Debug, Default)]
pub struct Knocked {
    /// Who is there.
    pub endpoints: Vec<Endpoint>,
    /// What went wrong on this machine, in words.
    pub trouble: Option<String>,
}

/// Tries to connect to every port of every address. Who accepts is let go at once; nothing is sent.
pub async fn over_tcp(
    addresses: &[Ipv4Addr],
    ports: &[Port],
    patience: Duration,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Knocked {
    let of = u32::try_from(addresses.len() * ports.len()).unwrap_or(u32::MAX);
    let doors = ports
        .iter()
        .flat_map(|port| addresses.iter().map(move |a| (*a, *port)));
    let begin = Instant::now();
    let mut knocks = stream::iter(doors.zip(0u32..))
        .map(|((address, port), nth)| async move {
            sleep_until(begin + PACE * nth).await;
            let outcome = timeout(patience, TcpStream::connect((address, port.number))).await;
            (address, port, outcome)
        })
        .buffer_unordered(AT_ONCE);
    let mut knocked = Knocked::default();
    let mut done = 0;
    loop {
        let next = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            next = knocks.next() => next,
        };
        let Some((address, port, outcome)) = next else {
            break;
        };
        match outcome {
            Ok(Ok(_)) => knocked
                .endpoints
                .push(endpoint(port.scheme, address, port.number)),
            Ok(Err(error)) if is_ours(&error) => knocked.trouble = Some(error.to_string()),
            Ok(Err(_)) | Err(_) => {}
        }
        done += 1;
        if done % TELL_EVERY == 0 || done == of {
            progress.event(Event::Knocking { done, of });
        }
    }
    knocked
}

/// Sends one datagram to every address for each probe, and a second to those that were silent: one gets lost now and
/// then.
pub async fn over_udp(
    addresses: &[Ipv4Addr],
    probes: &[Datagram],
    patience: Duration,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Knocked {
    let of = u32::try_from(2 * addresses.len() * probes.len()).unwrap_or(u32::MAX);
    let mut knocked = Knocked::default();
    let mut before = 0;
    for probe in probes {
        let mut left: Vec<SocketAddrV4> = addresses
            .iter()
            .map(|a| SocketAddrV4::new(*a, probe.port))
            .collect();
        for _ in 0..2 {
            let mut heard = Vec::new();
            for some in left.chunks(ONE_SWEEP) {
                let what = Sweep {
                    unit: probe.unit,
                    span: probe.span,
                    pace: PACE,
                    patience,
                };
                let told = |n: usize| {
                    let done = before + u32::try_from(n).unwrap_or(u32::MAX);
                    if done.is_multiple_of(TELL_EVERY) {
                        progress.event(Event::Knocking { done, of });
                    }
                };
                let swept = tokio::select! {
                    biased;
                    () = cancel.cancelled() => return knocked,
                    swept = sweep(what, some, told) => swept,
                };
                before += u32::try_from(some.len()).unwrap_or(u32::MAX);
                match swept {
                    Ok(answered) => heard.extend(answered),
                    Err(error) => knocked.trouble = Some(error.to_string()),
                }
            }
            left.retain(|address| !heard.contains(address));
            for address in heard {
                let found = endpoint("modbus+udp", *address.ip(), address.port());
                if !knocked.endpoints.contains(&found) {
                    knocked.endpoints.push(found);
                }
            }
        }
    }
    knocked
}

fn endpoint(scheme: &str, address: Ipv4Addr, port: u16) -> Endpoint {
    let host = Host {
        name: address.to_string(),
        port,
    };
    match scheme {
        "modbus+udp" => Endpoint::Udp(host),
        "modbus+rtu+tcp" => Endpoint::RtuOverTcp(host),
        _ => Endpoint::Tcp(host),
    }
}

/// Whether the fault is this machine's and not the address's.
fn is_ours(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{
        ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut,
    };
    !matches!(
        error.kind(),
        ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable | TimedOut
    )
}
