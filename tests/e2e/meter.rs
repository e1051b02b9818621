//! The VM-3P75CT on UDP: what it is on every firmware and wiring, what a bad network does to it, and what its owner sees.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use busbar_ledger::value::Value as Said;
use busbar_zoo::simulate::{Content, Running};
use busbar_zoo::{Air, UdpPeer};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::common::host::Background;
use crate::common::{Home, list, text, until};

const LEDGER: &str = "victron/vm-3p75ct";

/// A meter with values that stand still; the phases that are not measured read 0, as on the real one.
fn site(firmware: &str, phases: u16, options: &str) -> String {
    let mut values = String::new();
    for phase in 1..=3 {
        let there = match phases {
            0..=2 => phase == phases + 1,
            4 => phase < 3,
            _ => true,
        };
        let or_zero = |value: &'static str| if there { value } else { "0" };
        for (key, value) in [
            ("voltage", or_zero("230.5")),
            ("current", or_zero("-3.06")),
            ("power", or_zero("-688")),
            ("apparent_power", or_zero("705")),
            ("power_factor", or_zero("-0.973")),
            ("energy_forward", or_zero("19.43")),
            ("energy_reverse", or_zero("9.15")),
        ] {
            values.push_str(&format!("{key}_l{phase} = {value}\n"));
        }
    }
    format!(
        r#"
        [[device]]
        name = "meter"
        kind = "ledger"
        listen = "modbus+udp://127.0.0.1:0"
        zeros = true
        {options}
        [[device.unit]]
        unit = 1
        ledger = "victron/vm-3p75ct"
        firmware = "{firmware}"
        [device.unit.values]
        product_id = 0xA1B1
        serial = "HQ2419QXCLR"
        hardware_version = 1
        phase_config = {phases}
        role = 0
        custom_name = "Zähler Küche"
        position = 0
        n2k_system_instance = 0
        capabilities = 0x400
        power_total = -614
        energy_forward = 31.0
        energy_reverse = 0.13
        frequency = 50.02
        voltage_pen = 0.05
        current_neutral = 0.1
        power_factor = -0.962
        phase_sequence = 0
        alarms = 1
        error_code = 0
        voltage_l1_l2 = 400.11
        voltage_l2_l3 = 400.23
        voltage_l3_l1 = 400.35
        {values}"#
    )
}

async fn meter(firmware: &str, phases: u16, options: &str) -> (Running, String) {
    let running = busbar_zoo::site(&site(firmware, phases, options)).await;
    let url = running.url("meter").unwrap();
    assert!(url.starts_with("modbus+udp://"), "{url}");
    (running, url)
}

async fn read(home: &Home, url: &str) -> Value {
    home.run(&["read", url, "--ledger", LEDGER, "--json"])
        .await
        .json()
}

fn points(report: &Value) -> BTreeSet<String> {
    report["points"].as_object().unwrap().keys().cloned().collect()
}

