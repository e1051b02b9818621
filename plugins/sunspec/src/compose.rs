//! The ledger of one device: its models, each point at the address where this device has it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::device::Device;
use crate::models::{Fact, Layout, Model, Models, Type};
use crate::points::{Meaning, in_ledger, is_counter, is_mark, is_slow, meaning};
use crate::text::{clean, quoted, slug};
use crate::walk::{Entry, MAX_BLOCKS};

/// The most points of one device.
const MAX_POINTS: usize = 4_000;
/// Families that share keys with others: in front of their keys where something else is most of the device.
const PREFIXED: [&str; 4] = ["inverter", "der", "meter", "battery"];
/// States in which an inverter shows nothing: off, sleeping, standby. Of models 101 to 113, and of 701.
const ASLEEP: [(&str, [u16; 3]); 2] = [("St", [1, 2, 8]), ("InvSt", [0, 1, 7])];

/// Writes the ledger.
pub(crate) fn compose(device: &Device<'_>) -> String {
    let mut composer = Composer {
        device,
        main: device.main().map_or("", |model| model.family),
        asleep: is_asleep(device),
        keys: BTreeSet::new(),
        scales: BTreeSet::new(),
        lines: String::new(),
    };
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    for entry in device.entries {
        if let Some((model, layout)) = Models::known().get(entry.id) {
            let instance = seen.entry(model.layout).or_insert(0);
            *instance += 1;
            composer.model(entry, model, layout, *instance);
        }
    }
    // A list of nothing but unknown models still has its own head.
    if composer.lines.is_empty()
        && let Some(entry) = device.entries.first()
    {
        let _ = writeln!(
            composer.lines,
            "first_model = {{ at = {}, type = \"u16\", class = \"identity\" }}",
            entry.at
        );
    }
    let identify = device.serial_at.map_or_else(String::new, |at| {
        format!("[identify]\nserial = {{ at = {at}, words = 16, format = \"text\" }}\n\n")
    });
    format!(
        "ledger = {}\ntitle = {}\nsource = \"SunSpec models {}, as the device lists them\"\n\n{identify}[read]\nbridge = \"any\"\n\n[points]\n{}",
        quoted(&device.ledger()),
        quoted(&device.title()),
        ids(device.entries),
        composer.lines
    )
}

/// The models by their numbers, in the device's order.
fn ids(entries: &[Entry]) -> String {
    let ids: Vec<String> = entries
        .iter()
        .take(40)
        .map(|entry| entry.id.to_string())
        .collect();
    ids.join(", ")
}

/// Whether an inverter is asleep, so that what it does not show says nothing about what it has.
fn is_asleep(device: &Device<'_>) -> bool {
    device.entries.iter().any(|entry| {
        let Some((model, layout)) = Models::known().get(entry.id) else {
            return false;
        };
        ["inverter", "der"].contains(&model.family)
            && ASLEEP.iter().any(|(name, states)| {
                let state = layout
                    .points
                    .iter()
                    .find(|fact| fact.name == *name && fact.kind == "enum");
                // Model 701 has an `St` of another meaning.
                let is_own = (model.family == "der") == (*name == "InvSt");
                let state = state
                    .filter(|_| is_own)
                    .and_then(|fact| raw(device, entry, 0, fact));
                matches!(state.as_deref(), Some([state]) if states.contains(state))
            })
    })
}

/// The registers of a point; `from` is the offset of its block. `None` where they were not read or lie behind the
/// model's end.
fn raw(device: &Device<'_>, entry: &Entry, from: u16, fact: &Fact) -> Option<Vec<u16>> {
    let at = place(entry, from, fact)?;
    (at..at + fact.words)
        .map(|at| device.words.get(&at).copied())
        .collect()
}

/// The address of a point, where the model is long enough to have it.
fn place(entry: &Entry, from: u16, fact: &Fact) -> Option<u16> {
    let offset = from.checked_add(fact.offset)?;
    let end = u32::from(offset) + u32::from(fact.words);
    (end <= u32::from(entry.length) + 2)
        .then(|| entry.at.checked_add(offset))
        .flatten()
}

/// One model of the device, or one block of it.
struct Part<'a> {
    entry: &'a Entry,
    model: &'static Model,
    layout: &'static Layout,
    /// Offset of the block; 0 for the model itself.
    from: u16,
    /// The block's number and name.
    block: Option<(u16, String)>,
    /// The how many-th model of its layout.
    instance: usize,
}

