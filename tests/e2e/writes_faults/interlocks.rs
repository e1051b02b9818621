//! What must be so before something may be written: every interlock of the shipped ledgers, each broken by itself.

use busbar_ledger::model::{Ledger, Point, Test};
use busbar_ledger::value::Value as Content;
use busbar_ledger::write::Interlock;
use busbar_zoo::ledgers;
use busbar_zoo::simulate::{self, Running};
use serde_json::{Value, json};

use super::{ALL, LEDGER, Rig, online};
use crate::common::Home;
use crate::common::site::{full, ledger, pairs, unit_of};
use crate::common::text;
use crate::common::writes::{Control, Known, L1_SETPOINT, LIMITS, config};

/// Every service that has an interlock, or is asked by one.
const SERVICES: [(&str, i64); 10] = [
    ("system", 0),
    ("settings", 0),
    ("hub4", 0),
    ("generator", 0),
    ("vebus", 276),
    ("evcharger", 40),
    ("genset", 42),
    ("dcgenset", 43),
    ("multi", 44),
    ("acsystem", 45),
];

/// The addresses that are interlocked, and by how many conditions. It stands here a second time on purpose: who takes
/// one away has to say so twice.
const EXPECTED: &[(&str, u16, usize)] = &[
    ("victron/gx-acsystem", 4922, 2),
    ("victron/gx-acsystem", 4924, 1),
    ("victron/gx-dcgenset", 5204, 1),
    ("victron/gx-evcharger", 3825, 1),
    ("victron/gx-generator", 3500, 1),
    ("victron/gx-genset", 3223, 1),
    ("victron/gx-hub4", 2716, 1),
    ("victron/gx-multi", 4610, 3),
    ("victron/gx-multi", 4612, 1),
    ("victron/gx-multi", 4613, 1),
    ("victron/gx-settings", 5424, 1),
    ("victron/gx-settings", 5425, 1),
    ("victron/gx-settings", 5426, 1),
    ("victron/gx-settings", 5427, 1),
    ("victron/gx-settings", 5428, 1),
    ("victron/gx-settings", 5430, 1),
    ("victron/gx-vebus", 37, 3),
    ("victron/gx-vebus", 38, 1),
    ("victron/gx-vebus", 39, 1),
    ("victron/gx-vebus", 40, 3),
    ("victron/gx-vebus", 41, 3),
    ("victron/gx-vebus", 56, 1),
    ("victron/gx-vebus", 65, 1),
    ("victron/gx-vebus", 66, 1),
    ("victron/gx-vebus", 67, 1),
    ("victron/gx-vebus", 68, 1),
    ("victron/gx-vebus", 71, 1),
    ("victron/gx-vebus", 72, 1),
    ("victron/gx-vebus", 96, 3),
    ("victron/gx-vebus", 98, 3),
    ("victron/gx-vebus", 100, 3),
];

fn interlocks(point: &Point) -> &[Interlock] {
    point.write.as_ref().map_or(&[], |rule| &rule.interlocks)
}

#[test]
fn w16_every_interlock_is_there() {
    let found = ledgers().iter().flat_map(|ledger| {
        let locked = ledger.points.iter().filter(|point| !interlocks(point).is_empty());
        locked.map(|point| {
            (
                ledger.name.as_str(),
                point.register().unwrap().span.at,
                interlocks(point).len(),
            )
        })
    });
    let mut found: Vec<_> = found.collect();
    found.sort_unstable();
    assert_eq!(found, EXPECTED);
    // VE.Bus setpoints work in external control only: register 2902 reads 3.
    for at in [37, 40, 41, 96, 98, 100] {
        let vebus = ledger("victron/gx-vebus");
        let point = vebus
            .points
            .iter()
            .find(|p| p.register().is_some_and(|r| r.span.at == at))
            .unwrap();
        let mode = |lock: &&Interlock| lock.condition.point == "settings_cgwacs_hub4_mode";
        let lock = interlocks(point).iter().find(mode).unwrap();
        assert_eq!(lock.condition.test, Test::In(vec![3]), "{at}");
        let settings = ledger("victron/gx-settings");
        assert_eq!(
            settings
                .point(&lock.condition.point)
                .unwrap()
                .register()
                .unwrap()
                .span
                .at,
            2902
        );
    }
}

