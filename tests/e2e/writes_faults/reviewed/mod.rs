//! What a hostile review of the writes has found: each test holds one thing that once was not so.

mod ends;
mod leases;
mod restarts;
mod strangers;

use super::kills::{intents, noted, wants_pauses};
use super::{LEDGER, NAME, Rig, Set, UNIT, kill, online};
use crate::common::host::Host;
use crate::common::until;

/// What is written when a lease ends.
const SAFE: i32 = 7;
/// Where `override` lies.
const OVERRIDE: u16 = 104;

/// The inverter with a firmware to tell.
fn with_firmware() -> String {
    LEDGER.replace(
        "serial = { at = 10, type = \"text\", words = 4 }",
        "serial = { at = 10, type = \"text\", words = 4 }\nfirmware = { at = 20, format = \"bytes4\" }",
    )
}

/// The inverter whose `override` is read back only after so long.
fn read_back_after(time: &str) -> String {
    let quick = "lease = { safe = 7 }, verify = { after = \"100ms\" }";
    assert!(LEDGER.contains(quick));
    LEDGER.replace(
        quick,
        &format!("lease = {{ safe = 7 }}, verify = {{ after = \"{time}\" }}"),
    )
}

/// The one lease that is held, as `busbar lease list` shows it.
async fn lease(rig: &Rig) -> serde_json::Value {
    let held = rig.held().await;
    assert_eq!(held.len(), 1, "{held:#?}");
    held.into_iter().next().unwrap_or_default()
}

/// Waits until something is being let go and could not be.
async fn being_let_go(rig: &Rig) {
    until("the lease to be let go", async || {
        let held = rig.held().await;
        let trouble = held.first()?["trouble"].as_str()?.to_owned();
        trouble.starts_with("being let go").then_some(())
    })
    .await;
}

/// How often a peer was asked for what begins at this address.
fn asked(rig: &Rig, at: u16) -> usize {
    let exchanges = rig.peer().record().exchanges();
    let here = exchanges
        .iter()
        .filter(|e| e.span().is_some_and(|span| span.at == at));
    here.count()
}

/// Waits until the device is asked once more for what begins at this address.
async fn asked_again(rig: &Rig, at: u16) {
    let had = asked(rig, at);
    until(&format!("a read of {at}"), async || {
        (asked(rig, at) > had).then_some(())
    })
    .await;
}
