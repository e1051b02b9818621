//! What a hostile review has found of the owner's limits: several entries for one setting, and several registers of it.

use crate::common::list;
use crate::common::writes::{COARSE_SETPOINT, Known, SETPOINT, STORED_SETPOINT};

#[tokio::test]
async fn the_owners_limits_of_one_register_bound_the_other_one_of_the_same_setting() {
    let known = Known::new().await;
    let host = known
        .host(
            r#"level = 3
            allow = [
                { entity = "victron/gx-settings:2700", min = -250, max = 450, max_change = 300, daily_budget = 2 },
                "victron/gx-settings:2703",
            ]"#,
        )
        .await;
    let coarse = async |value: &'static str, more: &[&'static str]| {
        known.home.set(&[&[COARSE_SETPOINT, value], more].concat()).await
    };
    // In steps of 100 W, rounded towards safe.
    for value in ["-300", "500", "16500"] {
        let report = coarse(value, &["--yes"]).await;
        let report = report.refused("bounds", &["your own limit"]);
        assert_eq!(report.document["binding_limit"], "owner");
    }
    coarse("400", &["--yes"]).await.refused("change", &["300 W"]);
    coarse("300", &["--dry-run"]).await.is("dry_run");
    coarse("200", &["--yes"]).await.is("applied");
    // That was a write of the day, through whichever register.
    let limits = known.home.run(&["limits", "--json"]).await.json();
    for id in [STORED_SETPOINT, COARSE_SETPOINT] {
        let entity = list(&limits, "entities").iter().find(|e| e["entity"] == id);
        let left = entity.map(|entity| (&entity["daily_budget"], &entity["budget_left"]));
        assert_eq!(left, Some((&2.into(), &1.into())), "{entity:#?}");
    }
    assert_eq!(known.frames(), [(100, 6, 2703, vec![2])]);
    host.stop().await;
}

#[tokio::test]
async fn the_budget_of_one_register_is_that_of_the_other_one_too() {
    let known = Known::new().await;
    let fine = r#"{ entity = "victron/gx-settings:2700", daily_budget = 0 }"#;
    let coarse = r#"{ entity = "victron/gx-settings:2703", daily_budget = 5 }"#;
    for allow in [format!("{fine}, {coarse}"), format!("{coarse}, {fine}")] {
        let host = known.host(&format!("level = 3\nallow = [{allow}]")).await;
        for entity in [STORED_SETPOINT, COARSE_SETPOINT] {
            let report = known.home.set(&[entity, "100", "--yes"]).await;
            report.refused("budget", &["24 hours"]);
        }
        host.stop().await;
    }
    assert!(known.writes().is_empty());
}

#[tokio::test]
async fn of_two_entries_for_one_entity_the_narrower_counts_whichever_is_first() {
    let known = Known::new().await;
    let by_address = r#"{ entity = "victron/gx-hub4:2716", min = -1000, max = 3000 }"#.to_owned();
    let by_id = format!("{{ entity = \"{SETPOINT}\", min = -2000, max = 500, max_change = 700 }}");
    for allow in [format!("{by_address}, {by_id}"), format!("{by_id}, {by_address}")] {
        let host = known.host(&format!("level = 2\nallow = [{allow}]")).await;
        let set = async |value: &'static str| known.home.set(&[SETPOINT, value, "--dry-run"]).await;
        for value in ["-1001", "501", "3000"] {
            set(value).await.refused("bounds", &["your own limit"]);
        }
        set("-701").await.refused("change", &["700 W"]);
        for value in ["-700", "500"] {
            set(value).await.is("dry_run");
        }
        host.stop().await;
    }
    // Their days, too.
    let ended = r#"{ entity = "victron/gx-hub4:2716", until = 2021-01-31T18:00:00+01:00 }"#;
    for allow in [format!("{ended}, {by_id}"), format!("{by_id}, {ended}")] {
        let host = known.host(&format!("level = 2\nallow = [{allow}]")).await;
        known
            .home
            .set(&[SETPOINT, "100", "--yes"])
            .await
            .refused("expired", &["2021-01-31"]);
        host.stop().await;
    }
    assert!(known.writes().is_empty());
}

/// 30 W read 0 W in steps of 100: that is not the same, so it is written.
#[tokio::test]
async fn what_a_coarse_register_reads_does_not_stand_in_the_way_of_its_own_value() {
    let known = Known::new().await;
    let host = known
        .host(
            r#"level = 3
            allow = ["victron/gx-settings:2700", "victron/gx-settings:2703"]"#,
        )
        .await;
    let same = known
        .home
        .set(&[STORED_SETPOINT, "30", "--yes"])
        .await
        .is("applied");
    assert!(same.reason().contains("nothing was sent"), "{}", same.reason());
    let dry = known
        .home
        .set(&[COARSE_SETPOINT, "0", "--dry-run"])
        .await
        .is("dry_run");
    assert!(!dry.reason().contains("reads that already"), "{}", dry.reason());
    known
        .home
        .set(&[COARSE_SETPOINT, "0", "--yes"])
        .await
        .is("applied");
    assert_eq!(known.frames(), [(100, 6, 2703, vec![0])]);
    let fine = known
        .home
        .set(&[STORED_SETPOINT, "0", "--dry-run"])
        .await
        .is("dry_run");
    assert!(fine.reason().contains("reads that already"), "{}", fine.reason());
    host.stop().await;
}
