//! The archive for a bug report: everything that helps, and nothing that tells whose it is.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use busbar_store::{AuditKind, NewAudit, NewConnection, Registry};
use busbar_zoo::site;
use flate2::read::GzDecoder;
use serde_json::json;

use crate::common::Home;
use crate::common::site::HOUSE;

/// Everything that is planted, each at a place of its own.
const PLANTED: [&str; 25] = [
    // Names of connections, devices and the site.
    "Villa Geheimrat",
    "Dachstuhl Südwest",
    "Omas Heizstab",
    "Zimmer von Lieselotte",
    // Serial numbers, as they are and as a part of ids.
    "c0619ab1234f",
    "BP9300580014",
    "HQ2043ABCDE",
    // The configuration.
    "hunter2hunter2",
    "smarthome-ann",
    "broker.geheimrat.example",
    "/etc/geheim/mqtt-password",
    "00112233445566778899AABBCCDDEEFF",
    "FFEEDDCCBBAA99887766554433221100",
    "inverter_geheim_Grid_P",
    "31415926535",
    // A URL of the registry, and what else stood beside it.
    "ann.dee",
    "pa55/word+plus",
    "gx.geheimrat.dyndns.example",
    "84.112.9.33",
    "tokentokentoken",
    // The audit.
    "Gartenhaus im Norden",
    "bearer-of-bad-news",
    "ann@geheimrat.example",
    "7 Elmstrasse",
    "lieselottes-ordner",
];

fn unpacked(archive: &Path) -> Vec<(String, String)> {
    let mut tar = tar::Archive::new(GzDecoder::new(File::open(archive).unwrap()));
    let entries = tar.entries().unwrap();
    let read = entries.map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (name, text)
    });
    read.collect()
}

/// A text without anything that could split a word: escapes, white space, signs.
fn squeezed(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\\u") {
        out.push_str(&rest[..at]);
        let code = rest
            .get(at + 2..at + 6)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok());
        out.extend(code.and_then(char::from_u32));
        rest = rest.get(at + 6..).unwrap_or_default();
    }
    out.push_str(rest);
    out.to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric())
        .collect()
}

async fn plant(home: &Home) {
    let (registry, _) = Registry::open(&home.data()).await.unwrap();
    registry
        .add_connection(
            NewConnection {
                name: "Omas Heizstab".to_owned(),
                url: "modbus+tcp://ann.dee:pa55%2Fword%2Bplus@gx.geheimrat.dyndns.example:502?token=tokentokentoken"
                    .to_owned(),
                plugin: None,
                options: json!({ "interval": "31415926535", "password": "hunter2hunter2" }),
            },
            1,
        )
        .await
        .unwrap();
    let coded = STANDARD.encode("x pa55/word+plus and hunter2hunter2");
    registry
        .audit(NewAudit {
            entity: Some("c0619ab1234f_battery_u225.custom_name".to_owned()),
            old: Some("Dachstuhl Südwest".to_owned()),
            wanted: Some("Gartenhaus im Norden".to_owned()),
            // "Ga"
            words: vec![0x4761, 0x7274],
            reason: Some(format!(
                "ann@geheimrat.example asked from 84.112.9.33 with Bearer bearer-of-bad-news for \"Villa Geheimrat\": {coded}"
            )),
            ..NewAudit::new(AuditKind::Refused, 1, "user ann.dee", "command line")
        })
        .await
        .unwrap();
    // What begins like a number is a text all the same.
    registry
        .audit(NewAudit {
            entity: Some("c0619ab1234f_battery_u225.custom_name".to_owned()),
            wanted: Some("\"7 Elmstrasse\"".to_owned()),
            words: vec![0x4761, 0x7274],
            reason: Some(format!(
                "it reads \"7 Elmstrasse\"; see /{}/lieselottes-ordner/x.so",
                "home"
            )),
            ..NewAudit::new(AuditKind::Refused, 2, "busbar", "command line")
        })
        .await
        .unwrap();
    let devices = registry.devices().await.unwrap();
    let named = devices.first().expect("a device");
    registry
        .name_device(&named.id, Some("Zimmer von Lieselotte"))
        .await
        .unwrap();
    registry.close().await.unwrap();
    home.write(
        "busbar.toml",
        r#"
        # The password is hunter2hunter2
        [mqtt]
        url = "mqtt://smarthome-ann@broker.geheimrat.example:1883"
        password_file = "/etc/geheim/mqtt-password"
        client_id = "hunter2hunter2"
        [[connection]]
        name = "Villa Geheimrat"
        url = "modbus+tcp://192.168.77.20:502"
        interval = "7s"
        key = "00112233445566778899AABBCCDDEEFF"
        auth_key = "FFEEDDCCBBAA99887766554433221100"
        [[connection.item]]
        key = "grid"
        item = "inverter_geheim_Grid_P"
        "#,
    );
}

