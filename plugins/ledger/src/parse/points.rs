//! The measured points.

use std::ops::Range;

use toml::de::DeTable;

use super::common::{self, MAX_NOTE, MAX_TEXT};
use super::head::Head;
use super::labels::Shared;
use super::references::{self, Known, Reference, Target};
use super::registers::{self, Shape};
use super::section;
use super::text::decimals_of;
use super::{Draft, MAX_POINTS, obis, write};
use crate::classes::{default_label, default_rate};
use crate::diagnostics::Sink;
use crate::format::{self, Access, At, ForEach};
use crate::model::{Condition, Point, PointSource, Scale, Spoken, SpokenType, ValueType};
use crate::span::Function;

/// The longest list of a `for_each`.
const MAX_REPEATS: usize = 256;

pub(super) fn read_all(
    section: DeTable<'_>,
    head: &Head,
    mut labels: Shared,
    known: &mut Known,
    sink: &mut Sink,
) -> Vec<Draft> {
    let mut drafts = Vec::with_capacity(section.len());
    for (key, value) in section {
        let key = At {
            span: key.span(),
            value: key.into_inner().into_owned(),
        };
        let read = section::read::<format::Point>(value, &key.value, sink);
        let lost = |name: &str| read.struck.iter().any(|key| key == name);
        let Some(point) = read.value else {
            known.lose(key.value);
            continue;
        };
        let repeats = repeats(point.for_each.as_ref(), &key, sink);
        let template = template(point, &key, &lost, head, &mut labels, sink);
        let (Some(template), Some(repeats)) = (template, repeats.filter(|_| !lost("for_each"))) else {
            known.lose(key.value);
            continue;
        };
        let before = sink.len();
        for repeat in &repeats {
            if drafts.len() >= MAX_POINTS {
                common::too_many_points(key.span.clone(), sink);
                return drafts;
            }
            drafts.extend(template.instance(repeat, &key, head, known, sink));
            if sink.len() > before {
                // The rounds after a faulty one would only say the same again.
                known.lose(key.value);
                break;
            }
        }
    }
    drafts
}

/// One round of a `for_each`; the only round of a point without one.
struct Repeat {
    /// The placeholder with its braces, and what stands for it.
    variable: Option<(String, String)>,
    /// Addresses to add.
    further: i64,
}

impl Repeat {
    fn fill(&self, text: &str) -> String {
        match &self.variable {
            Some((name, value)) => text.replace(name, value),
            None => text.to_owned(),
        }
    }
}

fn repeats(for_each: Option<&At<ForEach>>, key: &At<String>, sink: &mut Sink) -> Option<Vec<Repeat>> {
    let Some(At {
        value: for_each,
        span,
    }) = for_each
    else {
        return Some(vec![Repeat {
            variable: None,
            further: 0,
        }]);
    };
    let mut fault = |span: &Range<usize>, message: String, help: &str| {
        sink.add("for-each", span.clone(), message, help);
        None
    };
    let [(name, values)] = for_each.lists.as_slice() else {
        return fault(
            span,
            "`for_each` needs one list".to_owned(),
            "write { phase = [1, 2, 3], stride = 8 }",
        );
    };
    let Some(stride) = for_each.stride.as_ref().filter(|stride| stride.value != 0) else {
        return fault(
            span,
            "`for_each` needs a stride other than 0".to_owned(),
            "add the number of addresses from one to the next: stride = 8",
        );
    };
    if values.value.is_empty() || values.value.len() > MAX_REPEATS {
        let count = values.value.len();
        return fault(
            &values.span,
            format!("a list of {count} values"),
            "name 1 to 256 values: [1, 2, 3]",
        );
    }
    let placeholder = format!("{{{}}}", name.value);
    if !key.value.contains(&placeholder) {
        return fault(
            &key.span,
            format!(
                "`{}` would be the key of {} points",
                key.value,
                values.value.len()
            ),
            &format!("put `{placeholder}` into the key: \"voltage_l{placeholder}\""),
        );
    }
    let mut repeats = Vec::with_capacity(values.value.len());
    let mut further = 0_i64;
    for At { value, span } in &values.value {
        if value.0.len() > 32 {
            return fault(
                span,
                "that value is too long for a key".to_owned(),
                "write a number or a short text",
            );
        }
        repeats.push(Repeat {
            variable: Some((placeholder.clone(), value.0.clone())),
            further,
        });
        further = further.saturating_add(stride.value);
    }
    Some(repeats)
}

/// A point before its placeholders are filled in.
struct Template {
    point: Point,
    label: Option<String>,
    shapes: Vec<Shape>,
    /// Where it lies in telegrams, instead of in registers.
    spoken: Option<Spoken>,
    references: Vec<Reference>,
    since: Vec<At<String>>,
    otherwise: Option<Range<usize>>,
    models: Vec<At<String>>,
    overlap: bool,
    decimals_given: bool,
    rate_given: bool,
    write: Option<Range<usize>>,
}

