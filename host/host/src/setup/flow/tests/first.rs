//! From nothing to saved.

use std::collections::BTreeSet;

use busbar_plugin_sdk::Mode;
use proptest::prelude::*;

use super::super::super::screen::{Ask, Block, End};
use super::super::super::work::{Search, Work};
use super::super::{Answer, Flow, Step, Wish};
use super::world::{URL, World, answer, begun, choose, enter_until, failure, text};

/// Everything there is to read on a screen.
fn reading(flow: &Flow) -> String {
    serde_json::to_string(&flow.screen()).unwrap()
}

#[test]
fn enter_alone_leads_from_nothing_to_saved() {
    let mut world = World::empty();
    let mut flow = begun(&mut world, Wish::default());
    assert_eq!(flow.step(), &Step::Start);
    enter_until(&mut world, &mut flow, &Step::Run);
    let keep = world.saved();
    assert_eq!(keep.name.as_deref(), Some("gx"));
    assert_eq!(
        keep.interval_ms, None,
        "the default, and not a number that says so"
    );
    assert!(keep.names.is_empty() && keep.put_away.is_empty() && keep.replace.is_none());
    // Nothing was asked of the network without a yes.
    assert!(world.asked.iter().all(|work| !matches!(
        work,
        Work::Find {
            places: Search::Network | Search::Serial
        }
    )));
    answer(&mut world, &mut flow, &[Answer::Default]);
    assert_eq!(
        flow.end(),
        Some(&End::Run {
            connection: "gx".into()
        })
    );
}

#[test]
fn what_was_not_found_is_told_with_why() {
    let mut world = World::empty();
    let mut flow = begun(&mut world, Wish::default());
    enter_until(&mut world, &mut flow, &Step::Found);
    let found = reading(&flow);
    for said in [
        "600 of 774",
        "full scan",
        "583 of them refused",
        "unit 3, 7",
        "1 doubtful",
        "812 W",
    ] {
        assert!(found.contains(said), "{said}: {found}");
    }
    assert!(
        found.contains("1 that others of its kind have and this one lacks"),
        "{found}"
    );
}

#[test]
fn each_answer_is_in_what_is_saved() {
    let mut world = World::empty();
    let mut flow = begun(&mut world, Wish::default());
    let answers = [
        choose("address"),
        text("192.168.1.20"),
        choose("units"),
        text("30,100"),
        Answer::Default,
        text("home"),
        choose("device:1"),
        text("House"),
        Answer::Default,
        text("2s"),
        choose("device:1"),
        Answer::Toggle(vec!["power_l3".into(), "no_such_key".into()]),
        Answer::Default,
        Answer::Default,
    ];
    answer(&mut world, &mut flow, &answers);
    assert_eq!(flow.step(), &Step::Save, "{:?}", flow.screen().fault);
    let summary = reading(&flow);
    for said in ["home", "House", "2s", "3 of 4", "busbar-data"] {
        assert!(summary.contains(said), "{said}: {summary}");
    }
    answer(&mut world, &mut flow, &[Answer::Yes(true)]);
    let keep = world.saved();
    assert_eq!(keep.name.as_deref(), Some("home"));
    assert_eq!(keep.interval_ms, Some(2000));
    assert_eq!(
        keep.names.get("c0ffee_grid_u30").map(String::as_str),
        Some("House")
    );
    assert_eq!(
        keep.put_away.get("c0ffee_grid_u30"),
        Some(&BTreeSet::from(["power_l3".to_owned()]))
    );
    let scan = world.asked.iter().find_map(|work| match work {
        Work::Scan(order) => Some((order.mode, order.units.clone())),
        _ => None,
    });
    assert_eq!(scan, Some((Mode::Listed, vec![30, 100])));
}

#[test]
fn from_each_question_one_can_go_back_to_the_one_before() {
    let mut world = World::empty();
    let mut flow = begun(&mut world, Wish::default());
    let mut way = vec![flow.step().clone()];
    while flow.step() != &Step::Save {
        answer(&mut world, &mut flow, &[Answer::Default]);
        way.push(flow.step().clone());
    }
    for expected in way.iter().rev().skip(1) {
        assert!(flow.screen().back);
        answer(&mut world, &mut flow, &[Answer::Back]);
        assert_eq!(flow.step(), expected);
    }
    assert!(!flow.screen().back);
    answer(&mut world, &mut flow, &[Answer::Back]);
    assert!(flow.screen().fault.is_some(), "there is nothing before the first");
    // And forward again it is the same way, with the same defaults.
    enter_until(&mut world, &mut flow, &Step::Run);
    assert_eq!(world.saved().name.as_deref(), Some("gx"));
}

