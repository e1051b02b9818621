//! Finding devices, and finding them again.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::str::FromStr;

use busbar_wire::Endpoint;
use busbar_zoo::line::Pair;
use busbar_zoo::simulate::Running;
use busbar_zoo::site;
use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::common::{Home, list, text};

/// A GX, a meter on TCP and a meter on UDP, each at an address of its own.
const SITE: &str = r#"
[[device]]
name   = "gx"
kind   = "gx"
listen = "modbus+tcp://127.0.21.5:0"
[[device.service]]
service = "system"
values  = { serial = "c0ffee001122", dc_battery_soc = 50 }

[[device]]
name   = "meter"
kind   = "ledger"
listen = "modbus+tcp://127.0.21.9:0"
[[device.unit]]
unit   = 1
ledger = "generic/demo-meter"

[[device]]
name   = "vm"
kind   = "ledger"
listen = "modbus+udp://127.0.21.11:0"
[[device.unit]]
unit   = 1
ledger = "victron/vm-3p75ct"
"#;

fn port(running: &Running, device: &str) -> String {
    running.address(device).unwrap().port().to_string()
}

fn found<'a>(report: &'a Value, url: &str) -> &'a Value {
    let found = list(report, "found").iter().find(|f| f["url"] == url);
    found.unwrap_or_else(|| panic!("{url} is not in {report:#}"))
}

/// A home whose program hears announcements on a port of its own, so that tests do not hear each other.
fn home_on(port: u16, more: &str) -> Home {
    let home = Home::new();
    home.write(
        "busbar.toml",
        &format!("[web]\nlisten = \"127.0.0.1:0\"\n[discover]\nmdns_port = {port}\n{more}"),
    );
    home
}

/// A port that nobody uses for multicast DNS.
fn mdns_port() -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.local_addr().unwrap().port()
}

/// Announces devices on loopback until it is dropped.
struct Announcer(ServiceDaemon);

impl Announcer {
    fn on(port: u16) -> Self {
        let daemon = ServiceDaemon::new_with_port(port).unwrap();
        // Victron's service has a longer name than the standard allows.
        daemon.set_service_name_len_max(30).unwrap();
        daemon.disable_interface(IfKind::All).unwrap();
        daemon.enable_interface(IfKind::LoopbackV4).unwrap();
        Announcer(daemon)
    }

    fn says(&self, kind: &str, name: &str, at: SocketAddr) {
        let info = ServiceInfo::new(
            &format!("{kind}.local."),
            name,
            &format!("{}.local.", name.replace(' ', "-").to_lowercase()),
            at.ip().to_string().as_str(),
            at.port(),
            &[("txt", "\u{1b}[2J")][..],
        )
        .unwrap();
        self.0.register(info).unwrap();
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        let _ = self.0.shutdown();
    }
}

#[tokio::test]
async fn devices_are_found_among_addresses_where_nobody_is() {
    let (home, running) = (home_on(mdns_port(), ""), site(SITE).await);
    // Somebody who takes connections and never answers.
    let mute = TcpListener::bind((Ipv4Addr::new(127, 0, 21, 12), 0))
        .await
        .unwrap();
    let ports = [
        port(&running, "gx"),
        port(&running, "meter"),
        port(&running, "vm"),
        mute.local_addr().unwrap().port().to_string(),
    ];
    let mut args = vec!["discover", "--network", "127.0.21.0/28", "--json"];
    args.extend(ports.iter().flat_map(|p| ["--port", p.as_str()]));
    let report = home.run(&args).await.json();
    assert_eq!(list(&report, "found").len(), 3, "{report:#}");
    for (device, ledger, plugin, serial) in [
        ("gx", "victron/gx-system", "victron-gx", "c0ffee001122"),
        ("meter", "generic/demo-meter", "generic", "SIM0001"),
    ] {
        let one = found(&report, &running.url(device).unwrap());
        let words = ["ledger", "plugin", "serial", "confidence", "via"].map(|key| text(one, key));
        assert_eq!(words, [ledger, plugin, serial, "certain", "subnet"]);
        assert_eq!(one["known"], false);
    }
    let vm = found(&report, &running.url("vm").unwrap());
    assert_eq!(
        (text(vm, "ledger"), text(vm, "model"), text(vm, "confidence")),
        ("victron/vm-3p75ct", "VM-3P75CT", "certain")
    );
    // What only takes connections is for those who want to know everything.
    args.push("-v");
    let everything = home.run(&args).await.json();
    let open = found(&everything, &format!("modbus+tcp://127.0.21.12:{}", ports[3]));
    assert_eq!(text(open, "confidence"), "open");

    // Saved, it is known, whatever it was found by.
    let url = running.url("meter").unwrap();
    home.run(&["scan", &url, "--save", "--name", "kitchen", "--json"])
        .await
        .json();
    let report = home.run(&args).await.json();
    let meter = found(&report, &url);
    assert_eq!(
        (&meter["known"], text(meter, "connection")),
        (&Value::Bool(true), "kitchen")
    );
    assert!(meter["moved_from"].is_null());
    let text = home.run(&args[..3]).await;
    assert!(
        text.stdout.is_empty() || text.stdout.contains("known as"),
        "{text:#?}"
    );
}

