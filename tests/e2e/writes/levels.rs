//! How far the owner lets writing go: levels, what is opted in, and the limits of the site and of the owner.

use busbar_zoo::{Evidence, Judge};
use rustix::process::Signal;
use serde_json::json;

use crate::common::http::ask;
use crate::common::list;
use crate::common::writes::{
    AC_POWER, COARSE_SETPOINT, CURRENT_LIMIT, Control, Known, L1_SETPOINT, LIMITS, MODE, RELAY, SETPOINT,
    STORED_SETPOINT,
};

/// Everything of the GX, as an owner would name it who wants no limit but the site's.
const ALL: &str = r#"allow = ["victron/gx-hub4:2716", "victron/gx-vebus:mode", "victron/gx-vebus:22", "victron/gx-vebus:96",
    "victron/gx-settings:2700", "victron/gx-settings:2703", "victron/gx-system:806"]"#;

fn is_untouched(known: &Known) {
    Judge::strict().acquit(&Evidence::from(&known.running.stats("gx").unwrap()));
}

/// Asks for writes through every interface that there is; each must say that it is read-only, and nothing may be sent.
async fn nothing_gets_through(writes: &str) {
    let known = Known::new().await;
    let host = known.host(writes).await;
    for (entity, value) in [
        (SETPOINT, "-500"),
        (STORED_SETPOINT, "100"),
        (MODE, "Off"),
        (RELAY, "on"),
        ("victron/gx-vebus:22", "10"),
        ("home/227/victron/gx-vebus:96", "1000"),
    ] {
        for more in [&["--yes"][..], &["--dry-run"]] {
            let report = known.home.set(&[&[entity, value], more].concat()).await;
            report.refused(
                "level",
                &["read-only (level 0)", "[connection.writes]", "level = "],
            );
        }
    }
    let mut control = Control::of(&known.home);
    for write in [
        json!({ "value": -500 }),
        json!({ "value": -500, "token": "00", "hold_ms": 60_000 }),
        json!({ "value": -500, "dry_run": true }),
    ] {
        let api = format!("/api/v1/entities/{SETPOINT}/write");
        let (status, by_id) = control.post(&api, &write).await;
        assert_eq!((status, &by_id["code"]), (200, &json!("level")), "{by_id:#}");
        let (status, by_name) = control.set("victron/gx-hub4:2716", write).await;
        assert_eq!((status, &by_name["code"]), (200, &json!("level")), "{by_name:#}");
    }
    // The web's own door has no write at all, whoever asks.
    for path in [
        &format!("/api/v1/entities/{SETPOINT}/write"),
        "/control/set",
        "/control/kill-switch",
        "/control/limits/confirm",
        "/control/leases/end",
    ] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let answer = ask(host.address, method, path).await;
            assert!(
                (400..500).contains(&answer.status),
                "{method} {path}: {answer:#?}"
            );
        }
    }
    let home = &known.home;
    let leases = home.run(&["lease", "list", "--json"]).await.json();
    assert!(list(&leases, "leases").is_empty());
    let ended = home.run(&["lease", "end", "--all", "--json"]).await.json();
    assert!(list(&ended, "ended").is_empty());
    home.run(&["limits", "--confirm", "--json"]).await.json();
    let limits = home.run(&["limits", "--json"]).await.json();
    assert!(
        list(&limits, "entities")
            .iter()
            .all(|entity| entity["writable"] == false)
    );

    assert!(
        !home.data().join("kill-switch.off").exists(),
        "the path of writes was built"
    );
    // There is nothing to stop, and nobody who is harmed by trying.
    host.process.signal(Signal::USR1);
    host.process.logs("read-only").await;
    for (word, on) in [("on", true), ("off", false)] {
        let state = home.run(&["kill-switch", word, "--json"]).await.json();
        assert_eq!(state["on"], on, "{state}");
        let report = known.home.set(&[SETPOINT, "-500", "--yes"]).await;
        report.refused("level", &["read-only"]);
    }
    host.stop().await;
    is_untouched(&known);
    assert!(known.home.audit().await.is_empty());
}

#[tokio::test]
async fn w1_at_level_0_nothing_is_written_whatever_is_sent_to_any_interface() {
    nothing_gets_through(&format!("level = 0\n{ALL}")).await;
}

#[tokio::test]
async fn w1_level_0_is_the_default() {
    nothing_gets_through("").await;
}

#[tokio::test]
async fn level_1_checks_everything_and_sends_nothing() {
    let known = Known::new().await;
    let host = known.host(&format!("level = 1\n{ALL}")).await;
    let report = known.home.set(&[SETPOINT, "-1234", "--yes"]).await.is("dry_run");
    assert_eq!(report.words(), [0xFFFF, 0xFB2E]);
    assert!(report.reason().contains("level 1"), "{}", report.reason());
    // A dry run reaches the stored ones, too; what is not right is refused all the same.
    let report = known.home.set(&[MODE, "Charger Only"]).await.is("dry_run");
    assert_eq!(report.words(), [1]);
    let report = known.home.set(&[STORED_SETPOINT, "16561"]).await;
    report.refused("bounds", &["16,560 W", "site.ac_current"]);
    host.stop().await;
    is_untouched(&known);
}

