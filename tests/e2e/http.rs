//! The HTTP interface of a running host.

use std::time::Duration;

use busbar_zoo::site;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::host::Host;
use crate::common::site::{HOUSE, pairs, true_pairs, truths};
use crate::common::{Home, PATIENCE, http, keys, list, text, until};

async fn house() -> (Home, busbar_zoo::simulate::Running, Host) {
    let (home, running) = (Home::new(), site(HOUSE).await);
    home.run(&[
        "scan",
        &running.url("gx").unwrap(),
        "--save",
        "--name",
        "home",
        "--json",
    ])
    .await
    .json();
    let host = home
        .host_with(
            "[[connection]]\nname = \"home\"\nurl = \"URL\"\ninterval = \"500ms\"\n"
                .replace("URL", &running.url("gx").unwrap())
                .as_str(),
        )
        .await;
    (home, running, host)
}

#[tokio::test]
async fn devices_entities_and_health_are_served() {
    let (_home, _running, host) = house().await;
    let all = truths(HOUSE).len();
    let health = until("every device to be online", async || {
        let health = host.get("/healthz").await;
        (health["devices_online"] == all).then_some(health)
    })
    .await;
    assert_eq!(health["status"], "ok");

    let devices = host.get("/api/v1/devices").await;
    assert_eq!(pairs(&devices), true_pairs(&truths(HOUSE)));
    let device = &list(&devices, "devices")[0];
    assert!(
        keys(device).is_superset(
            &[
                "id",
                "ledger",
                "unit_id",
                "name",
                "model",
                "serial",
                "firmware",
                "entities",
                "availability"
            ]
            .into()
        )
    );

    let entities = host.get("/api/v1/entities").await;
    let count: usize = list(&devices, "devices")
        .iter()
        .map(|d| list(d, "entities").len())
        .sum();
    assert_eq!(list(&entities, "entities").len(), count);
    let id = "c0619ab1234f_battery_u225";
    let of_one = host.get(&format!("/api/v1/entities?device={id}")).await;
    assert!(list(&of_one, "entities").iter().all(|e| e["device"] == id));

    let soc = host.get(&format!("/api/v1/entities/{id}.soc")).await;
    assert!(
        keys(&soc).is_superset(
            &[
                "id", "key", "at", "value", "unit", "quality", "status", "writable", "label", "device",
                "ledger", "unit_id"
            ]
            .into()
        )
    );
    assert_eq!(
        (soc["value"].as_f64(), text(&soc, "quality")),
        (Some(77.0), "good"),
        "{soc:#}"
    );
    assert!(
        soc["age_ms"].as_i64().is_some_and(|age| (0..5000).contains(&age)),
        "{soc:#}"
    );

    let page = http::ask(host.address, "GET", "/").await;
    assert!(
        page.status == 200
            && page.body.contains("Pylontech")
            && page.has_header("content-type: text/html; charset=utf-8")
    );
    host.stop().await;
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_a_json_error() {
    let home = Home::new();
    let host = home.host().await;
    let server = host.address;
    for (method, path, status, code) in [
        ("GET", "/api/v1/entities/no.such", 404, "not_found"),
        ("GET", "/api/v1/entities?device=none", 404, "not_found"),
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/../../etc/passwd", 404, "not_found"),
        ("POST", "/api/v1/devices", 405, "method_not_allowed"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
    ] {
        let answer = http::ask(server, method, path).await;
        assert_eq!(answer.status, status, "{method} {path}");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], code);
        assert!(!text(error, "message").is_empty() && !text(error, "hint").is_empty());
    }
    // A page of the web that points its own name here is not let in, so that it cannot read the house.
    for name in ["evil.example", "evil.example:8510", "127.0.0.1.evil.example", ""] {
        let answer = http::ask_as(server, name, "GET", "/api/v1/devices").await;
        assert!(
            (answer.status, answer.json()["error"]["code"].as_str()) == (421, Some("foreign_host")),
            "{name}: {answer:?}"
        );
    }
    assert_eq!(
        http::ask_as(server, "localhost", "GET", "/healthz").await.status,
        200
    );
    let answer = http::ask(server, "GET", "/").await;
    assert!(
        answer.has_header("x-content-type-options: nosniff")
            && answer.head.to_lowercase().contains("frame-ancestors 'none'")
    );
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_never_ends_its_request_is_cut_off() {
    let home = Home::new();
    let host = home.host().await;
    let mut slow = TcpStream::connect(host.address).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        .await
        .unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, slow.read_to_end(&mut rest))
        .await
        .expect("cut off in time")
        .unwrap();
    // The others are not kept waiting meanwhile, nor is the end.
    let mut open = TcpStream::connect(host.address).await.unwrap();
    open.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert_eq!(host.get("/healthz").await["status"], "ok");
    timeout(Duration::from_secs(20), host.stop())
        .await
        .expect("it stops all the same");
}

#[tokio::test]
async fn readings_arrive_as_events() {
    let (_home, running, host) = house().await;
    let mut events = TcpStream::connect(host.address).await.unwrap();
    events
        .write_all(format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", host.address).as_bytes())
        .await
        .unwrap();
    let value = busbar_zoo::simulate::Content::Value(busbar_ledger::value::Value::Number(-4321.0));
    running
        .set("gx", 225, "victron/gx-battery", "dc_0_power", value)
        .unwrap();
    let mut heard = String::new();
    let mut bytes = [0; 16 * 1024];
    let event = timeout(PATIENCE, async {
        loop {
            let count = events.read(&mut bytes).await.unwrap();
            assert!(count > 0, "{heard}");
            heard.push_str(&String::from_utf8_lossy(&bytes[..count]));
            let whole = |line: &&str| line.starts_with("data: ") && line.contains("-4321");
            let complete = heard.rfind("\n\n").unwrap_or(0);
            if let Some(line) = heard[..complete].lines().find(whole) {
                return serde_json::from_str::<serde_json::Value>(&line[6..]).unwrap();
            }
        }
    })
    .await
    .expect("an event with the new value");
    assert!(heard.contains("event: readings"));
    assert_eq!(
        (text(&event, "device"), text(&event, "availability")),
        ("c0619ab1234f_battery_u225", "online")
    );
    assert!(
        list(&event, "entities")
            .iter()
            .any(|e| e["key"] == "dc_0_power" && e["value"].as_f64() == Some(-4321.0))
    );
    host.stop().await;
}
