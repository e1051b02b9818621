//! What a node says, and what it is told. Pure.

pub mod metrics;
pub mod orders;
pub mod proto;
pub mod topics;

use prost::Message;

use proto::{Metric, Payload, Value, datatype};

/// The metric that ties a node's death to its birth.
const BD_SEQ: &str = "bdSeq";
/// The metric by which a host asks for a birth.
pub const REBIRTH: &str = "Node Control/Rebirth";
/// Its alias.
pub const REBIRTH_ALIAS: u64 = 1;

/// The count of a node's messages: 0 for its birth, then 1 to 255 and 0 again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sequence(u8);

impl Sequence {
    /// The number of the next message.
    pub fn take(&mut self) -> u64 {
        let next = self.0;
        self.0 = self.0.wrapping_add(1);
        u64::from(next)
    }

    /// The next message is a birth.
    pub fn begin(&mut self) {
        self.0 = 0;
    }
}

/// A node's birth.
pub fn node_birth(sequence: &mut Sequence, bd_seq: u8, version: &str, now_ms: u64) -> Vec<u8> {
    sequence.begin();
    let rebirth = Metric {
        name: Some(REBIRTH.to_owned()),
        alias: Some(REBIRTH_ALIAS),
        timestamp: Some(now_ms),
        datatype: Some(datatype::BOOLEAN),
        value: Some(Value::Boolean(false)),
        ..Metric::default()
    };
    let software = Metric {
        name: Some("Properties/Software".to_owned()),
        timestamp: Some(now_ms),
        datatype: Some(datatype::STRING),
        value: Some(Value::String(format!("Busbar {version}"))),
        ..Metric::default()
    };
    message(
        vec![bd_seq_metric(bd_seq, now_ms), rebirth, software],
        Some(sequence.take()),
        now_ms,
    )
}

/// A node's death: the will that it leaves with the broker.
pub fn node_death(bd_seq: u8, now_ms: u64) -> Vec<u8> {
    message(vec![bd_seq_metric(bd_seq, now_ms)], None, now_ms)
}

/// Whatever is said of a device: its birth, what changed, and, with no metrics, its death.
pub fn device(metrics: Vec<Metric>, sequence: &mut Sequence, now_ms: u64) -> Vec<u8> {
    message(metrics, Some(sequence.take()), now_ms)
}

fn bd_seq_metric(bd_seq: u8, now_ms: u64) -> Metric {
    Metric {
        name: Some(BD_SEQ.to_owned()),
        timestamp: Some(now_ms),
        datatype: Some(datatype::INT64),
        value: Some(Value::Long(u64::from(bd_seq))),
        ..Metric::default()
    }
}

fn message(metrics: Vec<Metric>, seq: Option<u64>, now_ms: u64) -> Vec<u8> {
    Payload {
        timestamp: Some(now_ms),
        metrics,
        seq,
    }
    .encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::metrics::{Aliases, Shape, born, said};
    use super::*;
    use crate::bus::Bus;
    use crate::view::entities;
    use crate::view::testing::{device, read};

    #[test]
    fn messages_are_counted_from_each_birth() {
        let mut sequence = Sequence::default();
        let seq = |bytes: &[u8]| Payload::decode(bytes).unwrap().seq;
        assert_eq!(seq(&node_birth(&mut sequence, 7, "1", 5)), Some(0));
        for expected in (1..=255).chain([0, 1]) {
            assert_eq!(seq(&super::device(vec![], &mut sequence, 5)), Some(expected));
        }
        assert_eq!(seq(&node_birth(&mut sequence, 7, "1", 5)), Some(0));
        assert_eq!(seq(&node_death(7, 5)), None);
    }

    #[test]
    fn birth_and_death_have_the_same_number() {
        let of = |bytes: Vec<u8>| {
            let payload = Payload::decode(bytes.as_slice()).unwrap();
            let metric = payload
                .metrics
                .into_iter()
                .find(|m| m.name.as_deref() == Some("bdSeq"))
                .unwrap();
            (metric.datatype, metric.value)
        };
        assert_eq!(
            of(node_birth(&mut Sequence::default(), 255, "1", 5)),
            of(node_death(255, 5))
        );
        assert_eq!(
            of(node_death(3, 5)),
            (Some(datatype::INT64), Some(Value::Long(3)))
        );
    }

    #[tokio::test]
    async fn what_is_not_known_is_null_and_keeps_its_datatype() {
        let bus = Bus::default();
        let one = device("one");
        bus.put("c", vec![one.clone()]);
        let mut aliases = Aliases::default();
        let power = |aliases: &mut Aliases| {
            let entity = entities(&one).remove(0);
            let alias = aliases.of("one", "power");
            let shape = Shape::of(&entity, None);
            (born(&entity, alias, &shape), said(&entity, alias, &shape))
        };
        let (birth, data) = power(&mut aliases);
        assert_eq!(
            (birth.name.as_deref(), birth.alias, birth.is_null, birth.value),
            (Some("power"), Some(100), Some(true), None)
        );
        assert_eq!(
            (data.name, data.alias, data.datatype),
            (None, Some(100), Some(datatype::DOUBLE))
        );
        assert_eq!(
            birth.properties.unwrap().keys,
            ["Quality", "documentation", "engUnit"]
        );
        read(&bus, &one, 0, -42.5);
        let (_, data) = power(&mut aliases);
        assert_eq!((data.is_null, data.value), (None, Some(Value::Double(-42.5))));
        assert_eq!(aliases.key("one", 100), Some("power"));
        assert_eq!((aliases.key("two", 100), aliases.key("one", 101)), (None, None));
        read(&bus, &one, 2, 1.0);
        let entity = &entities(&one)[2];
        let state = said(entity, 5, &Shape::of(entity, None));
        assert_eq!(
            (state.datatype, state.value),
            (Some(datatype::INT64), Some(Value::Long(1)))
        );
    }
}