#[tokio::test]
async fn level_2_does_not_reach_what_is_stored_or_may_be() {
    let known = Known::new().await;
    let host = known.host(&format!("level = 2\n{ALL}")).await;
    for (entity, value) in [
        (STORED_SETPOINT, "100"),
        (COARSE_SETPOINT, "100"),
        // Where the maker does not say, it counts as stored.
        (MODE, "Off"),
        (RELAY, "on"),
    ] {
        let report = known.home.set(&[entity, value, "--yes"]).await;
        report.refused("level", &["stored in memory that wears out", "level = 3"]);
    }
    is_untouched(&known);
    known.home.set(&[SETPOINT, "-1200", "--yes"]).await.is("applied");
    assert_eq!(known.frames(), [(100, 16, 2716, vec![0xFFFF, 0xFB50])]);
    host.stop().await;
}

#[tokio::test]
async fn only_what_is_opted_in_by_any_of_its_three_names_is_written_and_only_until_its_day() {
    let known = Known::new().await;
    let host = known
        .host(&format!(
            r#"level = 3
            allow = ["victron/gx-hub4:2716", "{MODE}", "home/227/victron/gx-vebus:96",
                {{ entity = "victron/gx-vebus:22", until = 2021-01-31T18:00:00+01:00 }}]"#
        ))
        .await;
    for (entity, value) in [
        (SETPOINT, "-700"),
        ("victron/gx-vebus:mode", "1"),
        ("home/227/victron/gx-vebus:hub4_l1_ac_power_setpoint", "500"),
    ] {
        known.home.set(&[entity, value, "--dry-run"]).await.is("dry_run");
    }
    for entity in [STORED_SETPOINT, RELAY, "victron/gx-settings:5700"] {
        let report = known.home.set(&[entity, "1", "--yes"]).await;
        report.refused("not_allowed", &["not among the entities that you allow"]);
    }
    let report = known.home.set(&[CURRENT_LIMIT, "10", "--yes"]).await;
    report.refused("expired", &["2021-01-31", "until"]);
    // Another register of what is opted in is not opted in by that.
    let report = known.home.set(&["victron/gx-vebus:37", "500", "--yes"]).await;
    report.refused("not_allowed", &[]);
    // What the device only tells, or what Busbar never writes, is not to be had at all.
    for (entity, word) in [
        ("victron/gx-system:serial", "only tells"),
        ("victron/gx-vebus:system_reset", "does not write it"),
    ] {
        let report = known.home.set(&[entity, "1", "--yes"]).await;
        report.refused("no_rule", &[word]);
    }
    let missing = known
        .home
        .run(&["set", "victron/gx-hub4:9999", "1", "--json"])
        .await;
    missing.failure(3);
    host.stop().await;
    is_untouched(&known);
}

#[tokio::test]
async fn a_leave_that_has_run_out_for_the_whole_connection_allows_nothing() {
    let known = Known::new().await;
    let host = known
        .host(&format!("level = 3\nuntil = 2021-01-31T18:00:00+01:00\n{ALL}"))
        .await;
    for entity in [SETPOINT, MODE, STORED_SETPOINT] {
        let report = known.home.set(&[entity, "1", "--yes"]).await;
        report.refused("expired", &["2021-01-31"]);
    }
    host.stop().await;
    is_untouched(&known);
}

#[tokio::test]
async fn the_owners_own_limits_narrow_those_of_the_site() {
    let known = Known::new().await;
    let host = known
        .host(
            r#"level = 3
            allow = [
                { entity = "victron/gx-hub4:2716", min = -1000, max = 2000 },
                { entity = "victron/gx-settings:2700", max_change = 500 },
                { entity = "victron/gx-vebus:mode", choices = [1, 3] },
                { entity = "victron/gx-vebus:22", max = 99 },
                "victron/gx-settings:2713",
                { entity = "victron/gx-settings:2714", no_limit = true },
            ]"#,
        )
        .await;
    let set =
        async |entity: &'static str, value: &'static str| known.home.set(&[entity, value, "--dry-run"]).await;
    for value in ["-1000", "0", "2000"] {
        set(SETPOINT, value).await.is("dry_run");
    }
    for (value, words) in [
        ("-1001", ["below", "-1,000 W"]),
        ("2001", ["above", "2,000 W"]),
        ("-1e308", ["below", "-1,000 W"]),
    ] {
        let report = set(SETPOINT, value).await.refused("bounds", &words);
        assert_eq!(report.document["binding_limit"], "owner");
    }
    // It reads 30 W now.
    for value in ["-470", "530"] {
        set(STORED_SETPOINT, value).await.is("dry_run");
    }
    for value in ["-471", "531", "16560"] {
        set(STORED_SETPOINT, value)
            .await
            .refused("change", &["500 W", "Go in steps"]);
    }
    set(MODE, "Charger Only").await.is("dry_run");
    for value in ["Off", "2", "0"] {
        set(MODE, value)
            .await
            .refused("bounds", &["1 (Charger Only), 3 (On)"]);
    }
    // An owner's limit that is wider than the site's widens nothing.
    set(CURRENT_LIMIT, "24").await.is("dry_run");
    let report = set(CURRENT_LIMIT, "24.1")
        .await
        .refused("bounds", &["24 A", "site.ac_current"]);
    assert_eq!(report.document["binding_limit"], "site.ac_current");
    // What lifts the device's own limit is a choice of its own.
    let export = "victron/gx-settings:2713";
    set(export, "-1")
        .await
        .refused("bounds", &["lifts the device's own limit", "no_limit = true"]);
    set(export, "no limit")
        .await
        .refused("bounds", &["no_limit = true"]);
    set(export, "-2").await.refused("bounds", &["below"]);
    let report = set("victron/gx-settings:2714", "no limit").await.is("dry_run");
    assert_eq!(report.words(), [0xFFFF]);
    set("victron/gx-settings:2714", "-2")
        .await
        .refused("bounds", &["below"]);
    host.stop().await;
    is_untouched(&known);
}