#[test]
fn what_was_answered_before_is_the_default_after_going_back() {
    let mut world = World::empty();
    let mut flow = begun(&mut world, Wish::default());
    enter_until(&mut world, &mut flow, &Step::Name);
    answer(&mut world, &mut flow, &[text("garage"), Answer::Back]);
    let Ask::Text { default, .. } = flow.screen().ask else {
        panic!("{:?}", flow.screen().ask)
    };
    assert_eq!(default, "garage");
}

#[test]
fn wrong_answers_say_what_to_write_and_change_nothing() {
    let mut world = World::empty();
    world.ground.connections = World::set_up().ground.connections;
    let mut flow = begun(&mut world, Wish::default());
    let wrong = |flow: &mut Flow, wrong: Answer, word: &str| {
        let before = flow.step().clone();
        flow.answer(wrong.clone());
        let fault = flow.screen().fault.unwrap_or_default();
        assert!(fault.contains(word), "{before:?}, {wrong:?}: {fault}");
        assert_eq!((flow.step(), flow.work().is_some()), (&before, false));
    };
    flow.step = Step::Start;
    wrong(&mut flow, choose("nowhere"), "list");
    flow.step = Step::Address;
    wrong(&mut flow, text("  "), "192.168.1.20");
    wrong(&mut flow, text("http://gx"), "modbus+tcp");
    answer(&mut world, &mut flow, &[text(URL)]);
    flow.step = Step::Units;
    wrong(&mut flow, text("300"), "0 to 247");
    flow.step = Step::Recognise;
    answer(&mut world, &mut flow, &[choose("quick"), Answer::Default]);
    assert_eq!(flow.step(), &Step::Name);
    wrong(&mut flow, text("home"), "another");
    wrong(&mut flow, text("a/b"), "`/`");
    wrong(&mut flow, text(&"x".repeat(65)), "64");
    wrong(&mut flow, Answer::Yes(true), "text");
    flow.step = Step::Interval;
    wrong(&mut flow, text("5"), "5s");
    wrong(&mut flow, text("50ms"), "100ms");
    flow.step = Step::Save;
    wrong(&mut flow, choose("save"), "yes or no");
}

#[test]
fn a_search_of_the_network_is_asked_for_and_says_what_it_asks() {
    let mut world = World::empty();
    let mut flow = begun(&mut world, Wish::default());
    answer(&mut world, &mut flow, &[choose("find"), choose("network")]);
    assert_eq!(flow.step(), &Step::Consent(Search::Network));
    let asked = reading(&flow);
    for said in ["192.168.1.0/24", "254", "TCP port 502", "12 seconds"] {
        assert!(asked.contains(said), "{said}: {asked}");
    }
    answer(&mut world, &mut flow, &[Answer::Yes(false)]);
    assert_eq!(flow.step(), &Step::Places);
    assert_eq!(world.asked.len(), 2, "nothing was searched: {:?}", world.asked);
    answer(&mut world, &mut flow, &[choose("network"), Answer::Yes(true)]);
    assert!(matches!(
        world.asked.last(),
        Some(Work::Find {
            places: Search::Network
        })
    ));
    // One that was found twice is one.
    let Ask::Choice { choices, .. } = flow.screen().ask else {
        panic!("{:?}", flow.screen().ask)
    };
    assert_eq!(
        choices
            .iter()
            .filter(|choice| choice.key.starts_with("place:"))
            .count(),
        1
    );
}

#[test]
fn what_is_not_recognised_is_no_dead_end() {
    let mut world = World::empty();
    world.sight.recognised.clear();
    let mut flow = begun(&mut world, Wish::default());
    answer(&mut world, &mut flow, &[choose("address"), text(URL)]);
    assert_eq!(flow.step(), &Step::Unknown);
    let said = reading(&flow);
    assert!(
        said.contains("busbar raw") && said.contains("busbar ledger new"),
        "{said}"
    );
    answer(
        &mut world,
        &mut flow,
        &[choose("ledger"), Answer::Filter("EASTRON".into())],
    );
    let Ask::Choice { choices, .. } = flow.screen().ask else {
        panic!("{:?}", flow.screen().ask)
    };
    assert_eq!(choices.len(), 1);
    answer(&mut world, &mut flow, &[Answer::Default, text("7")]);
    assert_eq!(flow.step(), &Step::Found);
    let Some(Work::Scan(order)) = world.asked.last() else {
        panic!("{:?}", world.asked.last())
    };
    assert_eq!(
        (order.ledger.as_deref(), &order.units[..]),
        (Some("eastron/sdm630"), &[7][..])
    );
}

