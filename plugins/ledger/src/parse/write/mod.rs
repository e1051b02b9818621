//! Bounds and manner of writable points.

mod bounds;
mod manner;

use bounds::{Values, at_most, bound, choices, no_limit, range, step};
pub(super) use manner::duration;
use manner::{interlocks, lease, verify};

use super::common::{self, MAX_NOTE};
use super::references::{Reference, Target};
use super::registers::Shape;
use crate::diagnostics::Sink;
use crate::format::{self, At};
use crate::model::{ReadRules, ValueType};
use crate::span::Function;
use crate::write::{By, Kind, STORED_BUDGET, STORED_INTERVAL, Storage, VOLATILE_INTERVAL, WriteRule};

/// The most writes in 24 hours that a ledger may allow: one each second.
const MAX_BUDGET: u32 = 86_400;

/// The most bytes that a register link can set: what function 23 can carry, less id and length.
const MAX_LINK: u8 = 238;

/// What a write table is checked against.
pub(super) struct Place<'a> {
    /// All registers of the point, its own first.
    pub(super) shapes: &'a [Shape],
    /// The point's unit.
    pub(super) unit: Option<&'a str>,
    /// Whether the point is one of several that a `for_each` makes.
    pub(super) repeated: bool,
    /// How the device is read.
    pub(super) read: &'a ReadRules,
}

/// Checks a write table against the point's own register. `lost` tells which keys were at fault already.
pub(super) fn check(
    write: At<format::Write>,
    place: &Place<'_>,
    lost: &dyn Fn(&str) -> bool,
    references: &mut Vec<Reference>,
    sink: &mut Sink,
) -> Option<WriteRule> {
    let At {
        value: mut write,
        span,
    } = write;
    let before = sink.len();
    let own = place.shapes.first()?;
    if !can_be_written(&write, place, &span, sink) {
        return None;
    }
    let by = match write.link.take() {
        Some(link) => self::link(link, &write, place, own, sink)?,
        None => By::Function(function(write.function.take(), own, sink)),
    };
    if own.register.ty == ValueType::Text {
        no_numbers(&mut write, sink);
    }
    let values = Values::of(own, &by, (!lost("unit")).then(|| place.unit.unwrap_or_default()));
    let min = write.min.take().and_then(|end| bound(end, &values, sink));
    let max = write.max.take().and_then(|end| bound(end, &values, sink));
    let any_lost = ["min", "max", "choices", "site"].iter().any(|key| lost(key));
    let range = range(min, max, &span, any_lost || sink.len() > before, sink);
    let choices = choices(std::mem::take(&mut write.choices), &values, sink);
    let is_text = own.register.ty == ValueType::Text;
    if !is_text && range.is_none() && choices.is_empty() && sink.len() == before && !any_lost {
        sink.add(
            "bounds",
            span.clone(),
            "a write without bounds",
            "add `min` and `max` (a number or { site = \"ac_power\" }), or `choices = [0, 1]`",
        );
    }
    let step = write.step.take().and_then(|given| step(given, range, own, sink));
    let no_limit = write
        .no_limit
        .take()
        .and_then(|value| no_limit(value, range, &choices, &values, sink));
    let max_change = write.max_change.take().and_then(|change| {
        let fine = change.value.0 > 0.0;
        if !fine {
            sink.add(
                "step",
                change.span,
                format!("a largest change of {}", change.value.0),
                "write one above 0, or leave `max_change` out",
            );
        }
        fine.then_some(change.value.0)
    });
    let bounds_known = sink.len() == before && !any_lost;
    let kind = kind(
        write.kind.take(),
        is_text,
        range.is_some(),
        &choices,
        bounds_known,
        sink,
    );

    let wears = write.storage.value != Storage::Volatile;
    let usual = if wears { STORED_INTERVAL } else { VOLATILE_INTERVAL };
    let min_interval = write
        .min_interval
        .take()
        .and_then(|text| duration(text, sink))
        .unwrap_or(usual);
    let daily_budget = match write.daily_budget.take() {
        Some(budget) => at_most(
            budget,
            i64::from(MAX_BUDGET),
            "budget",
            "writes in 24 hours: write 1 to 86400, or leave `daily_budget` out",
            sink,
        )
        .and_then(|budget| u32::try_from(budget).ok()),
        None => wears.then_some(STORED_BUDGET),
    };
    let mut refer = |key: &Option<At<String>>, target| {
        let key = key.as_ref()?;
        references.push(Reference::new(target, key.value.clone(), key.span.clone()));
        Some(key.value.clone())
    };
    let device_min = refer(&write.device_min, Target::Bound);
    let device_max = refer(&write.device_max, Target::Bound);
    let alias_of = refer(&write.alias_of, Target::Alias);
    let rule = WriteRule {
        kind,
        by,
        range,
        choices,
        no_limit,
        step,
        max_change,
        device_min,
        device_max,
        storage: write.storage.value,
        min_interval,
        daily_budget,
        lease: lease(
            write.lease.take(),
            wears && !lost("storage"),
            min_interval,
            &values,
            sink,
        ),
        verify: verify(write.verify.take(), sink),
        risk: write.risk,
        alias_of,
        interlocks: interlocks(std::mem::take(&mut write.interlocks), lost, references, sink),
        source: common::text(write.source.take(), "source", MAX_NOTE, sink),
    };
    (sink.len() == before).then_some(rule)
}

