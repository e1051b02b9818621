//! Readings as metrics, a part at a time: a large house is never held as one text, and no device is locked for longer
//! than it takes to copy its numbers. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use busbar_ledger::model::Ledger;
use busbar_ledger::value::Value;

use super::family::{Family, OTHER, STATE, STATE_INFO, place};
use super::text::{Format, Kind, Labels, Writer};
use crate::bus::Device;
use crate::samples::phase;
use crate::select::Select;
use crate::view;

/// How large a part is, in bytes, before it is given out.
const PART: usize = 64 * 1024;

/// A scrape under way.
pub struct Scrape {
    writer: Writer,
    tags: Vec<(String, String)>,
    /// What is still to be written: families in the order of their names, and of each the points of each device.
    rest: std::vec::IntoIter<(Family, Vec<Share>)>,
    now: Option<(Family, std::vec::IntoIter<Share>, bool)>,
    ended: bool,
}

/// The points of one device in one family.
#[derive(Clone)]
struct Share {
    device: Arc<Device>,
    /// Their places in the ledger, and what a value is multiplied with.
    points: Vec<(usize, f64)>,
}

/// The points of a ledger that go to one family.
type Sorted = (Family, Vec<(usize, f64)>);

fn sort(ledger: &Ledger) -> Vec<Sorted> {
    let mut sorted: BTreeMap<Family, Vec<(usize, f64)>> = BTreeMap::new();
    for (index, point) in ledger
        .points
        .iter()
        .enumerate()
        .filter(|(_, point)| !point.internal)
    {
        let place = place(point);
        sorted
            .entry(place.family)
            .or_default()
            .push((index, place.factor));
    }
    sorted.into_iter().collect()
}

impl Scrape {
    /// Begins one. `head` is what is told first: complete families, of the host.
    pub fn new(
        format: Format,
        devices: &[Arc<Device>],
        select: &Select,
        tags: &BTreeMap<String, String>,
        head: impl FnOnce(&mut Writer),
    ) -> Self {
        let mut writer = Writer::new(format);
        head(&mut writer);
        let mut families: BTreeMap<Family, Vec<Share>> = BTreeMap::new();
        // Many devices have one ledger.
        let mut worked_out: HashMap<*const Ledger, Vec<Sorted>> = HashMap::new();
        for device in devices {
            let ledger = &device.meta.ledger;
            let sorted = worked_out
                .entry(Arc::as_ptr(ledger))
                .or_insert_with(|| sort(ledger));
            for (family, points) in sorted {
                let wanted = |index: usize| {
                    let point = ledger.points.get(index);
                    point.is_some_and(|point| select.takes(&device.meta, point))
                };
                let points: Vec<_> = points
                    .iter()
                    .filter(|(index, _)| wanted(*index))
                    .copied()
                    .collect();
                if points.is_empty() {
                    continue;
                }
                let share = Share {
                    device: Arc::clone(device),
                    points,
                };
                match families.get_mut(family) {
                    Some(shares) => shares.push(share),
                    None => drop(families.insert(family.clone(), vec![share])),
                }
            }
        }
        // What states mean is a family of its own, behind their numbers.
        let states: Vec<_> = families
            .iter()
            .filter(|(family, _)| family.name == STATE)
            .collect();
        let meanings = states.first().map(|(_, shares)| (*shares).clone());
        let mut families: Vec<_> = families.into_iter().collect();
        if let Some(shares) = meanings {
            let family = Family {
                name: STATE_INFO.to_owned(),
                kind: Kind::Info,
                unit: "",
                help: "What the number of a state means.".to_owned(),
            };
            families.push((family, shares));
        }
        Scrape {
            writer,
            tags: tags
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            rest: families.into_iter(),
            now: None,
            ended: false,
        }
    }

    /// All of it at once.
    pub fn all(self) -> String {
        self.collect()
    }

