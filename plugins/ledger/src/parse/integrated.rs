//! Energies that a running host adds up from a power.

use std::collections::{HashMap, HashSet};

use toml::de::DeTable;

use super::Draft;
use super::common::{self, MAX_NOTE, MAX_TEXT};
use super::computed::Builder;
use super::references::{Known, Reference, Target};
use super::section;
use crate::classes::default_label;
use crate::diagnostics::Sink;
use crate::format::{self, At};
use crate::model::{Class, Expression, Integrated, Point, PointSource, Rate, Total};

/// Decimals of an energy in kWh that is added up: what a small device needs in an hour is still seen.
const DECIMALS: u8 = 3;

/// Reads `[integrated]` behind all other points.
pub(super) fn read_all(section: DeTable<'_>, drafts: &mut Vec<Draft>, known: &mut Known, sink: &mut Sink) {
    for (key, value) in section {
        let key = At {
            span: key.span(),
            value: key.into_inner().into_owned(),
        };
        let sound = common::key(&key.value, key.span.clone(), "point", sink);
        let fresh = known.add_point(&key.value, key.span.clone(), sink);
        let read = section::read::<format::Integrated>(value, &key.value, sink);
        let complete = read.struck.is_empty();
        let Some(integrated) = read.value else { continue };
        let draft = draft(integrated, key, complete, sink);
        drafts.extend(draft.filter(|_| sound && fresh));
    }
}

fn draft(integrated: format::Integrated, key: At<String>, complete: bool, sink: &mut Sink) -> Option<Draft> {
    let mut references: Vec<Reference> = integrated
        .unless
        .iter()
        .map(|counter| Reference::new(Target::Any, counter.value.clone(), counter.span.clone()))
        .collect();
    let mut builder = Builder {
        references: &mut references,
        complete,
        sink,
    };
    let of = builder.operand(integrated.of);
    let label = common::text(integrated.label, "label", MAX_TEXT, sink);
    let note = common::text(integrated.note, "note", MAX_NOTE, sink);
    Some(Draft {
        point: Point {
            label: label.unwrap_or_else(|| default_label(&key.value)),
            rate: Rate::Fast,
            source: PointSource::Integrated(Integrated {
                of: of?,
                watts: 1.0,
                part: integrated.part,
                unless: integrated
                    .unless
                    .into_iter()
                    .map(|counter| counter.value)
                    .collect(),
            }),
            otherwise: None,
            key: key.value,
            unit: Some("kWh".to_owned()),
            class: Some(Class::Energy),
            total: Some(Total::Increasing),
            labels: Default::default(),
            unlisted: None,
            valid_when: None,
            group: None,
            since: None,
            writable: false,
            write: None,
            not_written: None,
            decimals: DECIMALS,
            origin: None,
            note,
            internal: false,
            absent: None,
        },
        key: key.span,
        overlap: false,
        at: Vec::new(),
        references,
        since: Vec::new(),
        otherwise: None,
        models: Vec::new(),
        decimals_given: true,
        write: None,
    })
}

/// Checks that what is added up is a power, and that nothing leans on what is added up: it is known to a running host only.
pub(super) fn check(drafts: &mut [Draft], sink: &mut Sink) {
    let units: HashMap<String, Option<String>> = drafts
        .iter()
        .map(|draft| (draft.point.key.clone(), draft.point.unit.clone()))
        .collect();
    let added_up: HashSet<String> = drafts
        .iter()
        .filter(|draft| draft.point.integrated().is_some())
        .map(|draft| draft.point.key.clone())
        .collect();
    for draft in drafts {
        for reference in &draft.references {
            if reference.target != Target::Group && added_up.contains(&reference.name) {
                sink.add(
                    "integrated",
                    reference.span.clone(),
                    format!("`{}` is known to a running host only", reference.name),
                    "name a point of the device, or a computed one",
                );
            }
        }
        let PointSource::Integrated(integrated) = &mut draft.point.source else {
            continue;
        };
        let Expression::Point(of) = &integrated.of else {
            continue;
        };
        match units.get(of).map(|unit| unit.as_deref()) {
            Some(Some("kW")) => integrated.watts = 1000.0,
            Some(Some("W")) | None => {}
            Some(unit) => sink.add(
                "integrated",
                draft.key.clone(),
                format!("`{of}` is in {}, and no power", unit.unwrap_or("no unit")),
                "name a point in W or kW",
            ),
        }
    }
}
