//! SunSpec: a ledger that is made for one device, from the scan to the restart.

use std::path::Path;

use busbar_zoo::simulate::{Running, Site, start};
use serde_json::Value;

use crate::common::{Home, list, text};

const INVERTER: &str = "inverter-float-storage";
const METER: &str = "inverter-int-meter";

fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../plugins/sunspec/samples")
        .join(format!("{name}.sample.toml"));
    std::fs::read_to_string(path).unwrap()
}

/// A device that answers with the registers of a sample.
async fn device(text: &str) -> (Running, String) {
    let (site, ledger) = Site::of_sample("sample", text, "modbus+tcp://127.0.0.1:0").unwrap();
    let running = start(&site, &[ledger]).await.unwrap();
    let url = running.url("sample").unwrap();
    (running, url)
}

/// A device with these registers from 40000 on.
async fn registers(words: &[u16]) -> (Running, String) {
    device(&format!("[[case]]\n[case.holding]\n40000 = {words:?}\n")).await
}

fn entity<'a>(device: &'a Value, key: &str) -> &'a Value {
    let entity = list(device, "entities").iter().find(|e| e["key"] == key);
    entity.unwrap_or_else(|| panic!("no {key} in {device:#}"))
}

#[tokio::test]
async fn an_inverter_is_recognised_and_read_by_the_ledger_made_for_it() {
    let (home, (_running, url)) = (Home::new(), device(&sample(INVERTER)).await);
    let scan = home.run(&["scan", &url, "--json"]).await.json();
    assert_eq!(scan["plugin"], "sunspec");
    let [inverter] = list(&scan, "devices") else {
        panic!("{scan:#}")
    };
    assert_eq!(inverter["id"], "symo_gen24_10_0_plus_34567890");
    assert_eq!(inverter["ledger"], "sunspec/inverter-3p");
    assert_eq!(inverter["name"], "Fronius Symo GEN24 10.0 Plus");
    assert_eq!(entity(inverter, "ac_power")["value"], 3345.5);
    assert_eq!(entity(inverter, "ac_power")["at"], 40_091);
    assert_eq!(entity(inverter, "ac_energy")["unit"], "kWh");
    assert_eq!(entity(inverter, "state")["label"], "MPPT");
    // By a scale register of its model, which is no entity itself.
    assert_eq!(entity(inverter, "mppt2_voltage")["value"], 398.0);
    let keys = list(inverter, "entities").iter().map(|e| text(e, "key"));
    assert_eq!(keys.filter(|key| key.starts_with("sf_")).count(), 0);
    // What the device marks as not implemented is absent, and not a null among the values.
    let absent = entity(inverter, "dc_voltage");
    assert_eq!(
        (&absent["status"], &absent["value"]),
        (&"absent".into(), &Value::Null)
    );

    let read = home
        .run(&["read", &url, "--ledger", "sunspec", "--json"])
        .await
        .json();
    assert_eq!(read["device"]["serial"], "34567890");
    assert_eq!(read["points"]["storage_soc"]["value"], 63.4);
    assert!(read["points"]["dc_voltage"].is_null());
    let failure = home
        .run(&["read", &url, "--ledger", "sunspec", "--unit", "9", "--json"])
        .await
        .failure(3);
    assert!(failure.message.contains("sunspec"), "{failure:?}");
}

#[tokio::test]
async fn what_was_saved_is_polled_and_explained_after_a_restart() {
    let (home, (_running, url)) = (Home::new(), device(&sample(METER)).await);
    let saved = home
        .run(&["scan", &url, "--save", "--name", "roof", "--json"])
        .await
        .json();
    let ids: Vec<&str> = list(&saved, "devices").iter().map(|d| text(d, "id")).collect();
    assert_eq!(ids, ["se10k_7e1812a4", "wnc_3d_400_mb_4117382"]);
    for _ in 0..2 {
        let host = home.host().await;
        host.device_is("se10k_7e1812a4", "online").await;
        host.device_is("wnc_3d_400_mb_4117382", "online").await;
        let meter = host.device("wnc_3d_400_mb_4117382").await;
        assert_eq!(entity(&meter, "power_total")["value"], -2745.0);
        let explained = home
            .run(&["explain", "wnc_3d_400_mb_4117382.power_total", "--json"])
            .await
            .json();
        let steps = explained["steps"].to_string();
        assert!(steps.contains("40206") && steps.contains("sf_40210"), "{steps}");
        host.stop().await;
    }
    // Without a host the registry knows them as well.
    let devices = home.run(&["devices", "--json"]).await.json();
    assert_eq!(list(&devices, "devices").len(), 2);
    let again = home.run(&["scan", &url, "--save", "--json"]).await.json();
    assert_eq!(list(&again, "devices").len(), 2);
}

