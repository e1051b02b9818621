//! Recognising a device from `[identify]`, and comparing firmware versions.

use crate::codec::{self, Decoded};
use crate::model::{Identify, IdentityField, IdentityFormat, Ledger, ProbeValue, Register};
use crate::value::Value;

/// The model that the words of the probe speak for; `None` when it is another kind of device. The text is
/// empty where the ledger accepts any answer and so names no model.
pub fn matches(identify: &Identify, words: &[u16]) -> Option<String> {
    let Some(probe) = &identify.probe else {
        return Some(String::new());
    };
    let register = Register::plain(probe.span, probe.ty, probe.order);
    let Decoded::Value(value) = codec::decode(&register, words, None) else {
        return None;
    };
    if let Value::Text(text) = &value
        && probe.starts_with.iter().any(|start| text.starts_with(start))
    {
        return Some(text.trim().to_owned());
    }
    if probe.equals.is_empty() && probe.starts_with.is_empty() {
        return Some(String::new());
    }
    probe.equals.iter().find_map(|(wanted, model)| {
        let same = match (wanted, &value) {
            (ProbeValue::Integer(wanted), Value::Integer(is)) => wanted == is,
            (ProbeValue::Text(wanted), Value::Text(is)) => wanted == is,
            _ => false,
        };
        same.then(|| model.clone())
    })
}

/// A piece of identity as text; `None` when the words hold none (empty text, no version).
pub fn field_text(field: &IdentityField, words: &[u16]) -> Option<String> {
    if words.len() != usize::from(field.span.count) {
        return None;
    }
    match field.format {
        IdentityFormat::Text => {
            let text = codec::text(words, field.order);
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        }
        IdentityFormat::Number => {
            let number = words
                .iter()
                .try_fold(0u64, |n, &w| (n >> 48 == 0).then_some(n << 16 | u64::from(w)))?;
            Some(number.to_string())
        }
        IdentityFormat::Bytes2 => {
            let &[word] = words else { return None };
            let [major, minor] = word.to_be_bytes();
            Some(format!("{major}.{minor}"))
        }
        IdentityFormat::Bytes4 => {
            let &[high, low] = words else { return None };
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Some(bytes4_text([a, b, c, d]))
        }
        IdentityFormat::Gx => {
            let &[version, beta] = words else { return None };
            gx_text(version, beta)
        }
    }
}

/// A serial number as text; `None` where the words hold nothing that tells two devices apart: nothing at all, zeros, or
/// the pattern for "no value". Devices say that while they start, and meters to which none was given say it for good.
pub fn serial_text(field: &IdentityField, words: &[u16]) -> Option<String> {
    let blank = |word: u16| words.iter().all(|w| *w == word);
    let text = field_text(field, words).filter(|_| !blank(0) && !blank(0xFFFF))?;
    text.chars()
        .any(|c| c.is_ascii_alphanumeric() && c != '0')
        .then_some(text)
}

/// The words that say this text in a field: what a device of this identity would answer. `None` when the field cannot
/// hold it.
pub fn field_words(field: &IdentityField, text: &str) -> Option<Vec<u16>> {
    let count = usize::from(field.span.count);
    let bytes = match field.format {
        IdentityFormat::Text => text.as_bytes().to_vec(),
        IdentityFormat::Number => {
            let number = text.parse::<u64>().ok()?.to_be_bytes();
            let (high, low) = number.split_at(8_usize.checked_sub(2 * count)?);
            high.iter().all(|&byte| byte == 0).then(|| low.to_vec())?
        }
        IdentityFormat::Bytes2 => bytes2(text)?
            .into_iter()
            .map(|byte| u8::try_from(byte).ok())
            .collect::<Option<_>>()?,
        IdentityFormat::Bytes4 => bytes4(text)?
            .into_iter()
            .map(|byte| u8::try_from(byte).ok())
            .collect::<Option<_>>()?,
        IdentityFormat::Gx => {
            let version = gx(text)?;
            let [major, minor, beta] = version[..] else {
                return None;
            };
            let byte = |n: u64| u8::try_from(n).ok();
            vec![byte(major)?, byte(minor)?, 0, byte(beta)?]
        }
    };
    if bytes.len() > 2 * count {
        return None;
    }
    let byte = |place: usize| bytes.get(place).copied().unwrap_or(0);
    let words = (0..count).map(|i| u16::from_be_bytes([byte(2 * i), byte(2 * i + 1)]));
    Some(words.collect())
}

