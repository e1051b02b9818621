//! What a scan amounts to: devices with ids that never change, and a sentence on how much of the site was covered.

use busbar_plugin_sdk::{Found, Mode, Verdict};

use crate::plan::Plan;
use crate::site::Site;

/// Stands in an id for a serial number that the GX does not tell.
const NO_SERIAL: &str = "gx";

/// What was found so far, by unit and service.
pub(crate) fn verdict(site: &Site<'_>, plan: &Plan<'_, '_>, mode: Mode) -> Verdict {
    let serial = site.serial.as_deref().filter(|serial| !serial.is_empty());
    let id = serial.map(sanitised).unwrap_or_else(|| NO_SERIAL.to_owned());
    let mut devices = Vec::new();
    for unit in 1..=u8::MAX {
        for (s, service) in site.table.services.iter().enumerate() {
            if site.has(s, unit) {
                devices.push(Found {
                    unit,
                    ledger: format!("victron/gx-{}", service.name),
                    id: format!("{id}_{}_u{unit}", service.name),
                    name: None,
                    model: None,
                    serial: serial.map(str::to_owned),
                    firmware: site.firmware.clone(),
                    ledger_text: None,
                });
            }
        }
    }
    let note = note(site, plan, mode, devices.len());
    Verdict { devices, note }
}

fn note(site: &Site<'_>, plan: &Plan<'_, '_>, mode: Mode, found: usize) -> String {
    let firmware = site.firmware.as_deref().unwrap_or("of unknown firmware");
    let left = plan.left();
    let mut note = format!("Victron GX {firmware}: {found} services");
    note += &match (left, mode) {
        (0, Mode::Quick) => ", after asking at every place where they usually are".to_owned(),
        (0, _) => String::new(),
        (_, Mode::Quick) => format!(
            "; {left} of the least likely places were not asked, which keeps the error log of the GX short (a full scan asks everywhere)"
        ),
        (_, Mode::Full | Mode::Listed) => format!("; {left} places were not asked"),
    };
    let silent = (1..=u8::MAX).filter(|&unit| site.is_silent(unit)).count();
    if silent > 0 {
        note += &format!("; {silent} units did not answer in time and were left alone");
    }
    if site.serial.as_deref().is_none_or(str::is_empty) {
        note += "; it does not tell its serial number, so the ids here begin with gx and are only good for one GX";
    }
    note
}

/// Lower case letters, digits and underscores, as ids want it.
fn sanitised(serial: &str) -> String {
    serial
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}
