//! The words: what a dry run shows is what a real write sends, whatever the type, the scale and the sign.

use crate::common::site::ledger;
use crate::common::writes::{
    AC_POWER, AC_POWER_PHASE, COARSE_SETPOINT, CURRENT_LIMIT, Known, L1_SETPOINT, MODE, SETPOINT,
    STORED_SETPOINT, setpoint_leave,
};
use busbar_zoo::Leave;
use futures_util::future::join_all;

const SETTINGS: &str = "victron/gx-settings";
const VEBUS: &str = "victron/gx-vebus";
const NAME: &str = "c0ffee_settings_u100.settings_system_setup_system_name";

/// Leave for everything that these tests write.
fn leaves() -> Vec<Leave> {
    let (settings, vebus) = (ledger(SETTINGS), ledger(VEBUS));
    let power = |key: &str| Leave::of(100, settings, key).within(-AC_POWER, AC_POWER);
    vec![
        setpoint_leave(),
        power("settings_cgwacs_ac_power_set_point"),
        power("settings_cgwacs_ac_power_set_point_at_2703"),
        Leave::of(100, settings, "settings_system_setup_system_name"),
        Leave::of(227, vebus, "mode"),
        Leave::of(227, vebus, "ac_active_in_current_limit").within(0.0, 24.0),
        Leave::of(227, vebus, "hub4_l1_ac_power_setpoint").within(-AC_POWER_PHASE, AC_POWER_PHASE),
    ]
}

const WRITES: &str = r#"level = 3
    allow = ["victron/gx-hub4:2716", "victron/gx-settings:2700", "victron/gx-settings:2703", "victron/gx-settings:5700",
        "victron/gx-vebus:22", "victron/gx-vebus:33", "victron/gx-vebus:96"]"#;

/// An entity, a value; unit, function and address; the words.
type Case = (&'static str, &'static str, (u8, u8, u16), Vec<u16>);

#[tokio::test]
async fn w18_a_dry_run_shows_exactly_the_words_that_a_real_write_sends() {
    let known = Known::behind_a_peer().await;
    let host = known.host(WRITES).await;
    // "Küche 7", and what fills it up.
    let name = vec![0x4BC3, 0xBC63, 0x6865, 0x2037, 0, 0, 0, 0];
    let cases: [Case; 6] = [
        (SETPOINT, "-100", (100, 16, 2716), vec![0xFFFF, 0xFF9C]),
        (COARSE_SETPOINT, "-1500", (100, 6, 2703), vec![0xFFF1]),
        (CURRENT_LIMIT, "12.5", (227, 6, 22), vec![125]),
        (L1_SETPOINT, "-1000", (227, 16, 96), vec![0xFFFF, 0xFC18]),
        (MODE, "Charger Only", (227, 6, 33), vec![1]),
        (NAME, "Küche 7", (100, 16, 5700), name),
    ];
    let address = |report: &serde_json::Value| {
        let small = |key: &str| report[key].as_u64().unwrap();
        (
            small("unit_id") as u8,
            small("function") as u8,
            small("at") as u16,
        )
    };
    for (entity, value, to, words) in &cases {
        let report = known.home.set(&[entity, value, "--dry-run"]).await.is("dry_run");
        assert_eq!(
            (&address(&report.document), &report.words()),
            (to, words),
            "{entity}"
        );
    }
    assert!(known.writes().is_empty(), "a dry run sends nothing");

    // All at once, for the inverter takes its time.
    let really = |(entity, value, to, words): &Case| {
        let (entity, value, to, words) = (*entity, *value, *to, words.clone());
        let home = &known.home;
        async move {
            let report = home.set(&[entity, value, "--yes"]).await.is("applied");
            assert_eq!(
                (address(&report.document), report.words()),
                (to, words),
                "{entity}"
            );
        }
    };
    join_all(cases.iter().map(really)).await;
    let mut sent = known.frames();
    sent.sort();
    let mut right: Vec<_> = cases
        .into_iter()
        .map(|(_, _, (unit, function, at), words)| (unit, function, at, words))
        .collect();
    right.sort();
    assert_eq!(sent, right);
    let shown = host.get(&format!("/api/v1/entities/{NAME}")).await;
    assert_eq!(shown["value"], "Küche 7");
    host.stop().await;
    known.acquit(leaves()).await;
}