fn template(
    mut point: format::Point,
    key: &At<String>,
    lost: &dyn Fn(&str) -> bool,
    head: &Head,
    labels: &mut Shared,
    sink: &mut Sink,
) -> Option<Template> {
    let tests = [
        "valid_when",
        "above",
        "below",
        "at_least",
        "in",
        "not_in",
        "non_zero",
        "bits",
    ];
    let complete = !tests.iter().any(|key| lost(key));
    let mut references = Vec::new();
    if let Some(reference) = &point.scale_point {
        references.push(Reference::new(
            Target::Scale,
            reference.value.clone(),
            reference.span.clone(),
        ));
    }
    if let Some(group) = &point.group {
        references.push(Reference::new(
            Target::Group,
            group.value.clone(),
            group.span.clone(),
        ));
    }
    let valid_when = point
        .valid_when
        .take()
        .and_then(|when| references::condition(when, complete, &mut references, sink));
    let labels_at = point.labels.as_ref().map(|labels| labels.span.clone());
    let offset_given = point.offset.as_ref().is_some_and(|offset| offset.value.0 != 0.0);

    let of_fallbacks = point.fallback.iter().flat_map(|fallback| &fallback.value.models);
    let models = point.models.iter().chain(of_fallbacks).cloned().collect();
    let of_fallbacks = point
        .fallback
        .iter()
        .filter_map(|fallback| fallback.value.since.as_ref());
    let since = point.since.iter().chain(of_fallbacks).cloned().collect();
    let (spoken, shapes) = match point.obis.take() {
        Some(codes) => (obis::spoken(&mut point, codes, key, lost, sink), Vec::new()),
        None => (None, registers::shapes(&mut point, key, lost, &head.read, sink)),
    };
    let label_table = labels.of_point(point.labels.take(), sink);
    let unit_lost = lost("unit");
    let unit = common::unit(point.unit.take(), point.class.as_ref(), unit_lost, sink);
    let decimals = common::decimals(point.decimals.as_ref(), sink);
    let label = common::text(point.label.take(), "label", MAX_TEXT, sink);
    let unlisted = common::text(point.unlisted.take(), "unlisted", MAX_TEXT, sink);
    let origin = common::text(point.origin.take(), "origin", MAX_TEXT, sink);
    let note = common::text(point.note.take(), "note", MAX_NOTE, sink);
    let absent = common::text(point.absent.take(), "absent", MAX_TEXT, sink);
    let writable = writable(&point, shapes.first(), sink);
    let not_written = not_written(&mut point, writable, sink);
    let write_at = point.write.as_ref().map(|write| write.span.clone());
    let place = write::Place {
        shapes: &shapes,
        unit: unit.as_deref(),
        repeated: point.for_each.is_some(),
        read: &head.read,
    };
    let write = point
        .write
        .take()
        .and_then(|write| write::check(write, &place, lost, &mut references, sink));

    if shapes.is_empty() && spoken.is_none() {
        return None;
    }
    let otherwise = point.otherwise.take().map(|otherwise| otherwise.span);
    if let Some(span) = labels_at {
        let is_whole = match (shapes.first(), &spoken) {
            (Some(own), _) => {
                let register = &own.register;
                let whole = register.scale == Scale::ONE && !offset_given && register.scale_point.is_none();
                whole && !matches!(register.ty, ValueType::F32 | ValueType::F64 | ValueType::Text)
            }
            (None, spoken) => spoken
                .as_ref()
                .is_some_and(|spoken| spoken.ty == SpokenType::Integer),
        };
        if !is_whole {
            sink.add(
                "labels",
                span,
                "only whole numbers have labels",
                "choose an integer type without scale and offset, or leave `labels` out",
            );
        }
    }
    let counts = shapes.first().is_some_and(|own| {
        let unsigned = matches!(
            own.register.ty,
            ValueType::U16 | ValueType::U24 | ValueType::U32 | ValueType::U64
        );
        unsigned && own.register.scale_point.is_none()
    });
    if !counts {
        common::no_wrap(point.total.as_ref(), sink);
    }
    let measured = match (shapes.first().map(|own| &own.register), &spoken) {
        (None, Some(spoken)) => obis::decimals(spoken.ty, unit.as_deref()),
        (None, None) => 0,
        (Some(own), _) if own.scale_point.is_some() => 3,
        (Some(own), _) => match own.ty {
            ValueType::F32 | ValueType::F64 => 3,
            ValueType::Text => 0,
            _ => shapes
                .iter()
                .map(|shape| decimals_of(shape.register.scale))
                .max()
                .unwrap_or(0),
        },
    };
    Some(Template {
        label,
        spoken,
        references,
        since,
        otherwise,
        models,
        overlap: point.overlap,
        decimals_given: true,
        rate_given: point.rate.is_some(),
        write: write_at,
        point: Point {
            key: String::new(),
            label: String::new(),
            source: PointSource::Registers(Vec::new()),
            otherwise: None,
            unit,
            class: point.class.map(|class| class.value),
            total: point.total.map(|total| total.value),
            labels: label_table,
            unlisted,
            valid_when,
            group: point.group.map(|group| group.value),
            since: point.since.map(|since| since.value),
            rate: point.rate.unwrap_or(crate::model::Rate::Fast),
            writable,
            write,
            not_written,
            decimals: decimals.unwrap_or(measured),
            origin,
            note,
            internal: point.internal,
            absent,
        },
        shapes,
    })
}