struct Composer<'a> {
    device: &'a Device<'a>,
    main: &'static str,
    asleep: bool,
    keys: BTreeSet<String>,
    scales: BTreeSet<u16>,
    lines: String,
}

impl Composer<'_> {
    fn model(&mut self, entry: &Entry, model: &'static Model, layout: &'static Layout, instance: usize) {
        let mut part = Part {
            entry,
            model,
            layout,
            from: 0,
            block: None,
            instance,
        };
        self.points(&part, &layout.points);
        let Some(block) = &layout.block else { return };
        let fits = (entry.length + 2).saturating_sub(block.first) / block.words;
        let said = layout.points.iter().find(|fact| fact.name == block.count);
        let said = said.and_then(|fact| raw(self.device, entry, 0, fact));
        // A device may leave the count out, and its blocks still be there.
        let blocks = match said.as_deref() {
            Some([n]) if (1..=fits).contains(n) => *n,
            _ => fits,
        };
        for number in 1..=blocks.min(MAX_BLOCKS) {
            part.from = block.first + (number - 1) * block.words;
            part.block = Some((number, self.block_name(&part, &block.points, number)));
            self.points(&part, &block.points);
        }
    }

    /// What the device calls a block, else its number.
    fn block_name(&self, part: &Part<'_>, points: &[Fact], number: u16) -> String {
        let own = points
            .iter()
            .find(|fact| fact.name == "IDStr")
            .and_then(|fact| raw(self.device, part.entry, part.from, fact))
            .map(|words| clean(words.into_iter()))
            .filter(|name| !name.is_empty());
        let kind = match part.model.id {
            160 => "MPPT",
            714 => "DC port",
            _ => "Sensor",
        };
        own.unwrap_or_else(|| format!("{kind} {number}"))
    }

    fn points(&mut self, part: &Part<'_>, points: &'static [Fact]) {
        for fact in points.iter().filter(|fact| !fact.key.is_empty()) {
            if self.keys.len() >= MAX_POINTS {
                return;
            }
            if let Some(at) = place(part.entry, part.from, fact) {
                self.point(part, points, fact, at);
            }
        }
    }

    fn point(&mut self, part: &Part<'_>, siblings: &[Fact], fact: &'static Fact, at: u16) {
        let key = self.key(part, fact.key);
        let scale_at = self.scale_register(part, fact);
        let absent = self.absent(part, siblings, fact, at, scale_at);
        let (ty, mark) = in_ledger(fact.ty);
        let Meaning { class, unit, scale } = meaning(fact);
        let mut line = format!("{key} = {{ at = {at}, type = \"{ty}\"");
        // Writing to a string cannot fail.
        let mut add = |name: &str, value: &str| {
            let _ = write!(line, ", {name} = {value}");
        };
        if fact.ty == Type::Text {
            add("words", &fact.words.to_string());
        }
        if let Some(scale) = fixed_scale(fact).or(scale) {
            add("scale", &quoted(scale));
        }
        if let Some(at) = scale_at {
            add("scale_point", &quoted(&format!("sf_{at}")));
        }
        if let Some(unit) = unit {
            add("unit", &quoted(unit));
        }
        if let Some(class) = class {
            add("class", &quoted(class));
        }
        if fact.kind == "total" {
            add("total", "\"increasing\"");
        }
        if fact.kind.starts_with("enum") && !fact.meanings.is_empty() {
            let labels: Vec<String> = fact
                .meanings
                .iter()
                .map(|(number, text)| format!("{number} = {}", quoted(text)))
                .collect();
            add("labels", &format!("{{ {} }}", labels.join(", ")));
            add("unlisted", "\"Unknown ({})\"");
        }
        if let Some(mark) = mark {
            add("invalid", &format!("[{mark}]"));
        }
        if is_slow(fact) {
            add("rate", "\"slow\"");
        }
        add("label", &quoted(&self.label(part, fact.label)));
        add("origin", &quoted(&format!("{} {}", part.model.id, fact.name)));
        if let Some(why) = &absent {
            add("absent", &quoted(why));
        }
        let _ = writeln!(self.lines, "{line} }}");
        if fact.kind == "events" {
            self.bits(part, fact, at, &key, absent.as_deref());
        }
    }

    /// Each event by itself.
    fn bits(&mut self, part: &Part<'_>, fact: &'static Fact, at: u16, whole: &str, absent: Option<&str>) {
        let stem = match fact.key {
            "events" => "event",
            key => key,
        };
        for (bit, text) in &fact.meanings {
            let key = self.key(part, &format!("{stem}_{}", slug(text)));
            let _ = write!(
                self.lines,
                "{key} = {{ at = {at}, words = {}, bit = {bit}, class = \"state\", overlap = true, label = {}, \
                 valid_when = {{ point = \"{whole}\", at_least = 0 }}",
                fact.words,
                quoted(&self.label(part, text)),
            );
            if let Some(why) = absent {
                let _ = write!(self.lines, ", absent = {}", quoted(why));
            }
            self.lines.push_str(" }\n");
        }
    }

    /// A key that no other point has.
    fn key(&mut self, part: &Part<'_>, key: &str) -> String {
        let family = part.model.family;
        let mut key = match part.block {
            Some((number, _)) => key.replace("{n}", &number.to_string()),
            None => key.to_owned(),
        };
        if family != self.main && PREFIXED.contains(&family) {
            key = format!("{family}_{key}");
        }
        if part.instance > 1 {
            key = format!("{key}_{}", part.instance);
        }
        let mut free = key.clone();
        let mut number = 2;
        while !self.keys.insert(free.clone()) {
            free = format!("{key}_{number}");
            number += 1;
        }
        free
    }

    fn label(&self, part: &Part<'_>, label: &str) -> String {
        let label = match &part.block {
            Some((_, name)) => label.replace("{name}", name),
            None => label.to_owned(),
        };
        match part.instance {
            1 => label,
            n => format!("{label} ({n})"),
        }
    }

    /// The address of the scale factor, whose own line is written when it is first needed.
    fn scale_register(&mut self, part: &Part<'_>, fact: &Fact) -> Option<u16> {
        let factor = part.layout.points.iter().find(|other| other.name == fact.scale)?;
        let at = place(part.entry, 0, factor)?;
        if self.scales.insert(at) {
            let _ = writeln!(
                self.lines,
                "sf_{at} = {{ at = {at}, type = \"i16\", invalid = [0x8000], internal = true, origin = {} }}",
                quoted(&format!("{} {}", part.model.id, factor.name))
            );
        }
        Some(at)
    }

    /// Why the device lacks a point, as far as it says so. What a model must have is never taken to be absent, and
    /// neither is what a sleeping inverter does not show.
    fn absent(
        &self,
        part: &Part<'_>,
        siblings: &[Fact],
        fact: &Fact,
        at: u16,
        scale_at: Option<u16>,
    ) -> Option<String> {
        if fact.is_required(part.model.id) || self.asleep && fact.ty != Type::Text {
            return None;
        }
        let words = raw(self.device, part.entry, part.from, fact)?;
        if is_mark(fact.ty, &words) {
            return Some(format!("the device marks register {at} as not implemented"));
        }
        if is_counter(fact.ty) && self.is_not_counted(part, siblings, fact) {
            return Some(format!(
                "the device counts nothing in register {at}, nor in its kin"
            ));
        }
        let scale = scale_at.and_then(|at| self.device.words.get(&at).map(|word| (at, *word)));
        match scale {
            Some((at, 0x8000)) => Some(format!(
                "the device marks its scale, register {at}, as not implemented"
            )),
            _ => None,
        }
    }

    /// Whether a 0 means that this is not counted: all optional counters of the same kind stand at 0, while one that
    /// the model must have does not (then the device is not just new), or there is none.
    fn is_not_counted(&self, part: &Part<'_>, siblings: &[Fact], fact: &Fact) -> bool {
        let value = |fact: &Fact| raw(self.device, part.entry, part.from, fact);
        let kin = siblings.iter().filter(|other| {
            is_counter(other.ty)
                && (other.scale, other.unit) == (fact.scale, fact.unit)
                && !other.key.is_empty()
        });
        let (required, optional): (Vec<&Fact>, Vec<&Fact>) =
            kin.partition(|other| other.is_required(part.model.id));
        let runs = |other: &&Fact| value(other).is_some_and(|words| words.iter().any(|word| *word != 0));
        !optional.iter().any(runs) && (required.is_empty() || required.iter().any(runs))
    }
}

/// The factor of a point whose definition gives a power of ten.
fn fixed_scale(fact: &Fact) -> Option<&'static str> {
    match fact.scale {
        "-1" => Some("1/10"),
        "-2" => Some("1/100"),
        "-7" => Some("1/10000000"),
        _ => None,
    }
}
