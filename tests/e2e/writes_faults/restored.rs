//! A registry that was restored is an old one: what the owner has taken back since is in it again. So nothing is written
//! until they have looked.

use std::fs;
use std::path::PathBuf;

use super::Rig;
use crate::common::until;

async fn backup(rig: &Rig) -> PathBuf {
    let host = rig.host().await;
    let backup = until("the daily backup", async || {
        let files = fs::read_dir(rig.home.data().join("backups")).ok()?;
        let mut files = files.map(|file| file.unwrap().path());
        files.find(|path| path.extension().is_some_and(|extension| extension == "db"))
    })
    .await;
    host.stop().await;
    backup
}

async fn refuses_until_confirmed(rig: &Rig) {
    let host = rig.host().await;
    let refused = rig.set("limit", "60", &[]).await.refused("level");
    assert!(
        refused.reason().contains("restored from a backup"),
        "{refused:#?}"
    );
    host.stop().await;
    // Over a restart, too, and without a host.
    rig.set("limit", "60", &[]).await.refused("level");
    let host = rig.host().await;
    rig.set("override", "60", &[]).await.refused("level");
    assert!(rig.frames().is_empty());
    let confirmed = rig.home.run(&["limits", "--confirm", "--json"]).await;
    assert_eq!(confirmed.code(), 0, "{confirmed:?}");
    rig.set("limit", "60", &[]).await.applied();
    rig.audit_holds().await;
    host.stop().await;
    let host = rig.host().await;
    rig.set("limit", "61", &[]).await.applied();
    host.stop().await;
}

#[tokio::test]
async fn a_registry_that_was_damaged_and_restored_refuses_writes_until_it_is_confirmed() {
    let rig = Rig::new().await;
    backup(&rig).await;
    let registry = rig.home.data().join("registry.db");
    let length = fs::metadata(&registry).unwrap().len();
    fs::write(&registry, vec![b'x'; usize::try_from(length).unwrap()]).unwrap();
    refuses_until_confirmed(&rig).await;
}

#[tokio::test]
async fn a_backup_that_was_put_in_place_by_hand_refuses_writes_until_it_is_confirmed() {
    let rig = Rig::new().await;
    let backup = backup(&rig).await;
    let data = rig.home.data();
    for left in ["registry.db-wal", "registry.db-shm"] {
        let _ = fs::remove_file(data.join(left));
    }
    fs::copy(backup, data.join("registry.db")).unwrap();
    refuses_until_confirmed(&rig).await;
}
