//! What is known must be fresh, and the clock right: else nothing is written.

use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use busbar_zoo::Fault;
use futures_util::future::join_all;

use super::{Rig, online};
use crate::common::Home;
use crate::common::host::{Background, Host};

#[tokio::test]
async fn w25_a_device_that_has_just_stopped_is_not_written_to() {
    join_all([Fault::BlackHole, Fault::Refuse, Fault::Exception(11)].map(stopped)).await;
}

async fn stopped(fault: Fault) {
    let rig = Rig::new().await;
    let host = rig.host().await;
    rig.set("limit", "60", &[]).await.applied();
    rig.peer().turn(fault.clone()).await;
    // At once, while its last reading is still fresh: what counts is that it does not answer now.
    let at_once = rig.set("limit", "61", &[]).await;
    assert_eq!(
        (at_once.exit, at_once.outcome()),
        (4, "refused"),
        "{fault:?}: {at_once:#?}"
    );
    assert!(
        ["identity", "stale"].contains(&at_once.code()),
        "{fault:?}: {at_once:#?}"
    );
    let device = at_once.entity().split('.').next().unwrap().to_owned();
    host.device_is(&device, "offline").await;
    let later = rig.set("limit", "61", &[]).await;
    assert_eq!(
        (later.exit, later.outcome()),
        (4, "refused"),
        "{fault:?}: {later:#?}"
    );

    // It comes back, and with it nothing that was refused.
    rig.peer().turn(Fault::None).await;
    let host = match fault {
        Fault::Refuse => host,
        // A unit that was silent is left alone for a while; a new host does not know of that.
        _ => {
            host.stop().await;
            rig.host().await
        }
    };
    host.device_is(&device, "online").await;
    rig.polled(110, 2).await;
    assert_eq!(rig.written(110), [60], "{fault:?}");
    rig.set("limit", "62", &[]).await.applied();
    assert_eq!(rig.written(110), [60, 62], "{fault:?}");
    rig.audit_holds().await;
    host.stop().await;
}

/// The library that makes a wall clock wrong.
fn library(home: &Home) -> PathBuf {
    let made = home.path().join("clock.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/e2e/peers/clock.c");
    // Whoever builds Busbar has a C compiler, for SQLite.
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&made).arg(source);
    assert!(cc.status().unwrap().success());
    made
}

/// A host whose clock is wrong by so many seconds.
async fn host_that_is_off_by(rig: &Rig, seconds: i64) -> Host {
    rig.home.write(
        "busbar.toml",
        &format!("[web]\nlisten = \"127.0.0.1:0\"\n{}", rig.config),
    );
    let mut command = rig.home.command(&["run"]);
    command
        .env("LD_PRELOAD", library(&rig.home))
        .env("BUSBAR_TEST_CLOCK", seconds.to_string());
    let process = Background::of(command);
    let line = process.says("Busbar is running: ").await;
    let address = line
        .rsplit("http://")
        .next()
        .unwrap()
        .trim_end_matches('/')
        .parse()
        .unwrap();
    let host = Host { process, address };
    online(&host).await;
    host
}

#[tokio::test]
async fn w25_a_clock_that_cannot_be_right_refuses() {
    let rig = Rig::new().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let year = 365 * 24 * 3600;
    // A machine without a battery for its clock begins in 1970 or 2000; another one is far ahead.
    for seconds in [1000 - now, 30 * year - now, 140 * year - now] {
        let host = host_that_is_off_by(&rig, seconds).await;
        let refused = rig.set("limit", "60", &[]).await.refused("clock");
        assert!(refused.reason().contains("clock cannot be right"), "{refused:#?}");
        host.stop().await;
    }
    assert!(rig.frames().is_empty());
    // One that is wrong by a little is nobody's trouble: the test's own library is not what refuses.
    let host = host_that_is_off_by(&rig, 30).await;
    rig.set("kept", "60", &[]).await.applied();
    host.stop().await;
    // A budget cannot be counted by a clock that went back behind the last write.
    let host = host_that_is_off_by(&rig, -3600).await;
    let refused = rig.set("kept", "61", &[]).await.refused("clock");
    assert!(refused.reason().contains("in the future"), "{refused:#?}");
    host.stop().await;
    assert_eq!(rig.written(112), [60]);
}
