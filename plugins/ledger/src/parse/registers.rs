//! How a value lies in registers: type, length, order, factor, sentinels.

use super::common::{self, fixed_words, type_name};
use super::obis;
use super::text::{FactorFault, parse_factor};
use crate::diagnostics::Sink;
use crate::format::{self, At, Factor, PointType, TypeName};
use crate::model::{Order, ReadRules, Register, Scale, ValueType};
use crate::span::{Function, Span};

/// The most sentinels of one register, and the most fall-backs of one point.
const MAX_INVALID: usize = 16;
const MAX_FALLBACKS: usize = 4;

/// A register without its place: `for_each` puts it at several.
pub(super) struct Shape {
    pub(super) at: At<i64>,
    pub(super) count: u16,
    /// What is known so far; its span is filled in by [`Shape::place`].
    pub(super) register: Register,
}

impl Shape {
    /// The register `further` addresses on.
    pub(super) fn place(&self, further: i64, read: &ReadRules, sink: &mut Sink) -> Option<Register> {
        let span = common::span(
            self.register.span.function,
            &self.at,
            self.count,
            further,
            read,
            sink,
        )?;
        Some(Register {
            span,
            ..self.register.clone()
        })
    }
}

/// Reads the registers of a point: its own, then its fall-backs. `lost` tells which keys were at fault already.
pub(super) fn shapes(
    point: &mut format::Point,
    key: &At<String>,
    lost: &dyn Fn(&str) -> bool,
    read: &ReadRules,
    sink: &mut Sink,
) -> Vec<Shape> {
    let function = point.function.unwrap_or(read.function);
    let at = point.at.take();
    if at.is_none() && !lost("at") && !lost("obis") {
        sink.add(
            "missing-key",
            key.span.clone(),
            format!("`at` is missing in point `{}`", key.value),
            "add the zero-based address: `at = 800`",
        );
    }
    obis::only_spoken(point, sink);
    let ty = match wire_type(point.ty.take(), sink) {
        Ok(given) => type_of(point, given.as_ref(), function, key, lost, sink),
        Err(Told) => None,
    };
    let fallbacks = std::mem::take(&mut point.fallback);
    let (Some(at), Some(ty)) = (at, ty) else {
        return Vec::new();
    };
    let Some(own) = own(point, at, &ty, function, lost, read, sink) else {
        return Vec::new();
    };
    if let Some(one_more) = fallbacks.get(MAX_FALLBACKS) {
        sink.add(
            "fallback",
            one_more.span.clone(),
            format!("more than {MAX_FALLBACKS} fall-backs"),
            "keep the best ones",
        );
    }
    let mut all = vec![own];
    for fallback in fallbacks.into_iter().take(MAX_FALLBACKS) {
        if let Some(shape) = all
            .first()
            .and_then(|own| fall_back(fallback, own, &ty, read, sink))
        {
            all.push(shape);
        }
    }
    all
}

/// What is wrong was told.
struct Told;

/// The type that was given, where it is one of registers.
fn wire_type(given: Option<At<PointType>>, sink: &mut Sink) -> Result<Option<At<TypeName>>, Told> {
    match given {
        None => Ok(None),
        Some(At {
            value: PointType::Wire(value),
            span,
        }) => Ok(Some(At { value, span })),
        Some(At {
            value: PointType::Spoken(ty),
            span,
        }) => {
            sink.add(
                "type",
                span,
                format!("type {} is one of telegrams", ty.name()),
                "write u16, i32 or another one of registers, or obis = \"1-0:1.8.0\" instead of `at`",
            );
            Err(Told)
        }
    }
}

/// The type: given, or said by `bit`, `bits` or a function that reads bits.
fn type_of(
    point: &format::Point,
    given: Option<&At<TypeName>>,
    function: Function,
    key: &At<String>,
    lost: &dyn Fn(&str) -> bool,
    sink: &mut Sink,
) -> Option<At<TypeName>> {
    let by_bit = point
        .bit
        .as_ref()
        .map(|b| &b.span)
        .or(point.bits.as_ref().map(|b| &b.span));
    match (given, by_bit) {
        (Some(ty), Some(span)) if ty.value != TypeName::Bits => {
            sink.add(
                "bits",
                span.clone(),
                format!("type {} has no bits to pick", type_name(ty.value)),
                "write type = \"bits\", or leave `bit` and `bits` out",
            );
            None
        }
        (Some(ty), _) if function.is_bit() && ty.value != TypeName::Bits => {
            sink.add(
                "type",
                ty.span.clone(),
                format!("function {function} reads bits, not type {}", type_name(ty.value)),
                "leave `type` out, or read it with function holding or input",
            );
            None
        }
        (Some(ty), _) => Some(ty.clone()),
        (None, Some(span)) => Some(At {
            value: TypeName::Bits,
            span: span.clone(),
        }),
        (None, None) if lost("type") || lost("bit") || lost("bits") => None,
        (None, None) if function.is_bit() => Some(At {
            value: TypeName::Bits,
            span: key.span.clone(),
        }),
        (None, None) => {
            sink.add(
                "missing-key",
                key.span.clone(),
                format!("`type` is missing in point `{}`", key.value),
                "add it: i16, u16, i32, u32, u24, i64, u64, f32, f64, bcd, bits or text",
            );
            None
        }
    }
}