#[tokio::test]
async fn what_another_program_gets_wrong_arrives_as_it_was_meant() {
    let known = Known::new().await;
    let host = known.host(WRITES).await;
    let value = async |entity: &str| host.get(&format!("/api/v1/entities/{entity}")).await["value"].clone();

    // -100 W in steps of 100 W is -1, not +65,400 W.
    let report = known
        .home
        .set(&[COARSE_SETPOINT, "-100", "--yes"])
        .await
        .is("applied");
    assert_eq!(report.document["value"], -100);
    assert_eq!(known.frames(), [(100, 6, 2703, vec![0xFFFF])]);
    assert_eq!(value(COARSE_SETPOINT).await, -100);
    // The same setting in another register: one interval for both.
    let report = known.home.set(&[STORED_SETPOINT, "-100", "--yes"]).await;
    report.refused("rate", &["60 s must lie between"]);

    // 1,000 W in 32 bits is one request with both words, and not 65,536,000 W.
    let report = known
        .home
        .set(&[L1_SETPOINT, "1000", "--yes"])
        .await
        .is("applied");
    assert_eq!(report.document["value"], 1000);
    assert_eq!(known.frames()[1..], [(227, 16, 96, vec![0, 1000])]);

    // A limit of a current has no direction, though its register is signed.
    let report = known.home.set(&[CURRENT_LIMIT, "-5", "--yes"]).await;
    let report = report.refused("bounds", &["below", "0 A"]);
    assert!(report.words().is_empty());
    // Bounds are never rounded up.
    for (entity, value, bound) in [
        (CURRENT_LIMIT, "24.04", "24 A"),
        (L1_SETPOINT, "5520.5", "5,520 W"),
        (COARSE_SETPOINT, "16550", "16,500 W"),
        (COARSE_SETPOINT, "16600", "16,500 W"),
    ] {
        let report = known.home.set(&[entity, value, "--dry-run"]).await;
        report.refused("bounds", &["above", bound]);
    }
    let report = known.home.set(&[COARSE_SETPOINT, "-150", "--dry-run"]).await;
    report.refused("step", &["-200 W or -100 W"]);
    host.stop().await;
    known.acquit(leaves()).await;
}

#[tokio::test]
async fn the_fine_register_of_a_setting_holds_up_the_coarse_one() {
    let known = Known::new().await;
    let host = known.host(WRITES).await;
    let report = known
        .home
        .set(&[STORED_SETPOINT, "-1234", "--yes"])
        .await
        .is("applied");
    assert_eq!(report.document["value"], -1234);
    assert_eq!(known.frames(), [(100, 6, 2700, vec![0xFB2E])]);
    let report = known.home.set(&[COARSE_SETPOINT, "-100", "--yes"]).await;
    report.refused("rate", &[]);
    // And one budget.
    let limits = known.home.run(&["limits", "--json"]).await.json();
    for entity in [STORED_SETPOINT, COARSE_SETPOINT] {
        let all = crate::common::list(&limits, "entities");
        let one = all.iter().find(|one| one["entity"] == entity).unwrap();
        assert_eq!(
            (&one["budget_left"], &one["daily_budget"]),
            (&23.into(), &24.into())
        );
    }
    host.stop().await;
    known.acquit(leaves()).await;
}

#[tokio::test]
async fn w9_what_it_reads_already_is_not_written() {
    let known = Known::new().await;
    let host = known.host(WRITES).await;
    for (entity, value) in [
        (MODE, "On"),
        (MODE, "3"),
        (NAME, "Test home"),
        (STORED_SETPOINT, "30"),
        (CURRENT_LIMIT, "20.0"),
    ] {
        let report = known.home.set(&[entity, value, "--yes"]).await.is("applied");
        assert!(
            report.reason().contains("reads that already"),
            "{}",
            report.reason()
        );
    }
    assert!(known.writes().is_empty());
    assert!(known.home.audit().await.iter().all(|row| row["kind"] != "intent"));
    // It has cost nothing of the interval, either.
    known.home.set(&[NAME, "Test house", "--yes"]).await.is("applied");
    let report = known.home.set(&[NAME, "Test home", "--yes"]).await;
    report.refused("rate", &[]);
    host.stop().await;
    known.acquit(leaves()).await;
}
