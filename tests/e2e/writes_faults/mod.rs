//! Writes when things go wrong: devices that lie, wires that lose, hosts that are killed, disks that are full, leases that
//! must end. Each test names the promise that it holds.

mod answers;
mod clock;
mod disk;
mod interlocks;
mod kill_switch;
mod kills;
mod leases;
mod restored;
mod reviewed;

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use busbar_ledger::model::Ledger;
use busbar_zoo::simulate::{Content, OnWrite, Running, Site, Write, start};
use busbar_zoo::{Peer, UdpPeer};
use rustix::process::Signal;
use serde_json::Value;

use crate::common::host::Host;
use crate::common::{Home, Run, list, text, until};

/// An inverter whose values lapse soon and are read back at once, so that a test does not wait for what a real one takes.
const LEDGER: &str = r#"
ledger = "test/inverter"
title  = "An inverter"
source = "a device of these tests"

[[transport]]
scheme = "modbus+tcp"

[[transport]]
scheme = "modbus+udp"

[identify]
serial = { at = 10, type = "text", words = 4 }

[read]
function = "holding"
bridge   = "never"

[points]
power    = { at = 0, type = "i32", unit = "W", class = "power", rate = "fast" }
# lapses after 4 s
setpoint = { at = 100, type = "i32", unit = "W", class = "power", access = "rw", rate = "fast", write = { min = -5000, max = 5000, storage = "volatile", min_interval = "1ms", lease = { device_timeout = "4s", safe = 7 }, verify = { after = "100ms" }, risk = "low" } }
# is leased, and stays for ever when nobody ends it
override = { at = 104, type = "i32", unit = "W", class = "power", access = "rw", rate = "fast", write = { min = -5000, max = 5000, storage = "volatile", min_interval = "1ms", lease = { safe = 7 }, verify = { after = "100ms" }, risk = "low" } }
limit    = { at = 110, type = "u16", unit = "%", access = "rw", rate = "fast", write = { min = 0, max = 100, storage = "volatile", min_interval = "1ms", verify = { after = "100ms" }, risk = "low" } }
kept     = { at = 112, type = "u16", unit = "%", access = "rw", rate = "fast", write = { min = 0, max = 100, storage = "stored", min_interval = "1ms", daily_budget = 9, verify = { after = "100ms" }, risk = "low" } }
# shows what became of it only after a while
sluggish = { at = 114, type = "u16", unit = "%", access = "rw", rate = "fast", write = { min = 0, max = 100, storage = "volatile", min_interval = "1ms", verify = { after = "20s" }, risk = "low" } }
"#;

const UNIT: u8 = 1;
const NAME: &str = "test/inverter";
const ALL: &str = "\"test/inverter:setpoint\", \"test/inverter:override\", \"test/inverter:limit\", \"test/inverter:kept\", \
                   \"test/inverter:sluggish\"";

/// What stands between the host and the device; faithful until it is told otherwise.
enum Way {
    Tcp(Peer),
    Udp(UdpPeer),
}

impl Way {
    fn url(&self) -> String {
        match self {
            Way::Tcp(peer) => peer.url(),
            Way::Udp(peer) => format!("modbus+udp://{}", peer.address()),
        }
    }
}

/// The inverter, a way to it, and the data of a host that may write all of it.
struct Rig {
    home: Home,
    device: Running,
    way: Way,
    config: String,
}

/// What `busbar set --json` came to.
#[derive(Debug)]
struct Set {
    exit: i32,
    report: Value,
}

impl Set {
    fn of(run: &Run) -> Set {
        Set {
            exit: run.code(),
            report: run.document(),
        }
    }

    fn outcome(&self) -> &str {
        self.report["outcome"]
            .as_str()
            .unwrap_or_else(|| panic!("{self:#?}"))
    }

    fn code(&self) -> &str {
        self.report["code"]
            .as_str()
            .unwrap_or_else(|| panic!("{self:#?}"))
    }

    fn reason(&self) -> &str {
        self.report["reason"]
            .as_str()
            .unwrap_or_else(|| panic!("{self:#?}"))
    }

    /// It must have gone well.
    #[track_caller]
    fn applied(self) -> Set {
        assert_eq!((self.exit, self.outcome()), (0, "applied"), "{self:#?}");
        self
    }

    /// A guard must have refused it, for this cause.
    #[track_caller]
    fn refused(self, cause: &str) -> Set {
        assert_eq!(
            (self.exit, self.outcome(), self.code()),
            (4, "refused", cause),
            "{self:#?}"
        );
        self
    }

