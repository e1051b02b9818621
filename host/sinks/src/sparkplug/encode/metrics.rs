//! Entities as metrics. A metric keeps its alias and its datatype from birth to death.

use std::collections::BTreeMap;

use busbar_ledger::model::{Class, ValueType};
use busbar_ledger::value::{Quality, Value as Said};

use super::proto::{Metric, Property, PropertySet, PropertyValue, Value, datatype};
use crate::view::Entity;

/// Numbers that stand for names, for as long as a node lives.
#[derive(Debug, Default)]
pub struct Aliases(BTreeMap<(String, String), u64>);

/// The alias of the first metric of a device. Those below are the node's own.
const FIRST_ALIAS: u64 = 100;

impl Aliases {
    /// The alias of a device's metric; a new one where it has none.
    pub fn of(&mut self, device: &str, key: &str) -> u64 {
        let next = FIRST_ALIAS + self.0.len() as u64;
        *self.0.entry((device.to_owned(), key.to_owned())).or_insert(next)
    }

    /// The key of a device's metric with this alias.
    pub fn key(&self, device: &str, alias: u64) -> Option<&str> {
        let of_device = self.0.iter().filter(|((of, _), _)| of == device);
        of_device
            .filter(|(_, known)| **known == alias)
            .map(|((_, key), _)| key.as_str())
            .next()
    }
}

/// What a metric was born as: while this stays, data is enough, else there is another birth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its datatype.
    pub datatype: u32,
    /// Its unit.
    unit: Option<String>,
    /// What people call it.
    label: String,
}

impl Shape {
    /// That of an entity, which was born as `before` if it was. Whoever said a text once is one for good.
    pub fn of(entity: &Entity<'_>, before: Option<&Shape>) -> Self {
        let point = entity.point;
        let was_text = before.is_some_and(|shape| shape.datatype == datatype::STRING);
        let is_text = matches!(point.class, Some(Class::Identity))
            || matches!(entity.value(), Some(Said::Text(_)))
            || point
                .registers()
                .first()
                .is_some_and(|register| register.ty == ValueType::Text);
        let datatype = if was_text || is_text {
            datatype::STRING
        } else if point.labels.is_empty() {
            datatype::DOUBLE
        } else {
            datatype::INT64
        };
        Shape {
            datatype,
            unit: point.unit.clone(),
            label: entity.name.to_owned(),
        }
    }
}

/// A metric of a birth: with all that a host keeps of it.
pub fn born(entity: &Entity<'_>, alias: u64, shape: &Shape) -> Metric {
    let mut metric = said(entity, alias, shape);
    metric.name = Some(entity.point.key.clone());
    let text = |text: &str| PropertyValue {
        r#type: Some(datatype::STRING),
        value: Some(Property::String(text.to_owned())),
    };
    let properties = metric.properties.get_or_insert_with(PropertySet::default);
    properties.keys.push("documentation".to_owned());
    properties.values.push(text(&shape.label));
    if let Some(unit) = &shape.unit {
        properties.keys.push("engUnit".to_owned());
        properties.values.push(text(unit));
    }
    metric
}

/// A metric with the newest of its entity, by its alias. What is not known is null.
pub fn said(entity: &Entity<'_>, alias: u64, shape: &Shape) -> Metric {
    let value = entity.value().and_then(|value| value_of(value, shape.datatype));
    let at = entity
        .slot
        .since
        .and_then(|since| u64::try_from(since.wall_ms).ok());
    Metric {
        name: None,
        alias: Some(alias),
        timestamp: at,
        datatype: Some(shape.datatype),
        is_null: value.is_none().then_some(true),
        properties: Some(PropertySet {
            keys: vec!["Quality".to_owned()],
            values: vec![PropertyValue {
                r#type: Some(datatype::INT32),
                value: Some(Property::Int(quality(entity.reading().quality))),
            }],
        }),
        value,
    }
}

/// Qualities as hosts know them: 192 good, 500 stale, 0 bad.
fn quality(quality: Quality) -> u32 {
    match quality {
        Quality::Good => 192,
        Quality::Stale => 500,
        Quality::Invalid | Quality::Unavailable => 0,
    }
}

fn value_of(said: &Said, ty: u32) -> Option<Value> {
    match (ty, said) {
        (datatype::STRING, said) => Some(Value::String(said.to_string())),
        (datatype::INT64, Said::Integer(number)) => {
            Some(Value::Long(u64::from_ne_bytes(number.to_ne_bytes())))
        }
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a number of an enumeration is whole and small"
        )]
        (datatype::INT64, Said::Number(number)) if number.fract() == 0.0 && number.abs() < 9e15 => {
            Some(Value::Long(u64::from_ne_bytes((*number as i64).to_ne_bytes())))
        }
        (datatype::DOUBLE, said) => said
            .as_f64()
            .filter(|number| number.is_finite())
            .map(Value::Double),
        _ => None,
    }
}
