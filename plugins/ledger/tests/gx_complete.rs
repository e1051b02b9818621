//! The GX ledgers against the vendor's list, of which `ledgers/victron/gx-facts.csv` is an excerpt: every register is
//! there, once, as the list has it, under the key that the contract gives it; and nothing is there that the list lacks.

#![allow(clippy::expect_used, clippy::panic, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use busbar_ledger::model::{Ledger, Point, ValueType};
use busbar_ledger::span::Span;

/// One line of the table.
struct Fact {
    path: String,
    span: Span,
    /// `None` for a reserved run.
    ty: Option<ValueType>,
    /// value = raw / divisor
    divisor: f64,
    writable: bool,
}

impl Fact {
    /// The size of one raw step, in the value's unit.
    fn step(&self) -> f64 {
        (1.0 / self.divisor).abs()
    }
}

fn victron() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ledgers/victron")
}

/// The type and length of a register as the list writes it; no type for a reserved run.
fn type_of(text: &str) -> (Option<ValueType>, u16) {
    let (name, count) = match text.split_once('[') {
        Some((name, count)) => (name, count.trim_end_matches(']').parse().expect("a length")),
        None => (text, 0),
    };
    match (name, count) {
        ("int16", 0) => (Some(ValueType::I16), 1),
        ("uint16", 0) => (Some(ValueType::U16), 1),
        ("int32", 0) => (Some(ValueType::I32), 2),
        ("uint32", 0) => (Some(ValueType::U32), 2),
        ("string", _) => (Some(ValueType::Text), count),
        ("INTERNAL", 1) => (Some(ValueType::U16), count),
        ("INTERNAL", 2) => (Some(ValueType::U32), count),
        ("INTERNAL", 4) => (Some(ValueType::U64), count),
        ("reserved", _) => (None, count),
        _ => panic!("an unknown type: {text}"),
    }
}

fn facts() -> BTreeMap<String, Vec<Fact>> {
    let text = fs::read_to_string(victron().join("gx-facts.csv")).expect("the table of facts");
    let mut services: BTreeMap<String, Vec<Fact>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let [service, path, at, ty, scale, access] = line.split(',').collect::<Vec<_>>()[..] else {
            panic!("six columns: {line}");
        };
        let (ty, count) = type_of(ty);
        services.entry(service.to_owned()).or_default().push(Fact {
            path: path.to_owned(),
            span: Span::holding(at.parse().expect("an address"), count),
            ty,
            divisor: scale.parse().expect("a scale"),
            writable: access == "W",
        });
    }
    services
}