#[tokio::test]
async fn two_devices_of_one_kind_keep_their_own_addresses() {
    let home = Home::new();
    let first = sample("meter-float");
    let other = first.replace("40000 = ", "50000 = ").replace("12336", "12337");
    let (_one, here) = device(&first).await;
    let (_two, there) = device(&other).await;
    for (url, name) in [(&here, "one"), (&there, "two")] {
        let scan = home
            .run(&["scan", url, "--save", "--name", name, "--json"])
            .await
            .json();
        assert_eq!(list(&scan, "devices")[0]["ledger"], "sunspec/meter-3p");
    }
    let host = home.host().await;
    let devices = host.get("/api/v1/devices").await;
    let mut found = Vec::new();
    for listed in list(&devices, "devices") {
        let device = host.device_is(text(listed, "id"), "online").await;
        let power = entity(&device, "power_total");
        found.push((power["at"].as_u64().unwrap(), power["value"].as_f64().unwrap()));
    }
    found.sort_by_key(|(at, _)| *at);
    assert_eq!(found, [(40_097, -2840.5), (50_097, -2840.5)]);
    host.stop().await;
}

#[tokio::test]
async fn a_device_that_lies_about_its_models_ends_the_walk_and_nothing_else() {
    let home = Home::new();
    let endless: Vec<u16> = [0x5375, 0x6E53]
        .into_iter()
        .chain([9_999, 0].repeat(400))
        .collect();
    let too_long = [0x5375, 0x6E53, 103, 0xFFFF, 1, 2, 3];
    let only_the_mark = [0x5375, 0x6E53, 0, 0];
    for words in [&endless[..], &too_long, &only_the_mark] {
        let (_running, url) = registers(words).await;
        let run = home.run(&["scan", &url, "--json"]).await;
        let requests = run.document()["requests"].as_u64().unwrap_or(0);
        assert!(requests < 120, "{run:#?}");
        assert!([0, 3].contains(&run.code()), "{run:#?}");
    }
}

#[tokio::test]
async fn a_sample_can_be_served_by_hand() {
    let home = Home::new();
    let file = home.write("battery.sample.toml", &sample("battery"));
    let served =
        crate::common::host::Background::start(&home, &["simulate", file.to_str().unwrap(), "--json"]);
    let line = served.says("modbus+tcp://").await;
    let url = serde_json::from_str::<Value>(&line).unwrap()["url"]
        .as_str()
        .unwrap()
        .to_owned();
    let read = home
        .run(&["read", &url, "--ledger", "sunspec", "--json"])
        .await
        .json();
    assert_eq!(read["device"]["ledger"], "sunspec/battery");
    assert_eq!(read["points"]["soc"]["value"], 63.4);
    served.signal(rustix::process::Signal::TERM);
    served.end().await;
}

#[tokio::test]
async fn it_is_found_in_the_network_with_its_name() {
    let (site, ledger) = Site::of_sample("sample", &sample(INVERTER), "modbus+tcp://127.0.22.4:0").unwrap();
    let running = start(&site, &[ledger]).await.unwrap();
    let port = running.address("sample").unwrap().port().to_string();
    let home = Home::new();
    home.write("busbar.toml", "[discover]\nmdns_port = 1\n");
    let search = [
        "discover",
        "--network",
        "127.0.22.0/29",
        "--port",
        &port,
        "--json",
    ];
    let report = home.run(&search).await.json();
    let [found] = list(&report, "found") else {
        panic!("{report:#}")
    };
    assert_eq!(found["ledger"], "sunspec/inverter-3p", "{found:#}");
    assert_eq!(
        (text(found, "serial"), text(found, "confidence")),
        ("34567890", "certain")
    );
}
