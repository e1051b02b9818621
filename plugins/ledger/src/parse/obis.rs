//! Points that lie in telegrams: their codes, bracket, type and range.

use super::common;
use crate::diagnostics::Sink;
use crate::format::{self, At, Codes, Number, PointType, TypeName};
use crate::model::{Spoken, SpokenType};
use crate::obis::ObisPlace;
use crate::telegram::units;

/// The most codes of one point.
const MAX_CODES: usize = 8;
/// The last bracket that can be named, from either end.
const MAX_BRACKET: i64 = 64;

/// Reads where a point lies in telegrams; none where that is at fault, which is told.
pub(super) fn spoken(
    point: &mut format::Point,
    codes: At<Codes>,
    key: &At<String>,
    lost: &dyn Fn(&str) -> bool,
    sink: &mut Sink,
) -> Option<Spoken> {
    let before = sink.len();
    foreign(point, sink);
    let places = places(&codes, sink);
    let ty = match point.ty.take() {
        None => SpokenType::Number,
        Some(At {
            value: PointType::Spoken(ty),
            ..
        }) => ty,
        Some(At {
            value: PointType::Wire(TypeName::Text),
            ..
        }) => SpokenType::Text,
        Some(At {
            value: PointType::Wire(ty),
            span,
        }) => {
            sink.add(
                "type",
                span,
                format!("type {} is one of registers", common::type_name(ty)),
                "write number, integer, text, octets, timestamp or raw; number when left out",
            );
            SpokenType::Number
        }
    };
    let bracket = point
        .bracket
        .take()
        .and_then(|bracket| self::bracket(&bracket, ty, sink));
    let within = point
        .within
        .take()
        .and_then(|within| self::within(&within, ty, sink));
    if let Some(unit) = point.unit.as_ref().filter(|_| !lost("unit")) {
        let is_number = matches!(ty, SpokenType::Number | SpokenType::Integer);
        if !is_number {
            sink.add(
                "unit",
                unit.span.clone(),
                format!("a {} has no unit", ty.name()),
                "leave `unit` out, or make it a number",
            );
        } else if !units::is_known(&unit.value) {
            sink.add(
                "unit",
                unit.span.clone(),
                format!(
                    "no unit of a telegram can be turned into `{}`",
                    unit.value.chars().take(40).collect::<String>()
                ),
                "write W, kWh, var, kvarh, VA, V, A, Hz, s, m³, L, GJ or another one that meters use",
            );
        }
    }
    if places.is_empty() && sink.len() == before {
        sink.add(
            "obis",
            key.span.clone(),
            format!("`{}` names no code", key.value),
            "write one: obis = \"1-0:1.8.0\"",
        );
    }
    (sink.len() == before).then_some(Spoken {
        codes: places,
        bracket,
        ty,
        within,
    })
}

/// What only points with `obis` have.
pub(super) fn only_spoken(point: &mut format::Point, sink: &mut Sink) {
    let given = [
        point.bracket.take().map(|v| (v.span, "bracket")),
        point.within.take().map(|v| (v.span, "within")),
    ];
    for (span, name) in given.into_iter().flatten() {
        sink.add(
            "obis",
            span,
            format!("a register has no `{name}`"),
            "leave it out, or name a line of a telegram: obis = \"1-0:1.8.0\"",
        );
    }
}

/// What a point in a telegram cannot have: it has no address, and nobody writes to it.
fn foreign(point: &mut format::Point, sink: &mut Sink) {
    let given = [
        point.at.take().map(|v| (v.span, "at")),
        point.scale.take().map(|v| (v.span, "scale")),
        point.offset.take().map(|v| (v.span, "offset")),
        point.scale_point.take().map(|v| (v.span, "scale_point")),
        point.words.take().map(|v| (v.span, "words")),
        point.bit.take().map(|v| (v.span, "bit")),
        point.bits.take().map(|v| (v.span, "bits")),
        point.since.take().map(|v| (v.span, "since")),
        point.access.take().map(|v| (v.span, "access")),
        point.write.take().map(|v| (v.span, "write")),
        point.not_written.take().map(|v| (v.span, "not_written")),
        point.for_each.take().map(|v| (v.span, "for_each")),
        point.invalid.drain(..).next().map(|v| (v.span, "invalid")),
        point.models.drain(..).next().map(|v| (v.span, "models")),
        point.fallback.drain(..).next().map(|v| (v.span, "fallback")),
    ];
    for (span, name) in given.into_iter().flatten() {
        sink.add(
            "obis",
            span,
            format!("a point in a telegram has no `{name}`"),
            "leave it out: the code says where the value lies, and its unit how large it is",
        );
    }
}

fn places(codes: &At<Codes>, sink: &mut Sink) -> Vec<ObisPlace> {
    let mut places = Vec::new();
    for code in codes.value.0.iter().take(MAX_CODES) {
        let shown: String = code.chars().take(40).collect();
        match ObisPlace::parse(code) {
            Some(place) if places.contains(&place) => sink.add(
                "obis",
                codes.span.clone(),
                format!("{shown} twice"),
                "name each code once, the best first",
            ),
            Some(place) => places.push(place),
            None => sink.add(
                "obis",
                codes.span.clone(),
                format!("`{shown}` is no code"),
                "write A-B:C.D.E with numbers up to 255: \"1-0:1.8.0\", \"0-n:24.2.1\"",
            ),
        }
    }
    if codes.value.0.len() > MAX_CODES {
        sink.add(
            "obis",
            codes.span.clone(),
            format!("more than {MAX_CODES} codes"),
            "give what is another quantity a point of its own",
        );
    }
    places
}

fn bracket(bracket: &At<i64>, ty: SpokenType, sink: &mut Sink) -> Option<i8> {
    let (message, help) = match bracket.value {
        0 => (
            "there is no bracket 0".to_owned(),
            "count from 1, or from -1 for the last one".to_owned(),
        ),
        n if n.abs() > MAX_BRACKET => (
            format!("there is no bracket {n}"),
            format!("write -{MAX_BRACKET} to {MAX_BRACKET}"),
        ),
        _ if ty == SpokenType::Raw => (
            "raw is all brackets".to_owned(),
            "leave `bracket` out, or choose another type".to_owned(),
        ),
        n => return i8::try_from(n).ok(),
    };
    sink.add("obis", bracket.span.clone(), message, help);
    None
}

fn within(within: &At<Vec<Number>>, ty: SpokenType, sink: &mut Sink) -> Option<(f64, f64)> {
    let is_number = matches!(ty, SpokenType::Number | SpokenType::Integer);
    match within.value.as_slice() {
        [low, high] if low.0 <= high.0 && is_number => return Some((low.0, high.0)),
        _ if !is_number => sink.add(
            "obis",
            within.span.clone(),
            format!("a {} has no range", ty.name()),
            "leave `within` out, or make it a number",
        ),
        _ => sink.add(
            "obis",
            within.span.clone(),
            "that is no range",
            "write the lowest and the highest value: [-1, 1]",
        ),
    }
    None
}

/// The decimals worth showing of a value in this unit, where the ledger does not say.
pub(super) fn decimals(ty: SpokenType, unit: Option<&str>) -> u8 {
    match (ty, unit) {
        (SpokenType::Number, Some("W" | "var" | "VA" | "s")) => 0,
        (SpokenType::Number, Some("V")) => 1,
        (SpokenType::Number, Some("A")) => 2,
        (SpokenType::Number, _) => 3,
        _ => 0,
    }
}
