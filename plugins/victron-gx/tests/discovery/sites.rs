//! Sites as people build them, and sites as nobody would.

use std::collections::BTreeSet;

use crate::gx::Pair;

/// Numbers that look random and are the same at each run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// 0 to `sides - 1`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x ^ (x >> 31)) % sides
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.roll(100) < chance
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.roll(from.len() as u64)).unwrap()]
    }
}

/// VE.Bus unit and VE.Direct units of each model, and USB ports in the order in which Linux numbers them.
const MODELS: [(u8, &[u8]); 4] = [
    (227, &[226, 224, 223]),
    (228, &[229, 230]),
    (242, &[245, 243]),
    (246, &[247, 245]),
];
const USB: [u8; 9] = [239, 238, 237, 236, 235, 233, 232, 231, 234];
const RARE: [&str; 9] = [
    "inverter",
    "multi",
    "charger",
    "alternator",
    "dcdc",
    "dcsource",
    "dcload",
    "dcsystem",
    "fuelcell",
];

/// A site by the rules of how systems are built: a model with its own ports, devices numbered in a row.
pub(crate) fn realistic(dice: &mut Dice) -> BTreeSet<Pair> {
    let mut pairs = BTreeSet::new();
    let model = match dice.roll(10) {
        0..5 => 0,
        5..8 => 1,
        8 => 2,
        _ => 3,
    };
    let (vebus, own) = MODELS[model];
    if dice.percent(85) {
        pairs.insert((vebus, "vebus"));
    }
    // VE.Direct: the ports of the model, then USB adapters.
    let mut ports = own.iter().chain(&USB).copied();
    for _ in 0..dice.roll(7) {
        let Some(port) = ports.next() else { break };
        let service = match dice.roll(10) {
            0..6 => "solarcharger",
            6..8 => "battery",
            _ => dice.pick(&RARE),
        };
        pairs.insert((port, service));
    }
    if dice.percent(50) {
        pairs.insert((225, "battery"));
    }
    if dice.percent(20) {
        let first = dice.pick(&[204, 204, 205, 210, 215]);
        for unit in first..first + 1 + u8::try_from(dice.roll(3)).unwrap() {
            pairs.insert((unit, "solarcharger"));
        }
    }
    // VE.Can: instance 0 is unit 100, then 1, 2, …
    if dice.percent(25) {
        let service = dice.pick(&["solarcharger", "battery", "multi", "alternator"]);
        let last = if service == "solarcharger" || service == "battery" {
            4
        } else {
            3
        };
        let can = [100, 1, 2, 3, 4];
        for &unit in can.iter().take(1 + usize::try_from(dice.roll(last)).unwrap()) {
            pairs.insert((unit, service));
        }
    }
    let row = |pairs: &mut BTreeSet<Pair>, service, first: u8, count: u64| {
        for unit in (first..).take(usize::try_from(count).unwrap()) {
            pairs.insert((unit, service));
        }
    };
    let some = |dice: &mut Dice, chance, most| {
        if dice.percent(chance) {
            1 + dice.roll(most)
        } else {
            0
        }
    };
    // Sensors and Ethernet devices share one row of numbers, or have one each.
    let tanks = some(dice, 40, 4);
    let temperatures = some(dice, 45, 4);
    let first = if dice.percent(50) {
        20 + u8::try_from(tanks).unwrap()
    } else {
        20
    };
    row(&mut pairs, "tank", 20, tanks);
    row(&mut pairs, "temperature", first, temperatures);
    let count = some(dice, 35, 3);
    row(&mut pairs, "pvinverter", dice.pick(&[20, 20, 21, 23, 31]), count);
    let count = some(dice, 70, 2);
    row(&mut pairs, "grid", dice.pick(&[30, 30, 30, 31, 32, 40]), count);
    let count = some(dice, 10, 3);
    row(&mut pairs, "acload", dice.pick(&[30, 31, 33]), count);
    let count = some(dice, 30, 2);
    row(&mut pairs, "evcharger", dice.pick(&[40, 40, 41, 43]), count);
    let count = some(dice, 10, 1);
    row(&mut pairs, "meteo", dice.pick(&[20, 41, 45]), count);
    let count = some(dice, 20, 4);
    row(&mut pairs, "digitalinput", 1, count);
    let count = some(dice, 5, 2);
    row(&mut pairs, "pulsemeter", 1, count);
    let count = some(dice, 5, 2);
    row(&mut pairs, "heatpump", 40, count);
    let count = some(dice, 8, 1);
    row(&mut pairs, "genset", dice.pick(&[100, 1, 40, 41]), count);
    let count = some(dice, 50, 2);
    for &unit in [100, 1].iter().take(usize::try_from(count).unwrap()) {
        pairs.insert((unit, "generator"));
    }
    let count = some(dice, 30, 1);
    row(&mut pairs, "gps", 100, count);
    let count = some(dice, 5, 1);
    row(&mut pairs, "acsystem", 100, count);
    let count = some(dice, 5, 1);
    row(&mut pairs, "motordrive", dice.pick(&[100, 1, 2]), count);
    pairs
}

