//! Networks that lose packets without a word, as a device that lost its power or a router that forgot a connection
//! does: real ones, in a network namespace of their own, with a real clock.
//!
//! Where the kernel gives an unprivileged process no such namespace, these say so and pass.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use busbar_wire::{Link, LinkState, Options};
use common::{Asked, read, words};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

const INSIDE: &str = "BUSBAR_WIRE_NETWORK";

/// Runs this test again in a network of its own; true when this is that run.
fn in_a_network_of_its_own(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        ip("link set lo up");
        // Other rules are to come before the one that finds this machine's own addresses.
        ip("rule add pref 10 lookup local");
        ip("rule del pref 0");
        return true;
    }
    let works = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if !works(Command::new("unshare").args(["-rn", "true"])) {
        eprintln!("skipped: this machine allows no network namespace");
        return false;
    }
    if !works(Command::new("ip").arg("-V")) {
        let missing = "ip is not installed (apt install iproute2)";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("skipped: {missing}");
        return false;
    }
    let mut again = Command::new("unshare");
    again.arg("-rn").arg(std::env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let output = again.output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {said}");
}

/// From now on every packet of the connection from this port is lost, on both ways, and nobody is told.
fn forget(client: SocketAddr) {
    let port = client.port();
    ip(&format!("rule add pref 5 ipproto tcp sport {port} blackhole"));
    ip(&format!("rule add pref 6 ipproto tcp dport {port} blackhole"));
}

/// A device, a link to it, and the addresses from which it connects.
async fn device() -> (Link, UnboundedReceiver<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("modbus+tcp://{}", listener.local_addr().unwrap());
    let (tx, clients) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, client)) = listener.accept().await {
            tx.send(client).unwrap();
            tokio::spawn(async move {
                let mut bytes = [0; 12];
                while stream.read_exact(&mut bytes).await.is_ok() {
                    let _ = stream.write_all(&Asked::parse(&bytes).answer()).await;
                }
            });
        }
    });
    (Link::open(url.parse().unwrap(), Options::default()), clients)
}

/// Polled while its packets are lost: it is told, and a new connection brings the next right reading.
#[tokio::test]
async fn fault_3_a_half_open_connection_is_found_within_six_seconds() {
    if !in_a_network_of_its_own("fault_3_a_half_open_connection_is_found_within_six_seconds") {
        return;
    }
    let (link, mut clients) = device().await;
    let state = link.state();
    let mut polls = interval(Duration::from_millis(250));
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    assert_eq!(read(&link, 1, 0, 2).await.unwrap(), words(1, 0, 2));
    forget(clients.recv().await.unwrap());

    let begun = Instant::now();
    let mut told = None;
    for at in 10.. {
        polls.tick().await;
        match read(&link, 1, at, 2).await {
            Ok(got) => {
                assert_eq!(got, words(1, at, 2));
                break;
            }
            Err(error) => assert!(
                matches!(error.code(), "silent" | "unit_resting" | "connection_lost"),
                "{error}"
            ),
        }
        if matches!(*state.borrow(), LinkState::Down { .. }) {
            told.get_or_insert(begun.elapsed());
        }
        assert!(begun.elapsed() < Duration::from_secs(35), "it should be back");
    }
    assert!(
        told.is_some_and(|after| after < Duration::from_secs(6)),
        "{told:?}"
    );
    assert_eq!(link.stats().lost, 1, "the system gave the connection up");
    assert!(clients.try_recv().is_ok(), "a new connection");
}

/// Nothing is asked while the connection is forgotten: it is found all the same, and costs the next read nothing.
#[tokio::test]
async fn fault_10_a_forgotten_idle_connection_is_found_before_it_is_needed() {
    if !in_a_network_of_its_own("fault_10_a_forgotten_idle_connection_is_found_before_it_is_needed") {
        return;
    }
    let (link, mut clients) = device().await;
    assert!(read(&link, 1, 0, 1).await.is_ok());
    forget(clients.recv().await.unwrap());
    let mut state = link.state();
    let found = state.wait_for(|state| *state == LinkState::Idle);
    timeout(Duration::from_secs(10), found).await.unwrap().unwrap();
    assert_eq!(read(&link, 1, 7, 2).await.unwrap(), words(1, 7, 2));
    let stats = link.stats();
    assert_eq!((stats.lost, stats.timeouts, stats.connects), (1, 0, 2));
}
