//! A meter behind a network that loses, doubles, delays, merges and mixes in foreign datagrams: every second a right
//! value or a stated gap, never a wrong one.
//!
//! No two answers of the meter are alike, and a late answer comes so late that whoever takes it for another shows a
//! value that is too old. All else that is wrong on the way carries other data than the meter's.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use busbar_zoo::simulate::{Content, Running};
use busbar_zoo::{Air, Fault, UdpPeer, site, udp_peer};
use futures_util::future::join_all;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::time::{Instant, timeout};

use crate::common::site::ledger;
use crate::common::{Home, PATIENCE};

const VM: &str = "victron/vm-3p75ct";

const SITE: &str = r#"
[[device]]
name   = "vm"
kind   = "ledger"
zeros  = true
listen = "modbus+udp://127.0.0.1:0"

[[device.unit]]
unit   = 1
ledger = "victron/vm-3p75ct"
values = { phase_config = 3, frequency = 50.02, voltage_l1 = 231.14, voltage_l2 = 230.98, voltage_l3 = 231.4 }
"#;

/// The powers of the nth answer: those of no other.
fn powers(nth: i32) -> [(&'static str, i32); 4] {
    [
        ("power_l1", -nth),
        ("power_l2", nth + 1),
        ("power_l3", 3 * nth),
        ("power_total", nth),
    ]
}

/// How late a late answer is.
const LATENESS: Duration = Duration::from_secs(4);
/// How old a value may be when it comes as a line: a read has a second, a busy machine takes its time.
const FRESH: Duration = Duration::from_millis(2500);
/// How old a value may be while it stands in the table: until the next one came, or did not.
const SHOWN: Duration = Duration::from_millis(3500);
/// How long the network behaves so, then loses everything, then behaves so again.
const PARTS: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(4),
    Duration::from_secs(3),
];

fn bad(seed: u64) -> Air {
    Air {
        seed,
        late: 0.05,
        lateness: LATENESS,
        double: 0.2,
        reorder: 0.05,
        merge: 0.1,
        foreign: 0.3,
        stranger: 0.3,
        truncate: 0.05,
        oversize: 0.05,
        garbage: 0.1,
        ..Air::lossy(0.2)
    }
}

/// A meter behind such a network.
struct Meter {
    began: Instant,
    _running: Running,
    peer: UdpPeer,
    /// From the beginning of the meter to that of its network's notes.
    noted: Duration,
}

impl Meter {
    async fn new() -> Self {
        let began = Instant::now();
        let running = site(SITE).await;
        for (place, (key, _)) in powers(0).into_iter().enumerate() {
            let turns = (1000..5000).map(|nth| u64::from(powers(nth)[place].1.cast_unsigned()));
            running
                .set("vm", 1, VM, key, Content::Turns(turns.collect()))
                .unwrap();
        }
        let noted = began.elapsed();
        let peer = udp_peer(&running, "vm").await;
        Meter {
            began,
            _running: running,
            peer,
            noted,
        }
    }

    /// Plays all parts; gives the times between which everything was lost.
    async fn weather(&self, seed: u64) -> [Duration; 2] {
        let lost = Air {
            fault: Fault::BlackHole,
            ..Air::default()
        };
        let mut began = [Duration::ZERO; 3];
        for (i, air) in [bad(seed), lost, bad(seed + 1)].into_iter().enumerate() {
            began[i] = self.began.elapsed();
            self.peer.turn(air).await;
            tokio::time::sleep(PARTS[i]).await;
        }
        [began[1], began[2]]
    }

    /// Whether the meter sent these registers in answer to a request that was made so long ago at most.
    fn sent(&self, key: &str, words: &[u16], at: Duration, oldest: Duration) -> bool {
        let span = ledger(VM).point(key).unwrap().register().unwrap().span;
        self.peer.record().exchanges().iter().any(|exchange| {
            let asked = self.noted + exchange.after;
            let (Some(read), Some(sent)) = (exchange.span(), exchange.words()) else {
                return false;
            };
            let start = usize::from(span.at).checked_sub(read.at.into());
            let same = start.and_then(|start| sent.get(start..start + words.len())) == Some(words);
            same && asked <= at && at - asked <= oldest
        })
    }

    /// Fails unless the meter sent every value of this document, not long ago.
    fn check_sent(&self, points: &Value, at: Duration) {
        for (key, point) in points.as_object().unwrap() {
            assert_eq!(
                point["value"].is_null(),
                point["quality"] != "good",
                "{key}: {point}"
            );
            let raw: Vec<u16> = serde_json::from_value(point["raw"].clone()).unwrap();
            if raw.is_empty() {
                assert_eq!(point["quality"], "unavailable", "{key}: {point}");
                continue;
            }
            // What a device says of itself stays: it is read once.
            let oldest = if point["class"] == "identity" { at } else { FRESH };
            assert!(
                self.sent(key, &raw, at, oldest),
                "{key} = {point} was not sent lately, at {at:?}"
            );
        }
    }

    /// Fails unless these are the powers of one answer, and not of one long ago.
    fn check_powers(&self, shown: [i32; 4], at: Duration) {
        let one = powers(shown[3]);
        assert_eq!(shown, one.map(|(_, power)| power), "powers of one answer");
        for (key, power) in one {
            let [a, b, c, d] = power.to_be_bytes();
            let words = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
            assert!(
                self.sent(key, &words, at, SHOWN),
                "{key} = {power} was not sent lately, at {at:?}"
            );
        }
    }
}

