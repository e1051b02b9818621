//! What is set up already: looked at again, moved, replaced, renamed, removed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::super::findings::Changes;
use super::super::super::screen::{Ask, End};
use super::super::super::work::Work;
use super::super::{Answer, Flow, Step, Wish};
use super::world::{URL, World, answer, begun, choose, failure, text};
use crate::registry::change::Change;

const CONNECTION: &str = "connection:c1234567";
const GRID: &str = "c0ffee_grid_u30";

fn at_connection(world: &mut World) -> Flow {
    let mut flow = begun(world, Wish::default());
    assert_eq!(flow.step(), &Step::Menu);
    answer(world, &mut flow, &[choose(CONNECTION)]);
    flow
}

fn at_device(world: &mut World) -> Flow {
    let mut flow = at_connection(world);
    answer(world, &mut flow, &[choose(&format!("device:{GRID}"))]);
    flow
}

fn keys(flow: &Flow) -> Vec<String> {
    match flow.screen().ask {
        Ask::Choice { choices, .. } => choices.into_iter().map(|choice| choice.key).collect(),
        other => panic!("{other:?}"),
    }
}

fn reading(flow: &Flow) -> String {
    serde_json::to_string(&flow.screen()).unwrap()
}

/// The meter has gone, and another of its kind is there.
fn with_a_new_meter() -> World {
    let mut world = World::set_up();
    let mut new = world.findings.report.devices.remove(1);
    new.id = "beef_grid_u30".into();
    new.serial = Some("beef".into());
    world.findings.report.devices.push(new);
    world.findings.changes = Some(Changes {
        lines: vec!["  1 new device".into(), "  1 device no longer found".into()],
        new: vec!["beef_grid_u30".into()],
        gone: vec![GRID.into()],
        ..Changes::default()
    });
    world
}

#[test]
fn what_is_set_up_is_shown_with_its_state() {
    let mut world = World::set_up();
    world.ground.host_runs = true;
    world.ground.connections[0].devices[1].state = "offline".into();
    world.ground.connections[0].devices[1].missing = true;
    let mut flow = begun(&mut world, Wish::default());
    let menu = reading(&flow);
    for said in [URL, "1 offline", "1 not found by the last scan", "2 devices"] {
        assert!(menu.contains(said), "{said}: {menu}");
    }
    answer(&mut world, &mut flow, &[Answer::Default]);
    assert_eq!(flow.end(), Some(&End::Done));
}

#[test]
fn a_rescan_is_taken_over_or_dropped_as_a_whole() {
    for (key, saves) in [("accept", true), ("drop", false)] {
        let mut world = with_a_new_meter();
        let mut flow = at_connection(&mut world);
        answer(&mut world, &mut flow, &[choose("scan"), choose("quick")]);
        assert_eq!(flow.step(), &Step::Diff);
        let diff = reading(&flow);
        assert!(
            diff.contains("beef") && diff.contains("kept, marked as missing"),
            "{diff}"
        );
        let Some(Work::Scan(order)) = world.asked.last() else {
            panic!("{:?}", world.asked.last())
        };
        assert_eq!(order.connection.as_deref(), Some("home"));
        answer(&mut world, &mut flow, &[choose(key)]);
        assert_eq!(
            world.asked.iter().any(|work| matches!(work, Work::Save(_))),
            saves
        );
        assert_eq!(matches!(world.asked.last(), Some(Work::Drop)), !saves);
        assert_eq!(flow.step(), &Step::Connection("c1234567".into()));
        if saves {
            let keep = world.saved();
            assert_eq!((&keep.name, &keep.replace), (&None, &None));
        }
    }
}

#[test]
fn a_rescan_that_finds_all_as_it_was_says_so() {
    let mut world = World::set_up();
    let mut flow = at_connection(&mut world);
    answer(&mut world, &mut flow, &[choose("scan"), Answer::Default]);
    assert!(reading(&flow).contains("as it was"));
    assert!(!keys(&flow).contains(&"replace".to_owned()));
}

