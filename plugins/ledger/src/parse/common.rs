//! Checks that several sections share.

use std::ops::Range;

use super::MAX_POINTS;
use super::text::{MAX_KEY, as_key, is_key};
use crate::diagnostics::Sink;
use crate::format::{At, TypeName};
use crate::model::{Class, ReadRules, Total, ValueType};
use crate::span::{Function, Span};

/// The longest label, title, name or path, in characters.
pub(crate) const MAX_TEXT: usize = 200;

/// The longest note or source, in characters.
pub(super) const MAX_NOTE: usize = 4_000;

/// A text for people, without what would break a line or a page.
pub(crate) fn text(value: Option<At<String>>, name: &str, max: usize, sink: &mut Sink) -> Option<String> {
    let At { value, span } = value?;
    let long = value.len() > max && value.chars().count() > max;
    let fault = if value.trim().is_empty() {
        "is empty".to_owned()
    } else if long {
        format!("has more than {max} characters")
    } else if value.chars().any(|c| c.is_control() && c != '\n') || (max == MAX_TEXT && value.contains('\n'))
    {
        "holds a control character".to_owned()
    } else {
        return Some(value);
    };
    sink.add(
        "text",
        span,
        format!("`{name}` {fault}"),
        "write one short line of text",
    );
    None
}

/// Whether this may be the name of a point, group or table.
pub(super) fn key(value: &str, span: Range<usize>, what: &str, sink: &mut Sink) -> bool {
    if is_key(value) {
        return true;
    }
    sink.add(
        "key",
        span,
        format!(
            "`{}` cannot be the key of a {what}",
            value.chars().take(MAX_KEY + 1).collect::<String>()
        ),
        format!(
            "begin with a letter a to z, go on with a to z, 0 to 9 and _, at most {MAX_KEY} characters: `{}`",
            as_key(value)
        ),
    );
    false
}

/// Where something lies: the shifted address, inside the address space.
pub(crate) fn span(
    function: Function,
    at: &At<i64>,
    count: u16,
    further: i64,
    read: &ReadRules,
    sink: &mut Sink,
) -> Option<Span> {
    let shift = i64::from(read.index_shift);
    let first = at.value.saturating_add(further).saturating_add(shift);
    let last = first.saturating_add(i64::from(count) - 1);
    if let (Ok(at), true) = (u16::try_from(first), last <= 65_535) {
        return Some(Span { function, at, count });
    }
    let moved = match (further, shift) {
        (0, 0) => String::new(),
        (0, _) => format!(", with index_shift {shift} that is {first}"),
        (_, 0) => format!(", repeated that is {first}"),
        _ => format!(", repeated and with index_shift {shift} that is {first}"),
    };
    let (message, most) = if (0..=65_535).contains(&first) {
        (
            format!("address {first} with {count} registers ends at {last}, past 65535"),
            65_536 - i64::from(count),
        )
    } else {
        (
            format!("address {}{moved} lies outside 0 to 65535", at.value),
            65_536 - i64::from(count),
        )
    };
    sink.add(
        "address",
        at.span.clone(),
        message,
        format!("write the zero-based address of the protocol, at most {most} here"),
    );
    None
}

/// The unit, if it is one and fits the class.
pub(crate) fn unit(
    unit: Option<At<String>>,
    class: Option<&At<Class>>,
    lost: bool,
    sink: &mut Sink,
) -> Option<String> {
    let Some(At { value, span }) = unit else {
        if let Some(class) = class.filter(|class| !lost && !class.value.unit_may_be_missing()) {
            sink.add(
                "unit",
                class.span.clone(),
                format!("class `{}` needs a unit", class_name(class.value)),
                format!("add unit = \"{}\"", class.value.units().join("\" or unit = \"")),
            );
        }
        return None;
    };
    if let Some(class) = class.filter(|class| !class.value.units().contains(&value.as_str())) {
        let (name, units) = (class_name(class.value), class.value.units());
        let help = if units.is_empty() {
            "leave the unit out".to_owned()
        } else {
            format!("write {}, or another class", units.join(", "))
        };
        sink.add(
            "unit",
            span,
            format!(
                "unit `{}` does not fit class `{name}`",
                value.chars().take(20).collect::<String>()
            ),
            help,
        );
        return None;
    }
    let odd = value.is_empty() || value.chars().count() > 16 || value.chars().any(|c| c.is_control());
    if odd {
        sink.add(
            "unit",
            span,
            "that is no unit",
            "write a short one such as V, A, rpm, or leave `unit` out",
        );
        return None;
    }
    Some(value)
}