    fn share(&mut self, family: &Family, share: &Share, begun: &mut bool) {
        let numbers = numbers(share, family.kind);
        if numbers.is_empty() {
            return;
        }
        if !std::mem::replace(begun, true) {
            self.writer
                .family(&family.name, family.kind, family.unit, &family.help);
        }
        let meta = &share.device.meta;
        let mut common = Labels::default();
        common.add("device", &meta.id);
        common.add("connection", &meta.connection);
        common.add("ledger", &meta.ledger.name);
        common.add("unit_id", &meta.unit.to_string());
        for (name, value) in &self.tags {
            common.add(name, value);
        }
        for (which, number, meaning) in numbers {
            let Some((index, factor)) = share.points.get(which) else {
                continue;
            };
            let Some(point) = meta.ledger.points.get(*index) else {
                continue;
            };
            let mut labels = common.and("key", &point.key);
            labels.add("name", view::name(&share.device, point));
            if let Some(phase) = phase(&point.key) {
                labels.add("phase", phase);
            }
            if let Some(unit) = point.unit.as_deref().filter(|_| family.name == OTHER) {
                labels.add("unit", unit);
            }
            if let Some(meaning) = meaning {
                labels.add("label", &meaning);
            }
            let number = if family.kind == Kind::Info {
                1.0
            } else {
                number * factor
            };
            self.writer.sample(&family.name, family.kind, &labels, number);
        }
    }
}

impl Iterator for Scrape {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        while !self.ended && self.writer.len() < PART {
            let Some((family, mut shares, mut begun)) = self.now.take() else {
                match self.rest.next() {
                    Some((family, shares)) => self.now = Some((family, shares.into_iter(), false)),
                    None => {
                        self.writer.end();
                        self.ended = true;
                    }
                }
                continue;
            };
            if let Some(share) = shares.next() {
                self.share(&family, &share, &mut begun);
                self.now = Some((family, shares, begun));
            }
        }
        (!self.writer.is_empty()).then(|| self.writer.take())
    }
}

