//! The samples of one moment, packed: about ten bytes each, six where a 4-byte float is exact.
//!
//! The format is written down in `migrations/history/0001_begin.sql`.

use serde::{Deserialize, Serialize};

/// How far a value could be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// What the device said, in time.
    Good,
    /// Older than it should have been.
    Stale,
    /// The device answered with what is no value.
    Invalid,
    /// The device did not answer.
    Unavailable,
}

/// One series' sample in a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) series: i64,
    pub(crate) value: Option<f64>,
    pub(crate) quality: Quality,
}

const QUALITIES: [Quality; 4] = [
    Quality::Good,
    Quality::Stale,
    Quality::Invalid,
    Quality::Unavailable,
];
const NO_VALUE: u8 = 0;
const SINGLE: u8 = 1;
const DOUBLE: u8 = 2;

/// Packs; the entries are put in the order of their series, each of which is 0 or more.
pub(crate) fn encode(entries: &mut [Entry]) -> Vec<u8> {
    entries.sort_by_key(|e| e.series);
    let mut body = Vec::with_capacity(entries.len() * 10);
    let mut last = 0;
    for entry in entries {
        put_varint(&mut body, entry.series.abs_diff(last));
        last = entry.series;
        let quality = entry.quality as u8;
        match entry.value {
            None => body.push(quality | NO_VALUE << 3),
            Some(value) if f64::from(value as f32) == value => {
                body.push(quality | SINGLE << 3);
                body.extend((value as f32).to_le_bytes());
            }
            Some(value) => {
                body.push(quality | DOUBLE << 3);
                body.extend(value.to_le_bytes());
            }
        }
    }
    body
}

/// Finds one series' samples; `None` when the body is no frame.
pub(crate) fn find(mut body: &[u8], series: i64) -> Option<Vec<Entry>> {
    let mut found = Vec::new();
    let mut current: i64 = 0;
    while !body.is_empty() {
        current = current.checked_add_unsigned(take_varint(&mut body)?)?;
        if current > series {
            break;
        }
        let (&head, rest) = body.split_first()?;
        body = rest;
        let quality = *QUALITIES.get(usize::from(head & 7))?;
        let value = match head >> 3 {
            NO_VALUE => None,
            SINGLE => Some(f64::from(f32::from_le_bytes(take(&mut body)?))),
            DOUBLE => Some(f64::from_le_bytes(take(&mut body)?)),
            _ => return None,
        };
        if current == series {
            found.push(Entry {
                series,
                value,
                quality,
            });
        }
    }
    Some(found)
}

fn put_varint(body: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        body.push(value as u8 | 0x80);
        value >>= 7;
    }
    body.push(value as u8);
}

fn take_varint(body: &mut &[u8]) -> Option<u64> {
    let mut value: u64 = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = body.split_first()?;
        *body = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take<const N: usize>(body: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, rest) = body.split_first_chunk::<N>()?;
    *body = rest;
    Some(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let value = prop_oneof![
            Just(None),
            any::<f64>().prop_map(Some),
            any::<i32>().prop_map(|i| Some(f64::from(i) / 10.0)),
            any::<i16>().prop_map(|i| Some(f64::from(i))),
        ];
        let entry = (1..50_000i64, value, proptest::sample::select(&QUALITIES[..]));
        proptest::collection::vec(
            entry.prop_map(|(series, value, quality)| Entry {
                series,
                value,
                quality,
            }),
            0..200,
        )
    }

    /// NaN is equal to itself here.
    fn bits(entries: &[Entry]) -> Vec<(Option<u64>, Quality)> {
        entries
            .iter()
            .map(|e| (e.value.map(f64::to_bits), e.quality))
            .collect()
    }

    proptest! {
        #[test]
        fn every_sample_comes_back_exactly(entries in entries()) {
            let body = encode(&mut entries.clone());
            for series in entries.iter().map(|e| e.series).chain([0, 50_001, i64::MAX]) {
                let expected: Vec<Entry> = entries.iter().copied().filter(|e| e.series == series).collect();
                prop_assert_eq!(bits(&find(&body, series).unwrap()), bits(&expected));
            }
        }

        #[test]
        fn any_bytes_are_survived(body: Vec<u8>, series: i64) {
            let _ = find(&body, series);
        }
    }

    #[test]
    fn a_thousand_neighbours_take_ten_bytes_each_at_most() {
        let mut entries: Vec<Entry> = (1..=1000)
            .map(|i| Entry {
                series: i,
                value: Some(i as f64 / 10.0),
                quality: Quality::Good,
            })
            .collect();
        assert!(encode(&mut entries).len() <= 10 * 1000);
    }

    #[test]
    fn a_frame_that_is_cut_is_none() {
        let mut entries = [Entry {
            series: 7,
            value: Some(0.1),
            quality: Quality::Good,
        }];
        let body = encode(&mut entries);
        assert_eq!(body.len(), 10);
        for cut in 1..body.len() {
            assert!(find(&body[..cut], 7).is_none(), "{cut} bytes");
        }
    }
}