#[test]
fn a_new_address_is_taken_only_where_the_devices_answer() {
    let other = "modbus+tcp://192.168.1.99:502";
    let mut world = World::set_up();
    world.sight.known_as = None;
    world.findings.moved_from = Some(URL.into());
    let mut flow = at_connection(&mut world);
    answer(
        &mut world,
        &mut flow,
        &[choose("move"), text(other), Answer::Default],
    );
    assert_eq!(flow.step(), &Step::Diff);
    assert!(reading(&flow).contains(other));
    answer(&mut world, &mut flow, &[Answer::Default]);
    assert!(matches!(
        world
            .asked
            .iter()
            .rev()
            .find(|work| matches!(work, Work::Save(_))),
        Some(Work::Save(_))
    ));

    // Somebody else lives there.
    let mut world = World::set_up();
    world.sight.known_as = None;
    world.findings.moved_from = Some(URL.into());
    for device in &mut world.findings.report.devices {
        device.id = device.id.replace("c0ffee", "beef");
    }
    let mut flow = at_connection(&mut world);
    answer(
        &mut world,
        &mut flow,
        &[choose("move"), text(other), Answer::Default],
    );
    assert!(!keys(&flow).contains(&"accept".to_owned()), "{:?}", keys(&flow));
    flow.answer(choose("accept"));
    assert!(flow.screen().fault.is_some());
    answer(&mut world, &mut flow, &[Answer::Default]);
    assert!(world.asked.iter().all(|work| !matches!(work, Work::Save(_))));

    // Nobody lives there.
    let mut world = World::set_up();
    world.sight.known_as = None;
    world.sight.answered = false;
    world.sight.recognised.clear();
    let mut flow = at_connection(&mut world);
    answer(&mut world, &mut flow, &[choose("move"), text(other)]);
    assert_eq!(flow.step(), &Step::Unknown);
    answer(&mut world, &mut flow, &[choose("address")]);
    assert_eq!(flow.step(), &Step::Moving("c1234567".into()));
}

#[test]
fn a_device_that_does_not_tell_what_it_is_is_scanned_as_what_it_is_known_to_be() {
    let mut world = World::set_up();
    world.sight.recognised.clear();
    for device in &mut world.ground.connections[0].devices {
        device.ledger = "eastron/sdm630".into();
    }
    let mut flow = at_connection(&mut world);
    answer(&mut world, &mut flow, &[choose("scan"), Answer::Default]);
    let Some(Work::Scan(order)) = world.asked.last() else {
        panic!("{:?}", world.asked.last())
    };
    assert_eq!(order.ledger.as_deref(), Some("eastron/sdm630"));
    assert_eq!(order.units, [30, 30]);
}

#[test]
fn a_replaced_device_goes_on_under_its_ids() {
    let mut world = with_a_new_meter();
    let mut flow = at_device(&mut world);
    answer(
        &mut world,
        &mut flow,
        &[
            choose("replace"),
            choose("quick"),
            choose("replace"),
            choose("pair:0"),
        ],
    );
    assert!(matches!(flow.step(), Step::Confirm(_)), "{:?}", flow.step());
    // Enter is no consent.
    answer(&mut world, &mut flow, &[Answer::Default]);
    assert_eq!(flow.step(), &Step::Replace);
    answer(&mut world, &mut flow, &[choose("pair:0"), Answer::Yes(true)]);
    let replace = world.saved().replace.clone();
    assert_eq!(replace, Some((GRID.into(), "beef_grid_u30".into())));
}

#[test]
fn only_its_like_can_take_a_devices_place() {
    let mut world = with_a_new_meter();
    world.findings.report.devices[1].ledger = "victron/gx-tank".into();
    let mut flow = at_connection(&mut world);
    answer(&mut world, &mut flow, &[choose("scan"), Answer::Default]);
    assert!(!keys(&flow).contains(&"replace".to_owned()));
}

