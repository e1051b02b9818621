//! Meters behind gateways: over TCP, over Telnet, over HTTP.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Gateway, METER, flipped, is, telegram, tells, value};
use crate::common::host::Background;
use crate::common::{Home, list, text};

/// A telegram says who speaks and what there is; the host then takes readings from each, drops what is damaged, and
/// connects again where the gateway hangs up.
#[tokio::test]
async fn a_meter_is_scanned_and_heard_and_only_what_is_damaged_is_lost() {
    let (home, gateway) = (Home::new(), Gateway::new().await);
    let url = gateway.url();
    let scan = ["scan", &url, "--save", "--name", "meter", "--json"];
    let scan = gateway
        .while_saying(&telegram(1_000, 500), home.run(&scan))
        .await
        .json();
    let device = &list(&scan, "devices")[0];
    assert_eq!(text(device, "id"), METER, "{scan:#}");
    assert_eq!(text(device, "ledger"), "dsmr/p1");
    let present = |key: &str| {
        let entities = list(device, "entities");
        let entity = entities.iter().find(|e| e["key"] == key);
        entity.map(|e| text(e, "status").to_owned())
    };
    assert_eq!(present("energy_forward").as_deref(), Some("present"));
    assert_eq!(present("voltage_l1").as_deref(), Some("present"));
    assert_eq!(present("voltage_l2").as_deref(), Some("absent"));

    let host = home.host().await;
    gateway.say(&telegram(1_000, 500)).await;
    is(&host, "power_import", 500.0).await;
    assert_eq!(value(&host, METER, "energy_forward").await["value"], 1.0);
    // The beginning of a telegram, one with a bit turned over, noise: and the next one counts.
    gateway.say(&telegram(1_001, 600)[..120]).await;
    gateway.say(&flipped(telegram(1_002, 700))).await;
    gateway.say(b"\0\0\xFF\xFF").await;
    gateway.say(&telegram(1_003, 800)).await;
    is(&host, "power_import", 800.0).await;
    tells(&home, "2 telegrams, 2 damaged").await;
    let before = gateway.clients();
    gateway.say(&telegram(1_004, 900)[..100]).await;
    gateway.hang_up().await;
    gateway.say(&telegram(1_005, 950)).await;
    is(&host, "power_import", 950.0).await;
    assert_eq!(gateway.clients(), before + 1);
    let explained = home.run(&["explain", "power_import", "--json"]).await.json();
    let steps = explained["steps"].to_string();
    assert!(steps.contains("1-0:1.7.0(0000.950*kW)"), "{steps}");
    host.stop().await;
}

/// The wizard takes what is proposed.
#[tokio::test]
async fn the_wizard_sets_a_meter_up() {
    let (home, gateway) = (Home::new(), Gateway::new().await);
    let url = gateway.url();
    let setup = ["setup", &url, "--yes", "--name", "grid"];
    let run = gateway
        .while_saying(&telegram(1_000, 500), home.run(&setup))
        .await;
    assert_eq!(run.code(), 0, "{run:#?}");
    let devices = home.run(&["devices", "--json"]).await.json();
    let device = &list(&devices, "devices")[0];
    assert_eq!(text(device, "id"), METER, "{devices:#}");
    assert_eq!(text(device, "connection"), "grid");
}

/// Who watches sees one reading for each telegram, without a host and through one.
#[tokio::test]
async fn who_watches_sees_telegram_by_telegram() {
    let (home, gateway) = (Home::new(), Gateway::new().await);
    let url = gateway.url();
    let read = ["read", &url, "--ledger", "dsmr/p1", "--json"];
    let once = gateway
        .while_saying(&telegram(1_000, 321), home.run(&read))
        .await
        .json();
    assert_eq!(once["points"]["power_import"]["value"], 321.0, "{once:#}");
    assert_eq!(
        once["points"]["power_import"]["line"], "1-0:1.7.0(0000.321*kW)",
        "{once:#}"
    );
    let watch = ["read", &url, "--ledger", "dsmr/p1", "--watch", "100ms", "--json"];
    let watching = Background::start(&home, &watch);
    for power in [401, 402, 403] {
        let shown = format!("{power}.0");
        let seen = watching.says(&shown);
        let line = gateway.while_saying(&telegram(1_000, power), seen).await;
        let report: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(report["points"]["power_import"]["value"], f64::from(power));
    }
}

/// A gateway that speaks Telnet begins with commands, which are no part of what the meter says.
#[tokio::test]
async fn telnet_is_understood() {
    let (home, gateway) = (Home::new(), Gateway::new().await);
    let mut bytes = b"\xFF\xFB\x01\xFF\xFB\x03\xFF\xFD\x00".to_vec();
    bytes.extend(telegram(5_000, 42));
    let url = gateway.url();
    let read = ["read", &url, "--ledger", "dsmr/p1", "--json"];
    let run = home.run(&read);
    let (report, ()) = tokio::join!(run, gateway.say(&bytes));
    assert_eq!(report.json()["points"]["power_import"]["value"], 42.0);
}