/// Whether one request can set the point, and nothing but the point.
fn can_be_written(
    write: &format::Write,
    place: &Place<'_>,
    span: &std::ops::Range<usize>,
    sink: &mut Sink,
) -> bool {
    let Some(own) = place.shapes.first() else {
        return false;
    };
    let register = &own.register;
    let part_of_word = match register.ty {
        ValueType::Bits { width, .. } => {
            !register.span.function.is_bit() && u16::from(width) != 16 * own.count
        }
        _ => false,
    };
    let (message, help) = if part_of_word {
        (
            "a write to a part of a register would change its other bits, too",
            "leave `write` out: write access = \"rw\" with not_written = \"…\"",
        )
    } else if register.scale_point.is_some() {
        (
            "what a number means here is decided by another register, which may change before the write arrives",
            "leave `write` out, or give the point a fixed `scale`",
        )
    } else if place.shapes.len() > 1 && write.link.is_none() {
        (
            "a point with fall-backs could be written to a register that the device does not use",
            "give the registers points of their own, or leave `write` out",
        )
    } else {
        return true;
    };
    sink.add("write", span.clone(), message, help);
    false
}

/// A text is bounded by its length alone.
fn no_numbers(write: &mut format::Write, sink: &mut Sink) {
    let choices = std::mem::take(&mut write.choices);
    let given = [
        write.min.take().map(|v| (v.span, "min")),
        write.max.take().map(|v| (v.span, "max")),
        choices.into_iter().next().map(|v| (v.span, "choices")),
        write.no_limit.take().map(|v| (v.span, "no_limit")),
        write.step.take().map(|v| (v.span, "step")),
        write.max_change.take().map(|v| (v.span, "max_change")),
        write.device_min.take().map(|v| (v.span, "device_min")),
        write.device_max.take().map(|v| (v.span, "device_max")),
        write.lease.take().map(|v| (v.span, "lease")),
    ];
    for (span, name) in given.into_iter().flatten() {
        sink.add(
            "text-type",
            span,
            format!("a text has no `{name}`"),
            format!("leave `{name}` out: a text is bounded by its length"),
        );
    }
}

/// The kind of control: as the file says, where that agrees with the bounds; else the one that they make.
fn kind(
    given: Option<At<Kind>>,
    is_text: bool,
    has_range: bool,
    choices: &[f64],
    bounds_known: bool,
    sink: &mut Sink,
) -> Kind {
    let on_and_off = choices.contains(&0.0) && choices.contains(&1.0) && choices.len() == 2;
    let made = match choices {
        _ if is_text => Kind::Text,
        _ if has_range => Kind::Number,
        [_] => Kind::Button,
        _ if on_and_off => Kind::Switch,
        _ => Kind::Select,
    };
    let Some(At { value: kind, span }) = given else {
        return made;
    };
    // A select may have any number of choices, also the two of a switch.
    let agrees = kind == made || (kind == Kind::Select && !is_text && !has_range && !choices.is_empty());
    if !agrees && bounds_known {
        let help = match kind {
            Kind::Number => "a number needs `min` and `max`",
            Kind::Switch => "a switch has the choices [0, 1] and no range",
            Kind::Select => "a select has `choices` and no range",
            Kind::Button => "a button has one choice and no range",
            Kind::Text => "a text needs type = \"text\"",
        };
        sink.add(
            "kind",
            span,
            format!(
                "these are the bounds of a {}, not of a {}",
                made.name(),
                kind.name()
            ),
            format!("{help}; or leave `kind` out"),
        );
    }
    kind
}

/// The function of the request.
fn function(given: Option<At<i64>>, own: &Shape, sink: &mut Sink) -> u8 {
    let allowed: &[u8] = match (own.register.span.function, own.count) {
        (Function::Coils, _) => &[5, 15],
        (_, 1) => &[6, 16],
        _ => &[16],
    };
    let usual = allowed.first().copied().unwrap_or(16);
    let Some(At { value, span }) = given else {
        return usual;
    };
    if let Some(function) = allowed.iter().find(|&&function| i64::from(function) == value) {
        return *function;
    }
    let list = allowed.iter().map(u8::to_string).collect::<Vec<_>>().join(" or ");
    sink.add(
        "write",
        span,
        format!("function {value} cannot write this point whole"),
        format!("write {list}, or leave `function` out"),
    );
    usual
}

/// The register link of the request.
fn link(
    link: At<format::Link>,
    write: &format::Write,
    place: &Place<'_>,
    own: &Shape,
    sink: &mut Sink,
) -> Option<By> {
    let At { value: link, span } = link;
    if let Some(function) = &write.function {
        sink.add(
            "link",
            function.span.clone(),
            "both `function` and `link`",
            "write one of them: a link has a function of its own",
        );
        return None;
    }
    if place.repeated {
        sink.add(
            "link",
            span,
            "every one of the repeated points would set the same thing",
            "write these points one by one, each with its own `id`",
        );
        return None;
    }
    let at = common::span(Function::Holding, &link.at, 1, 0, place.read, sink)?.at;
    let id = at_most(
        link.id,
        0xFFFF,
        "link",
        "write the id that is set, 1 to 65535",
        sink,
    )?;
    let room = 2 * own.count;
    let most = room.min(u16::from(MAX_LINK));
    let Some(bytes) = u8::try_from(link.bytes.value)
        .ok()
        .filter(|bytes| (1..=most).contains(&u16::from(*bytes)))
    else {
        sink.add(
            "link",
            link.bytes.span,
            format!(
                "{} bytes cannot be read back from a register of {room}",
                link.bytes.value
            ),
            format!("write 1 to {most}"),
        );
        return None;
    };
    Some(By::RegisterLink {
        at,
        id: u16::try_from(id).ok()?,
        bytes,
    })
}