fn own(
    point: &mut format::Point,
    at: At<i64>,
    ty: &At<TypeName>,
    function: Function,
    lost: &dyn Fn(&str) -> bool,
    read: &ReadRules,
    sink: &mut Sink,
) -> Option<Shape> {
    if ty.value == TypeName::Text {
        no_arithmetic(point, sink);
    }
    let count = if function.is_bit() {
        1
    } else {
        common::words(ty, point.words.as_ref(), read.max_words, sink)?
    };
    let value_type = match ty.value {
        TypeName::Bits => field_of_bits(point, function, count, lost, sink)?,
        other => common::value_type(other),
    };
    if count > read.max_words {
        sink.add(
            "max-words",
            ty.span.clone(),
            format!(
                "a value of {count} registers is longer than one read of {}",
                read.max_words
            ),
            "raise `max_words` in [read]",
        );
        return None;
    }
    Some(Shape {
        at,
        count,
        register: Register {
            span: Span {
                function,
                at: 0,
                count,
            },
            ty: value_type,
            order: point.order.unwrap_or_default(),
            scale: point
                .scale
                .take()
                .map_or(Scale::ONE, |scale| factor(&scale, sink)),
            offset: point.offset.as_ref().map_or(0.0, |offset| offset.value.0),
            scale_point: point.scale_point.as_ref().map(|key| key.value.clone()),
            invalid: sentinels(
                std::mem::take(&mut point.invalid),
                ty.value,
                value_type,
                count,
                sink,
            ),
            models: names(std::mem::take(&mut point.models)),
            since: None,
            preferred_when_it_fits: false,
        },
    })
}

fn names(models: Vec<At<String>>) -> Vec<String> {
    models.into_iter().map(|model| model.value).collect()
}

fn fall_back(
    fallback: At<format::Fallback>,
    own: &Shape,
    own_type: &At<TypeName>,
    read: &ReadRules,
    sink: &mut Sink,
) -> Option<Shape> {
    let At {
        value: fallback,
        span: place,
    } = fallback;
    let same_type = fallback.ty.as_ref().is_none_or(|ty| ty.value == own_type.value);
    let ty = fallback.ty.unwrap_or_else(|| own_type.clone());
    if ty.value == TypeName::Bits || (ty.value == TypeName::Text) != (own_type.value == TypeName::Text) {
        sink.add(
            "fallback",
            place,
            format!(
                "type {} cannot stand in for type {}",
                type_name(ty.value),
                type_name(own_type.value)
            ),
            "a fall-back holds the same value: give the registers points of their own",
        );
        return None;
    }
    let given = fallback.words.or_else(|| {
        let same = same_type && fixed_words(ty.value).is_none();
        same.then(|| At {
            value: i64::from(own.count),
            span: place.clone(),
        })
    });
    let count = common::words(&ty, given.as_ref(), read.max_words, sink)?;
    let value_type = common::value_type(ty.value);
    let order: Order = fallback.order.unwrap_or(own.register.order);
    let invalid = match fallback.invalid {
        Some(invalid) => sentinels(invalid, ty.value, value_type, count, sink),
        None if same_type => own.register.invalid.clone(),
        None => Vec::new(),
    };
    Some(Shape {
        at: fallback.at,
        count,
        register: Register {
            span: Span {
                function: own.register.span.function,
                at: 0,
                count,
            },
            ty: value_type,
            order,
            scale: fallback
                .scale
                .map_or(own.register.scale, |scale| factor(&scale, sink)),
            offset: own.register.offset,
            scale_point: own.register.scale_point.clone(),
            invalid,
            models: names(fallback.models),
            since: fallback.since.map(|since| since.value),
            preferred_when_it_fits: fallback.prefer.is_some(),
        },
    })
}

