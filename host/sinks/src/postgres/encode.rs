//! Samples as rows. Pure. While the server is away they are kept as JSON, one a line.

use busbar_ledger::value::Value;
use busbar_store::PostgresRow;

use crate::samples::{Sample, class_name};

/// The longest text that is stored, in characters.
const LONGEST_TEXT: usize = 4096;

/// The row of a sample.
pub fn row(sample: &Sample) -> PostgresRow {
    let meta = &sample.of.meta;
    let number = sample.value.as_ref().and_then(Value::as_f64);
    let text = match &sample.value {
        Some(Value::Text(text)) => Some(text.chars().take(LONGEST_TEXT).collect()),
        _ => sample.label(),
    };
    PostgresRow {
        entity: sample.entity(),
        device: meta.id.clone(),
        key: sample.key().to_owned(),
        name: sample.name().to_owned(),
        unit: sample.unit().map(str::to_owned),
        class: sample.class().map(class_name),
        ledger: meta.ledger.name.clone(),
        connection: meta.connection.clone(),
        unit_id: meta.unit,
        time_ms: sample.time_ms,
        value: number.filter(|number| number.is_finite()),
        text,
        quality: sample.quality.name().to_owned(),
    }
}

/// Rows as a batch.
pub fn pack(samples: &[Sample]) -> Vec<u8> {
    let mut body = Vec::with_capacity(samples.len() * 250);
    for sample in samples {
        // Texts and numbers always are JSON.
        if serde_json::to_writer(&mut body, &row(sample)).is_ok() {
            body.push(b'\n');
        }
    }
    body
}

/// The rows of a batch; what is none is left out.
pub fn unpack(body: &[u8]) -> Vec<PostgresRow> {
    let lines = body.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use busbar_ledger::value::Quality;
    use proptest::prelude::*;

    use super::*;
    use crate::view::testing::device;

    proptest! {
        #[test]
        fn a_batch_holds_what_was_put_in(
            text in prop::option::of("\\PC{0,12}|[\u{0}\n\"\\\\]{1,4}"),
            number in prop::num::f64::NORMAL,
            time_ms in any::<i64>(),
        ) {
            let value = match text {
                Some(text) => Value::Text(text),
                None => Value::Number(number),
            };
            let sample = Sample {
                of: device("one"),
                index: 0,
                value: Some(value),
                quality: Quality::Good,
                time_ms,
                said_ms: Some(time_ms),
            };
            let unknown = Sample {
                value: None,
                quality: Quality::Unavailable,
                ..sample.clone()
            };
            let rows = unpack(&pack(&[sample.clone(), unknown.clone()]));
            prop_assert_eq!(rows, vec![row(&sample), row(&unknown)]);
        }
    }

    #[test]
    fn a_state_has_its_number_and_what_it_means() {
        let sample = Sample {
            of: device("one"),
            index: 2,
            value: Some(Value::Integer(1)),
            quality: Quality::Good,
            time_ms: 1,
            said_ms: Some(1),
        };
        let row = row(&sample);
        assert_eq!(
            (row.value, row.text.as_deref(), row.class.as_deref()),
            (Some(1.0), Some("On"), Some("enum"))
        );
    }
}
