//! Configurations of tools that Busbar replaces, taken over by the program.

use std::os::unix::fs::PermissionsExt;

use crate::common::{Home, list, text};

/// A password that must be seen nowhere but in its file.
const PASSWORD: &str = "hunter%%22";

fn old(home: &Home) {
    home.write(
        "config.ini",
        &format!(
            "[GENERAL]\none_shot = true\nsend_voltage = false\n[VSCP]\nguid=''\nzone = 3\nsensorindex_current_l1 = 24\nid_current_l1 = 300\n\
             [MQTT]\nhost = 192.168.1.7\nuser = ann\npassword = {PASSWORD}\nnote_current_l1 = Ström L1\nodd = {PASSWORD}\n\
             [SERIAL]\nserial_port = /dev/ttyUSB1\nserial_timeout = 20\n"
        ),
    );
}

#[tokio::test]
async fn the_old_p1_scripts_settings_become_a_configuration_that_is_understood() {
    let home = Home::new();
    old(&home);
    let run = home.run(&["import", "vscp-p1", "config.ini", "--json"]).await;
    let report = run.json();
    assert_eq!(
        (
            text(&report, "tool"),
            text(&report, "output"),
            text(&report, "connection")
        ),
        ("vscp-p1", "busbar.toml", "p1:///dev/ttyUSB1")
    );
    let told: Vec<u64> = list(&report, "not_understood")
        .iter()
        .map(|n| n["line"].as_u64().unwrap())
        .collect();
    assert_eq!(told, [2, 14, 17], "{report:#}");

    let file = text(&report, "password_file");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "hunter%22\n");
    assert_eq!(
        std::fs::metadata(file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let made = std::fs::read_to_string(home.path().join("busbar.toml")).unwrap();
    let again = home.run(&["import", "vscp-p1", "config.ini", "--force"]).await;
    assert_eq!(again.code(), 0, "{again:#?}");
    for shown in [&made, &run.stdout, &run.stderr, &again.stdout, &again.stderr] {
        assert!(!shown.contains("hunter"), "{shown}");
    }

    // Every line of it means something: nothing is set up yet, and that is all there is to say.
    let devices = home.run(&["devices", "--json"]).await;
    assert!(!devices.stderr.contains("has no effect"), "{devices:#?}");
    devices.failure(3);
}

#[tokio::test]
async fn nothing_is_written_over_unasked_and_nothing_is_made_of_another_file() {
    let home = Home::new();
    old(&home);
    home.write("busbar.toml", "[history]\ndays = 7\n");
    home.run(&["import", "vscp-p1", "config.ini", "--json"])
        .await
        .failure(2);
    assert!(!home.path().join("mqtt-password").exists());
    home.write("mqtt-password", "mine");
    home.run(&["import", "vscp-p1", "config.ini", "--output", "p1.toml", "--json"])
        .await
        .failure(2);
    assert!(!home.path().join("p1.toml").exists());
    home.write("other.ini", "[OTHER]\nx = 1\n");
    home.run(&["import", "vscp-p1", "other.ini", "--output", "x.toml", "--json"])
        .await
        .failure(3);
}
