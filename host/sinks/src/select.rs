//! Which entities a sink tells of: patterns of its owner. Pure.

use busbar_ledger::model::Point;

use crate::bus::DeviceMeta;

/// Patterns that one sink may have.
const MOST: usize = 1000;
/// The longest of them, in bytes.
const LONGEST: usize = 256;

/// `entities` of a sink: a list of patterns. Nothing in it means every entity.
///
/// A pattern is compared with the entity's id (`<device>.<key>`), with `<ledger>:<key>` and `<ledger>:<address>`, and with
/// both of them behind `<connection>/<unit>/`; `*` stands for anything. One that begins with `!` leaves out what it fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    wanted: Vec<String>,
    unwanted: Vec<String>,
}

impl Select {
    /// Reads patterns.
    ///
    /// # Errors
    /// What is wrong with one of them, and what to write instead.
    pub fn of(patterns: &[String]) -> Result<Self, String> {
        if patterns.len() > MOST {
            return Err(format!(
                "entities: more than {MOST} patterns; `*` stands for anything"
            ));
        }
        let mut select = Select::default();
        for pattern in patterns {
            let (list, text) = match pattern.strip_prefix('!') {
                Some(rest) => (&mut select.unwanted, rest),
                None => (&mut select.wanted, pattern.as_str()),
            };
            if text.is_empty() || text.len() > LONGEST || !text.contains(['.', ':', '*']) {
                return Err(format!(
                    "entities: {pattern:?} names no entity: write an id such as \"c0619ab_battery_u225.soc\", a point such \
                     as \"victron/gx-battery:soc\", or either with `*` in it, such as \"*.power*\""
                ));
            }
            list.push(text.to_owned());
        }
        Ok(select)
    }

    /// Whether a point of a device is wanted.
    pub fn takes(&self, device: &DeviceMeta, point: &Point) -> bool {
        if self.wanted.is_empty() && self.unwanted.is_empty() {
            return true;
        }
        let ledger = &device.ledger.name;
        let mut names = vec![
            format!("{}.{}", device.id, point.key),
            format!("{ledger}:{}", point.key),
        ];
        names.extend(
            point
                .register()
                .map(|register| format!("{ledger}:{}", register.span.at)),
        );
        for i in 1..names.len() {
            names.push(format!("{}/{}/{}", device.connection, device.unit, names[i]));
        }
        let one = |patterns: &[String]| {
            patterns
                .iter()
                .any(|pattern| names.iter().any(|name| fits(pattern, name)))
        };
        (self.wanted.is_empty() || one(&self.wanted)) && !one(&self.unwanted)
    }
}

/// Whether a text fits a pattern in which `*` stands for anything. Takes a time that grows with the product of both lengths
/// at most.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stands, and how much of the text it has swallowed.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, swallowed)) => {
                    star = Some((at, swallowed + 1));
                    p = at + 1;
                    t = swallowed + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::view::testing::device;

    fn chosen(patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        let select = Select::of(&patterns).unwrap();
        let device = device("one");
        let points = device.meta.ledger.points.iter();
        points
            .filter(|p| select.takes(&device.meta, p))
            .map(|p| p.key.clone())
            .collect()
    }

    #[test]
    fn an_entity_is_chosen_by_id_ledger_address_or_place() {
        assert_eq!(chosen(&[]), ["power", "energy", "state"]);
        assert_eq!(chosen(&["one.power"]), ["power"]);
        assert_eq!(chosen(&["test/one:e*"]), ["energy"]);
        assert_eq!(chosen(&["test/one:3"]), ["state"]);
        assert_eq!(chosen(&["c/1/test/one:state"]), ["state"]);
        assert_eq!(chosen(&["!*.state"]), ["power", "energy"]);
        assert_eq!(chosen(&["one.*", "!*:power"]), ["energy", "state"]);
        assert!(chosen(&["two.*"]).is_empty());
    }

    #[test]
    fn what_can_fit_nothing_is_refused_with_an_example() {
        for bad in ["", "!", "power"] {
            let error = Select::of(&[bad.to_owned()]).unwrap_err();
            assert!(error.contains("*.power*"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_star_stands_for_anything(a in "[ab.]{0,6}", b in "[ab.]{0,6}", between in "[ab.]{0,6}") {
            let text = format!("{a}{between}{b}");
            let starred = format!("{a}*{b}");
            prop_assert!(fits(&starred, &text));
            prop_assert!(fits("*", &text));
            prop_assert!(fits(&text, &text));
            let longer = format!("{text}c");
            prop_assert!(!fits(&longer, &text));
        }
    }
}
