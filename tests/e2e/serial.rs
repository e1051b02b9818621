//! Devices on a serial line.

use busbar_zoo::simulate::Running;
use busbar_zoo::{Pair, site};

use crate::common::{Home, list, text};

const METER: &str = "generic/demo-meter";

/// A meter, unit 7 of a line at 115,200 baud.
async fn meter(line: &Pair) -> Running {
    site(&format!(
        "[[device]]\nname = \"meter\"\nkind = \"ledger\"\nlisten = \"{}\"\n\
         unit = [{{ unit = 7, ledger = \"{METER}\", values = {{ serial = \"A7\", voltage_l1 = 230.0 }} }}]\n",
        line.device_url("baud=115200")
    ))
    .await
}

/// One-shot commands say what they found, or what is wrong with the port.
#[tokio::test]
async fn commands_speak_over_a_port() {
    let Some(line) = Pair::new().await else { return };
    let _meter = meter(&line).await;
    let (home, url) = (Home::new(), line.client_url("baud=115200"));
    let read = home
        .run(&["read", &url, "--ledger", METER, "--unit", "7", "--json"])
        .await
        .json();
    assert_eq!(read["points"]["serial"]["value"], "A7", "{read:#}");
    let raw = home
        .run(&[
            "raw", &url, "--unit", "7", "--at", "256", "--count", "1", "--json",
        ])
        .await
        .json();
    assert_eq!(raw["words"][0], 0xB5BA, "{raw:#}");

    let wrong_unit = home
        .run(&[
            "raw", &url, "--unit", "8", "--at", "256", "--count", "1", "--json",
        ])
        .await
        .failure(1);
    assert_eq!(wrong_unit.code, "silent", "{wrong_unit:?}");
    assert!(wrong_unit.hint.contains("A/B"), "{wrong_unit:?}");
    for (url, code, word) in [
        ("modbus+rtu:///dev/ttyNone9", "no_such_port", "no such port"),
        ("modbus+rtu:///dev/null", "not_a_port", "not a serial port"),
    ] {
        let failure = home
            .run(&["raw", url, "--unit", "1", "--at", "0", "--json"])
            .await
            .failure(1);
        assert_eq!(failure.code, code, "{failure:?}");
        assert!(failure.message.contains(word), "{failure:?}");
    }
}

/// The host that runs owns the port: commands of its data directory go through it, others are told who has it. The
/// adapter may be pulled out and put back.
#[tokio::test]
async fn a_host_owns_its_port_and_survives_a_replug() {
    let Some(mut line) = Pair::new().await else { return };
    let _meter = meter(&line).await;
    let (home, url) = (Home::new(), line.client_url("baud=115200"));
    let scan = [
        "scan", &url, "--ledger", METER, "--units", "7", "--save", "--json",
    ];
    let found = home.run(&scan).await.json();
    let device = text(&list(&found, "devices")[0], "id").to_owned();
    assert_eq!(device, "demo_meter_a7");
    // The same port with other settings is the same connection.
    let other = line.client_url("baud=57600");
    home.run(&[
        "scan", &other, "--ledger", METER, "--units", "7", "--save", "--json",
    ])
    .await
    .json();
    let found = home.run(&scan).await.json();
    assert_eq!(list(&found, "devices").len(), 1);

    let host = home.host().await;
    host.device_is(&device, "online").await;
    let raw = [
        "raw", &url, "--unit", "7", "--at", "256", "--count", "1", "--json",
    ];
    home.run(&raw).await.json();
    let stranger = Home::new().run(&raw).await.failure(1);
    assert_eq!(stranger.code, "port_busy", "{stranger:?}");
    assert!(
        stranger.message.contains("in use by busbar (pid "),
        "{stranger:?}"
    );

    line.unplug().await;
    host.device_is(&device, "offline").await;
    line.replug().await.unwrap();
    host.device_is(&device, "online").await;
    let devices = home.run(&["devices", "--json"]).await.json();
    assert_eq!(list(&devices, "devices").len(), 1, "{devices:#}");
    host.stop().await;
}