#[tokio::test]
async fn nothing_is_searched_without_consent() {
    let home = home_on(mdns_port(), "");
    let failure = home.run(&["discover", "--json"]).await.failure(2);
    for flag in ["--network 192.168.1.0/24", "--yes", "--mdns-only"] {
        assert!(failure.hint.contains(flag), "{failure:?}");
    }
    let public = home.run(&["discover", "--network", "8.8.8.0/24"]).await;
    assert_eq!(public.code(), 2);
    assert!(public.stderr.contains("not private"), "{public:#?}");
    let wide = home
        .run(&["discover", "--network", "10.0.0.0/21", "--json"])
        .await
        .failure(2);
    assert!(wide.hint.contains("--full"), "{wide:?}");
    // A network where nobody is: what to check.
    let nobody = home
        .run(&["discover", "--network", "127.0.22.0/30", "--json"])
        .await
        .failure(3);
    assert!(nobody.hint.contains("Modbus is switched on"), "{nobody:?}");
}

#[tokio::test]
async fn what_announces_itself_is_found_and_asked_who_it_is() {
    let port = mdns_port();
    let (home, running) = (home_on(port, ""), site(SITE).await);
    let announcer = Announcer::on(port);
    let kind = "_victron-energy-meter._udp";
    announcer.says(kind, "Heat pump", running.address("vm").unwrap());
    // A lie: nobody is there.
    announcer.says(kind, "Ghost", SocketAddr::from_str("127.0.21.13:9").unwrap());
    // And one that leads out of the house: it is not even looked at.
    announcer.says(kind, "Elsewhere", SocketAddr::from_str("192.0.2.77:502").unwrap());
    let report = home.run(&["discover", "--mdns-only", "--json"]).await.json();
    let vm = found(&report, &running.url("vm").unwrap());
    assert_eq!(
        (text(vm, "name"), text(vm, "via"), text(vm, "confidence")),
        ("Heat pump", "mdns", "certain")
    );
    let rest: Vec<_> = list(&report, "found").iter().filter(|f| *f != vm).collect();
    for other in rest {
        assert_eq!(
            (text(other, "name"), text(other, "confidence")),
            ("Ghost", "unknown")
        );
    }
}

/// A VM-3P75CT with this serial number on a free port.
async fn vm(address: &str, serial: &str) -> Running {
    site(&format!(
        "[[device]]\nname = \"vm\"\nkind = \"ledger\"\nlisten = \"modbus+udp://{address}:0\"\n\
         [[device.unit]]\nunit = 1\nledger = \"victron/vm-3p75ct\"\nvalues = {{ serial = \"{serial}\", product_id = 0xA1B1, power_total = 100, frequency = 50.0 }}\n"
    ))
    .await
}

/// The ids of all entities that the registry has.
async fn entities(home: &Home) -> Vec<String> {
    let all = home.run(&["entities", "--json"]).await.json();
    list(&all, "entities")
        .iter()
        .map(|e| text(e, "id").to_owned())
        .collect()
}

#[tokio::test]
async fn a_device_that_moved_keeps_its_ids() {
    let home = home_on(mdns_port(), "");
    let old = vm("127.0.23.1", "HQ2301ABCDE").await;
    let (from, was) = (old.url("vm").unwrap(), port(&old, "vm"));
    home.run(&["scan", &from, "--save", "--name", "grid", "--json"])
        .await
        .json();
    let before = entities(&home).await;
    assert!(
        before.iter().any(|id| id == "vm_3p75ct_hq2301abcde.power_total"),
        "{before:?}"
    );
    old.stop().await;

    let new = vm("127.0.23.2", "HQ2301ABCDE").await;
    let (to, is) = (new.url("vm").unwrap(), port(&new, "vm"));
    let search = [
        "discover",
        "--network",
        "127.0.23.0/29",
        "--port",
        &is,
        "--port",
        &was,
        "--json",
    ];
    let report = home.run(&search).await.json();
    let moved = found(&report, &to);
    assert_eq!(
        (text(moved, "connection"), text(moved, "moved_from")),
        ("grid", from.as_str())
    );

    // Followed by a scan: the connection moves, nothing is there twice.
    let saved = home.run(&["scan", &to, "--save", "--json"]).await.json();
    assert_eq!(
        (text(&saved["saved"], "name"), text(&saved["saved"], "moved_from")),
        ("grid", from.as_str())
    );
    assert_eq!(entities(&home).await, before);
    new.stop().await;

    // And back by a search.
    let third = vm("127.0.23.3", "HQ2301ABCDE").await;
    let is = port(&third, "vm");
    let adopt = [
        "discover",
        "--network",
        "127.0.23.0/29",
        "--port",
        &is,
        "--adopt",
        "--json",
    ];
    let report = home.run(&adopt).await.json();
    let url = third.url("vm").unwrap();
    assert_eq!(found(&report, &url)["adopted"], true, "{report:#}");
    let report = home.run(&adopt).await.json();
    assert!(found(&report, &url)["moved_from"].is_null(), "{report:#}");
    assert_eq!(entities(&home).await, before);

    // Another device at the same address is not taken for it.
    third.stop().await;
    let other = vm("127.0.23.4", "HQ2301OTHER").await;
    let saved = home
        .run(&["scan", &other.url("vm").unwrap(), "--save", "--json"])
        .await
        .json();
    assert!(saved["saved"]["moved_from"].is_null());
    assert_eq!(entities(&home).await.len(), 2 * before.len());
}