#[tokio::test]
async fn no_secret_is_in_the_archive_whatever_it_wears() {
    let house = HOUSE
        .replace("\"Roof\"", "\"Dachstuhl Südwest\"")
        .replace("\"Heater\"", "\"Omas Heizstab\"");
    let (home, running) = (Home::new(), site(&house).await);
    let url = running.url("gx").unwrap();
    home.run(&["scan", &url, "--save", "--name", "Villa Geheimrat", "--json"])
        .await
        .json();
    plant(&home).await;
    let run = home.run(&["doctor", "--archive", "report.tar.gz"]).await;
    assert_eq!(run.code(), 0, "{run:?}");
    for word in [
        "report.tar.gz",
        "registry.json",
        "Look at it before you send it",
        "serial",
    ] {
        assert!(run.stdout.contains(word), "{run:?}");
    }
    let archive = home.path().join("report.tar.gz");
    assert_eq!(archive.metadata().unwrap().mode() & 0o777, 0o600);
    let files = unpacked(&archive);
    let all: String = files
        .iter()
        .map(|(name, text)| format!("{name}\n{text}"))
        .collect();
    let (lower, close) = (all.to_lowercase(), squeezed(&all));
    for secret in PLANTED {
        let place = lower.find(&secret.to_lowercase());
        let around = place.map(|at| lower.get(at.saturating_sub(80)..at + 80).unwrap_or_default());
        assert_eq!(around, None, "{secret} is in it");
        assert!(!close.contains(&squeezed(secret)), "{secret} is in it, in pieces");
        for shift in 0..3 {
            let text = [&vec![b'x'; shift][..], secret.as_bytes()].concat();
            for engine in [STANDARD, URL_SAFE] {
                let coded = engine.encode(&text);
                let core = &coded[(shift * 8).div_ceil(6)..text.len() * 8 / 6];
                assert!(!all.contains(core), "{secret} is in it, in base64");
            }
        }
        let hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
        assert!(!lower.contains(&hex), "{secret} is in it, in hexadecimal");
    }
    // The registers of a text are that text.
    assert!(
        !close.contains("1827329300") && !all.contains("18273"),
        "words of a text"
    );

    // And what helps is there.
    let file = |name: &str| {
        let found = files.iter().find(|(of, _)| of.ends_with(name));
        let text = &found.unwrap_or_else(|| panic!("no {name}")).1;
        serde_json::from_str::<serde_json::Value>(text).unwrap()
    };
    let registry = file("registry.json");
    assert_eq!(registry["fault"], json!(null));
    let ids = registry["devices"].to_string();
    assert!(
        ids.contains("_battery_u225") && ids.contains("victron/gx-battery"),
        "{ids}"
    );
    assert!(registry["entities"].as_array().unwrap().len() > 100);
    assert_eq!(file("config.json")["connection"][0]["interval"], "7s");
    assert_eq!(
        file("config.json")["connection"][0]["url"],
        "modbus+tcp://192.168.77.20:502"
    );
    assert!(file("plugins.json").to_string().contains("sha256"));
    assert!(
        file("system.json")["kernel"]
            .as_str()
            .is_some_and(|kernel| kernel.contains('.'))
    );
    assert!(file("doctor.json")["findings"].as_array().unwrap().len() > 5);
    let answers = file("scans.json")["scans"][0]["answers"].clone();
    assert!(answers["words"].as_u64() > Some(10), "{answers}");
    let audit = file("audit.json");
    assert!(
        audit["rows"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["kind"] == "refused"),
        "{audit:#}"
    );
}

#[tokio::test]
async fn an_archive_is_never_written_over_and_made_of_what_is_broken_too() {
    let home = Home::new();
    home.write("mine.tar.gz", "mine");
    let failure = home
        .run(&["doctor", "--archive", "mine.tar.gz", "--json"])
        .await
        .failure(1);
    assert!(
        failure.code == "exists" && failure.hint.contains("--force"),
        "{failure:?}"
    );
    assert_eq!(
        fs::read_to_string(home.path().join("mine.tar.gz")).unwrap(),
        "mine"
    );
    home.run(&["doctor", "--archive", "mine.tar.gz", "--force", "--json"])
        .await
        .json();
    assert!(unpacked(&home.path().join("mine.tar.gz")).len() > 5);

    fs::create_dir(home.data()).unwrap();
    fs::write(home.data().join("registry.db"), "Dear diary").unwrap();
    let report = home.run(&["doctor", "--archive", "--json"]).await.json();
    let archive = home.path().join(report["archive"].as_str().unwrap());
    let files = unpacked(&archive);
    let registry = files
        .iter()
        .find(|(name, _)| name.ends_with("registry.json"))
        .unwrap();
    assert!(registry.1.contains("is not a database"), "{}", registry.1);
    // Nothing is left beside them.
    let names = fs::read_dir(home.path()).unwrap().count();
    assert_eq!(names, 3, "the data directory and two archives");
}
