//! What tests of writes share: a GX that may be written to, a client of the host's control socket, and the evidence of
//! what was really sent.

use std::path::PathBuf;

use busbar_zoo::simulate::{Running, Write};
use busbar_zoo::{Evidence, Intent, Judge, Leave, Peer, gx, peer};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::host::Host;
use super::site::ledger;
use super::{Home, PATIENCE, Run, list, until};

/// A GX in external control, with nothing that stands in the way of a write.
pub const GX: &str = r#"
[[device.service]]
service = "system"
values = { serial = "c0ffee", firmware_version = 222464, dc_battery_soc = 77.0, relay_0_state = 0, relay_1_state = 0 }

[[device.service]]
service = "settings"
[device.service.values]
settings_cgwacs_ac_power_set_point = 30.0
settings_cgwacs_max_charge_percentage = 100.0
settings_cgwacs_max_discharge_percentage = 100.0
settings_cgwacs_max_discharge_power = -1.0
settings_cgwacs_max_feed_in_power = -1.0
settings_cgwacs_overvoltage_feed_in = 1
settings_cgwacs_prevent_feedback = 0
settings_cgwacs_ac_export_limit = -1.0
settings_cgwacs_ac_input_limit = -1.0
settings_cgwacs_battery_life_state = 10
settings_cgwacs_battery_life_minimum_soc_limit = 20.0
settings_cgwacs_hub4_mode = 3
settings_system_setup_max_charge_current = -1
settings_system_setup_max_charge_voltage = 56.0
settings_system_setup_system_name = "Test home"
settings_dynamic_ess_mode = 0

[[device.service]]
service = "hub4"
values = { overrides_setpoint = 0, pv_disable = 0 }

[[device.service]]
service = "vebus"
instance = 276
[device.service.values]
custom_name = "Quattro"
ac_number_of_phases = 3
state = 3
mode = 3
ac_active_in_current_limit = 20.0
ac_active_in_l1_v = 230.0
ac_active_in_l2_v = 230.0
ac_active_in_l3_v = 230.0
hub4_l1_ac_power_setpoint = 0
hub4_l2_ac_power_setpoint = 0
hub4_l3_ac_power_setpoint = 0
hub4_disable_charge = 0
hub4_disable_feed_in = 0
alarms_low_battery = 0
"#;

/// The limits of the site of most tests: 16,560 W in all, 5,520 W a phase.
pub const LIMITS: &str =
    "ac_voltage = 230\nphases = 3\nac_current = 24\ndc_current = 100\nbattery = \"lifepo4-16s\"\n";
/// What [`LIMITS`] allow of AC power in all.
pub const AC_POWER: f64 = 16_560.0;
/// And of one phase.
pub const AC_POWER_PHASE: f64 = 5_520.0;

/// The grid setpoint that lapses, in 32 bits: gx-hub4 2716.
pub const SETPOINT: &str = "c0ffee_hub4_u100.overrides_setpoint";
/// The stored grid setpoint: gx-settings 2700.
pub const STORED_SETPOINT: &str = "c0ffee_settings_u100.settings_cgwacs_ac_power_set_point";
/// The same in steps of 100 W: gx-settings 2703.
pub const COARSE_SETPOINT: &str = "c0ffee_settings_u100.settings_cgwacs_ac_power_set_point_at_2703";
/// The inverter's mode: gx-vebus 33.
pub const MODE: &str = "c0ffee_vebus_u227.mode";
/// The current limit of the AC input: gx-vebus 22.
pub const CURRENT_LIMIT: &str = "c0ffee_vebus_u227.ac_active_in_current_limit";
/// The setpoint of the first phase, in 32 bits: gx-vebus 96.
pub const L1_SETPOINT: &str = "c0ffee_vebus_u227.hub4_l1_ac_power_setpoint";
/// The first relay, which is volatile and does not lapse: gx-system 806.
pub const RELAY: &str = "c0ffee_system_u100.relay_0_state";

/// A connection of [`GX`] that has been scanned and saved as `home`; no configuration yet.
pub struct Known {
    pub home: Home,
    pub running: Running,
    /// What stands before the device, where the test wants that.
    pub peer: Option<Peer>,
    pub url: String,
}

impl Known {
    /// Busbar talks to the device itself.
    pub async fn new() -> Self {
        Self::scanned(gx(GX).await, None).await
    }

    /// Busbar talks to a peer before the device, which notes everything and misbehaves by switch.
    pub async fn behind_a_peer() -> Self {
        let running = gx(GX).await;
        let peer = peer(&running, "gx").await;
        Self::scanned(running, Some(peer)).await
    }