fn ledger(service: &str) -> Ledger {
    let name = format!("gx-{service}.toml");
    let text = fs::read_to_string(victron().join(&name)).expect(&name);
    busbar_ledger::parse(&name, &text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The contract's rule: the path in snake case, split where a capital follows a small letter or a digit.
fn key_of(path: &str) -> String {
    let mut key = String::new();
    let mut last = '/';
    for c in path.trim_start_matches('/').chars() {
        if c.is_ascii_uppercase() && (last.is_ascii_lowercase() || last.is_ascii_digit()) {
            key.push('_');
        }
        key.push(if c == '/' { '_' } else { c.to_ascii_lowercase() });
        last = c;
    }
    key
}

#[test]
fn keys_follow_the_rule() {
    for (path, key) in [
        ("/Ac/Out/L1/P", "ac_out_l1_p"),
        ("/Dc/Battery/Soc", "dc_battery_soc"),
        ("/Settings/CGwacs/Hub4Mode", "settings_cgwacs_hub4_mode"),
        ("/Energy/AcIn1ToAcOut", "energy_ac_in1_to_ac_out"),
    ] {
        assert_eq!(key_of(path), key);
    }
}

#[test]
fn there_is_a_ledger_for_each_service_and_no_other() {
    let facts = facts();
    assert_eq!(facts.len(), 33);
    assert_eq!(facts.values().map(Vec::len).sum::<usize>(), 1003);
    let files: BTreeSet<String> = fs::read_dir(victron())
        .expect("ledgers/victron")
        .filter_map(|entry| {
            let name = entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name");
            let service = name.strip_prefix("gx-")?.strip_suffix(".toml")?;
            let other = service.contains('.') || ["ports", "services"].contains(&service);
            (!other).then(|| service.to_owned())
        })
        .collect();
    assert_eq!(files, facts.keys().cloned().collect());
}

#[test]
fn every_register_of_the_list_is_there_once_and_nothing_else() {
    for (service, facts) in facts() {
        let ledger = ledger(&service);
        assert_eq!(ledger.name, format!("victron/gx-{service}"));
        let registers: Vec<_> = ledger
            .points
            .iter()
            .flat_map(|point| point.registers().iter().map(move |register| (point, register)))
            .collect();
        for fact in &facts {
            let at = fact.span.at;
            let found: Vec<_> = registers.iter().filter(|(_, r)| r.span.at == at).collect();
            let reserved = ledger.reserved.iter().any(|run| run.overlaps(fact.span));
            let Some(ty) = fact.ty else {
                assert!(found.is_empty() && reserved, "{service} {at} is reserved");
                continue;
            };
            let [(point, register)] = found[..] else {
                panic!("{service} {at} {}: {} registers", fact.path, found.len());
            };
            assert!(!reserved, "{service} {at} is not reserved");
            assert_eq!((register.span, register.ty), (fact.span, ty), "{service} {at}");
            let scale = register.scale.as_f64() * fact.divisor;
            assert!((scale - 1.0).abs() < 1e-12, "{service} {at}: scale");
            assert_eq!(register.offset, 0.0, "{service} {at}: offset");
            assert!(
                register.scale_point.is_none() && register.invalid.is_empty(),
                "{service} {at}"
            );
            assert_eq!(
                point.origin.as_deref(),
                Some(fact.path.as_str()),
                "{service} {at}"
            );
            assert_eq!(point.writable, fact.writable, "{service} {at}: access");
        }
        let data = facts.iter().filter(|fact| fact.ty.is_some()).count();
        assert_eq!(registers.len(), data, "{service}: registers that the list lacks");
        let holes = facts
            .iter()
            .filter(|fact| fact.ty.is_none())
            .map(|fact| fact.span);
        assert_eq!(
            ledger
                .reserved
                .iter()
                .map(|run| u32::from(run.count))
                .sum::<u32>(),
            holes.map(|run| u32::from(run.count)).sum::<u32>(),
            "{service}: reserved runs"
        );
    }
}

#[test]
fn of_registers_with_one_path_the_widest_is_the_entity() {
    let mut twins = 0;
    for (service, facts) in facts() {
        let ledger = ledger(&service);
        let mut paths: BTreeMap<&str, Vec<&Fact>> = BTreeMap::new();
        for fact in facts.iter().filter(|fact| fact.ty.is_some()) {
            paths.entry(&fact.path).or_default().push(fact);
        }
        for (path, mut facts) in paths {
            facts.sort_by(|a, b| {
                let widest = b.span.count.cmp(&a.span.count);
                widest
                    .then(a.step().total_cmp(&b.step()))
                    .then(a.span.at.cmp(&b.span.at))
            });
            let own = |key: &str| -> &Point {
                ledger
                    .point(key)
                    .unwrap_or_else(|| panic!("{service}: no point {key} for {path}"))
            };
            let first = own(&key_of(path));
            assert_eq!(
                first.register().map(|r| r.span),
                Some(facts[0].span),
                "{service} {path}"
            );
            let mut stand_ins = BTreeMap::new();
            for fact in &facts[1..] {
                if fact.writable {
                    let point = own(&format!("{}_at_{}", key_of(path), fact.span.at));
                    let spans: Vec<_> = point.registers().iter().map(|r| r.span).collect();
                    assert_eq!(spans, [fact.span], "{service} {path}");
                } else {
                    stand_ins.insert(fact.span, fact.step() < facts[0].step());
                    twins += 1;
                }
            }
            let have: BTreeMap<_, _> = first.registers()[1..]
                .iter()
                .map(|r| (r.span, r.preferred_when_it_fits))
                .collect();
            assert_eq!(
                have, stand_ins,
                "{service} {path}: fall-backs, and which are the finer ones"
            );
        }
    }
    assert!(twins > 40, "the list has more twins than {twins}");
}

#[test]
fn a_zero_proves_nothing_and_the_usual_units_are_told() {
    for service in facts().into_keys() {
        let ledger = ledger(&service);
        assert!(ledger.read.zero_is_unproven, "{service}");
        let [transport] = &ledger.transports[..] else {
            panic!("{service}: one transport");
        };
        assert_eq!(
            (transport.scheme.as_str(), transport.port),
            ("modbus+tcp", Some(502))
        );
        assert!(
            !transport.units.contains(&0),
            "{service}: unit 0 is unit 100 once more"
        );
    }
}

#[test]
fn wrong_units_of_the_list_are_mended() {
    for (service, key, unit) in [
        ("system", "date_and_time", None),
        ("system", "firmware_version", None),
        ("pvinverter", "ac_power", Some("W")),
        ("pvinverter", "ac_max_power", Some("W")),
        ("pvinverter", "ac_power_limit", Some("W")),
        ("evcharger", "session_energy", Some("kWh")),
        ("vebus", "micro_grid_droop_mode_parameters_qref", Some("var")),
    ] {
        assert_eq!(
            ledger(service).point(key).expect(key).unit.as_deref(),
            unit,
            "{key}"
        );
    }
}