    fn entity(&self) -> &str {
        text(&self.report, "entity")
    }
}

impl Rig {
    async fn new() -> Rig {
        Rig::with("tcp", LEDGER, ALL).await
    }

    async fn over_udp() -> Rig {
        Rig::with("udp", LEDGER, ALL).await
    }

    /// The inverter on a wire of its own, by a ledger like [`LEDGER`], with the entries of `allow`.
    async fn with(wire: &str, ledger: &str, allow: &str) -> Rig {
        Rig::at(Home::new(), wire, ledger, allow).await
    }

    async fn at(home: Home, wire: &str, ledger: &str, allow: &str) -> Rig {
        let parsed: Ledger =
            busbar_ledger::parse("inverter.toml", ledger).unwrap_or_else(|errors| panic!("{errors}"));
        home.write("inverter.toml", ledger);
        let site = format!(
            "[[device]]\nname = \"inverter\"\nkind = \"ledger\"\nzeros = true\nlisten = \"modbus+{wire}://127.0.0.1:0\"\n\
             [[device.unit]]\nunit = 1\nledger = \"{NAME}\"\n\
             values = {{ power = 1234, setpoint = 0, override = 0, limit = 50, kept = 50, sluggish = 50 }}\n"
        );
        let mut site = Site::parse("inverter", &site).unwrap_or_else(|error| panic!("{error}"));
        site.on_free_ports();
        let device = start(&site, &[Arc::new(parsed)]).await.unwrap();
        device.set_serial("inverter", UNIT, "INV00001").unwrap();
        let address = device.address("inverter").unwrap();
        let way = match wire {
            "udp" => Way::Udp(UdpPeer::before(address).await.unwrap()),
            _ => Way::Tcp(Peer::before(address).await.unwrap()),
        };
        let url = way.url();
        let config = format!(
            "[[connection]]\nname = \"home\"\nurl = \"{url}\"\nledger = \"inverter.toml\"\ninterval = \"300ms\"\n\
             [connection.writes]\nlevel = 3\nallow = [{allow}]\n"
        );
        let scan = [
            "scan",
            &url,
            "--ledger",
            "inverter.toml",
            "--save",
            "--name",
            "home",
            "--json",
        ];
        let report = home.run(&scan).await.json();
        assert_eq!(list(&report, "devices").len(), 1, "{report:#}");
        Rig {
            home,
            device,
            way,
            config,
        }
    }

    fn peer(&self) -> &Peer {
        match &self.way {
            Way::Tcp(peer) => peer,
            Way::Udp(_) => panic!("it is on UDP"),
        }
    }

    /// Starts a host that polls the inverter; ready when it does.
    async fn host(&self) -> Host {
        let host = self.home.host_with(&self.config).await;
        online(&host).await;
        host
    }

