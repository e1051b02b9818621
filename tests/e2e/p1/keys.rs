//! Encrypted telegrams: read with the owner's key, which is never shown.

use super::Gateway;
use crate::common::{Home, list, text};

/// The test vector of Luxembourg's kind: a frame, and the key that it is read with.
const FRAME: &str = include_str!("../../../plugins/p1/tests/data/lu-encrypted.hex");
const KEY: &str = "000102030405060708090A0B0C0D0E0F";

fn frame() -> Vec<u8> {
    let digits: Vec<u8> = FRAME
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::chars)
        .filter_map(|c| c.to_digit(16).map(|d| u8::try_from(d).unwrap()))
        .collect();
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect();
    assert_eq!(bytes[0], 0xDB);
    bytes
}

/// The key comes from the configuration, a file or the environment; a wrong one is told as such; no output has it.
#[tokio::test]
async fn an_encrypted_telegram_is_read_with_its_key() {
    let (home, gateway) = (Home::new(), Gateway::new().await);
    let url = gateway.url();
    home.write("meter.key", &format!("{KEY}\n"));
    let connection = format!("[[connection]]\nname = \"lux\"\nurl = \"{url}\"\n");
    let ways = [
        (format!("{connection}key = \"{KEY}\"\n"), None),
        (format!("{connection}key_file = \"meter.key\"\n"), None),
        (String::new(), Some(KEY)),
    ];
    for (config, in_environment) in ways {
        home.write("busbar.toml", &config);
        let mut command = home.command(&["scan", &url, "--json", "-vv"]);
        if let Some(key) = in_environment {
            command.env("BUSBAR_P1_KEY", key);
        }
        let run = crate::common::finish(command.spawn().unwrap());
        let run = gateway.while_saying(&frame(), run).await;
        let shown = format!("{}{}", run.stdout, run.stderr).to_lowercase();
        assert!(!shown.contains(&KEY.to_lowercase()), "{run:#?}");
        let report = run.json();
        let device = &list(&report, "devices")[0];
        let entities = list(device, "entities");
        let power = entities.iter().find(|e| e["key"] == "power_import").unwrap();
        assert_eq!(power["value"], 123.0, "{power:#}");
    }
    // One digit is another.
    let wrong = KEY.replace("0F", "0E");
    home.write("busbar.toml", &format!("{connection}key = \"{wrong}\"\n"));
    let scan = ["scan", url.as_str(), "--json"];
    let run = gateway.while_saying(&frame(), home.run(&scan)).await;
    let failure = run.failure(3);
    assert!(failure.message.contains("key"), "{failure:?}");
    // And one that is no key at all is refused before anything is done.
    home.write("busbar.toml", &format!("{connection}key = \"00ff\"\n"));
    let refused = home.run(&scan).await.failure(1);
    assert!(
        refused.message.contains("4 hexadecimal digits instead of 32"),
        "{refused:?}"
    );
    assert_eq!(
        text(&serde_json::json!({ "code": refused.code }), "code"),
        "config"
    );
}