/// A text is no number.
fn no_arithmetic(point: &mut format::Point, sink: &mut Sink) {
    let given = [
        point.scale.take().map(|v| (v.span, "scale")),
        point.offset.take().map(|v| (v.span, "offset")),
        point.scale_point.take().map(|v| (v.span, "scale_point")),
    ];
    for (span, name) in given.into_iter().flatten() {
        sink.add(
            "text-type",
            span,
            format!("a text has no {name}"),
            format!("leave `{name}` out, or choose a number type"),
        );
    }
}

fn field_of_bits(
    point: &format::Point,
    function: Function,
    count: u16,
    lost: &dyn Fn(&str) -> bool,
    sink: &mut Sink,
) -> Option<ValueType> {
    let size = if function.is_bit() {
        1
    } else {
        16 * i64::from(count)
    };
    let (shift, width, span) = match (&point.bit, &point.bits) {
        (Some(bit), None) => (bit.value, 1, bit.span.clone()),
        (None, Some(bits)) => match bits.value.as_slice() {
            [shift, width] => (*shift, *width, bits.span.clone()),
            _ if lost("bits") => return None,
            _ => {
                sink.add(
                    "bits",
                    bits.span.clone(),
                    "`bits` needs two numbers",
                    "write [shift, width], for example [4, 2]",
                );
                return None;
            }
        },
        (Some(_), Some(bits)) => {
            sink.add(
                "bits",
                bits.span.clone(),
                "both `bit` and `bits`",
                "write one of them",
            );
            return None;
        }
        (None, None) => (0, size, 0..0),
    };
    let inside = shift >= 0 && width >= 1 && shift.saturating_add(width) <= size;
    match (u8::try_from(shift), u8::try_from(width)) {
        (Ok(shift), Ok(width)) if inside => Some(ValueType::Bits { shift, width }),
        _ => {
            let message = match (shift, width) {
                (shift, 1) => format!("there is no bit {shift}"),
                (_, ..=0) => format!("a field of {width} bits"),
                _ => format!("there are no bits {shift} to {}", shift.saturating_add(width) - 1),
            };
            let help = if function.is_bit() {
                format!("function {function} reads one bit: leave `bit` and `bits` out")
            } else {
                let last = size - 1;
                format!("count from the least significant bit, 0 to {last}; `words = 2` has twice as many")
            };
            sink.add("bits", span, message, help);
            None
        }
    }
}

fn factor(text: &At<Factor>, sink: &mut Sink) -> Scale {
    let (message, help) = match parse_factor(&text.value.0) {
        Ok(scale) => return scale,
        Err(FactorFault::Zero) => (
            "a scale of 0, or over 0",
            "write value = raw * scale: \"1/10\", 10, 0.1",
        ),
        Err(FactorFault::NoNumber) => (
            "that is no factor",
            "write a fraction (\"1/10\"), a whole number or a decimal (0.1)",
        ),
        Err(FactorFault::NotExact) => (
            "that factor cannot be kept exactly",
            "write it as a fraction of whole numbers: \"1/3\"",
        ),
    };
    sink.add("scale", text.span.clone(), message, help);
    Scale::ONE
}

/// Raw patterns that mean "no value", as unsigned numbers; negative ones may be written for signed types.
fn sentinels(given: Vec<At<i128>>, name: TypeName, ty: ValueType, count: u16, sink: &mut Sink) -> Vec<u64> {
    let bits = match ty {
        ValueType::U24 => 24,
        ValueType::Bits { width, .. } => u32::from(width),
        ValueType::Text => 0,
        _ => 16 * u32::from(count),
    };
    let signed = matches!(ty, ValueType::I16 | ValueType::I32 | ValueType::I64);
    let highest = (1_i128 << bits) - 1;
    let lowest = if signed { -(1_i128 << (bits - 1)) } else { 0 };
    let mut all = Vec::new();
    for At { value, span } in given {
        if bits == 0 {
            sink.add(
                "invalid",
                span,
                "a text has no sentinels",
                "leave `invalid` out: an empty text is no value",
            );
            break;
        }
        if all.len() == MAX_INVALID {
            sink.add(
                "invalid",
                span,
                format!("more than {MAX_INVALID} sentinels"),
                "keep those that the maker documents",
            );
            break;
        }
        match u64::try_from(value & highest) {
            Ok(pattern) if (lowest..=highest).contains(&value) => all.push(pattern),
            _ => sink.add(
                "invalid",
                span,
                format!("{value} does not fit type {}", type_name(name)),
                format!("write the raw pattern, {lowest} to {highest} (0x{highest:X})"),
            ),
        }
    }
    all
}
