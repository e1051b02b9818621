//! Whether the target is a GX at all. Other devices are to be bothered with a handful of probes at most.

use busbar_plugin_sdk::Probe;

use crate::plan::Plan;
use crate::site::{FIRMWARE, SERIAL, Site};
use crate::unit::GX;

/// The first batch: the identity, something that every GX has, and something that unit 100 lacks on nearly every GX.
const FIRST: [Probe; 4] = [SERIAL, FIRMWARE, at_gx(2700), at_gx(3)];
/// Answers at unit 100 after which the matter is judged.
const ENOUGH: usize = 16;

/// What the target seems to be.
pub(crate) enum Target {
    /// Not to be told before these are answered.
    Unknown(Vec<Probe>),
    /// It speaks like one; the services at unit 100 will tell.
    PerhapsGx,
    /// It has the name of one; as many probes as a GX is asked at first will tell.
    ProbablyGx,
    /// A GX.
    Gx,
    /// Something else; the sentence says why.
    Other(&'static str),
}

/// Judges by the evidence so far.
pub(crate) fn recognise(site: &Site<'_>, plan: &Plan<'_, '_>) -> Target {
    let missing: Vec<Probe> = FIRST.into_iter().filter(|probe| !site.was_asked(probe)).collect();
    if !missing.is_empty() {
        return Target::Unknown(missing);
    }
    let named = site.serial.as_deref().is_some_and(is_portal_id);
    let dated = site.firmware.as_deref().is_some_and(is_version);
    if !named && !dated && site.refusals == 0 {
        return Target::Other("not a Victron GX: unit 100 does not answer like one");
    }
    let services = 0..site.table.services.len();
    let settled = services
        .clone()
        .filter(|&service| site.is_settled(service, GX))
        .count();
    if settled < ENOUGH && !plan.is_done_at_gx() {
        return if named {
            Target::ProbablyGx
        } else {
            Target::PerhapsGx
        };
    }
    if !services.clone().any(|service| site.has(service, GX)) {
        return Target::Other(
            "not a Victron GX: nothing was found at unit 100, where a GX has its own services",
        );
    }
    if site.refusals == 0 && !site.is_silent(GX) {
        return Target::Other("not a Victron GX: it answers for services that no GX has all at once");
    }
    Target::Gx
}

/// A portal id is the MAC address, twelve hexadecimal digits; systems of one's own making may have another.
fn is_portal_id(text: &str) -> bool {
    text.len() >= 6 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Any two words can be shown as a version, but few have decimal digits only.
fn is_version(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || b"v.~".contains(&byte))
}

const fn at_gx(at: u16) -> Probe {
    Probe {
        unit: GX,
        function: 3,
        at,
        count: 1,
    }
}
