//! A disk that is full: a real one, small, in a mount namespace of its own. Where the kernel gives an unprivileged process no
//! such namespace, these say so and pass.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use super::{ALL, LEDGER, Rig, shown};
use crate::common::{Home, until};

const AGAIN: &str = "BUSBAR_E2E_DISK";

/// A host whose data lie on a disk of a few megabytes.
pub(super) struct Small {
    pub(super) rig: Rig,
}

impl Small {
    /// Runs this test again in a namespace where it may mount; what is given is for that run alone.
    pub(super) async fn here(test: &str) -> Option<Small> {
        if std::env::var_os(AGAIN).is_some() {
            let home = Home::new();
            std::fs::create_dir(home.data()).unwrap();
            let mut mount = Command::new("mount");
            mount
                .args(["-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs"])
                .arg(home.data());
            assert!(mount.status().unwrap().success());
            let rig = Rig::at(home, "tcp", LEDGER, ALL).await;
            return Some(Small { rig });
        }
        let allowed = Command::new("unshare").args(["-rm", "true"]).status();
        if !allowed.is_ok_and(|status| status.success()) {
            eprintln!("skipped: this machine allows no mount namespace");
            return None;
        }
        let mut again = Command::new("unshare");
        again
            .arg("-rm")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"]);
        let output = again.env(AGAIN, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(said.contains("1 passed"), "{said}");
        None
    }

    fn ballast(&self) -> PathBuf {
        self.rig.home.data().join("ballast")
    }

    /// Until nothing goes on it any more.
    pub(super) fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        while file.write_all(&[0]).is_ok() {}
    }

    /// There is room again.
    pub(super) fn empty(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

#[tokio::test]
async fn w19_without_an_audit_nothing_is_written() {
    let test = "writes_faults::disk::w19_without_an_audit_nothing_is_written";
    let Some(full) = Small::here(test).await else {
        return;
    };
    let rig = &full.rig;
    let host = rig.host().await;
    let id = rig.set("limit", "60", &[]).await.applied().entity().to_owned();
    full.fill();
    // What the files hold already may take a few rows more.
    let (mut refused, mut applied) = (None, vec![60]);
    for value in [61, 62].into_iter().cycle().take(400) {
        let set = rig.set("limit", &value.to_string(), &[]).await;
        if set.outcome() == "refused" {
            refused = Some(set);
            break;
        }
        applied.push(value);
    }
    let refused = refused.expect("the disk is full").refused("audit");
    assert!(refused.reason().contains("audit"), "{refused:#?}");
    rig.set("override", "300", &[]).await.refused("audit");
    assert_eq!(rig.written(110), applied, "nothing that was not noted");
    assert!(rig.written(104).is_empty());

    // The device is read all the same.
    rig.put("limit", 42);
    until("the present value", async || {
        (shown(&host, &id).await == 42).then_some(())
    })
    .await;

    // And there is nothing to be done but to make room.
    full.empty();
    rig.set("limit", "63", &[]).await.applied();
    applied.push(63);
    assert_eq!(rig.written(110), applied);
    rig.audit_holds().await;
    host.stop().await;
}