#[tokio::test]
async fn a_limit_of_the_site_that_is_not_set_refuses_and_names_its_key() {
    let known = Known::new().await;
    let without = |key: &str| {
        let lines = LIMITS.lines().filter(|line| !line.starts_with(key));
        lines.collect::<Vec<_>>().join("\n")
    };
    for (key, entity, value) in [
        ("ac_voltage", SETPOINT, "100"),
        ("ac_current", CURRENT_LIMIT, "1"),
        ("battery", "victron/gx-settings:2710", "50"),
    ] {
        let writes = r#"level = 3
            allow = ["victron/gx-hub4:2716", "victron/gx-vebus:22", "victron/gx-settings:2710", "victron/gx-settings:2701"]"#;
        let host = known.host_within(&without(key), writes).await;
        let report = known.home.set(&[entity, value, "--yes"]).await;
        report.refused(
            "not_set",
            &[&format!("site.{key}"), "[site]", &format!("{key} = ")],
        );
        // A percentage needs no site.
        known
            .home
            .set(&["victron/gx-settings:2701", "40", "--dry-run"])
            .await
            .is("dry_run");
        host.stop().await;
    }
    is_untouched(&known);
}

#[tokio::test]
async fn an_entry_that_names_nothing_stops_the_start_and_says_which() {
    let known = Known::new().await;
    for (entry, says) in [
        (r#""victron/gx-hub4:2717""#, "victron/gx-hub4:2717"),
        (r#""victron/gx-hub4:no_such_key""#, "no_such_key"),
        (r#""elsewhere/100/victron/gx-hub4:2716""#, "elsewhere"),
        (r#""victron/gx-vebus:system_reset""#, "does not write it"),
        (r#"{ entity = "not a name" }"#, "not a name"),
        (r#"{ entity = "victron/gx-hub4:2716", maximum = 3 }"#, "maximum"),
    ] {
        known.configure(&format!("level = 2\nallow = [{entry}]"));
        let run = known.home.run(&["run", "--once", "--json"]).await;
        assert!([1, 2].contains(&run.code()), "{entry}: {run:#?}");
        let document = run.document();
        let message = document["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(says), "{entry}: {run:#?}");
    }
    // A device may be away, or come later: an id of which nothing is known is told of, and the rest goes on.
    let host = known
        .host("level = 2\nallow = [\"c0ffee_hub4_u100.no_such_key\"]")
        .await;
    host.process.logs("no_such_key").await;
    let told = async || {
        let run = known.home.run(&["limits", "--json"]).await;
        assert_eq!(run.code(), 1, "{run:#?}");
        assert_eq!(
            run.document()["strays"][0]["entry"],
            "c0ffee_hub4_u100.no_such_key"
        );
        assert!(run.stderr.contains("no_such_key"), "{run:#?}");
    };
    told().await;
    host.stop().await;
    told().await;
    is_untouched(&known);
}

#[tokio::test]
async fn what_could_be_written_and_what_binds_is_shown_before_it_is_opted_in() {
    let known = Known::new().await;
    let host = known.host("level = 2\nallow = []").await;
    let limits = known
        .home
        .run(&["limits", "victron/gx-hub4:2716", "--json"])
        .await
        .json();
    let [entity] = list(&limits, "entities") else {
        panic!("not one: {limits:#}");
    };
    assert_eq!(
        (&entity["writable"], &entity["allowed"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(entity["limits"]["range"][0]["value"], -AC_POWER, "{entity:#}");
    assert_eq!(entity["limits"]["range"][1]["value"], AC_POWER, "{entity:#}");
    assert_eq!(
        entity["limits"]["range"][1]["by"], "site.ac_current",
        "{entity:#}"
    );
    let report = known.home.set(&[L1_SETPOINT, "1", "--yes"]).await;
    report.refused(
        "not_allowed",
        &["victron/gx-vebus:hub4_l1_ac_power_setpoint", "restart"],
    );
    host.stop().await;
    is_untouched(&known);
}