/// The class as the file names it.
pub(crate) fn class_name(class: Class) -> String {
    serde_json::to_value(class)
        .ok()
        .and_then(|v| v.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// How many digits are shown.
pub(super) fn decimals(value: Option<&At<i64>>, sink: &mut Sink) -> Option<u8> {
    let value = value?;
    match u8::try_from(value.value) {
        Ok(decimals) if decimals <= 9 => Some(decimals),
        _ => {
            sink.add(
                "decimals",
                value.span.clone(),
                format!("`decimals` is {}", value.value),
                "write 0 to 9",
            );
            None
        }
    }
}

/// Registers that a type of fixed size takes.
pub(crate) fn fixed_words(ty: TypeName) -> Option<u16> {
    match ty {
        TypeName::I16 | TypeName::U16 => Some(1),
        TypeName::I32 | TypeName::U32 | TypeName::U24 | TypeName::F32 => Some(2),
        TypeName::I64 | TypeName::U64 | TypeName::F64 => Some(4),
        TypeName::Bcd | TypeName::Bits | TypeName::Text => None,
    }
}

/// The type without its parameters.
pub(super) fn value_type(ty: TypeName) -> ValueType {
    match ty {
        TypeName::I16 => ValueType::I16,
        TypeName::U16 => ValueType::U16,
        TypeName::I32 => ValueType::I32,
        TypeName::U32 => ValueType::U32,
        TypeName::U24 => ValueType::U24,
        TypeName::I64 => ValueType::I64,
        TypeName::U64 => ValueType::U64,
        TypeName::F32 => ValueType::F32,
        TypeName::F64 => ValueType::F64,
        TypeName::Bcd => ValueType::Bcd,
        TypeName::Bits => ValueType::Bits { shift: 0, width: 16 },
        TypeName::Text => ValueType::Text,
    }
}

/// The type by its short name.
pub(crate) fn type_name(ty: TypeName) -> &'static str {
    ty.name()
}

/// How many registers a value takes: given by its type, or by `words`.
pub(super) fn words(
    ty: &At<TypeName>,
    words: Option<&At<i64>>,
    longest: u16,
    sink: &mut Sink,
) -> Option<u16> {
    let name = type_name(ty.value);
    let most = match (fixed_words(ty.value), words) {
        (Some(fixed), Some(words)) if words.value != i64::from(fixed) => {
            sink.add(
                "words",
                words.span.clone(),
                format!("type {name} has {fixed} registers, not {}", words.value),
                "leave `words` out: it is for text, bcd and bits",
            );
            return None;
        }
        (Some(fixed), _) => return Some(fixed),
        (None, None) if ty.value == TypeName::Bits => return Some(1),
        (None, None) => {
            let help = if ty.value == TypeName::Text {
                "add `words = 8`: half of the number of characters"
            } else {
                "add `words = 2`: a quarter of the number of digits"
            };
            sink.add(
                "words",
                ty.span.clone(),
                format!("type {name} needs its number of registers"),
                help,
            );
            return None;
        }
        (None, Some(_)) if ty.value == TypeName::Text => longest,
        (None, Some(_)) => 4.min(longest),
    };
    let words = words?;
    match u16::try_from(words.value) {
        Ok(count) if (1..=most).contains(&count) => Some(count),
        _ => {
            sink.add(
                "words",
                words.span.clone(),
                format!("type {name} cannot have {} registers", words.value),
                format!("write 1 to {most}"),
            );
            None
        }
    }
}

/// Refuses a counter that is said to begin again at 0 without a register whose end is known.
pub(super) fn no_wrap(total: Option<&At<Total>>, sink: &mut Sink) {
    if let Some(total) = total.filter(|total| total.value == Total::Wrapping) {
        sink.add(
            "total",
            total.span.clone(),
            "only an unsigned register with a fixed scale begins again when it is full",
            "give it the type u16, u24, u32 or u64, or write total = \"increasing\"",
        );
    }
}

/// Says that there are too many points.
pub(crate) fn too_many_points(span: Range<usize>, sink: &mut Sink) {
    sink.add(
        "too-many-points",
        span,
        format!("more than {MAX_POINTS} points"),
        "describe one kind of device per file, and shorten `for_each` lists",
    );
}