/// A value that meets a condition, and one that does not.
fn sides(test: &Test) -> (i64, i64) {
    match test {
        Test::In(good) => (good[0], (0..).find(|n| !good.contains(n)).unwrap()),
        Test::NotIn(bad) => ((0..).find(|n| !bad.contains(n)).unwrap(), bad[0]),
        Test::AtLeast(least) => (*least as i64, *least as i64 - 1),
        other => panic!("no interlock asks {other:?} yet"),
    }
}

/// A value that a point may be set to, by sign where it has one.
fn value(point: &Point, sign: f64) -> f64 {
    let rule = point.write.as_ref().unwrap();
    match rule.choices.last() {
        Some(last) if sign > 0.0 => *last,
        Some(_) => 0.0,
        // Some registers count in steps of 100 W.
        None if point.unit.as_deref() == Some("W") => sign * 100.0,
        None => 10.0,
    }
}

/// A GX with all of them.
struct Gx(Running);

impl Gx {
    fn unit(ledger: &str) -> u8 {
        let of = |(service, _): &&(&str, i64)| ledger == format!("victron/gx-{service}");
        unit_of(
            SERVICES
                .iter()
                .find(of)
                .unwrap_or_else(|| panic!("no {ledger}"))
                .1,
        )
    }

    /// Sets what an interlock of a ledger's point asks.
    fn put(&self, own: &Ledger, lock: &Interlock, value: i64) {
        let of = lock.ledger.as_deref().unwrap_or(&own.name);
        let content = simulate::Content::Value(Content::Integer(value));
        let set = self.0.set("gx", Gx::unit(of), of, &lock.condition.point, content);
        set.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// What a dry run of a value comes to; nothing is in its way but what the device says.
async fn tried(control: &mut Control, entity: &str, value: f64) -> Value {
    let (status, report) = control
        .set(entity, json!({ "value": value, "dry_run": true }))
        .await;
    assert_eq!(status, 200, "{entity} {value}: {report:#}");
    report
}

fn passes(report: &Value) {
    assert_eq!(report["outcome"], "dry_run", "{report:#}");
}

fn refuses(report: &Value, lock: &Interlock) {
    assert_eq!(
        (&report["outcome"], &report["code"]),
        (&json!("refused"), &json!("interlock")),
        "{report:#}"
    );
    let reason = report["reason"].as_str().unwrap();
    assert!(
        reason.starts_with(lock.say.trim_end_matches('.')),
        "{reason:?} instead of {:?}",
        lock.say
    );
}

#[tokio::test]
async fn w16_each_interlock_refuses_by_itself_what_it_is_for_and_nothing_else() {
    let (home, gx) = (Home::new(), Gx(busbar_zoo::site(&full(&SERVICES)).await));
    let url = gx.0.url("gx").unwrap();
    let units = "40,42-45,100,227";
    let scan = [
        "scan", &url, "--units", units, "--save", "--name", "home", "--json",
    ];
    let report = home.run(&scan).await.json();
    assert_eq!(pairs(&report).len(), SERVICES.len(), "{report:#}");
    let here = SERVICES.map(|(service, _)| ledger(&format!("victron/gx-{service}")));
    let locked: Vec<(&Ledger, &Point)> = here
        .iter()
        .flat_map(|&ledger| ledger.points.iter().map(move |point| (ledger, point)))
        .filter(|(_, point)| !interlocks(point).is_empty())
        .collect();
    let name =
        |ledger: &Ledger, point: &Point| format!("{}:{}", ledger.name, point.register().unwrap().span.at);
    // Some lapse, and their makers do not say which value is safe then.
    let entry = |(ledger, point): &(&Ledger, &Point)| {
        let lease = point.write.as_ref().and_then(|rule| rule.lease);
        let safe = if lease.is_some_and(|lease| lease.safe.is_none()) {
            ", safe = 0"
        } else {
            ""
        };
        format!("{{ entity = \"{}\"{safe} }}", name(ledger, point))
    };
    let allow: Vec<String> = locked.iter().map(entry).collect();
    let writes = format!("level = 3\nallow = [{}]", allow.join(", "));
    let host = home.host_with(&config(&url, LIMITS, &writes)).await;
    online(&host).await;
    let mut control = Control::of(&home);

    let mut broken = 0;
    for (own, point) in locked {
        let entity = name(own, point);
        let all = || {
            for lock in interlocks(point) {
                gx.put(own, lock, sides(&lock.condition.test).0);
            }
        };
        for lock in interlocks(point) {
            all();
            let (forbidden, spared) = match (lock.only_below, lock.only_above) {
                (Some(_), None) => (value(point, -1.0), Some(value(point, 1.0))),
                (None, Some(_)) => (value(point, 1.0), Some(value(point, -1.0))),
                _ => (value(point, 1.0), None),
            };
            passes(&tried(&mut control, &entity, forbidden).await);
            gx.put(own, lock, sides(&lock.condition.test).1);
            refuses(&tried(&mut control, &entity, forbidden).await, lock);
            // Charging a battery that is low, stopping what does not take orders.
            if let Some(spared) = spared {
                passes(&tried(&mut control, &entity, spared).await);
            }
            broken += 1;
        }
        all();
    }
    assert!(gx.0.stats("gx").unwrap().writes.is_empty(), "those were dry runs");
    assert_eq!(broken, EXPECTED.iter().map(|(_, _, count)| count).sum::<usize>());
    host.stop().await;
}

/// What cannot be told counts against the write.
#[tokio::test]
async fn w16_an_interlock_that_cannot_be_checked_refuses() {
    let known = Known::new().await;
    let host = known.host("level = 2\nallow = [\"victron/gx-vebus:96\"]").await;
    let mut control = Control::of(&known.home);
    passes(&tried(&mut control, L1_SETPOINT, -100.0).await);
    let soc = |content| {
        let set = known
            .running
            .set("gx", 100, "victron/gx-system", "dc_battery_soc", content);
        set.unwrap();
    };
    // The GX knows no state of charge, or has none.
    for content in [simulate::Content::Invalid, simulate::Content::Absent] {
        soc(content.clone());
        let report = tried(&mut control, L1_SETPOINT, -100.0).await;
        assert_eq!(report["code"], "interlock", "{content:?}: {report:#}");
        passes(&tried(&mut control, L1_SETPOINT, 100.0).await);
    }
    soc(simulate::Content::Given);
    passes(&tried(&mut control, L1_SETPOINT, -100.0).await);
    host.stop().await;
}

/// What was so when a value was set need not stay so.
#[tokio::test]
async fn w16_an_interlock_that_breaks_ends_a_lease_with_the_safe_value() {
    let locked = LEDGER
        .replace("[points]\n", "[points]\nmode = { at = 20, type = \"u16\" }\n")
        .replace(
            "safe = 7 }",
            "safe = 7 }, interlocks = [{ point = \"mode\", in = [0], say = \"the mode is not Auto\" }]",
        );
    let rig = Rig::with("tcp", &locked, ALL).await;
    let host = rig.host().await;
    rig.set("setpoint", "500", &[]).await.applied();
    rig.put("mode", 1);
    let row = rig.noted("released").await;
    assert!(text(&row, "reason").contains("the mode is not Auto"), "{row:#}");
    assert_eq!(rig.written(100), [500, 7]);
    rig.set("setpoint", "500", &[]).await.refused("interlock");
    rig.audit_holds().await;
    host.stop().await;
}
