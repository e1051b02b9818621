//! Which blocks one poll of a unit reads: fewest requests over all its devices. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use busbar_ledger::model::Bridge;
use busbar_ledger::plan::{PlanRules, plan, wants};
use busbar_ledger::ranges::Ranges;
use busbar_ledger::readings::Facts;
use busbar_ledger::span::Span;

use super::schedule::Due;
use crate::bus::Device;

/// What bounds the blocks of a unit, beside what its ledgers say.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest read that the configuration allows.
    pub max_words: u16,
    /// Whether a block may run across a hole: not where the device was caught closing the gap.
    pub spans_holes: bool,
}

/// The plans of one unit, worked out once for each combination of rates that comes up.
#[derive(Debug, Default)]
pub struct Plans {
    by_due: HashMap<Due, Arc<UnitPlan>>,
}

/// What one poll reads.
#[derive(Debug, Default)]
pub struct UnitPlan {
    /// The blocks, over all devices of the unit.
    pub blocks: Vec<Span>,
    /// For each device of the unit, in order: the registers it wants and the points that are due.
    pub devices: Vec<DeviceWants>,
}

/// What one device wants of a poll.
#[derive(Debug, Default)]
pub struct DeviceWants {
    /// Registers, none of them split over two reads.
    pub spans: Vec<Span>,
    /// Points, by their place in the ledger.
    pub points: Vec<usize>,
}

impl Plans {
    /// The plan for these rates over the devices that are `asked`; worked out anew only after [`Plans::clear`].
    pub fn get(
        &mut self,
        devices: &[Arc<Device>],
        asked: impl Fn(usize) -> bool,
        due: Due,
        limits: Limits,
    ) -> Arc<UnitPlan> {
        let plan = self
            .by_due
            .entry(due)
            .or_insert_with(|| Arc::new(unit_plan(devices, asked, due, limits)));
        Arc::clone(plan)
    }

    /// Forgets all plans: what can be read, or what exists, has changed.
    pub fn clear(&mut self) {
        self.by_due.clear();
    }
}

/// How many reads a poll of everything takes, over all units.
pub fn reads(devices: &[Arc<Device>]) -> usize {
    let mut units: HashMap<u8, Vec<Arc<Device>>> = HashMap::new();
    for device in devices {
        units
            .entry(device.meta.unit)
            .or_default()
            .push(Arc::clone(device));
    }
    let limits = Limits {
        max_words: u16::MAX,
        spans_holes: true,
    };
    let of = |devices: &Vec<Arc<Device>>| unit_plan(devices, |_| true, Due::ALL, limits).blocks.len();
    units.values().map(of).sum()
}

fn unit_plan(devices: &[Arc<Device>], asked: impl Fn(usize) -> bool, due: Due, limits: Limits) -> UnitPlan {
    let mut readable = Ranges::default();
    let mut all = Vec::new();
    let mut each = Vec::new();
    for (i, device) in devices.iter().enumerate() {
        if !asked(i) {
            each.push(DeviceWants::default());
            continue;
        }
        let wanted = device_wants(device, due);
        readable.union(&device.state().readable);
        all.extend_from_slice(&wanted.spans);
        each.push(wanted);
    }
    UnitPlan {
        blocks: plan(&all, &readable, &rules(devices, limits)),
        devices: each,
    }
}

fn device_wants(device: &Device, due: Due) -> DeviceWants {
    let ledger = &device.meta.ledger;
    let state = device.state();
    let points: Vec<usize> = ledger
        .points
        .iter()
        .zip(&state.slots)
        .enumerate()
        .filter(|(i, (point, slot))| {
            slot.is_polled() && (due.includes(point.rate) || state.watched.contains(i))
        })
        .map(|(i, _)| i)
        .collect();
    let facts = Facts {
        firmware: device.meta.firmware.as_deref(),
        model: device.meta.model.as_deref(),
        readable: Some(&state.readable),
        ..Facts::default()
    };
    DeviceWants {
        spans: wants(ledger, points.iter().copied(), &facts),
        points,
    }
}

/// The blocks of a single device, for when a block over several was refused.
pub fn device_blocks(device: &Arc<Device>, wants: &[Span], limits: Limits) -> Vec<Span> {
    plan(
        wants,
        &device.state().readable,
        &rules(std::slice::from_ref(device), limits),
    )
}

/// The strictest wish of all devices of a unit.
fn rules(devices: &[Arc<Device>], limits: Limits) -> PlanRules {
    let words = devices
        .iter()
        .map(|d| d.meta.ledger.read.max_words)
        .min()
        .unwrap_or(125);
    let bridge = devices
        .iter()
        .map(|d| d.meta.ledger.read.bridge)
        .min_by_key(|b| match b {
            Bridge::Never => 0,
            Bridge::Declared => 1,
            Bridge::Learned => 2,
            Bridge::Any => 3,
        })
        .unwrap_or(Bridge::Declared);
    let bridge = if limits.spans_holes { bridge } else { Bridge::Never };
    PlanRules {
        max_words: words.min(limits.max_words),
        bridge,
    }
}