    async fn scanned(running: Running, peer: Option<Peer>) -> Self {
        let home = Home::new();
        let url = match &peer {
            Some(peer) => peer.url(),
            None => running.url("gx").unwrap(),
        };
        let scan = [
            "scan", &url, "--units", "100,227", "--save", "--name", "home", "--json",
        ];
        let report = home.run(&scan).await.json();
        assert_eq!(list(&report, "devices").len(), 4, "{report:#}");
        Known {
            home,
            running,
            peer,
            url,
        }
    }

    /// Starts a host with [`LIMITS`] and this below `[connection.writes]`; ready when every device is online.
    pub async fn host(&self, writes: &str) -> Host {
        self.host_within(LIMITS, writes).await
    }

    /// The same with other limits of the site.
    pub async fn host_within(&self, limits: &str, writes: &str) -> Host {
        let host = self.home.host_with(&config(&self.url, limits, writes)).await;
        until("every device to be online", async || {
            let health = host.get("/healthz").await;
            (health["devices_online"] == 4).then_some(())
        })
        .await;
        host
    }

    /// Writes the configuration for commands without a host.
    pub fn configure(&self, writes: &str) {
        self.home.write("busbar.toml", &config(&self.url, LIMITS, writes));
    }

    /// Everything that was asked of the device and was no read.
    pub fn writes(&self) -> Vec<Write> {
        self.running.stats("gx").unwrap().writes
    }

    /// (unit, function, address, words) of every write that the device saw, in their order.
    pub fn frames(&self) -> Vec<(u8, u8, u16, Vec<u16>)> {
        let frame = |write: Write| {
            assert!(write.sound, "{write:?}");
            (write.unit, write.function, write.at, write.words)
        };
        self.writes().into_iter().map(frame).collect()
    }

    /// Nothing was written that these leaves do not allow, and nothing without its row in the audit.
    pub async fn acquit(&self, leaves: impl IntoIterator<Item = Leave>) {
        let judge = leaves.into_iter().fold(Judge::strict(), Judge::allow);
        let intents = intents(&self.home.audit().await);
        let of_device = judge.clone().intents(intents.clone(), self.running.began());
        of_device.acquit(&Evidence::from(&self.running.stats("gx").unwrap()));
        // A peer has seen what did not get through, too.
        if let Some(peer) = &self.peer {
            let record = peer.record();
            judge
                .intents(intents, record.began())
                .acquit(&Evidence::from(record));
        }
    }
}

/// A configuration with one connection, `home`: the site's limits, and what stands below `[connection.writes]`.
pub fn config(url: &str, limits: &str, writes: &str) -> String {
    format!(
        "[site]\n{limits}\n[[connection]]\nname = \"home\"\nurl = \"{url}\"\ninterval = \"200ms\"\n\
         [connection.writes]\n{writes}\n"
    )
}

/// What a write came to: the exit of the program and its document.
pub struct Report {
    pub exit: i32,
    pub document: Value,
}

impl Report {
    pub fn outcome(&self) -> &str {
        self.document["outcome"].as_str().unwrap_or_default()
    }

    pub fn reason(&self) -> &str {
        self.document["reason"].as_str().unwrap_or_default()
    }

    pub fn words(&self) -> Vec<u16> {
        let words = self.document["words"].as_array();
        words
            .map(|words| words.iter().map(word).collect())
            .unwrap_or_default()
    }

    /// The outcome must be this, and the exit the one that belongs to it.
    #[track_caller]
    pub fn is(self, outcome: &str) -> Self {
        let exit = match outcome {
            "applied" | "dry_run" => 0,
            "refused" => 4,
            _ => 1,
        };
        assert_eq!(
            (self.outcome(), self.exit),
            (outcome, exit),
            "{:#}",
            self.document
        );
        self
    }

    /// It was refused, for this cause, and says so with these words in its reason or its hint.
    #[track_caller]
    pub fn refused(self, code: &str, words: &[&str]) -> Self {
        let it = self.is("refused");
        let hint = it.document["hint"].as_str().unwrap_or_default();
        let said = format!("{} {hint}", it.reason());
        assert_eq!(it.document["code"], code, "{:#}", it.document);
        for word in words {
            assert!(said.contains(word), "{word:?} is not said: {said}");
        }
        assert!(!hint.is_empty(), "a refusal has a next step: {:#}", it.document);
        it
    }
}

