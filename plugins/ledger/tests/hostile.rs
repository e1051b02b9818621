//! Whatever a file holds: no panic, places inside the text, and what is accepted keeps the model's promises.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::time::{Duration, Instant};

use busbar_ledger::model::{Expression, PointSource};
use busbar_ledger::parse;
use miette::{GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../../ledgers/README.md");

/// The example of the guide: it uses every part of the format.
fn example() -> &'static str {
    EXAMPLE
        .split_once("```toml\n")
        .and_then(|(_, rest)| rest.split_once("```"))
        .unwrap()
        .0
}

/// Pieces that mean something to the format, right or wrong.
const PIECES: [&str; 32] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    "=",
    ",",
    "\n",
    ".",
    "#",
    "-",
    "0",
    "-1",
    "65535",
    "99999999999999999999",
    "1e300",
    "nan",
    "true",
    "at = 0",
    "type = \"u16\"",
    "{phase}",
    "for_each = { phase = [1], stride = 0 }",
    "words = 4",
    "scale = \"1/0\"",
    "\"voltage_l1\"",
    "bits = [63, 64]",
    "invalid = [-1]",
    "index_shift = -65535",
    "[points]",
    "[computed]",
    "ä\u{0}",
    "min = { site = \"x\" }",
];

fn check(text: &str) {
    match parse("hostile.toml", text) {
        Err(faults) => {
            assert!(!faults.all().is_empty());
            for fault in faults.all() {
                if let Some(span) = &fault.span {
                    assert!(
                        text.get(span.clone()).is_some(),
                        "{span:?} of {} in {text:?}",
                        fault.message
                    );
                }
            }
            let mut shown = faults.to_string();
            let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
            handler.render_report(&mut shown, &faults.report()).unwrap();
        }
        Ok(ledger) => {
            for (i, point) in ledger.points.iter().enumerate() {
                assert_eq!(ledger.index[&point.key], i);
                for register in point.registers() {
                    assert!(register.span.count > 0 && register.span.end() <= 65_536);
                    assert!(register.scale.num != 0 && register.scale.den > 0 && register.offset.is_finite());
                    assert!(
                        register
                            .scale_point
                            .iter()
                            .all(|key| ledger.index.contains_key(key))
                    );
                }
                assert!(point.group.iter().all(|group| ledger.groups.contains_key(group)));
                assert!(
                    point
                        .valid_when
                        .iter()
                        .all(|when| ledger.index.contains_key(&when.point))
                );
                if let PointSource::Computed(expression) = &point.source {
                    behind(expression, i, &ledger);
                }
            }
        }
    }
}

/// All operands stand before the point.
fn behind(expression: &Expression, i: usize, ledger: &busbar_ledger::model::Ledger) {
    match expression {
        Expression::Point(key) => assert!(ledger.index[key] < i),
        Expression::Constant(number) => assert!(number.is_finite()),
        Expression::Sum(all)
        | Expression::Product(all)
        | Expression::FirstValid(all)
        | Expression::SumPresent(all) => {
            all.iter().for_each(|e| behind(e, i, ledger));
        }
        Expression::SumAbsProducts(all) => all.iter().flatten().for_each(|e| behind(e, i, ledger)),
        Expression::Difference(a, b)
        | Expression::Ratio {
            over: a, under: b, ..
        } => {
            behind(a, i, ledger);
            behind(b, i, ledger);
        }
        Expression::Clamp(a, ..) | Expression::Absolute(a) | Expression::Sign(a) => behind(a, i, ledger),
    }
}

/// One change to a text: what is put at a place (as a share of its length), and how much it replaces.
fn change() -> impl Strategy<Value = (f64, usize, String)> {
    let piece = prop_oneof![
        proptest::sample::select(PIECES.to_vec()).prop_map(str::to_owned),
        "[ -~\\n]{0,6}",
        any::<char>().prop_map(String::from),
    ];
    (0.0..1.0, 0_usize..40, piece)
}

fn apply(text: &mut String, (place, length, piece): &(f64, usize, String)) {
    let floor = |text: &str, mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let from = floor(text, (text.len() as f64 * place) as usize);
    let to = floor(text, (from + length).min(text.len())).max(from);
    text.replace_range(from..to, piece);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_ledger_never_panics(changes in proptest::collection::vec(change(), 1..6)) {
        let mut text = example().to_owned();
        changes.iter().for_each(|change| apply(&mut text, change));
        check(&text);
    }

    #[test]
    fn a_line_taken_out_or_doubled_never_panics(line in 0_usize..120, twice in any::<bool>()) {
        let mut lines: Vec<_> = example().lines().collect();
        let line = line % lines.len();
        if twice {
            lines.insert(line, lines[line]);
        } else {
            lines.remove(line);
        }
        check(&lines.join("\n"));
    }

    #[test]
    fn random_text_never_panics(text in "\\PC{0,200}", pieces in proptest::collection::vec(proptest::sample::select(PIECES.to_vec()), 0..60)) {
        check(&text);
        check(&pieces.concat());
    }
}

#[test]
fn effort_grows_with_the_file_and_not_with_its_square() {
    let head = "ledger = \"a/b\"\ntitle = \"B\"\n";
    let many = |line: &dyn Fn(usize) -> String| -> String { (0..20_000).map(line).collect() };
    let mut unknown_keys = (0..40_000).map(|i| format!("k{i} = 1\n")).collect::<String>();
    unknown_keys.insert_str(0, "[points.a]\n");
    let hostile = [
        (
            "sound",
            format!(
                "[points]\n{}",
                many(&|i| format!("p{i} = {{ at = {i}, type = \"u16\", scale = \"1/10\" }}\n"))
            ),
        ),
        (
            "all at one address",
            format!(
                "[points]\n{}",
                many(&|i| format!("p{i} = {{ at = 7, type = \"u16\" }}\n"))
            ),
        ),
        (
            "all bits of one register",
            format!(
                "[points]\n{}",
                many(&|i| format!("p{i} = {{ at = 7, bit = {} }}\n", i % 16))
            ),
        ),
        (
            "all faulty",
            format!(
                "[points]\n{}",
                many(&|i| format!("p{i} = {{ at = {i}, typo = 1, tipe = 2 }}\n"))
            ),
        ),
        (
            "all lead nowhere",
            format!(
                "[points]\n{}",
                many(&|i| format!("p{i} = {{ at = {i}, type = \"u16\", group = \"g{i}\" }}\n"))
            ),
        ),
        ("one with many keys", unknown_keys),
        ("all syntax faults", "x y\n".repeat(50_000)),
    ];
    for (name, body) in hostile {
        let text = format!("{head}{body}");
        let start = Instant::now();
        let _ = parse("hostile.toml", &text);
        // An unoptimised build on a busy machine takes well below 5 s; one loop too many takes minutes.
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{name}: {:?}",
            start.elapsed()
        );
        println!("{name}: {:?}", start.elapsed());
    }
}
