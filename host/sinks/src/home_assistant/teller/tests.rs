use super::*;
use crate::home_assistant::config::Form;
use crate::home_assistant::encode;
use crate::mqtt::topics::Topics;
use crate::view::testing::device;

const TOPIC: &str = "ha/device/one/config";
const MARKER: &str = "busbar/home_assistant";

fn teller(announced: Announced) -> Teller {
    let discovery = Discovery {
        prefix: "ha".to_owned(),
        form: Form::Device,
    };
    Teller::new(announced, discovery, "mqtt://b", MARKER.to_owned())
}

fn wanted(id: &str) -> (String, Announcement) {
    let announcement = encode::announcement(&device(id), &[], None, &Topics::new("busbar"), "1");
    (id.to_owned(), announcement)
}

fn there(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// Tells of these devices, and answers how many tasks that took.
fn tell(teller: &mut Teller, ids: &[&str], now: Instant) -> Vec<Task> {
    let wanted: Vec<_> = ids
        .iter()
        .filter(|id| !teller.is_deleted(id))
        .map(|id| wanted(id))
        .collect();
    let tasks = teller.tasks(&wanted, &there(ids), now);
    teller.about_to(&tasks);
    tasks.iter().for_each(|task| teller.done(task));
    teller.all_done();
    tasks
}

#[test]
fn a_device_is_told_of_once_and_again_when_home_assistant_starts() {
    let (mut teller, now) = (teller(Announced::default()), Instant::now());
    teller.begins(now);
    assert_eq!(tell(&mut teller, &["one"], now).len(), 1);
    assert_eq!(tell(&mut teller, &["one"], now).len(), 0);
    assert_eq!(teller.hear("ha/status", b"offline", now), Heard::Nothing);
    assert_eq!(teller.hear("ha/status", b"online", now), Heard::Born);
    assert_eq!(tell(&mut teller, &["one"], now).len(), 1);
}

#[test]
fn a_device_that_is_away_for_long_is_taken_back_also_after_a_restart() {
    let now = Instant::now();
    let mut before = teller(Announced::default());
    tell(&mut before, &["one", "two"], now);
    let mut teller = teller(before.announced);
    assert_eq!(tell(&mut teller, &["one"], now).len(), 1);
    assert_eq!(teller.next_gone(), Some(now + GONE_AFTER));
    // It came back in time.
    tell(&mut teller, &["one", "two"], now);
    assert_eq!(teller.next_gone(), None);
    tell(&mut teller, &["one"], now);
    let tasks = tell(&mut teller, &["one"], now + GONE_AFTER);
    assert_eq!(tasks[0].publications[0].topic, "ha/device/two/config");
    assert_eq!(tasks[0].publications[0].payload, "");
    assert!(!teller.announced.devices.contains_key("two"));
}

#[test]
fn what_somebody_deleted_stays_deleted_until_it_is_wanted_again() {
    let (mut teller, now) = (teller(Announced::default()), Instant::now());
    tell(&mut teller, &["one"], now);
    assert_eq!(teller.hear(TOPIC, b"", now), Heard::Deleted("one".to_owned()));
    assert!(teller.any_deleted());
    assert_eq!(tell(&mut teller, &["one"], now + GONE_AFTER).len(), 0);
    assert_eq!(teller.hear(TOPIC, b"", now), Heard::Nothing);
    teller.tell_again();
    assert_eq!(tell(&mut teller, &["one"], now).len(), 1);
}

#[test]
fn of_a_deleted_device_that_is_gone_nothing_is_left() {
    let (mut teller, now) = (teller(Announced::default()), Instant::now());
    tell(&mut teller, &["one"], now);
    teller.hear(TOPIC, b"", now);
    tell(&mut teller, &[], now);
    let tasks = tell(&mut teller, &[], now + GONE_AFTER);
    assert!(tasks.iter().all(|task| task.publications.is_empty()));
    assert!(teller.announced.devices.is_empty());
}

#[test]
fn our_own_empty_message_is_nobodys_wish() {
    let (mut teller, now) = (teller(Announced::default()), Instant::now());
    tell(&mut teller, &["one"], now);
    teller.empties(TOPIC, now);
    assert_eq!(teller.hear(TOPIC, b"", now), Heard::Nothing);
    // Only one comes back.
    assert_eq!(teller.hear(TOPIC, b"", now), Heard::Deleted("one".to_owned()));
    tell(&mut teller, &["two"], now);
    teller.empties("ha/device/two/config", now);
    assert_eq!(
        teller.hear("ha/device/two/config", b"", now + ECHO),
        Heard::Deleted("two".to_owned())
    );
}

#[test]
fn what_was_deleted_while_nobody_listened_is_found_missing() {
    let now = Instant::now();
    let mut before = teller(Announced::default());
    tell(&mut before, &["one", "two"], now);
    let mut teller = teller(before.announced.clone());
    teller.begins(now);
    teller.hear(MARKER, b"host", now);
    teller.hear("ha/device/two/config", b"{}", now);
    assert_eq!(teller.deleted_meanwhile(["one", "two"]), ["one"]);
    assert!(teller.is_deleted("one") && !teller.is_deleted("two"));

    // A broker that forgot all is told all.
    let mut forgetful = super::tests::teller(before.announced);
    forgetful.begins(now);
    assert!(forgetful.deleted_meanwhile(["one"]).is_empty());
    // What we mark in this session does not change that.
    forgetful.hear(MARKER, b"host", now);
    assert!(forgetful.deleted_meanwhile(["two"]).is_empty());
}

#[test]
fn another_broker_knows_nothing_and_another_prefix_is_cleared() {
    let now = Instant::now();
    let mut before = teller(Announced::default());
    tell(&mut before, &["one"], now);
    let elsewhere = Discovery {
        prefix: "other".to_owned(),
        form: Form::Device,
    };
    let mut moved = Teller::new(
        before.announced.clone(),
        elsewhere.clone(),
        "mqtt://b",
        MARKER.to_owned(),
    );
    assert_eq!(moved.of_old_prefix()[0].topic, TOPIC);
    moved.left_old_prefix();
    assert!(moved.of_old_prefix().is_empty());
    let other = Teller::new(before.announced, elsewhere, "mqtt://c", MARKER.to_owned());
    assert!(other.of_old_prefix().is_empty() && other.announced.devices.is_empty());
}