fn word(value: &Value) -> u16 {
    value
        .as_u64()
        .and_then(|word| word.try_into().ok())
        .expect("a word")
}

impl Home {
    /// `busbar set … --json`
    pub async fn set(&self, args: &[&str]) -> Report {
        let run = self.run(&[&["set"], args, &["--json"]].concat()).await;
        Report {
            exit: run.code(),
            document: run.document(),
        }
    }

    /// All rows of the audit, the oldest first.
    pub async fn audit(&self) -> Vec<Value> {
        let run = self.run(&["audit", "--limit", "10000", "--json"]).await.json();
        let mut rows = list(&run, "rows").to_vec();
        rows.sort_by_key(|row| row["seq"].as_i64());
        rows
    }

    /// `busbar audit --verify --json`
    pub async fn verify_audit(&self) -> Run {
        self.run(&["audit", "--verify", "--json"]).await
    }

    /// Where the host's control socket lies.
    pub fn socket(&self) -> PathBuf {
        self.data().join("control.sock")
    }
}

/// What rows of the audit announce: each frame, the one that ends a lease, and those that keep it alive.
pub fn intents(rows: &[Value]) -> Vec<Intent> {
    let words = |row: &Value, key: &str| -> Vec<u16> { list(row, key).iter().map(word).collect() };
    let small = |row: &Value, key: &str| row[key].as_u64().unwrap_or_else(|| panic!("no {key}: {row:#}"));
    let mut intents = Vec::new();
    for row in rows.iter().filter(|row| row["kind"] == "intent") {
        let from_ms = row["at_ms"].as_i64().unwrap();
        let outcomes = rows.iter().filter(|other| other["intent"] == row["seq"]);
        let mut ended = outcomes.filter_map(|outcome| outcome["at_ms"].as_i64());
        let leased = row["lease_until_ms"].as_i64();
        let to_ms = match leased {
            None => ended.next().unwrap_or(from_ms + 10_000),
            // It was applied, and later let go.
            Some(until) => match (ended.next(), ended.next_back()) {
                (_, Some(last)) => last,
                _ => until,
            },
        };
        let intent = |words: Vec<u16>| Intent {
            unit: small(row, "unit_id") as u8,
            function: small(row, "function") as u8,
            at: small(row, "at") as u16,
            words,
            from_ms,
            to_ms,
        };
        intents.push(intent(words(row, "words")));
        if leased.is_some() {
            // It is kept alive every 20 s at the most.
            let kept = (to_ms - from_ms) / 20_000;
            intents.extend((0..kept).map(|_| intent(words(row, "words"))));
            intents.push(intent(words(row, "safe_words")));
        }
    }
    intents
}

/// Leave to write [`SETPOINT`] within [`LIMITS`].
pub fn setpoint_leave() -> Leave {
    Leave::of(100, ledger("victron/gx-hub4"), "overrides_setpoint").within(-AC_POWER, AC_POWER)
}

/// A client of the control socket, on one connection as long as that lasts.
pub struct Control {
    socket: PathBuf,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Control {
    pub fn of(home: &Home) -> Self {
        Control {
            socket: home.socket(),
            sender: None,
        }
    }

    /// Sends a request with a body of any kind; gives the status and the document of the answer (null when it is none).
    pub async fn send(&mut self, method: &str, path: &str, body: impl Into<Bytes>) -> (u16, Value) {
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(body.into()))
            .unwrap();
        timeout(PATIENCE, self.exchange(request))
            .await
            .unwrap_or_else(|_| panic!("no answer in time: {method} {path}"))
    }

    async fn exchange(&mut self, request: hyper::Request<Full<Bytes>>) -> (u16, Value) {
        let mut sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => {
                let stream = UnixStream::connect(&self.socket).await.unwrap();
                let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                sender
            }
        };
        sender.ready().await.unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        self.sender = Some(sender);
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub async fn post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, body.to_string()).await
    }

    /// `POST /control/set`
    pub async fn set(&mut self, entity: &str, write: Value) -> (u16, Value) {
        let call = json!({ "entity": entity, "write": write });
        self.post("/control/set", &call).await
    }

    /// Both steps of a write, where it takes two.
    pub async fn set_and_confirm(&mut self, entity: &str, mut write: Value) -> (u16, Value) {
        let (status, answer) = self.set(entity, write.clone()).await;
        if status != 202 {
            return (status, answer);
        }
        write["token"] = answer["token"].clone();
        self.set(entity, write).await
    }
}