/// The numbers of a share that are known now, by their place in it; of an enumeration with what they mean, where that is
/// what is asked for. The device is locked for this alone.
fn numbers(share: &Share, kind: Kind) -> Vec<(usize, f64, Option<String>)> {
    let state = share.device.state();
    let ledger = &share.device.meta.ledger;
    let mut numbers = Vec::new();
    for (which, (index, _)) in share.points.iter().enumerate() {
        let Some(slot) = state.slots.get(*index).filter(|slot| slot.is_polled()) else {
            continue;
        };
        let known = view::known(&slot.reading);
        let Some(number) = known.and_then(Value::as_f64).filter(|number| number.is_finite()) else {
            continue;
        };
        let meaning = match (kind, known, ledger.points.get(*index)) {
            (Kind::Info, Some(value), Some(point)) => match point.meaning(value) {
                Some(meaning) => Some(meaning),
                None => continue,
            },
            _ => None,
        };
        numbers.push((which, number, meaning));
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Bus;
    use crate::view::testing::{device, device_of, read};

    fn scrape(format: Format, devices: &[Arc<Device>], patterns: &[&str]) -> String {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        let select = Select::of(&patterns).unwrap();
        let tags = BTreeMap::from([("site".to_owned(), "home".to_owned())]);
        Scrape::new(format, devices, &select, &tags, |_| {}).all()
    }

    fn house() -> Vec<Arc<Device>> {
        let (bus, one, two) = (Bus::default(), device("one"), device("two"));
        for (index, value) in [(0, -12.5), (1, 2.5)] {
            read(&bus, &one, index, value);
        }
        read(&bus, &two, 0, 7.0);
        let on = busbar_ledger::value::Reading {
            value: Some(Value::Integer(1)),
            quality: busbar_ledger::value::Quality::Good,
            ..busbar_ledger::value::Reading::unavailable()
        };
        two.state().slots[2].reading = on;
        vec![one, two]
    }

    #[test]
    fn what_is_known_is_told_in_families_and_what_is_not_is_left_out() {
        let text = scrape(Format::OpenMetrics, &house(), &[]);
        let common = |id: &str| {
            format!("device=\"{id}\",connection=\"c\",ledger=\"test/one\",unit_id=\"1\",site=\"home\"")
        };
        let (one, two) = (common("one"), common("two"));
        let expected = format!(
            "# HELP busbar_energy_joules Energy, counted upwards, in joules.\n\
             # TYPE busbar_energy_joules counter\n\
             # UNIT busbar_energy_joules joules\n\
             busbar_energy_joules_total{{{one},key=\"energy\",name=\"Energy\"}} 9000000\n\
             # HELP busbar_power_watts Power, in watts.\n\
             # TYPE busbar_power_watts gauge\n\
             # UNIT busbar_power_watts watts\n\
             busbar_power_watts{{{one},key=\"power\",name=\"Power\"}} -12.5\n\
             busbar_power_watts{{{two},key=\"power\",name=\"Power\"}} 7\n\
             # HELP busbar_state_number A state, as the number that the device gives; busbar_state_info says what it means.\n\
             # TYPE busbar_state_number gauge\n\
             busbar_state_number{{{two},key=\"state\",name=\"State\"}} 1\n\
             # HELP busbar_state What the number of a state means.\n\
             # TYPE busbar_state info\n\
             busbar_state_info{{{two},key=\"state\",name=\"State\",label=\"On\"}} 1\n\
             # EOF\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn only_what_is_wanted_is_told() {
        let text = scrape(Format::Text, &house(), &["two.power"]);
        assert_eq!(
            text.lines().filter(|line| !line.starts_with('#')).count(),
            1,
            "{text}"
        );
        assert!(text.contains("device=\"two\""), "{text}");
    }

    #[test]
    fn a_device_that_is_away_and_a_number_that_is_none_are_left_out() {
        let house = house();
        for device in &house {
            for slot in &mut device.state().slots {
                slot.reading = busbar_ledger::value::Reading::unavailable();
            }
        }
        house[0].state().slots[0].reading = busbar_ledger::value::Reading {
            value: Some(Value::Number(f64::NAN)),
            quality: busbar_ledger::value::Quality::Good,
            ..busbar_ledger::value::Reading::unavailable()
        };
        assert_eq!(scrape(Format::Text, &house, &[]), "");
    }

    #[test]
    fn hostile_names_stay_in_their_label() {
        let ledger = "ledger = \"test/odd\"\ntitle = \"Odd\"\n[points]\n\
            a_l2 = { at = 0, type = \"u16\", unit = \"fur\\\"long\" }\n";
        let named = crate::bus::OwnersWord {
            names: BTreeMap::from([("a_l2".to_owned(), "x\"} 1\n# TYPE y gauge\r".to_owned())]),
            ..Default::default()
        };
        let odd = Arc::new(Arc::into_inner(device_of("odd", ledger)).unwrap().of_owner(named));
        read(&Bus::default(), &odd, 0, 1.0);
        let text = scrape(Format::Text, &[odd], &[]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(
            lines[2].starts_with("busbar_other{") && lines[2].ends_with("} 1"),
            "{text}"
        );
        assert!(
            lines[2].contains("phase=\"L2\"") && lines[2].contains("unit=\"fur\\\"long\""),
            "{text}"
        );
    }

    #[test]
    fn parts_are_small_however_large_a_house_is() {
        let bus = Bus::default();
        let devices: Vec<_> = (0..2000).map(|i| device(&format!("d{i}"))).collect();
        devices.iter().for_each(|device| read(&bus, device, 0, 1.0));
        let parts: Vec<String> = Scrape::new(
            Format::Text,
            &devices,
            &Select::default(),
            &BTreeMap::new(),
            |_| {},
        )
        .collect();
        assert!(parts.len() > 3);
        assert!(parts.iter().all(|part| part.len() < PART + 4096));
        assert_eq!(parts.concat().lines().count(), 2002);
    }
}