/// Whether the device accepts writes, as far as the ledger says.
fn writable(point: &format::Point, own: Option<&Shape>, sink: &mut Sink) -> bool {
    let access = point.access.as_ref().map(|access| access.value);
    if let (Some(Access::R), Some(write)) = (access, &point.write) {
        sink.add(
            "write",
            write.span.clone(),
            "bounds for a point that is read-only",
            "write access = \"rw\", or leave `write` out",
        );
    }
    let writable = access == Some(Access::Rw) || point.write.is_some();
    let function = own.map(|own| own.register.span.function);
    let linked = point
        .write
        .as_ref()
        .is_some_and(|write| write.value.link.is_some());
    if let (true, false, Some(function @ (Function::Input | Function::Discrete))) =
        (writable, linked, function)
    {
        let span = point
            .access
            .as_ref()
            .map(|a| a.span.clone())
            .or(point.write.as_ref().map(|w| w.span.clone()));
        sink.add(
            "write",
            span.unwrap_or(0..0),
            format!("Modbus cannot write to function {function}"),
            "read it with function holding or coils, or leave `access` out",
        );
    }
    writable
}

/// Why a point that the device would let one set is never written.
fn not_written(point: &mut format::Point, writable: bool, sink: &mut Sink) -> Option<String> {
    let reason = point.not_written.take()?;
    let fault = match (&point.write, writable) {
        (Some(_), _) => Some((
            "a reason for never writing a point that may be written",
            "write one of `write` and `not_written`",
        )),
        (None, false) => Some((
            "a reason for never writing a point that is read-only",
            "write access = \"rw\" where the device accepts writes, or leave `not_written` out",
        )),
        _ => None,
    };
    if let Some((message, help)) = fault {
        sink.add("write", reason.span, message, help);
        return None;
    }
    common::text(Some(reason), "not_written", MAX_TEXT, sink)
}

impl Template {
    /// The point of one round.
    fn instance(
        &self,
        repeat: &Repeat,
        key: &At<String>,
        head: &Head,
        known: &mut Known,
        sink: &mut Sink,
    ) -> Option<Draft> {
        let name = repeat.fill(&key.value);
        if repeat.variable.is_none() && name.contains('{') {
            sink.add(
                "for-each",
                key.span.clone(),
                format!(
                    "`{}` holds a placeholder, but nothing fills it",
                    name.chars().take(80).collect::<String>()
                ),
                "add for_each = { phase = [1, 2, 3], stride = 8 }",
            );
            known.lose(name);
            return None;
        }
        let sound = common::key(&name, key.span.clone(), "point", sink);
        let fresh = known.add_point(&name, key.span.clone(), sink);
        let registers: Vec<_> = self
            .shapes
            .iter()
            .filter_map(|shape| shape.place(repeat.further, &head.read, sink))
            .collect();
        if !sound || !fresh || registers.len() != self.shapes.len() {
            return None;
        }
        let mut registers = registers;
        for register in &mut registers {
            register.scale_point = register.scale_point.as_deref().map(|key| repeat.fill(key));
        }
        let mut point = self.point.clone();
        if !self.rate_given {
            point.rate = default_rate(point.class, point.writable, &name);
        }
        point.label = match &self.label {
            Some(label) => repeat.fill(label),
            None => default_label(&name),
        };
        point.source = match &self.spoken {
            Some(spoken) => PointSource::Obis(spoken.clone()),
            None => PointSource::Registers(registers),
        };
        point.group = point.group.map(|group| repeat.fill(&group));
        point.origin = point.origin.map(|origin| repeat.fill(&origin));
        point.note = point.note.map(|note| repeat.fill(&note));
        point.valid_when = point.valid_when.map(|when| Condition {
            point: repeat.fill(&when.point),
            test: when.test,
        });
        if let Some(rule) = &mut point.write {
            rule.rename(|text| repeat.fill(text));
        }
        point.key = name;
        let references = self
            .references
            .iter()
            .map(|reference| Reference {
                name: repeat.fill(&reference.name),
                ..reference.clone()
            })
            .collect();
        Some(Draft {
            point,
            key: key.span.clone(),
            overlap: self.overlap,
            at: self.shapes.iter().map(|shape| shape.at.span.clone()).collect(),
            references,
            since: self.since.clone(),
            otherwise: self.otherwise.clone(),
            models: self.models.clone(),
            decimals_given: self.decimals_given,
            write: self.write.clone(),
        })
    }
}