/// `0.1.9.255` is `v1.09`, `0.1.3.1` is `v1.03-beta-01`: hexadecimal digits read as they stand.
fn bytes4_text(version: [u8; 4]) -> String {
    match version {
        [0, major, minor, 0xFF] => format!("v{major:x}.{minor:02x}"),
        [0, major, minor, beta] => format!("v{major:x}.{minor:02x}-beta-{beta:02x}"),
        [a, b, c, d] => format!("{a}.{b}.{c}.{d}"),
    }
}

/// `0x0365, 0x12` is `v3.65~12`: hexadecimal digits read as they stand. A beta of 0 or 0xFF is a release.
/// Old firmware has no version register and answers 0 or 0xFFFF there.
fn gx_text(version: u16, beta: u16) -> Option<String> {
    if version == 0 || version == 0xFFFF {
        return None;
    }
    let (major, minor) = (version >> 8, version & 0xFF);
    Some(match beta & 0xFF {
        0 | 0xFF => format!("v{major:x}.{minor:02x}"),
        beta => format!("v{major:x}.{minor:02x}~{beta:x}"),
    })
}

/// Whether firmware `have` is `since` or later; `None` when one of the two is no version of this format.
pub fn firmware_at_least(format: IdentityFormat, have: &str, since: &str) -> Option<bool> {
    let version = match format {
        IdentityFormat::Bytes2 => bytes2,
        IdentityFormat::Bytes4 => bytes4,
        IdentityFormat::Gx => gx,
        IdentityFormat::Text | IdentityFormat::Number => dotted,
    };
    Some(version(have)? >= version(since)?)
}

/// How versions of this ledger's devices are written.
pub(crate) fn firmware_format(ledger: &Ledger) -> IdentityFormat {
    let field = ledger.identify.as_ref().and_then(|i| i.firmware.as_ref());
    field.map_or(IdentityFormat::Text, |f| f.format)
}

/// Whether this firmware has what came with `since`. What is not known counts as yes: the device itself says
/// no to what it lacks.
pub(crate) fn reached(format: IdentityFormat, firmware: Option<&str>, since: &str) -> bool {
    firmware
        .and_then(|have| firmware_at_least(format, have, since))
        .unwrap_or(true)
}

/// Two numbers with a dot between.
fn bytes2(text: &str) -> Option<Vec<u64>> {
    let (major, minor) = text.split_once('.')?;
    let byte = |digits: &str| digits.parse::<u8>().ok().map(u64::from);
    Some(vec![byte(major)?, byte(minor)?])
}

/// Four numbers, written as such or as people are shown them.
fn bytes4(text: &str) -> Option<Vec<u64>> {
    if let Some(version) = text.strip_prefix('v') {
        let hex = |digits: &str| u8::from_str_radix(digits, 16).ok().map(u64::from);
        let (version, beta) = version.split_once("-beta-").unwrap_or((version, "ff"));
        let (major, minor) = version.split_once('.')?;
        return Some(vec![0, hex(major)?, hex(minor)?, hex(beta)?]);
    }
    let parts: Vec<u64> = text
        .split('.')
        .map(|p| p.parse::<u8>().ok().map(u64::from))
        .collect::<Option<_>>()?;
    (parts.len() == 4).then_some(parts)
}

/// Major, minor, beta; a release stands above all its betas.
fn gx(text: &str) -> Option<Vec<u64>> {
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let text = text.trim().trim_start_matches(['v', 'V']);
    let (version, beta) = match text.split_once('~') {
        Some((version, beta)) => (version, hex(beta)?),
        None => (text, 0xFF),
    };
    let (major, minor) = version.split_once('.')?;
    // The second part has two digits: `3.6` is a short way to write `3.60`.
    let minor = if minor.len() == 1 {
        hex(minor)? << 4
    } else {
        hex(minor)?
    };
    Some(vec![hex(major)?, minor, beta])
}