/// The answer of a gateway that gives its newest telegram over HTTP.
fn answer(body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend(body);
    answer
}

/// Telegrams by HTTP come without their sum, as some gateways give them, and are marked so.
#[tokio::test]
async fn telegrams_are_fetched_over_http() {
    let home = Home::new();
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("p1+http://{}", server.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut energy = 7_000;
        while let Ok((mut client, _)) = server.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let Ok(byte) = client.read_u8().await else { break };
                request.push(byte);
            }
            assert!(request.starts_with(b"GET /api/v1/telegram "));
            energy += 1;
            let mut body = telegram(energy, 640);
            body.truncate(body.len() - 6);
            body.extend(b"\r\n");
            let _ = client.write_all(&answer(&body)).await;
        }
    });
    let scan = home.run(&["scan", &url, "--save", "--json"]).await.json();
    assert_eq!(text(&list(&scan, "devices")[0], "id"), METER);
    let host = home.host().await;
    is(&host, "power_import", 640.0).await;
    tells(&home, "none has a sum").await;
    host.stop().await;
    // One run for cron takes one telegram, and ends.
    let once = home.run(&["run", "--once", "--json"]).await;
    assert_eq!(once.code(), 0, "{once:#?}");
    serving.abort();
}

/// Nobody there, and something else there, are told apart.
#[tokio::test]
async fn what_is_no_meter_is_said() {
    let home = Home::new();
    let closed = busbar_zoo::closed_port().await;
    let refused = home
        .run(&["scan", &format!("p1+tcp://{closed}"), "--json"])
        .await
        .failure(1);
    assert_eq!(refused.code, "refused", "{refused:?}");
    assert!(refused.hint.contains("one client only"), "{refused:?}");
    let raw = home
        .run(&[
            "raw",
            "p1+tcp://127.0.0.1:9",
            "--unit",
            "1",
            "--at",
            "0",
            "--json",
        ])
        .await
        .failure(1);
    assert_eq!(raw.code, "only_heard", "{raw:?}");
}

/// Other programs hear the meter through the host, byte for byte, what is damaged too.
#[tokio::test]
async fn what_is_heard_is_passed_on_as_it_came() {
    let (home, gateway) = (Home::new(), Gateway::new().await);
    let url = gateway.url();
    let scan = ["scan", &url, "--save", "--name", "meter", "--json"];
    gateway
        .while_saying(&telegram(1_000, 1), home.run(&scan))
        .await
        .json();
    let config = format!("[[connection]]\nname = \"meter\"\nurl = \"{url}\"\nserve = \"127.0.0.1:0\"\n");
    let host = home.host_with(&config).await;
    let line = host.process.logs("is passed on at ").await;
    let at = line.rsplit(' ').next().unwrap().to_owned();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = tokio::net::TcpStream::connect(&at).await.unwrap();
        // It is listened to once something came through.
        gateway
            .while_saying(&telegram(1_001, 1), client.read_u8())
            .await
            .unwrap();
        clients.push(client);
    }
    let mut said = flipped(telegram(1_002, 555));
    said.extend(b"\0\xFF noise ");
    said.extend(telegram(1_003, 777));
    gateway.say(&said).await;
    for client in &mut clients {
        let mut heard = Vec::new();
        while !heard.ends_with(&said) {
            heard.push(client.read_u8().await.unwrap());
        }
    }
    is(&host, "power_import", 777.0).await;
    host.stop().await;
}

/// Months of telegrams leave nothing behind: what the host holds does not grow with them.
#[tokio::test]
async fn many_telegrams_cost_no_memory() {
    let (home, gateway) = (Home::new(), Gateway::new().await);
    let url = gateway.url();
    let scan = ["scan", &url, "--save", "--json"];
    gateway
        .while_saying(&telegram(1_000, 1), home.run(&scan))
        .await
        .json();
    let host = home.host_with("[history]\ndays = 0\n").await;
    let pour = async |from: u32, count: u32| {
        for n in from..from + count {
            gateway.say(&telegram(10_000 + n, n % 5000)).await;
        }
        // The last one is said until it is seen: a reader that is overrun loses whole pieces, and says so.
        let last = telegram(10_000 + from + count, 4_321);
        gateway
            .while_saying(&last, is(&host, "power_import", 4_321.0))
            .await;
        gateway
            .while_saying(
                &telegram(10_000 + from + count, 1),
                is(&host, "power_import", 1.0),
            )
            .await;
        host.process.memory()
    };
    let warm = pour(0, 3_000).await;
    let after = pour(3_000, 20_000).await;
    assert!(after < warm + 8_192, "{warm} kB became {after} kB");
    host.stop().await;
}