#[test]
fn names_intervals_and_values_are_changed_one_by_one() {
    let mut world = World::set_up();
    let mut flow = at_connection(&mut world);
    let answers = [choose("interval"), text("10s"), choose("name"), text("garage")];
    answer(&mut world, &mut flow, &answers);
    answer(
        &mut world,
        &mut flow,
        &[choose(&format!("device:{GRID}")), choose("name"), text("Cellar")],
    );
    assert_eq!(flow.step(), &Step::Device(GRID.into()));
    let toggle = Answer::Toggle(vec!["power_l3".into(), "other".into()]);
    answer(
        &mut world,
        &mut flow,
        &[choose("entities"), toggle, Answer::Default],
    );
    assert_eq!(
        world.changes(),
        [
            Change::Interval {
                connection: "home".into(),
                interval: Some(Duration::from_secs(10))
            },
            Change::RenameConnection {
                connection: "home".into(),
                name: "garage".into()
            },
            Change::NameDevice {
                device: GRID.into(),
                name: Some("Cellar".into())
            },
            Change::Choose {
                device: GRID.into(),
                put_away: BTreeSet::from(["power_l3".into()])
            },
        ]
    );
}

#[test]
fn what_stays_as_it_is_is_no_change() {
    let mut world = World::set_up();
    let mut flow = at_connection(&mut world);
    answer(
        &mut world,
        &mut flow,
        &[
            choose("interval"),
            Answer::Default,
            choose("name"),
            Answer::Default,
        ],
    );
    answer(
        &mut world,
        &mut flow,
        &[choose(&format!("device:{GRID}")), choose("name"), Answer::Default],
    );
    answer(&mut world, &mut flow, &[choose("entities"), Answer::Default]);
    // Switched and not kept is not switched.
    let toggle = Answer::Toggle(vec!["power_l3".into()]);
    answer(
        &mut world,
        &mut flow,
        &[
            choose("entities"),
            toggle,
            Answer::Back,
            choose("entities"),
            Answer::Default,
        ],
    );
    assert_eq!(world.changes(), []);
    assert_eq!(flow.step(), &Step::Device(GRID.into()));
}

#[test]
fn removing_shows_what_goes_and_enter_is_no() {
    let mut world = World::set_up();
    let mut flow = at_device(&mut world);
    answer(&mut world, &mut flow, &[choose("remove")]);
    let screen = flow.screen();
    assert!(
        matches!(screen.ask, Ask::YesNo { default: false, .. }),
        "{screen:?}"
    );
    assert!(reading(&flow).contains("with its 2 entities"));
    answer(&mut world, &mut flow, &[Answer::Default]);
    assert_eq!(
        (flow.step(), world.changes()),
        (&Step::Device(GRID.into()), vec![])
    );
    answer(&mut world, &mut flow, &[choose("remove"), Answer::Yes(true)]);
    assert_eq!(world.changes(), [Change::RemoveDevice { device: GRID.into() }]);
    assert_eq!(flow.step(), &Step::Menu);
    assert!(flow.device(GRID).is_none());
    // And the last connection: then it is as at the very first.
    answer(
        &mut world,
        &mut flow,
        &[choose(CONNECTION), choose("remove"), Answer::Yes(true)],
    );
    assert_eq!(flow.step(), &Step::Start);
}

#[test]
fn a_change_that_is_refused_is_told_where_it_was_wanted() {
    let mut world = World::set_up();
    let mut flow = at_connection(&mut world);
    answer(&mut world, &mut flow, &[choose("interval")]);
    world.fails = Some(failure("lease_open"));
    answer(&mut world, &mut flow, &[text("10s")]);
    assert_eq!(flow.step(), &Step::IntervalOf("c1234567".into()));
    assert!(flow.screen().fault.unwrap().contains("it did not work"));
}