/// Lines of a watch, with the time of each.
async fn watch(
    home: &Home,
    meter: &Meter,
    until: impl Future<Output = [Duration; 2]>,
) -> (Vec<(Duration, Value)>, [Duration; 2]) {
    let url = meter.peer.url();
    let args = ["read", &url, "--ledger", VM, "--watch", "1s", "--json"];
    let mut child = home.command(&args).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = Vec::new();
    let mut until = std::pin::pin!(until);
    loop {
        tokio::select! {
            lost = &mut until => {
                child.kill().await.unwrap();
                return (lines, lost);
            }
            line = out.next_line() => {
                let line = line.unwrap().expect("it goes on until it is stopped");
                lines.push((meter.began.elapsed(), serde_json::from_str(&line).unwrap()));
            }
        }
    }
}

#[tokio::test]
async fn every_second_has_a_right_value_or_a_stated_gap() {
    tokio::join!(as_lines(), as_a_table());
}

async fn as_lines() {
    let runs = [11, 22, 33].map(|seed| async move {
        let (home, meter) = (Home::new(), Meter::new().await);
        let (lines, [from, to]) = watch(&home, &meter, meter.weather(seed)).await;
        let (mut values, mut gaps) = (0, 0);
        for (at, line) in &lines {
            let points = &line["points"];
            if line["error"].is_object() {
                gaps += 1;
                let known = points.as_object().into_iter().flatten();
                assert!(
                    known.into_iter().all(|(_, point)| point["value"].is_null()),
                    "{line}"
                );
                continue;
            }
            meter.check_sent(points, *at);
            let shown = powers(0).map(|(key, _)| points[key]["value"].as_i64());
            if let [Some(l1), Some(l2), Some(l3), Some(total)] = shown {
                values += 1;
                assert!(
                    *at <= from + FRESH || *at >= to,
                    "a value at {at:?}, when nothing came: {line}"
                );
                meter.check_powers([l1, l2, l3, total].map(|power| power as i32), *at);
            } else {
                assert_eq!(shown, [None; 4], "{line}");
                assert!(line["missing"].is_string(), "it says why: {line}");
            }
        }
        let times: Vec<Duration> = lines.iter().map(|(at, _)| *at).collect();
        // A line for each second, in it or at its end.
        let watched = times[times.len() - 1] - times[0];
        assert!(times.len() as f64 >= watched.as_secs_f64() - 1.0, "{times:.2?}");
        assert!(watched >= Duration::from_secs(8), "{times:.2?}");
        let apart = times.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(apart <= Some(SHOWN), "{times:.2?}");
        assert!(values >= 3 && gaps >= 2, "{values} values, {gaps} gaps");
    });
    join_all(runs).await;
}

/// The numbers of a table's row of powers, L1, L2, L3 and total; `None` where they are not known.
fn row(frame: &str) -> Option<Option<[i32; 4]>> {
    let mut plain = String::new();
    let mut rest = frame;
    while let Some((before, sequence)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = sequence.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        rest = rest.get(1..).unwrap_or_default();
    }
    plain.push_str(rest);
    let row = plain.lines().find(|line| line.starts_with("Power "))?;
    let numbers: Vec<i32> = row
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    Some(numbers.first_chunk().copied())
}

/// A terminal for a program, and what is seen on it.
fn terminal() -> (File, tokio::fs::File) {
    let seen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&seen).unwrap();
    unlockpt(&seen).unwrap();
    let size = Winsize {
        ws_row: 40,
        ws_col: 100,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&seen, size).unwrap();
    let path = ptsname(&seen, Vec::new()).unwrap().into_string().unwrap();
    let terminal = File::options().write(true).open(path).unwrap();
    (terminal, tokio::fs::File::from_std(seen.into()))
}

async fn as_a_table() {
    let (home, meter) = (Home::new(), Meter::new().await);
    let (terminal, mut seen) = terminal();
    let url = meter.peer.url();
    let mut command = home.command(&["read", &url, "--ledger", VM, "--watch", "1s"]);
    let mut child = command.stdout(Stdio::from(terminal)).spawn().unwrap();

    let mut screen = Vec::new();
    let mut frames = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut weather = std::pin::pin!(meter.weather(44));
    let [from, to] = loop {
        tokio::select! {
            lost = &mut weather => break lost,
            count = seen.read(&mut buffer) => {
                screen.extend_from_slice(&buffer[..count.unwrap()]);
                // A frame ends with this.
                while let Some(end) = screen.windows(8).position(|w| w == b"\x1b[?2026l") {
                    let frame: Vec<u8> = screen.drain(..end + 8).collect();
                    frames.push((meter.began.elapsed(), String::from_utf8(frame).unwrap()));
                }
            }
        }
    };
    child.kill().await.unwrap();
    drop(command);
    // Nobody holds the other end any more, so this comes to an end, too.
    let rest = async { while seen.read(&mut buffer).await.is_ok_and(|count| count > 0) {} };
    timeout(PATIENCE, rest).await.unwrap();

    let (mut values, mut gaps) = (0, 0);
    for (at, frame) in &frames {
        match row(frame) {
            Some(Some(shown)) => {
                values += 1;
                assert!(
                    *at <= from + SHOWN || *at >= to,
                    "a value at {at:?}, when nothing came: {frame:?}"
                );
                meter.check_powers(shown, *at);
            }
            Some(None) => gaps += 1,
            None => {}
        }
    }
    assert!(
        values >= 3 && gaps >= 2,
        "{values} values, {gaps} gaps in {frames:#?}"
    );
}
