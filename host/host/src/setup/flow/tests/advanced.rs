//! Writing is allowed one by one, and nothing else is.

use super::super::super::screen::Ask;
use super::super::super::work::Work;
use super::super::{Answer, Flow, Step, Wish};
use super::world::{World, answer, begun, choose, text};
use crate::config::{AllowEntry, AllowValue, PhasesValue, SiteConfig, WritesConfig};
use crate::registry::change::Change;
use crate::write::limits::{EntityLimits, Limits};

const SETPOINT: &str = "c0ffee_hub4_u100.grid_setpoint";
const LIMIT: &str = "c0ffee_vebus_u227.ac_current_limit";

fn entity(id: &str, change: impl FnOnce(&mut serde_json::Value)) -> EntityLimits {
    let mut value = serde_json::json!({
        "entity": id, "name": id.split_once('.').unwrap().1, "connection": "home", "unit_id": 100,
        "ledger": "victron/gx-hub4", "at": 2716, "writable": false, "allowed": false, "reason": null, "hint": null,
        "needs": [], "never": null, "kind": "number", "limits": null, "each": ["the ledger allows -5,520 W to 5,520 W"],
        "unit": "W", "labels": [], "storage": null, "needs_level": 2, "risky": false, "min_interval_ms": null,
        "daily_budget": null, "budget_left": null, "identified": true, "leased": false, "safe": null, "until_ms": null,
        "source": null,
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

/// Two that could be allowed, one of which lapses; one that is never written; one of another connection.
pub fn world() -> World {
    let mut world = World::set_up();
    world.limits = Some(Limits {
        configuration: String::new(),
        kill_switch: None,
        unconfirmed: false,
        site: Vec::new(),
        site_unset: Vec::new(),
        connections: Vec::new(),
        entities: vec![
            entity(SETPOINT, |e| e["leased"] = true.into()),
            entity(LIMIT, |e| e["risky"] = true.into()),
            entity("c0ffee_vebus_u227.firmware", |e| {
                e["never"] = "it would brick it".into()
            }),
            entity("beef_meter.other", |e| e["connection"] = "elsewhere".into()),
        ],
        strays: Vec::new(),
    });
    world
}

fn at_writes(world: &mut World) -> Flow {
    let mut flow = begun(world, Wish::default());
    answer(
        world,
        &mut flow,
        &[choose("connection:c1234567"), choose("writes")],
    );
    assert_eq!(flow.step(), &Step::Writes("c1234567".into()));
    flow
}

#[test]
fn exactly_what_was_chosen_is_allowed() {
    let mut world = world();
    let mut flow = at_writes(&mut world);
    answer(&mut world, &mut flow, &[choose("add")]);
    let Ask::Choice { choices, default, .. } = flow.screen().ask else {
        panic!("{:?}", flow.screen().ask)
    };
    let keys: Vec<&str> = choices.iter().map(|choice| choice.key.as_str()).collect();
    assert_eq!(
        keys,
        [SETPOINT, LIMIT, "back"],
        "what is never written is not offered"
    );
    assert_eq!(default, "back", "nothing is chosen beforehand");
    answer(
        &mut world,
        &mut flow,
        &[choose(LIMIT), text("6"), text("25"), Answer::Yes(true)],
    );
    let Some(Change::Writes { connection, writes }) = world.changes().pop() else {
        panic!("{:?}", world.changes())
    };
    let entry = AllowEntry {
        entity: LIMIT.into(),
        min: Some(6.0),
        max: Some(25.0),
        ..AllowEntry::default()
    };
    assert_eq!(connection, "home");
    assert_eq!(
        writes,
        WritesConfig {
            level: 0,
            until: None,
            allow: vec![AllowValue::Entry(Box::new(entry))]
        },
        "and the level is as it was"
    );
    assert_eq!(writes.check(), Ok(()));
    // It is not offered twice, and can be taken back.
    answer(&mut world, &mut flow, &[choose("add")]);
    let Ask::Choice { choices, .. } = flow.screen().ask else {
        panic!("{:?}", flow.screen().ask)
    };
    assert!(choices.iter().all(|choice| choice.key != LIMIT));
    answer(&mut world, &mut flow, &[choose("back"), choose("allowed:0")]);
    assert!(matches!(world.changes().pop(), Some(Change::Writes { writes, .. }) if writes.allow.is_empty()));
}

#[test]
fn no_bound_widens_the_range() {
    let mut world = world();
    let end = |value: f64| serde_json::json!({ "value": value, "by": "site.ac_current", "how": "" });
    let range = serde_json::json!({ "kind": "number", "range": [end(0.0), end(25.0)], "choices": [], "no_limit": null, "step": null,
        "max_change": null, "max_bytes": null });
    for entity in &mut world.limits.as_mut().unwrap().entities {
        entity.limits = serde_json::from_value(range.clone()).unwrap();
    }
    let mut flow = at_writes(&mut world);
    answer(&mut world, &mut flow, &[choose("add"), choose(LIMIT), text("6")]);
    flow.answer(text("40"));
    let fault = flow.screen().fault.unwrap_or_default();
    assert!(fault.contains("outside"), "{fault}");
    answer(&mut world, &mut flow, &[text("25"), Answer::Yes(true)]);
    assert!(matches!(
        world.changes().pop(),
        Some(Change::Writes { writes, .. }) if writes.allow[0].entry().max == Some(25.0)
    ));
}

#[test]
fn enter_alone_never_allows_anything() {
    let mut world = world();
    let mut flow = at_writes(&mut world);
    answer(&mut world, &mut flow, &[choose("add"), choose(LIMIT)]);
    answer(
        &mut world,
        &mut flow,
        &[Answer::Default, Answer::Default, Answer::Default],
    );
    assert_eq!(world.changes(), []);
    answer(&mut world, &mut flow, &[choose("level"), Answer::Default]);
    assert_eq!(world.changes(), []);
    for _ in 0..20 {
        if flow.end().is_some() {
            break;
        }
        answer(&mut world, &mut flow, &[Answer::Back]);
    }
    assert_eq!(world.changes(), []);
}

#[test]
fn what_lapses_needs_a_safe_value_where_its_maker_names_none() {
    let mut world = world();
    let mut flow = at_writes(&mut world);
    answer(
        &mut world,
        &mut flow,
        &[choose("add"), choose(SETPOINT), Answer::Default, Answer::Default],
    );
    assert_eq!(flow.step(), &Step::AllowSafe("c1234567".into()));
    flow.answer(Answer::Default);
    assert!(flow.screen().fault.is_some(), "nobody guesses what is safe");
    answer(&mut world, &mut flow, &[text("0"), Answer::Yes(true)]);
    let Some(Change::Writes { writes, .. }) = world.changes().pop() else {
        panic!("{:?}", world.changes())
    };
    assert_eq!(writes.allow[0].entry().safe, Some(0.0));
}

#[test]
fn bounds_that_make_no_sense_are_refused() {
    let mut world = world();
    let mut flow = at_writes(&mut world);
    answer(&mut world, &mut flow, &[choose("add"), choose(LIMIT)]);
    for wrong in ["much", "nan", "inf"] {
        flow.answer(text(wrong));
        assert!(flow.screen().fault.unwrap().contains("number"), "{wrong}");
    }
    answer(&mut world, &mut flow, &[text("10")]);
    flow.answer(text("5"));
    assert!(flow.screen().fault.unwrap().contains("below"));
    assert_eq!(flow.step(), &Step::AllowMax("c1234567".into()));
}

#[test]
fn the_level_is_chosen_by_itself_and_says_when_it_holds() {
    let mut world = world();
    world.ground.host_runs = true;
    let mut flow = at_writes(&mut world);
    answer(&mut world, &mut flow, &[choose("level"), choose("2")]);
    assert!(matches!(world.changes().pop(), Some(Change::Writes { writes, .. }) if writes.level == 2));
    let said = serde_json::to_string(&flow.screen()).unwrap();
    assert!(said.contains("started again"), "{said}");
    assert_eq!(flow.step(), &Step::Writes("c1234567".into()));
}

#[test]
fn the_site_is_said_limit_by_limit() {
    let mut world = world();
    world.ground.site_of_file = SiteConfig {
        dc_current: Some(80.0),
        ..SiteConfig::default()
    };
    let mut flow = begun(&mut world, Wish::default());
    answer(&mut world, &mut flow, &[choose("site")]);
    let said = serde_json::to_string(&flow.screen()).unwrap();
    assert!(
        said.contains("80 (busbar.toml says so, and wins)") && said.contains("refused"),
        "{said}"
    );
    answer(
        &mut world,
        &mut flow,
        &[choose("ac_current"), text("25"), choose("phases"), text("3")],
    );
    let Some(Change::Site { site }) = world.changes().pop() else {
        panic!("{:?}", world.changes())
    };
    assert_eq!(
        (site.ac_current, site.phases),
        (Some(25.0), Some(PhasesValue::Count(3)))
    );
    assert_eq!(site.dc_current, None, "what the file says is not copied");
    answer(&mut world, &mut flow, &[choose("ac_current"), Answer::Default]);
    assert_eq!(world.changes().len(), 2, "Enter leaves it as it is");
    flow.answer(choose("ac_current"));
    flow.answer(text("0"));
    assert!(flow.screen().fault.is_some());
    assert!(world.asked.iter().all(|work| !matches!(work, Work::Scan(_))));
}
