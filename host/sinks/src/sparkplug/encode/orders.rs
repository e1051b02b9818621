//! What hosts ask for. Whatever they send is anybody's until it is understood.

use prost::Message;
use serde_json::Value as Json;

use super::metrics::Aliases;
use super::proto::{Metric, Payload, Value, datatype};
use super::{REBIRTH, REBIRTH_ALIAS};

/// The most that one message asks for.
const MOST: usize = 100;

/// Whether an order to the node asks for its birth.
///
/// # Errors
/// Why it is no order.
pub fn asks_for_birth(payload: &[u8]) -> Result<bool, String> {
    let metrics = metrics(payload)?;
    let asks = |metric: &Metric| {
        let named = metric.name.as_deref() == Some(REBIRTH);
        let by_alias = metric.name.is_none() && metric.alias == Some(REBIRTH_ALIAS);
        (named || by_alias) && metric.value == Some(Value::Boolean(true))
    };
    Ok(metrics.iter().any(asks))
}

/// What an order to a device asks for: keys, and the values that they are to have.
///
/// # Errors
/// Why it is no order.
pub fn wishes(payload: &[u8], device: &str, aliases: &Aliases) -> Result<Vec<(String, Json)>, String> {
    let wish = |metric: Metric| {
        let key = match (metric.name, metric.alias) {
            (Some(name), _) if !name.is_empty() => name,
            (_, Some(alias)) => aliases
                .key(device, alias)
                .ok_or_else(|| format!("no metric has the alias {alias}"))?
                .to_owned(),
            _ => return Err("a metric has neither name nor alias".to_owned()),
        };
        let value = match (metric.value, metric.is_null) {
            (Some(value), None | Some(false)) => json(value, metric.datatype)?,
            _ => return Err(format!("{key} is to have no value")),
        };
        Ok((key, value))
    };
    metrics(payload)?.into_iter().map(wish).collect()
}

/// Whether the host application says that it is there: `{"online": true, "timestamp": …}`. `None` where it says neither.
pub fn is_online(payload: &[u8]) -> Option<bool> {
    const MOST_BYTES: usize = 1024;
    let payload = Some(payload).filter(|payload| payload.len() <= MOST_BYTES)?;
    serde_json::from_slice::<Json>(payload)
        .ok()?
        .get("online")?
        .as_bool()
}

fn metrics(payload: &[u8]) -> Result<Vec<Metric>, String> {
    let payload = Payload::decode(payload).map_err(|e| format!("it is no payload of Sparkplug B: {e}"))?;
    if payload.metrics.len() > MOST {
        return Err(format!("it has more than {MOST} metrics"));
    }
    Ok(payload.metrics)
}

/// A value as the way of writes takes it. A signed number of up to 32 bits comes in two's complement.
fn json(value: Value, ty: Option<u32>) -> Result<Json, String> {
    Ok(match value {
        Value::Int(bits) => {
            let [a, b, c, d] = bits.to_le_bytes();
            match ty {
                Some(datatype::INT8) => i8::from_le_bytes([a]).into(),
                Some(datatype::INT16) => i16::from_le_bytes([a, b]).into(),
                Some(datatype::INT32) => i32::from_le_bytes([a, b, c, d]).into(),
                _ => bits.into(),
            }
        }
        Value::Long(bits) => match ty {
            Some(datatype::INT64) => i64::from_le_bytes(bits.to_le_bytes()).into(),
            _ => bits.into(),
        },
        Value::Float(number) => {
            // 0.1 is meant, not 0.10000000149011612.
            let number: f64 = number.to_string().parse().unwrap_or(f64::NAN);
            finite(number)?
        }
        Value::Double(number) => finite(number)?,
        Value::Boolean(on) => on.into(),
        Value::String(text) => text.into(),
    })
}

fn finite(number: f64) -> Result<Json, String> {
    serde_json::Number::from_f64(number)
        .map(Json::Number)
        .ok_or_else(|| format!("{number} is no number that can be written"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn payload(metrics: Vec<Metric>) -> Vec<u8> {
        Payload {
            metrics,
            ..Payload::default()
        }
        .encode_to_vec()
    }

    fn metric(name: &str, ty: u32, value: Value) -> Metric {
        Metric {
            name: Some(name.to_owned()),
            datatype: Some(ty),
            value: Some(value),
            ..Metric::default()
        }
    }

    #[test]
    fn a_birth_is_asked_for_by_name_or_alias() {
        let by_name = metric(REBIRTH, datatype::BOOLEAN, Value::Boolean(true));
        let by_alias = Metric {
            name: None,
            alias: Some(REBIRTH_ALIAS),
            ..by_name.clone()
        };
        let not = metric(REBIRTH, datatype::BOOLEAN, Value::Boolean(false));
        for (metrics, asks) in [
            (vec![by_name], true),
            (vec![by_alias], true),
            (vec![not], false),
            (vec![], false),
        ] {
            assert_eq!(asks_for_birth(&payload(metrics)), Ok(asks));
        }
    }

    #[test]
    fn numbers_are_what_was_meant() {
        let mut aliases = Aliases::default();
        let alias = aliases.of("d", "setpoint");
        let wished = |metric| wishes(&payload(vec![metric]), "d", &aliases);
        for (ty, value, expected) in [
            (datatype::INT8, Value::Int(0xFF), json!(-1)),
            (datatype::INT16, Value::Int(0xFFFE), json!(-2)),
            (datatype::INT32, Value::Int(u32::MAX), json!(-1)),
            (7, Value::Int(u32::MAX), json!(u32::MAX)),
            (datatype::INT64, Value::Long(u64::MAX - 499), json!(-500)),
            (8, Value::Long(5), json!(5)),
            (9, Value::Float(0.1), json!(0.1)),
            (datatype::DOUBLE, Value::Double(-2.5), json!(-2.5)),
            (datatype::BOOLEAN, Value::Boolean(true), json!(true)),
            (datatype::STRING, Value::String("on".to_owned()), json!("on")),
        ] {
            let by_name = metric("setpoint", ty, value);
            let by_alias = Metric {
                name: None,
                alias: Some(alias),
                ..by_name.clone()
            };
            let expected = Ok(vec![("setpoint".to_owned(), expected)]);
            assert_eq!(wished(by_name), expected);
            assert_eq!(wished(by_alias), expected);
        }
        for bad in [
            metric("setpoint", datatype::DOUBLE, Value::Double(f64::NAN)),
            Metric {
                is_null: Some(true),
                ..metric("setpoint", datatype::DOUBLE, Value::Double(1.0))
            },
            Metric {
                alias: Some(7),
                ..Metric::default()
            },
            Metric::default(),
        ] {
            assert!(wished(bad).is_err());
        }
        let many = vec![metric("x", datatype::DOUBLE, Value::Double(1.0)); MOST + 1];
        assert!(
            wishes(&payload(many), "d", &aliases)
                .unwrap_err()
                .contains("more than 100")
        );
    }

    #[test]
    fn a_host_is_there_when_it_says_so() {
        for (text, expected) in [
            ("{\"online\": true, \"timestamp\": 1}", Some(true)),
            ("{\"online\": false}", Some(false)),
            ("{\"online\": 1}", None),
            ("ONLINE", None),
            ("", None),
        ] {
            assert_eq!(is_online(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_in_is_understood_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = asks_for_birth(&bytes);
            let _ = wishes(&bytes, "d", &Aliases::default());
            let _ = is_online(&bytes);
        }
    }
}
