//! Plugins as the program finds them.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use busbar_zoo::meter;

use crate::common::{Home, finish, list, text};

/// The plugins that are built with the program.
fn built(name: &str) -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_busbar"));
    program
        .with_file_name("deps")
        .join(format!("libbusbar_plugin_{name}.so"))
}

#[tokio::test]
async fn the_plugins_that_ship_are_ready() {
    let document = Home::new().run(&["plugin", "list", "--json"]).await.json();
    for (name, ledgers) in [
        ("victron-gx", 33),
        ("generic", 1),
        ("sunspec", 0),
        ("p1", 6),
        ("vm-3p75ct", 1),
    ] {
        let plugin = list(&document, "plugins")
            .iter()
            .find(|p| p["name"] == name)
            .expect("it is listed");
        assert_eq!(plugin["state"], "loaded", "{plugin:#}");
        assert_eq!(plugin["ships"], true, "{plugin:#}");
        assert!(list(plugin, "ledgers").len() >= ledgers, "{plugin:#}");
    }
}

/// The plugin for smart meters, tried in its worker with streams that hold no telegram.
#[tokio::test]
async fn a_plugin_that_hears_is_sound() {
    let path = built("p1");
    let run = Home::new()
        .run(&["plugin", "check", path.to_str().unwrap(), "--json"])
        .await;
    assert_eq!(run.code(), 0, "{run:#?}");
    assert_eq!(list(&run.json(), "ledgers").len(), 6, "{run:#?}");
}

#[tokio::test]
async fn a_refused_plugin_is_listed_with_its_reason_and_the_rest_works() {
    let home = Home::new();
    let dir = home.path().join("mine");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let file = |name: &str| dir.join(format!("libbusbar_plugin_{name}.so"));
    // No library at all; a library of another program; one that anybody may exchange.
    std::fs::write(file("text"), "not a library").unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_busbar"), file("foreign")).unwrap();
    std::fs::copy(built("generic"), file("writable")).unwrap();
    // Whatever the umask here is, only one of them may be exchanged by others.
    for (name, mode) in [("text", 0o644), ("foreign", 0o755), ("writable", 0o666)] {
        std::fs::set_permissions(file(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let plugins = ["--plugin-dir", dir.to_str().unwrap()];

    let document = home
        .run(&[&["plugin", "list", "--json"], &plugins[..]].concat())
        .await
        .json();
    let of = |name: &str| {
        let path = file(name).display().to_string();
        let found = list(&document, "plugins")
            .iter()
            .find(|p| p["path"] == path.as_str());
        found
            .unwrap_or_else(|| panic!("{name} is not listed: {document:#}"))
            .clone()
    };
    for (name, word) in [("text", "ELF"), ("foreign", "plugin"), ("writable", "writ")] {
        let plugin = of(name);
        assert_eq!(plugin["state"], "refused", "{plugin:#}");
        assert!(text(&plugin, "reason").contains(word), "{plugin:#}");
        let path = file(name);
        let inspect = home
            .run(&["plugin", "inspect", path.to_str().unwrap(), "--json"])
            .await;
        let failure = inspect.failure(1);
        assert_eq!(failure.code, "plugin", "{failure:?}");
    }
    let running = meter().await;
    let url = running.url("demo-meter").unwrap();
    let report = home
        .run(&[&["scan", &url, "--json"], &plugins[..]].concat())
        .await
        .json();
    assert_eq!(report["plugin"], "generic");
}

#[tokio::test]
async fn a_plugin_is_inspected_without_running_it() {
    let path = built("victron_gx");
    let inspected = Home::new()
        .run(&["plugin", "inspect", path.to_str().unwrap(), "--json"])
        .await
        .json();
    assert_eq!(inspected["name"], "victron-gx");
    assert_eq!(text(&inspected, "sha256").len(), 64);
}

#[tokio::test]
async fn a_scan_without_plugins_blames_no_device() {
    let (home, running) = (Home::new(), meter().await);
    // Plugins are looked for beside the program.
    let alone = home.path().join("busbar");
    std::fs::copy(env!("CARGO_BIN_EXE_busbar"), &alone).unwrap();
    let mut scan = tokio::process::Command::new(alone);
    scan.args(["scan", &running.url("demo-meter").unwrap(), "--json"])
        .current_dir(home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let failure = finish(scan.spawn().unwrap()).await.failure(1);
    assert_eq!(failure.code, "no_plugins", "{failure:?}");
}

/// A plugin that is not there any more costs its devices' values, and not the knowledge that they exist.
#[tokio::test]
async fn a_device_whose_plugin_is_not_there_is_shown_with_that_reason() {
    let (home, running) = (Home::new(), meter().await);
    let url = running.url("demo-meter").unwrap();
    let scan = ["scan", &url, "--ledger", "generic/demo-meter", "--save", "--json"];
    let id = text(&list(&home.run(&scan).await.json(), "devices")[0], "id").to_owned();
    // The program alone, without what lies beside it.
    let alone = home.path().join("busbar");
    std::fs::copy(env!("CARGO_BIN_EXE_busbar"), &alone).unwrap();
    let data = home.data().display().to_string();
    let run = async |args: &[&str]| {
        let mut command = tokio::process::Command::new(&alone);
        command
            .args(args)
            .args(["--data-dir", &data])
            .current_dir(home.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        finish(command.spawn().unwrap()).await
    };
    let devices = run(&["devices", "--json"]).await.json();
    let [device] = list(&devices, "devices") else {
        panic!("{devices:#}")
    };
    assert_eq!(
        (text(device, "id"), text(device, "availability")),
        (&*id, "offline")
    );
    assert!(
        text(device, "reason").contains("generic/demo-meter"),
        "{device:#}"
    );
    let doctor = run(&["doctor"]).await;
    assert_eq!(doctor.code(), 1, "{doctor:#?}");
    assert!(doctor.stdout.contains("Install the plugin"), "{doctor:#?}");
    // A next step can be typed as it stands.
    let failure = run(&["change", "remove", "nobody", "--yes"]).await;
    let typed = format!("`busbar --data-dir {data} devices`");
    assert!(failure.stderr.contains(&typed), "{failure:#?}");
    // And when it is there again, all is as it was.
    let again = home.run(&["devices", "--json"]).await.json();
    assert!(
        !list(&list(&again, "devices")[0], "entities").is_empty(),
        "{again:#}"
    );
}
