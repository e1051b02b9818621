//! Where nobody can be asked: flags say it all, or what to type is said.

use busbar_zoo::{closed_port, gx};

use super::first::home;
use crate::common::{list, text};
use crate::registry::SMALL;

#[tokio::test]
async fn without_a_terminal_it_says_which_flags_to_use() {
    let home = home();
    for args in [&["setup", "--json"][..], &["setup", "192.168.1.20", "--json"]] {
        let failure = home.run(args).await.failure(2);
        for word in [
            "--yes",
            "--name",
            "--interval",
            "busbar discover",
            "busbar scan URL --save --name",
        ] {
            assert!(failure.hint.contains(word), "{word}: {}", failure.hint);
        }
    }
    let failure = home.run(&["setup", "--yes", "--json"]).await.failure(2);
    assert!(
        failure.hint.contains("busbar setup URL --yes"),
        "{}",
        failure.hint
    );
    let failure = home
        .run(&["setup", "x", "--yes", "--interval", "1ms", "--json"])
        .await
        .failure(2);
    assert!(failure.message.contains("100ms"), "{}", failure.message);
    assert!(!home.data().exists());
}

#[tokio::test]
async fn flags_say_it_all() {
    let (home, running) = (home(), gx(SMALL).await);
    let url = running.url("gx").unwrap();
    let setup = [
        "setup",
        &url,
        "--units",
        "20,100",
        "--name",
        "house",
        "--interval",
        "2s",
        "--yes",
        "--json",
    ];
    let saved = home.run(&setup).await.json();
    assert_eq!(text(&saved, "connection"), "house");
    assert_eq!(list(&saved["report"], "devices").len(), 2);
    let devices = home.run(&["devices", "--json"]).await.json();
    assert_eq!(list(&devices, "devices").len(), 2);
    // Once more: what is known stays, under its name.
    let again = home
        .run(&["setup", "--url", &url, "--yes", "--json"])
        .await
        .json();
    assert_eq!(text(&again, "connection"), "house");
    let plain = home.run(&["setup", &url, "--yes"]).await;
    assert!(plain.stdout.contains("Saved as \"house\""), "{plain:#?}");
}

#[tokio::test]
async fn what_does_not_work_is_a_failure_with_a_next_step() {
    let home = home();
    let nobody = format!("modbus+tcp://{}", closed_port().await);
    let run = home.run(&["setup", &nobody, "--yes", "--json"]).await;
    let failure = run.failure(run.code());
    assert_ne!(run.code(), 0);
    assert!(!failure.hint.is_empty());
}