#[test]
fn what_does_not_work_is_told_and_every_way_stays_open() {
    let mut world = World::empty();
    let mut flow = begun(&mut world, Wish::default());
    answer(&mut world, &mut flow, &[choose("address")]);
    world.fails = Some(failure("refused"));
    answer(&mut world, &mut flow, &[text(URL)]);
    assert_eq!(flow.step(), &Step::Unknown);
    assert!(reading(&flow).contains("it did not work"));
    answer(&mut world, &mut flow, &[choose("address"), text(URL)]);
    assert_eq!(flow.step(), &Step::Recognise);
    // A scan that its owner stops leads back to the question.
    world.fails = Some(failure("cancelled"));
    answer(&mut world, &mut flow, &[Answer::Default]);
    assert_eq!(flow.step(), &Step::Recognise);
    assert!(flow.screen().fault.is_some());
    // A full disk: nothing is saved, and it can be tried again.
    enter_until(&mut world, &mut flow, &Step::Save);
    world.fails = Some(failure("full"));
    answer(&mut world, &mut flow, &[Answer::Default]);
    assert_eq!(flow.step(), &Step::Save);
    answer(&mut world, &mut flow, &[Answer::Default]);
    assert_eq!(flow.step(), &Step::Run);
}

#[test]
fn no_at_the_end_forgets_what_was_found() {
    let mut world = World::empty();
    let mut flow = begun(&mut world, Wish::default());
    enter_until(&mut world, &mut flow, &Step::Save);
    answer(&mut world, &mut flow, &[Answer::Yes(false)]);
    assert_eq!(flow.end(), Some(&End::Nothing));
    assert!(matches!(world.asked.last(), Some(Work::Drop)));
    assert!(world.asked.iter().all(|work| !matches!(work, Work::Save(_))));
}

#[test]
fn the_doubtful_can_be_left_out_as_a_whole_and_taken_back() {
    let mut world = World::empty();
    let mut flow = begun(&mut world, Wish::default());
    enter_until(&mut world, &mut flow, &Step::Entities);
    answer(&mut world, &mut flow, &[choose("proven")]);
    assert_eq!(flow.draft.put_away.len(), 2);
    assert!(reading(&flow).contains("2 of 4"));
    answer(&mut world, &mut flow, &[choose("all")]);
    assert!(flow.draft.put_away.is_empty());
}

#[test]
fn with_a_running_host_the_first_values_are_shown() {
    let mut world = World::empty();
    world.ground.host_runs = true;
    let mut flow = begun(&mut world, Wish::default());
    enter_until(&mut world, &mut flow, &Step::Run);
    assert!(matches!(world.asked.last(), Some(Work::Live { .. })));
    let screen = flow.screen();
    let live = |block: &Block| matches!(block, Block::Device { values, .. } if values[0].1 == "812 W");
    assert!(screen.blocks.iter().any(live), "{screen:?}");
    answer(&mut world, &mut flow, &[Answer::Default]);
    assert_eq!(flow.end(), Some(&End::Done));
}

#[test]
fn wishes_are_where_it_begins() {
    let mut world = World::empty();
    let wish = Wish {
        url: Some("192.168.1.20".into()),
        name: Some("garage".into()),
        interval_ms: Some(10_000),
        mode: Mode::Full,
        ..Wish::default()
    };
    let mut flow = begun(&mut world, wish);
    assert_eq!(flow.step(), &Step::Recognise);
    enter_until(&mut world, &mut flow, &Step::Run);
    let keep = world.saved();
    assert_eq!(
        (keep.name.as_deref(), keep.interval_ms),
        (Some("garage"), Some(10_000))
    );
    let full = |work: &Work| matches!(work, Work::Scan(order) if order.mode == Mode::Full);
    assert!(world.asked.iter().any(full));
}