/// Numbers between dots; what follows the digits of a part is not compared, and missing parts count as 0.
fn dotted(text: &str) -> Option<Vec<u64>> {
    let text = text.trim().trim_start_matches(['v', 'V']);
    let mut parts = text
        .split('.')
        .map(|part| {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            part[..digits].parse().ok()
        })
        .collect::<Option<Vec<u64>>>()?;
    while parts.last() == Some(&0) {
        parts.pop();
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::IdentifyProbe;
    use crate::model::{Order, ValueType};
    use crate::span::Span;

    fn identify(ty: ValueType, span: Span, equals: Vec<(ProbeValue, String)>) -> Identify {
        Identify {
            probe: Some(IdentifyProbe {
                span,
                ty,
                order: Order::Abcd,
                equals,
                starts_with: Vec::new(),
            }),
            serial: None,
            firmware: None,
            model: None,
            rescan_when_changed: Vec::new(),
        }
    }

    fn field(count: u16, format: IdentityFormat) -> IdentityField {
        IdentityField {
            span: Span::holding(0, count),
            format,
            order: Order::Abcd,
        }
    }

    #[test]
    fn a_product_id_names_the_model() {
        let id = identify(
            ValueType::U16,
            Span::holding(0x1000, 1),
            vec![
                (ProbeValue::Integer(0xA1B1), "VM-3P75CT".into()),
                (ProbeValue::Integer(0xA1B2), "VM-3P5A".into()),
            ],
        );
        assert_eq!(matches(&id, &[0xA1B2]).as_deref(), Some("VM-3P5A"));
        assert_eq!(matches(&id, &[0xC02F]), None);
        assert_eq!(matches(&id, &[]), None, "no words, no device");
    }

    #[test]
    fn a_text_is_compared_whole() {
        let id = identify(
            ValueType::Text,
            Span::holding(0, 2),
            vec![(ProbeValue::Text("SunS".into()), "SunSpec".into())],
        );
        assert_eq!(matches(&id, &[0x5375, 0x6E53]).as_deref(), Some("SunSpec"));
        assert_eq!(matches(&id, &[0x5375, 0x6E00]), None);
    }

    #[test]
    fn a_text_that_begins_as_asked_is_the_model() {
        let mut id = identify(ValueType::Text, Span::holding(0, 4), Vec::new());
        let probe = id.probe.as_mut().unwrap();
        probe.starts_with = vec!["SUN".into()];
        let words = [0x5355, 0x4E32, 0x4B00, 0];
        assert_eq!(matches(&id, &words).as_deref(), Some("SUN2K"));
        assert_eq!(matches(&id, &[0x4D4F, 0x4F4E, 0, 0]), None);
        assert_eq!(matches(&id, &[0; 4]), None, "an empty text is no model");
    }

    #[test]
    fn any_answer_will_do_where_nothing_is_asked() {
        let id = identify(ValueType::U16, Span::holding(0, 1), Vec::new());
        assert_eq!(matches(&id, &[7]).as_deref(), Some(""));
        assert_eq!(matches(&Identify { probe: None, ..id }, &[]).as_deref(), Some(""));
    }

    #[test]
    fn identity_texts() {
        let text = |format, words: &[u16]| field_text(&field(words.len() as u16, format), words);
        assert_eq!(
            text(IdentityFormat::Text, &[0x4851, 0x3132, 0]).as_deref(),
            Some("HQ12")
        );
        assert_eq!(text(IdentityFormat::Text, &[0, 0]), None);
        assert_eq!(text(IdentityFormat::Number, &[1, 2]).as_deref(), Some("65538"));
        assert_eq!(
            text(IdentityFormat::Bytes4, &[0x0001, 0x09FF]).as_deref(),
            Some("v1.09")
        );
        assert_eq!(
            text(IdentityFormat::Bytes4, &[0x0001, 0x0301]).as_deref(),
            Some("v1.03-beta-01")
        );
        assert_eq!(
            text(IdentityFormat::Bytes4, &[0x0001, 0x10FF]).as_deref(),
            Some("v1.10")
        );
        assert_eq!(
            text(IdentityFormat::Bytes4, &[0x0100, 0x00FF]).as_deref(),
            Some("1.0.0.255")
        );
        assert_eq!(text(IdentityFormat::Gx, &[0x0365, 0]).as_deref(), Some("v3.65"));
        assert_eq!(
            text(IdentityFormat::Gx, &[0x0365, 0x12]).as_deref(),
            Some("v3.65~12")
        );
        assert_eq!(
            text(IdentityFormat::Gx, &[0x0306, 0xFF]).as_deref(),
            Some("v3.06")
        );
        assert_eq!(
            text(IdentityFormat::Gx, &[0xFFFF, 0xFFFF]),
            None,
            "old firmware has a reserved range there"
        );
        assert_eq!(text(IdentityFormat::Bytes4, &[1]), None);
        assert_eq!(text(IdentityFormat::Bytes2, &[0x0207]).as_deref(), Some("2.7"));
        assert_eq!(text(IdentityFormat::Bytes2, &[0x020A]).as_deref(), Some("2.10"));
        assert_eq!(text(IdentityFormat::Bytes2, &[2, 7]), None);
        assert_eq!(field_text(&field(2, IdentityFormat::Gx), &[0x0365]), None);
        let serial = |format, words: &[u16]| serial_text(&field(words.len() as u16, format), words);
        for blank in [[0, 0], [0xFFFF, 0xFFFF]] {
            assert_eq!(serial(IdentityFormat::Number, &blank), None);
            assert_eq!(serial(IdentityFormat::Text, &blank), None);
        }
        assert_eq!(serial(IdentityFormat::Text, &[0x3030, 0x3030]), None);
        assert_eq!(serial(IdentityFormat::Text, &[0x2020, 0x3F3F]), None);
        assert_eq!(serial(IdentityFormat::Number, &[0, 10]).as_deref(), Some("10"));
        assert_eq!(serial(IdentityFormat::Text, &[0x3031, 0]).as_deref(), Some("01"));
    }

    #[test]
    fn an_identity_text_goes_both_ways() {
        for (format, count, shown) in [
            (IdentityFormat::Text, 8, "HQ2419QXCLR"),
            (IdentityFormat::Number, 2, "65538"),
            (IdentityFormat::Bytes2, 1, "2.10"),
            (IdentityFormat::Bytes2, 1, "0.255"),
            (IdentityFormat::Bytes4, 2, "v1.09"),
            (IdentityFormat::Bytes4, 2, "v1.03-beta-01"),
            (IdentityFormat::Bytes4, 2, "1.0.0.255"),
            (IdentityFormat::Gx, 2, "v3.65~12"),
            (IdentityFormat::Gx, 2, "v3.65"),
        ] {
            let field = field(count, format);
            let words = field_words(&field, shown).unwrap();
            assert_eq!(field_text(&field, &words).as_deref(), Some(shown));
        }
        assert_eq!(field_words(&field(2, IdentityFormat::Bytes4), "soon"), None);
        assert_eq!(field_words(&field(1, IdentityFormat::Number), "65536"), None);
        for text in ["2", "2.256", "2.7.1", "2.-7"] {
            assert_eq!(
                field_words(&field(1, IdentityFormat::Bytes2), text),
                None,
                "{text}"
            );
        }
        assert_eq!(field_words(&field(1, IdentityFormat::Text), "abc"), None);
    }

    #[test]
    fn versions_are_compared_in_their_format() {
        use IdentityFormat::{Bytes2, Bytes4, Gx, Text};
        let cases = [
            (Bytes2, "2.10", "2.7", Some(true)),
            (Bytes2, "1.255", "2.0", Some(false)),
            (Bytes2, "v2.7", "2.7", None),
            (Bytes4, "0.1.9.255", "0.1.9.0", Some(true)),
            (Bytes4, "0.1.7.255", "0.1.9.0", Some(false)),
            (Bytes4, "0.1.16.1", "0.1.9.255", Some(true)),
            (Bytes4, "0.1.9", "0.1.9.0", None),
            (Bytes4, "0.1.9.256", "0.1.9.0", None),
            (Bytes4, "v1.09", "0.1.9.255", Some(true)),
            (Bytes4, "v1.09-beta-02", "0.1.9.255", Some(false)),
            (Bytes4, "v1.09-beta-02", "0.1.9.0", Some(true)),
            (Bytes4, "v1.05", "0.1.5.255", Some(true)),
            (Bytes4, "v1.10", "0.1.9.0", Some(true)),
            (Bytes4, "1.0.0.255", "v1.10", Some(true)),
            (Bytes4, "v1", "0.1.9.0", None),
            (Gx, "v3.65", "v3.65", Some(true)),
            (Gx, "v3.65", "v3.65~12", Some(true)),
            (Gx, "v3.65~12", "v3.65", Some(false)),
            (Gx, "v3.65~12", "3.6", Some(true)),
            (Gx, "v2.94", "v3.10", Some(false)),
            (Gx, "v10.00", "v3.65", Some(true)),
            (Gx, "soon", "v3.65", None),
            (Text, "1.10.2", "1.9", Some(true)),
            (Text, "1.9", "1.9.0", Some(true)),
            (Text, "V2.00-rc1", "2.1", Some(false)),
            (Text, "unknown", "2.1", None),
        ];
        for (format, have, since, expected) in cases {
            assert_eq!(
                firmware_at_least(format, have, since),
                expected,
                "{have} against {since}"
            );
        }
    }
}