/// What a meter has, from the firmware that brought it and the phases that it measures.
fn expected(firmware: &str, phases: u16) -> BTreeSet<String> {
    let numbers: &[u8] = match phases {
        0 => &[1],
        1 => &[2],
        2 => &[3],
        4 => &[1, 2],
        _ => &[1, 2, 3],
    };
    let mut keys = vec!["product_id serial hardware_version phase_config role custom_name".to_owned()];
    if firmware >= "v1.03" {
        keys.push(
            "power_total energy_forward energy_reverse frequency voltage_pen power_factor error_code"
                .to_owned(),
        );
        keys.extend(numbers.iter().map(|n| {
            format!(
                "voltage_l{n} current_l{n} power_l{n} apparent_power_l{n} power_factor_l{n} energy_forward_l{n} energy_reverse_l{n}"
            )
        }));
    }
    if firmware >= "v1.05" {
        keys.push("position".to_owned());
    }
    if firmware >= "v1.07" {
        keys.push("current_neutral".to_owned());
        keys.push(
            match numbers.len() {
                1 => "",
                2 => "voltage_l1_l2",
                _ => "voltage_l1_l2 voltage_l2_l3 voltage_l3_l1",
            }
            .to_owned(),
        );
    }
    if firmware >= "v1.09" {
        keys.push("n2k_system_instance capabilities udp_snapshots alarms".to_owned());
        if numbers.len() == 3 {
            keys.push("phase_sequence phase_rotation".to_owned());
        }
    }
    keys.iter()
        .flat_map(|keys| keys.split_whitespace())
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn each_firmware_and_wiring_is_read_as_exactly_what_it_is() {
    let home = Home::new();
    for firmware in ["v1.02", "v1.05", "v1.07", "v1.09"] {
        for phases in [1, 3, 4] {
            let (_running, url) = meter(firmware, phases, "").await;
            let report = read(&home, &url).await;
            let case = format!("{firmware}, phases {phases}");
            assert_eq!(text(&report["device"], "firmware"), firmware, "{case}");
            assert_eq!(points(&report), expected(firmware, phases), "{case}");
            let unknown = report["points"]
                .as_object()
                .unwrap()
                .iter()
                .filter(|(_, p)| p["value"].is_null());
            assert_eq!(unknown.count(), 0, "{case}: {report:#}");
            if firmware == "v1.02" {
                continue;
            }
            // By the register from 1.09 on, and worked out before: -614 W over 705.33 VA for each phase that is measured.
            let lines = if phases == 1 {
                1.0
            } else {
                f64::from(phases.min(3) - u16::from(phases == 4))
            };
            let factor = report["points"]["power_factor"]["value"].as_f64().unwrap();
            let should = if firmware == "v1.09" {
                -0.962
            } else {
                -614.0 / (705.33 * lines)
            };
            assert!((factor - should).abs() < 1e-6, "{case}: {factor}, not {should}");
        }
    }
}

#[tokio::test]
async fn a_scan_finds_it_with_its_name_and_its_entities() {
    let (home, (_running, url)) = (Home::new(), meter("v1.07", 4, "").await);
    let scan = home.run(&["scan", &url, "--json"]).await.json();
    let [device] = list(&scan, "devices") else {
        panic!("{scan:#}")
    };
    assert_eq!(text(device, "id"), "vm_3p75ct_hq2419qxclr");
    assert_eq!(text(device, "name"), "Zähler Küche");
    assert_eq!(text(device, "model"), "VM-3P75CT");
    assert_eq!(text(device, "firmware"), "v1.07");
    let entities = list(device, "entities").iter();
    let there = entities.clone().filter(|e| e["status"] != "absent");
    let there: BTreeSet<String> = there.map(|e| text(e, "key").to_owned()).collect();
    assert_eq!(there, expected("v1.07", 4));
    let of = |key: &str| entities.clone().find(|e| e["key"] == key).unwrap();
    assert_eq!(of("role")["label"], "Grid meter");
    assert_eq!(of("power_factor")["at"], Value::Null, "it is worked out");
    assert_eq!(of("power_total")["at"], 0x3080);
}

/// A meter that is asked by a function that it does not know.
#[derive(Clone, Copy)]
enum Input {
    Refused,
    Ignored,
}

/// A meter that knows only function 3.
async fn holding_only(input: Input) -> (SocketAddr, JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let serve = async move {
        let mut buffer = [0u8; 300];
        loop {
            let (n, from) = socket.recv_from(&mut buffer).await.unwrap();
            let &[a, b, _, _, _, _, unit, function, at1, at0, _, count] = &buffer[..n] else {
                continue;
            };
            let mut pdu = vec![unit, function, 2 * count];
            let at = u16::from_be_bytes([at1, at0]);
            for word in (at..).take(count.into()) {
                let word: u16 = match word {
                    0x1000 => 0xA1B1,
                    0x1001 => 0x4831,
                    0x1009 => 0x0001,
                    0x100A => 0x09FF,
                    0x2000 => 3,
                    0x3081 => 1234,
                    _ => 0,
                };
                pdu.extend(word.to_be_bytes());
            }
            match (function, input) {
                (3, _) => {}
                (_, Input::Ignored) => continue,
                (_, Input::Refused) => pdu = vec![unit, function | 0x80, 1],
            }
            let mut frame = vec![a, b, 0, 0, 0, pdu.len() as u8];
            frame.extend(pdu);
            socket.send_to(&frame, from).await.unwrap();
        }
    };
    (address, tokio::spawn(serve))
}

#[tokio::test]
async fn a_meter_that_knows_only_function_3_is_read_by_it() {
    let home = Home::new();
    for input in [Input::Refused, Input::Ignored] {
        let (address, serving) = holding_only(input).await;
        let url = format!("modbus+udp://{address}");
        let run = home.run(&["read", &url, "--ledger", LEDGER, "--json"]).await;
        let report = run.json();
        assert_eq!(report["points"]["power_total"]["value"], 1234);
        assert!(run.took < Duration::from_secs(5), "{run:#?}");
        let scan = home.run(&["scan", &url, "--json"]).await.json();
        assert_eq!(text(&list(&scan, "devices")[0], "model"), "VM-3P75CT");
        serving.abort();
    }
    let (_running, url) = meter("v1.09", 3, "holding_only = true").await;
    assert_eq!(read(&home, &url).await["points"]["power_total"]["value"], -614);
}

#[tokio::test]
async fn a_meter_that_is_silent_is_told_with_what_to_check() {
    let home = Home::new();
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let url = format!("modbus+udp://{}", silent.local_addr().unwrap());
    let failure = home
        .run(&["read", &url, "--ledger", LEDGER, "--json"])
        .await
        .failure(1);
    assert!(failure.hint.contains("UDP port"), "{failure:?}");
    assert!(!failure.message.contains("connection"), "{failure:?}");
}

/// The lines of a watch so far, each one document.
fn documents(watch: &Background) -> Vec<Value> {
    let text = watch.stdout();
    // The last line may still be on its way.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).expect("one document a line"))
        .collect()
}

#[tokio::test]
async fn a_watch_states_its_gaps_and_goes_on() {
    let (home, (running, _)) = (Home::new(), meter("v1.09", 3, "").await);
    let peer = UdpPeer::before(running.address("meter").unwrap()).await.unwrap();
    let url = peer.url();
    let watch = Background::start(
        &home,
        &["read", &url, "--ledger", LEDGER, "--watch", "200ms", "--json"],
    );
    let good = |document: &&Value| document["points"]["power_total"]["value"] == -614;
    let gap = |document: &&Value| document["error"]["code"] == "no_answer";
    until("a value", async || {
        documents(&watch).iter().find(good).map(|_| ())
    })
    .await;
    peer.turn(Air::lossy(1.0)).await;
    let stated = until("a stated gap", async || {
        documents(&watch).iter().find(gap).cloned()
    })
    .await;
    assert_eq!(stated["points"]["power_total"]["value"], Value::Null);
    assert_eq!(stated["points"]["power_total"]["quality"], "unavailable");
    assert_eq!(stated["device"]["serial"], "HQ2419QXCLR");
    let so_far = documents(&watch).len();
    peer.turn(Air::default()).await;
    until("a value after the gap", async || {
        documents(&watch).iter().skip(so_far).find(good).map(|_| ())
    })
    .await;
    watch.signal(Signal::INT);
    assert_eq!(watch.end().await.code(), 0);
}

#[tokio::test]
async fn on_a_bad_network_every_line_is_right_or_a_gap() {
    let (home, (running, url)) = (Home::new(), meter("v1.07", 3, "").await);
    let truth = read(&home, &url).await;
    let peer = UdpPeer::before(running.address("meter").unwrap()).await.unwrap();
    peer.turn(Air {
        double: 0.2,
        late: 0.2,
        lateness: Duration::from_millis(150),
        merge: 0.2,
        foreign: 0.3,
        stranger: 0.1,
        garbage: 0.1,
        ..Air::lossy(0.2)
    })
    .await;
    let watch = Background::start(
        &home,
        &[
            "read",
            &peer.url(),
            "--ledger",
            LEDGER,
            "--watch",
            "200ms",
            "--json",
        ],
    );
    let right = until("twenty right lines", async || {
        let all = documents(&watch);
        (all.iter()
            .filter(|d| d["points"]["power_total"]["value"] == -614)
            .count()
            >= 20)
            .then_some(all)
    })
    .await;
    watch.signal(Signal::INT);
    watch.end().await;
    for document in &right {
        let Some(points) = document["points"].as_object() else {
            assert_eq!(document["error"]["code"], "no_answer", "{document:#}");
            continue;
        };
        for (key, point) in points {
            let value = &point["value"];
            assert!(
                *value == truth["points"][key]["value"] || value.is_null(),
                "{key}: {point:#}"
            );
        }
    }
}

#[tokio::test]
async fn a_watch_before_the_first_answer_waits_for_it() {
    let home = Home::new();
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let url = format!("modbus+udp://{}", silent.local_addr().unwrap());
    let watch = Background::start(&home, &["read", &url, "--ledger", LEDGER, "--watch", "300ms"]);
    let line = watch.says("no answer yet").await;
    assert!(line.contains("UTC"), "{line}");
    watch.signal(Signal::INT);
    assert_eq!(watch.end().await.code(), 0);
}

#[tokio::test]
async fn another_wiring_is_recognised_while_the_host_runs_and_ids_stay() {
    let (home, (running, url)) = (Home::new(), meter("v1.09", 3, "").await);
    let config = format!("[[connection]]\nname = \"grid\"\nurl = \"{url}\"\ninterval = \"200ms\"\n");
    let id = "vm_3p75ct_hq2419qxclr";
    let rewire = |phases: i64| {
        running
            .set(
                "meter",
                1,
                LEDGER,
                "phase_config",
                Content::Value(Said::Integer(phases)),
            )
            .unwrap();
    };
    let keys = |device: &Value| -> BTreeSet<String> {
        list(device, "entities")
            .iter()
            .map(|e| text(e, "id").rsplit('.').next().unwrap().to_owned())
            .collect()
    };
    let host = home.host_with(&config).await;
    until("the meter", async || {
        let devices = host.get("/api/v1/devices").await;
        list(&devices, "devices")
            .iter()
            .any(|d| d["availability"] == "online")
            .then_some(())
    })
    .await;
    assert_eq!(keys(&host.device(id).await), expected("v1.09", 3));
    for phases in [0, 4, 3, 1] {
        rewire(phases);
        let wanted = expected("v1.09", phases as u16);
        until(&format!("phases {phases}"), async || {
            (keys(&host.device(id).await) == wanted).then_some(())
        })
        .await;
    }
    host.stop().await;
    // The next start knows, and what was there once comes back under its id.
    let host = home.host_with(&config).await;
    let device = host.device_is(id, "online").await;
    assert_eq!(keys(&device), expected("v1.09", 1));
    rewire(3);
    let device = until("three phases again", async || {
        let device = host.device(id).await;
        (keys(&device) == expected("v1.09", 3)).then_some(device)
    })
    .await;
    assert_eq!(text(&device, "name"), "Zähler Küche");
    host.stop().await;
    assert_eq!(json!(running.stats("meter").unwrap().writes.len()), 0);
}