#[test]
fn a_scan_is_held_up_at_a_word() {
    let mut world = World::empty();
    let mut flow = begun(&mut world, Wish::default());
    enter_until(&mut world, &mut flow, &Step::Recognise);
    flow.answer(Answer::Default);
    let paused = |flow: &Flow| match flow.screen().ask {
        Ask::Work { paused, pausable, .. } => (pausable, paused),
        other => panic!("{other:?}"),
    };
    assert_eq!(paused(&flow), (true, false));
    flow.answer(Answer::Pause(true));
    assert_eq!(paused(&flow), (true, true));
    // Whatever else is said meanwhile is no answer to anything.
    flow.answer(Answer::Default);
    flow.answer(Answer::Back);
    assert_eq!(paused(&flow), (true, true));
    world.settle(&mut flow);
    assert_eq!(flow.step(), &Step::Found);
}

#[test]
fn a_flow_can_be_put_away_and_taken_up_again() {
    let mut world = World::empty();
    let mut flow = begun(&mut world, Wish::default());
    enter_until(&mut world, &mut flow, &Step::Interval);
    let kept = serde_json::to_string(&flow).unwrap();
    let mut flow: Flow = serde_json::from_str(&kept).unwrap();
    assert_eq!(flow.step(), &Step::Interval);
    enter_until(&mut world, &mut flow, &Step::Run);
}

/// Any answer, also such as no screen offers.
fn any_answer() -> impl Strategy<Value = (usize, Answer)> {
    let words = prop_oneof![
        Just("".to_owned()),
        Just(URL.to_owned()),
        Just("1,3-9".to_owned()),
        Just("5s".to_owned()),
        Just("16".to_owned()),
        ".{0,12}",
    ];
    let keys = prop_oneof![
        Just("next".to_owned()),
        Just("device:0".to_owned()),
        Just("device:99".to_owned()),
        Just("back".to_owned()),
        Just("power_l1".to_owned()),
        ".{0,8}",
    ];
    let answer = prop_oneof![
        4 => Just(Answer::Default),
        2 => words.prop_map(Answer::Text),
        2 => keys.clone().prop_map(Answer::Choose),
        1 => any::<bool>().prop_map(Answer::Yes),
        1 => proptest::collection::vec(keys.clone(), 0..3).prop_map(Answer::Toggle),
        1 => keys.prop_map(Answer::Filter),
        2 => Just(Answer::Back),
        1 => any::<bool>().prop_map(Answer::Pause),
    ];
    (any::<usize>(), answer)
}

/// What the screen offers, or the answer as it is.
fn offered(flow: &Flow, pick: usize, answer: Answer) -> Answer {
    match flow.screen().ask {
        Ask::Choice { choices, .. } if !pick.is_multiple_of(3) && !choices.is_empty() => {
            choose(&choices[pick / 3 % choices.len()].key)
        }
        Ask::Many { choices, .. } if !pick.is_multiple_of(3) && !choices.is_empty() => {
            Answer::Toggle(vec![choices[pick / 3 % choices.len()].key.clone()])
        }
        _ => answer,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_answered_there_is_a_question_or_an_end(
        answers in proptest::collection::vec(any_answer(), 0..90),
        set_up in any::<bool>(),
        host_runs in any::<bool>(),
        fails in proptest::collection::vec(0..90usize, 0..4),
    ) {
        let mut world = if set_up { World::set_up() } else { World::empty() };
        world.ground.host_runs = host_runs;
        world.limits = super::advanced::world().limits;
        let mut flow = begun(&mut world, Wish::default());
        for (turn, (pick, answer)) in answers.into_iter().enumerate() {
            if flow.end().is_some() {
                break;
            }
            let answer = offered(&flow, pick, answer);
            flow.answer(answer);
            if fails.contains(&turn) {
                world.fails = Some(failure("any"));
            }
            world.settle(&mut flow);
            world.fails = None;
            let screen = flow.screen();
            prop_assert!(!screen.title.is_empty());
            match (&screen.ask, flow.end()) {
                (Ask::End { .. }, Some(_)) => {}
                (Ask::Work { .. } | Ask::End { .. }, _) => prop_assert!(false, "{:?}", screen),
                (Ask::Choice { choices, default, filter, .. }, None) => {
                    let known = choices.iter().any(|choice| choice.key == *default);
                    prop_assert!(known || filter.is_some(), "no default: {:?}", screen);
                }
                _ => {}
            }
        }
    }
}
