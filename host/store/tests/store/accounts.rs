//! Accounts: what was counted stays, and goes with its device.

use busbar_store::{Found, FoundDevice, KeptAccount, KeptStitch, Registry, STITCHES, StitchWhy};
use tempfile::tempdir;

use crate::{connection, open};

/// A scan that finds one meter.
pub(crate) fn meter() -> Found {
    Found {
        devices: vec![FoundDevice {
            id: "meter".into(),
            unit_id: 1,
            ledger: "generic/test".into(),
            name: None,
            model: None,
            serial: Some("s1".into()),
            firmware: None,
            entities: vec![],
            readable: vec![],
            complete: true,
        }],
        asked: vec![],
    }
}

/// An account of that meter.
pub(crate) fn account(key: &str, last: f64, carried: f64) -> KeptAccount {
    KeptAccount {
        device_id: "meter".into(),
        key: key.into(),
        last,
        carried,
        serial: Some("s1".into()),
        period: None,
        left_out_ms: 0,
        at_ms: 5,
    }
}

fn stitch(at_ms: i64) -> KeptStitch {
    KeptStitch {
        device_id: "meter".into(),
        key: "energy".into(),
        at_ms,
        from_value: 100.1,
        to_value: 0.2,
        carried: 100.1,
        why: StitchWhy::Reset,
    }
}

async fn with_meter(dir: &std::path::Path) -> Registry {
    let registry = open(dir).await;
    let home = registry.add_connection(connection("home"), 1).await.unwrap();
    registry.apply_scan(&home.id, &meter(), 1).await.unwrap();
    registry
}

#[tokio::test]
async fn an_account_is_kept_to_the_last_digit_and_replaces_what_was_kept_of_it() {
    let dir = tempdir().unwrap();
    let registry = with_meter(dir.path()).await;
    let third = account("energy", 1.0 / 3.0, -1.0e9 / 7.0);
    let day = KeptAccount {
        period: Some("2026-12-01".into()),
        serial: None,
        left_out_ms: 60_000,
        ..account("energy_today", 7.0, 0.1)
    };
    registry
        .keep_accounts(&[account("energy", 1.0, 0.0)], &[])
        .await
        .unwrap();
    registry
        .keep_accounts(&[third.clone(), day.clone()], &[])
        .await
        .unwrap();
    registry.close().await.unwrap();
    drop(registry);
    assert_eq!(open(dir.path()).await.accounts().await.unwrap(), [third, day]);
}

#[tokio::test]
async fn of_the_stitches_the_newest_are_kept() {
    let dir = tempdir().unwrap();
    let registry = with_meter(dir.path()).await;
    let energy = [account("energy", 0.2, 100.1)];
    let all: Vec<KeptStitch> = (0..150).map(stitch).collect();
    registry.keep_accounts(&energy, &all[..120]).await.unwrap();
    registry.keep_accounts(&energy, &all[120..]).await.unwrap();
    let kept = registry.stitches("meter", "energy").await.unwrap();
    assert_eq!(kept.len(), STITCHES as usize);
    assert_eq!(kept.first(), Some(&stitch(149)));
    assert_eq!(registry.stitches("meter", "other").await.unwrap(), []);
}

#[tokio::test]
async fn what_is_of_no_device_is_left_out_and_goes_with_it() {
    let dir = tempdir().unwrap();
    let registry = with_meter(dir.path()).await;
    let stray = KeptAccount {
        device_id: "gone".into(),
        ..account("energy", 1.0, 0.0)
    };
    let energy = account("energy", 1.0, 0.0);
    registry
        .keep_accounts(&[stray, energy.clone()], &[stitch(1)])
        .await
        .unwrap();
    assert_eq!(registry.accounts().await.unwrap(), [energy]);
    registry.remove_device("meter").await.unwrap();
    assert_eq!(registry.accounts().await.unwrap(), []);
    assert_eq!(registry.stitches("meter", "energy").await.unwrap(), []);
}

#[tokio::test]
async fn a_device_that_takes_the_place_goes_on_and_is_known_as_another() {
    let dir = tempdir().unwrap();
    let registry = with_meter(dir.path()).await;
    registry
        .keep_accounts(&[account("energy", 9.0, 1.0)], &[])
        .await
        .unwrap();
    registry.replace_device("meter", "newcomer").await.unwrap();
    let kept = registry.accounts().await.unwrap();
    assert_eq!((kept[0].last, kept[0].carried), (9.0, 1.0));
    assert_eq!(kept[0].serial.as_deref(), Some(KeptAccount::OF_ANOTHER));
}