/// Services, ranges of units, and whether they may be at any port.
type Row = (&'static [&'static str], &'static [(u8, u8)], bool);

/// "Where services usually are", as measured on a GX.
const TABLE: [Row; 12] = [
    (&["generator", "gps", "pump"], &[(100, 100), (1, 3)], false),
    (&["vebus"], &[(242, 242), (246, 246), (223, 239)], false),
    (&["battery"], &[(100, 100), (1, 12)], true),
    (&["solarcharger"], &[(100, 100), (1, 12)], true),
    (
        &["inverter", "multi", "charger", "alternator", "dcdc"],
        &[(100, 100), (1, 4)],
        true,
    ),
    (&["dcsource", "dcload", "dcsystem", "fuelcell"], &[], true),
    (&["grid", "acload"], &[(30, 46)], false),
    (
        &["pvinverter", "tank", "temperature", "meteo"],
        &[(20, 46)],
        false,
    ),
    (&["digitalinput", "pulsemeter"], &[(1, 12)], false),
    (&["evcharger", "heatpump"], &[(40, 46)], false),
    (&["genset", "dcgenset"], &[(100, 100), (1, 4), (40, 46)], false),
    (&["acsystem", "motordrive"], &[(100, 100), (1, 2)], false),
];

fn places(units: &[(u8, u8)], ports: bool) -> Vec<u8> {
    let listed = units.iter().flat_map(|&(first, last)| first..=last);
    let ports = (204..=247).filter(|unit| ports && *unit != 240 && *unit != 241);
    listed.chain(ports).collect()
}

/// Every pair of the table.
pub(crate) fn table() -> BTreeSet<Pair> {
    TABLE
        .iter()
        .flat_map(|&(services, units, ports)| {
            places(units, ports)
                .into_iter()
                .flat_map(|unit| services.iter().map(move |&service| (unit, service)))
        })
        .collect()
}

/// What lies behind a port, one device each.
fn on_port(pair: Pair) -> bool {
    pair.0 >= 204
        && pair.0 != 225
        && (RARE.contains(&pair.1) || ["vebus", "battery", "solarcharger"].contains(&pair.1))
}

fn add(pairs: &mut BTreeSet<Pair>, pair: Pair) {
    if !(on_port(pair) && pairs.iter().any(|&other| other.0 == pair.0 && on_port(other))) {
        pairs.insert(pair);
    }
}

/// Pairs from anywhere in the table, each as likely as any other; one device a port.
pub(crate) fn any_pairs(dice: &mut Dice, count: usize) -> BTreeSet<Pair> {
    let all: Vec<Pair> = table().into_iter().collect();
    let mut pairs = BTreeSet::new();
    while pairs.len() < count {
        add(&mut pairs, dice.pick(&all));
    }
    pairs
}

/// Each service as likely as any other, at any of its units that `at` lets pass; one device a port.
pub(crate) fn any_services(dice: &mut Dice, count: usize, at: impl Fn(u8) -> bool) -> BTreeSet<Pair> {
    let all: BTreeSet<Pair> = table().into_iter().filter(|pair| at(pair.0)).collect();
    let services: BTreeSet<&str> = all.iter().map(|pair| pair.1).collect();
    let services: Vec<&str> = services.into_iter().collect();
    let mut pairs = BTreeSet::new();
    while pairs.len() < count {
        let service = dice.pick(&services);
        let units: Vec<Pair> = all.iter().copied().filter(|pair| pair.1 == service).collect();
        add(&mut pairs, dice.pick(&units));
    }
    pairs
}

/// A unit that is no port, or a port that the maker names.
pub(crate) fn named(unit: u8) -> bool {
    !(204..=222).contains(&unit) && unit != 244
}