#[tokio::test]
async fn a_running_host_follows_the_device_with_the_right_serial_number() {
    let port = mdns_port();
    let home = home_on(port, "");
    let old = vm("127.0.24.1", "HQ2401ABCDE").await;
    home.run(&[
        "scan",
        &old.url("vm").unwrap(),
        "--save",
        "--name",
        "grid",
        "--json",
    ])
    .await
    .json();
    let host = home
        .host_with(&format!(
            "[discover]\nmdns_port = {port}\nfollow_after = \"500ms\"\n"
        ))
        .await;
    host.device_is("vm_3p75ct_hq2401abcde", "online").await;
    old.stop().await;
    host.device_is("vm_3p75ct_hq2401abcde", "offline").await;

    let impostor = vm("127.0.24.2", "HQ2401OTHER").await;
    let new = vm("127.0.24.3", "HQ2401ABCDE").await;
    let announcer = Announcer::on(port);
    for (name, running) in [("a", &impostor), ("b", &new)] {
        announcer.says("_victron-energy-meter._udp", name, running.address("vm").unwrap());
    }
    let line = host.process.logs("\"grid\" has moved from").await;
    assert!(
        line.contains(&new.url("vm").unwrap()) && line.contains("HQ2401ABCDE"),
        "{line}"
    );
    host.device_is("vm_3p75ct_hq2401abcde", "online").await;
    host.stop().await;
    // It stays so.
    let url: Endpoint = new.url("vm").unwrap().parse().unwrap();
    let report = home
        .run(&[
            "discover",
            "--network",
            &url.host().unwrap().name,
            "--port",
            &url.host().unwrap().port.to_string(),
            "--json",
        ])
        .await
        .json();
    let vm = found(&report, &url.to_string());
    assert_eq!(
        (&vm["known"], text(vm, "connection")),
        (&Value::Bool(true), "grid")
    );
    assert!(vm["moved_from"].is_null());
}

#[tokio::test]
async fn a_meter_on_a_serial_line_is_found_at_its_unit() {
    let Some(line) = Pair::new().await else { return };
    let url = line.device_url("baud=9600&parity=none");
    let _running = site(&format!(
        "[[device]]\nname = \"meter\"\nkind = \"ledger\"\nlisten = \"{url}\"\n\
         [[device.unit]]\nunit = 7\nledger = \"generic/demo-meter\"\n"
    ))
    .await;
    let home = home_on(mdns_port(), "");
    let port = line.client().display().to_string();
    let report = home
        .run(&["discover", "--serial", "--serial-port", &port, "--json"])
        .await
        .json();
    let [meter] = list(&report, "found") else {
        panic!("{report:#}")
    };
    assert_eq!(
        (text(meter, "via"), &meter["unit_id"]),
        ("serial", &Value::from(7))
    );
    assert_eq!(text(meter, "url"), line.client_url("baud=9600&parity=none"));
}

/// A line that nobody drives makes a byte of its own whenever an adapter lets go of it: that is not the end of a
/// setting.
#[tokio::test]
async fn a_meter_on_a_serial_line_is_found_behind_noise() {
    use std::io::{Read, Write};
    let Some(line) = Pair::new().await else { return };
    let mut port = std::fs::File::options()
        .read(true)
        .write(true)
        .open(line.device())
        .unwrap();
    // Ends with the line.
    std::thread::spawn(move || {
        let mut request = [0; 8];
        while port.read_exact(&mut request).is_ok() {
            let _ = port.write_all(&[0]);
            if request[0] == 3 {
                let _ = port.write_all(&[3, 0x83, 2, 0x61, 0x31]);
            }
        }
    });
    let home = home_on(mdns_port(), "");
    let port = line.client().display().to_string();
    let report = home
        .run(&["discover", "--serial", "--serial-port", &port, "--json"])
        .await
        .json();
    let units: Vec<_> = list(&report, "found")
        .iter()
        .map(|f| f["unit_id"].as_u64())
        .collect();
    assert_eq!(units, [Some(3)], "{report:#}");
}
