//! Addresses that two points claim.

use std::collections::HashMap;
use std::ops::Range;

use super::Draft;
use super::head::Head;
use crate::diagnostics::{Diagnostic, Sink};
use crate::model::{Order, Register, SpokenType, ValueType};
use crate::obis::ObisPlace;
use crate::span::Span;
use crate::write::By;

/// Something that lies on the device.
struct Claim<'a> {
    span: Span,
    /// Where the file says so.
    place: &'a Range<usize>,
    /// The key of the point; `None` for a reserved run.
    key: Option<&'a str>,
}

/// Reports points that share addresses without saying so. Different bits of the same registers share nothing.
pub(super) fn check(drafts: &[Draft], head: &Head, sink: &mut Sink) {
    let mut claims: Vec<Claim<'_>> = head
        .reserved
        .iter()
        .map(|(span, place)| Claim {
            span: *span,
            place,
            key: None,
        })
        .collect();
    let mut bits: HashMap<(Span, Order), Vec<(u64, usize)>> = HashMap::new();
    for (i, draft) in drafts.iter().enumerate().filter(|(_, draft)| !draft.overlap) {
        for (register, place) in draft.point.registers().iter().zip(&draft.at) {
            if let ValueType::Bits { shift, width } = register.ty {
                let taken = bits.entry((register.span, register.order)).or_default();
                let mask = mask(shift, width);
                if let Some(&(_, other)) = taken.iter().find(|(other, _)| other & mask != 0)
                    && let Some(other) = drafts.get(other)
                {
                    same_bits(draft, other, register, place, sink);
                    continue;
                }
                taken.push((mask, i));
                if taken.len() > 1 {
                    continue;
                }
            }
            claims.push(Claim {
                span: register.span,
                place,
                key: Some(&draft.point.key),
            });
        }
    }
    claims.sort_by_key(|claim| (claim.span, claim.place.start));
    let mut furthest: Option<&Claim<'_>> = None;
    for claim in &claims {
        if let Some(other) = furthest.filter(|other| other.span.overlaps(claim.span))
            && (other.key.is_some() || claim.key.is_some())
        {
            shared(other, claim, sink);
        }
        let ahead = furthest
            .is_none_or(|f| f.span.function != claim.span.function || f.span.end() < claim.span.end());
        if ahead {
            furthest = Some(claim);
        }
    }
}

/// What a point in a telegram reads: a code, its bracket, how, and the unit of measurement.
type Reading<'a> = (ObisPlace, Option<i8>, SpokenType, Option<&'a str>);

/// Reports points in telegrams that read the same bracket of the same line in the same way.
pub(super) fn check_spoken(drafts: &[Draft], sink: &mut Sink) {
    let mut seen: HashMap<Reading<'_>, &Draft> = HashMap::new();
    for draft in drafts.iter().filter(|draft| !draft.overlap) {
        let Some(spoken) = draft.point.spoken() else {
            continue;
        };
        for code in &spoken.codes {
            let claim = (*code, spoken.bracket, spoken.ty, draft.point.unit.as_deref());
            let Some(other) = seen.insert(claim, draft) else {
                continue;
            };
            sink.push(Diagnostic {
                code: "overlap",
                message: format!("`{}` reads {code} as `{}` does", draft.point.key, other.point.key),
                help: Some("check code and bracket; add `overlap = true` if both are meant".to_owned()),
                span: Some(draft.key.clone()),
                related: Some((other.key.clone(), format!("`{}` is here", other.point.key))),
            });
        }
    }
}

/// Reports writes that would change another point, too: of registers that are shared, on purpose or not.
pub(super) fn check_written(drafts: &[Draft], sink: &mut Sink) {
    // A link sets what it names, whatever lies in the registers where it is read back.
    let by_function = |draft: &Draft| {
        matches!(
            draft.point.write.as_ref().map(|rule| rule.by),
            Some(By::Function(_))
        )
    };
    let mut claims: Vec<(Span, &Draft, bool)> = drafts
        .iter()
        .flat_map(|draft| {
            let written = by_function(draft);
            let registers = draft.point.registers().iter().enumerate();
            registers.map(move |(i, register)| (register.span, draft, written && i == 0))
        })
        .collect();
    claims.sort_by_key(|(span, draft, _)| (*span, draft.key.start));
    let mut furthest: Option<(Span, &Draft)> = None;
    let mut furthest_written: Option<(Span, &Draft)> = None;
    for (span, draft, written) in claims {
        if written && let Some(other) = hit(furthest, span) {
            changes(draft, other, sink);
        } else if let Some(writer) = hit(furthest_written, span) {
            changes(writer, draft, sink);
        }
        for (furthest, counts) in [(&mut furthest, true), (&mut furthest_written, written)] {
            let ahead = furthest.is_none_or(|(f, _)| f.function != span.function || f.end() < span.end());
            if counts && ahead {
                *furthest = Some((span, draft));
            }
        }
    }
}

/// The draft whose registers reach into `span`.
fn hit(reach: Option<(Span, &Draft)>, span: Span) -> Option<&Draft> {
    reach
        .filter(|(other, _)| other.overlaps(span))
        .map(|(_, draft)| draft)
}

fn changes(writer: &Draft, other: &Draft, sink: &mut Sink) {
    let Some(place) = &writer.write else { return };
    sink.push(Diagnostic {
        code: "write",
        message: format!(
            "a write to `{}` would change `{}`, which shares its registers",
            writer.point.key, other.point.key
        ),
        help: Some(
            "leave `write` out: write access = \"rw\" with not_written = \"…\", or take the other point out"
                .to_owned(),
        ),
        span: Some(place.clone()),
        related: Some((other.key.clone(), format!("`{}` is here", other.point.key))),
    });
}

fn mask(shift: u8, width: u8) -> u64 {
    (u64::MAX >> (64 - u32::from(width).clamp(1, 64)))
        .checked_shl(u32::from(shift))
        .unwrap_or(0)
}

fn shared(one: &Claim<'_>, two: &Claim<'_>, sink: &mut Sink) {
    let (first, second) = if one.place.start <= two.place.start {
        (one, two)
    } else {
        (two, one)
    };
    let name = |claim: &Claim<'_>| match claim.key {
        Some(key) => format!("`{key}`"),
        None => "a reserved run".to_owned(),
    };
    let of_reserved = first.key.is_none() || second.key.is_none();
    sink.push(Diagnostic {
        code: "overlap",
        message: format!(
            "{} at {} shares addresses with {} at {}",
            name(second),
            second.span,
            name(first),
            first.span
        ),
        help: Some(if of_reserved {
            "a reserved run carries nothing: take the points out of it".to_owned()
        } else {
            "check address and type; add `overlap = true` if they share them on purpose".to_owned()
        }),
        span: Some(second.place.clone()),
        related: Some((first.place.clone(), format!("{} is here", name(first)))),
    });
}

fn same_bits(draft: &Draft, other: &Draft, register: &Register, place: &Range<usize>, sink: &mut Sink) {
    sink.push(Diagnostic {
        code: "overlap",
        message: format!(
            "`{}` shares bits of {} with `{}`",
            draft.point.key, register.span, other.point.key
        ),
        help: Some("check `bit` or `bits`; add `overlap = true` if they share them on purpose".to_owned()),
        span: Some(place.clone()),
        related: Some((other.key.clone(), format!("`{}` is here", other.point.key))),
    });
}