    fn args<'a>(key: &'a str, value: &'a str, more: &[&'a str]) -> Vec<String> {
        let mut args = vec![
            "set".to_owned(),
            format!("{NAME}:{key}"),
            value.to_owned(),
            "--json".to_owned(),
        ];
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        args
    }

    /// Runs `busbar set`.
    async fn set(&self, key: &str, value: &str, more: &[&str]) -> Set {
        Set::of(&self.home.run(&Rig::args(key, value, more)).await)
    }

    /// Begins to run it.
    fn begin(&self, key: &str, value: &str, more: &[&str]) -> tokio::process::Child {
        self.home.command(&Rig::args(key, value, more)).spawn().unwrap()
    }

    /// How the device takes writes of a point from now on.
    fn takes(&self, key: &str, on: OnWrite) {
        self.device.on_write("inverter", UNIT, NAME, key, on).unwrap();
    }

    /// Somebody else sets a point.
    fn put(&self, key: &str, value: i64) {
        let content = Content::Value(busbar_ledger::value::Value::Integer(value));
        self.device.set("inverter", UNIT, NAME, key, content).unwrap();
    }

    /// Everything that was written to the device, in its order.
    fn frames(&self) -> Vec<Write> {
        self.device.stats("inverter").unwrap().writes
    }

    /// The values that were written to an address, in their order.
    fn written(&self, at: u16) -> Vec<i32> {
        let frames = self.frames();
        frames
            .iter()
            .filter(|frame| frame.at == at)
            .map(|frame| number(&frame.words))
            .collect()
    }

    /// What the device holds at an address, asked of itself and not of the host.
    async fn holds(&self, at: u16, count: u16) -> i32 {
        let mut raw = busbar_zoo::connect(&self.device, "inverter").await;
        let words = raw.read(UNIT, at, count).await.unwrap();
        number(&words.expect("the device has it"))
    }

    /// Waits until the host has read an address so many times more.
    async fn polled(&self, at: u16, times: u64) {
        let reads = || -> u64 {
            let reads = self.device.stats("inverter").unwrap().reads;
            let here = |span: &busbar_ledger::span::Span| span.at <= at && u32::from(at) < span.end();
            reads
                .iter()
                .filter(|((_, span), _)| here(span))
                .map(|(_, count)| count)
                .sum()
        };
        let had = reads();
        until(&format!("{times} reads of {at}"), async || {
            (reads() >= had + times).then_some(())
        })
        .await;
    }

    /// The entities whose values are held.
    async fn held(&self) -> Vec<Value> {
        let leases = self.home.run(&["lease", "list", "--json"]).await.json();
        list(&leases, "leases").to_vec()
    }

    /// The audit as `busbar audit` shows it, oldest first.
    async fn audit(&self) -> Vec<Value> {
        let report = self
            .home
            .run(&["audit", "--json", "--limit", "1000"])
            .await
            .json();
        let mut rows = list(&report, "rows").to_vec();
        rows.sort_by_key(|row| row["seq"].as_i64());
        rows
    }

    /// The rows of a kind.
    async fn rows(&self, kind: &str) -> Vec<Value> {
        let mut rows = self.audit().await;
        rows.retain(|row| row["kind"] == kind);
        rows
    }

    /// Waits for an outcome of this word in the audit; gives its row.
    async fn noted(&self, outcome: &str) -> Value {
        until(&format!("\"{outcome}\" in the audit"), async || {
            let rows = self.rows("outcome").await;
            rows.into_iter().find(|row| row["outcome"] == outcome)
        })
        .await
    }

    /// What the audit always promises: its chain is whole, each intent has an outcome, and no frame went out that had no
    /// intent before it.
    async fn audit_holds(&self) {
        let proof = self.home.run(&["audit", "--verify", "--json"]).await.json();
        assert!(proof["broken"].is_null(), "{proof:#}");
        let rows = self.audit().await;
        let of = |kind: &str| {
            rows.iter()
                .filter(move |row| row["kind"] == kind)
                .collect::<Vec<_>>()
        };
        for intent in of("intent") {
            let ended = of("outcome").iter().any(|row| row["intent"] == intent["seq"]);
            assert!(ended, "no outcome of {intent:#} in {rows:#?}");
        }
        self.frames_are_announced(&rows);
    }

    /// No frame without its intent.
    fn frames_are_announced(&self, rows: &[Value]) {
        let began = self.device.began().duration_since(UNIX_EPOCH).unwrap();
        for frame in self.frames() {
            let words = serde_json::json!(frame.words);
            let seen = i64::try_from((began + frame.after).as_millis()).unwrap();
            let announces = |row: &&Value| {
                row["kind"] == "intent"
                    && row["at"] == frame.at
                    && (row["words"] == words || row["safe_words"] == words)
                    // The two clocks were asked at different moments.
                    && row["at_ms"].as_i64().unwrap() <= seen + 50
            };
            assert!(
                rows.iter().any(|row| announces(&row)),
                "no intent for {frame:?} in {rows:#?}"
            );
        }
    }
}

/// One or two words as the number that they are.
fn number(words: &[u16]) -> i32 {
    match *words {
        [low] => low.into(),
        [high, low] => (i32::from(high as i16) << 16) | i32::from(low),
        _ => panic!("{words:?}"),
    }
}

/// Waits until everything that the host has is polled.
async fn online(host: &Host) {
    until("every device to be online", async || {
        let devices = host.get("/api/v1/devices").await;
        let devices = list(&devices, "devices");
        let all = devices.iter().all(|device| device["availability"] == "online");
        (all && !devices.is_empty()).then_some(())
    })
    .await;
}

/// What a host shows for an entity.
async fn shown(host: &Host, entity: &str) -> Value {
    host.get(&format!("/api/v1/entities/{entity}")).await["value"].clone()
}

/// Kills a host, and waits until it is gone.
async fn kill(host: Host) {
    host.process.signal(Signal::KILL);
    let run = host.process.end().await;
    assert!(!run.status.success(), "{run:?}");
}
