//! Whether a device is still set up as it was when it was learned: which phases it measures, what it stands for.

use std::collections::BTreeMap;

use crate::computed;
use crate::model::{Group, Ledger};
use crate::presence::Status;
use crate::readings::{Facts, formula, usable};
use crate::value::Reading;

/// What readings say of a device's set-up, as far as it is told by the points that `rescan_when_changed` names.
#[derive(Clone, Debug, Default)]
pub struct Setup<'a> {
    /// Whether each group that requires something of such a point has what it requires; without those not known.
    groups: BTreeMap<&'a str, bool>,
}

impl<'a> Setup<'a> {
    /// What these readings, one for each point, say.
    pub fn of(ledger: &'a Ledger, readings: &[Reading]) -> Self {
        let Some(identify) = &ledger.identify else {
            return Setup::default();
        };
        let decided = |group: &Group| {
            let requires = group.requires.as_ref()?;
            if !identify.rescan_when_changed.contains(&requires.point) {
                return None;
            }
            computed::holds(requires, readings.get(*ledger.index.get(&requires.point)?)?)
        };
        let groups = ledger.groups.iter();
        Setup {
            groups: groups
                .filter_map(|(name, group)| Some((name.as_str(), decided(group)?)))
                .collect(),
        }
    }

    /// Whether a device that is set up like this cannot have a point of this group.
    pub fn rules_out(&self, group: Option<&str>) -> bool {
        group.and_then(|group| self.groups.get(group)) == Some(&false)
    }

    /// Whether what is known to exist, by the point's place in the ledger, is of another set-up: something of a group
    /// that cannot be there, or nothing of one that must be.
    pub fn differs(&self, ledger: &Ledger, facts: &Facts<'_>, status: &dyn Fn(usize) -> Status) -> bool {
        self.groups.iter().any(|(name, there)| {
            let members = ledger.points.iter().enumerate();
            let mut possible = members.filter(|(_, point)| {
                point.group.as_deref() == Some(*name)
                    && (usable(ledger, point, facts).next().is_some()
                        || formula(ledger, point, facts).is_some())
            });
            match there {
                false => possible.any(|(i, _)| status(i) != Status::Absent),
                true => {
                    let mut statuses = possible.map(|(i, _)| status(i)).peekable();
                    statuses.peek().is_some() && statuses.all(|status| status == Status::Absent)
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::readings;
    use crate::testing::{image, parsed};

    const METER: &str = r#"
        [identify]
        rescan_when_changed = ["wiring"]
        [groups.l2]
        requires = { point = "wiring", not_in = [0] }
        [groups.other]
        requires = { point = "option", in = [1] }
        [points]
        wiring = { at = 0, type = "u16" }
        option = { at = 1, type = "u16" }
        power_l2 = { at = 2, type = "u16", group = "l2" }
        extra = { at = 3, type = "u16", group = "other" }
    "#;

    #[test]
    fn a_group_that_the_wiring_rules_out_differs_until_it_is_absent() {
        let ledger = parsed(METER);
        let differs = |wiring: u16, power: Status| {
            let readings = readings(&ledger, &image(&[(0, &[wiring, 0, 7, 7])]), &Facts::default());
            let setup = Setup::of(&ledger, &readings);
            assert_eq!(setup.rules_out(Some("l2")), wiring == 0);
            assert!(!setup.rules_out(Some("other")), "its condition is no set-up");
            let status = |i: usize| if i == 2 { power } else { Status::Present };
            setup.differs(&ledger, &Facts::default(), &status)
        };
        assert!(differs(0, Status::Present) && differs(0, Status::Unproven));
        assert!(!differs(0, Status::Absent));
        assert!(differs(3, Status::Absent));
        assert!(!differs(3, Status::Present));
    }

    #[test]
    fn what_was_not_read_says_nothing() {
        let ledger = parsed(METER);
        let readings = readings(&ledger, &image(&[(2, &[7, 7])]), &Facts::default());
        let setup = Setup::of(&ledger, &readings);
        assert!(!setup.rules_out(Some("l2")));
        assert!(!setup.differs(&ledger, &Facts::default(), &|_| Status::Present));
    }
}
