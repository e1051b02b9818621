use proptest::prelude::*;

use super::*;
use crate::model::Scale;
use crate::span::Span;
use crate::testing::{register, scaled, text as text_register};

fn value(register: &Register, words: &[u16]) -> Value {
    match decode(register, words, None) {
        Decoded::Value(value) => value,
        Decoded::Invalid(reason) => panic!("{words:x?}: {reason}"),
    }
}

fn is_invalid(register: &Register, words: &[u16], exponent: Option<i32>) -> bool {
    matches!(decode(register, words, exponent), Decoded::Invalid(_))
}

#[test]
fn every_type_by_example() {
    use ValueType::*;
    let bits = |shift, width| Bits { shift, width };
    let cases: &[(ValueType, &[u16], Value)] = &[
        (I16, &[0xFFFE], Value::Integer(-2)),
        (U16, &[0xFFFE], Value::Integer(65_534)),
        (I32, &[0xFFFF, 0xFFFE], Value::Integer(-2)),
        (U32, &[0x0001, 0x0002], Value::Integer(65_538)),
        (U24, &[0xAA01, 0x0002], Value::Integer(65_538)),
        (I64, &[0xFFFF, 0xFFFF, 0xFFFF, 0xFFFD], Value::Integer(-3)),
        (U64, &[0, 0, 1, 0], Value::Integer(65_536)),
        (
            U64,
            &[0x8000, 0, 0, 0],
            Value::Number(9_223_372_036_854_775_808.0),
        ),
        (F32, &[0x4148, 0], Value::Number(12.5)),
        (F64, &[0x4029, 0, 0, 0], Value::Number(12.5)),
        (Bcd, &[0x1987], Value::Integer(1987)),
        (bits(3, 1), &[0b1000], Value::Integer(1)),
        (bits(4, 8), &[0x0AB0], Value::Integer(0xAB)),
        (bits(0, 16), &[0xFFFF], Value::Integer(65_535)),
    ];
    for (ty, words, expected) in cases {
        assert_eq!(value(&register(0, *ty), words), *expected, "{ty:?}");
    }
}

#[test]
fn orders_lay_the_bytes_as_their_names_say() {
    for (order, words) in [
        (Order::Abcd, [0x0A0B, 0x0C0D]),
        (Order::Cdab, [0x0C0D, 0x0A0B]),
        (Order::Badc, [0x0B0A, 0x0D0C]),
        (Order::Dcba, [0x0D0C, 0x0B0A]),
    ] {
        let register = Register {
            order,
            ..register(0, ValueType::U32)
        };
        assert_eq!(value(&register, &words), Value::Integer(0x0A0B_0C0D), "{order:?}");
    }
    let wide = Register {
        order: Order::Cdab,
        ..register(0, ValueType::U64)
    };
    assert_eq!(value(&wide, &[4, 3, 2, 1]), Value::Integer(0x0001_0002_0003_0004));
    let one_word = Register {
        order: Order::Cdab,
        ..register(0, ValueType::U16)
    };
    assert_eq!(value(&one_word, &[0x0A0B]), Value::Integer(0x0A0B));
    let swapped = Register {
        order: Order::Badc,
        ..text_register(0, 2)
    };
    assert_eq!(value(&swapped, &[0x4241, 0x4443]), Value::Text("ABCD".into()));
}

#[test]
fn scaling_rounds_once() {
    let tenth = scaled(0, ValueType::U16, 1, 10);
    assert_eq!(value(&tenth, &[523]), Value::Number(52.3));
    assert_eq!(value(&tenth, &[3]), Value::Number(0.3));
    assert_eq!(
        value(&scaled(0, ValueType::U16, -1, 100), &[29]),
        Value::Number(-0.29)
    );
    assert_eq!(
        value(&scaled(0, ValueType::I16, 10, 1), &[0xFFFF]),
        Value::Integer(-10)
    );
    assert_eq!(
        value(&scaled(0, ValueType::U64, 1000, 1), &[0x4000, 0, 0, 0]),
        Value::Number(4_611_686_018_427_387_904_000.0)
    );
    let celsius = Register {
        offset: -273.15,
        ..scaled(0, ValueType::U16, 1, 100)
    };
    let Value::Number(n) = value(&celsius, &[29_815]) else {
        panic!("a number")
    };
    assert!((n - 25.0).abs() < 1e-9);
}

#[test]
fn a_scale_register_moves_the_point() {
    let register = Register {
        scale_point: Some("scale".into()),
        ..register(0, ValueType::I16)
    };
    let number = |words: &[u16], exponent| match decode(&register, words, Some(exponent)) {
        Decoded::Value(Value::Number(n)) => n,
        other => panic!("{other:?}"),
    };
    assert_eq!(number(&[523], -1), 52.3);
    assert_eq!(number(&[5], 3), 5000.0);
    assert_eq!(number(&[5], -10), 5e-10);
    assert!(is_invalid(&register, &[5], Some(11)));
    assert!(
        is_invalid(&register, &[5], Some(-32_768)),
        "SunSpec's mark for an unknown scale"
    );
    assert!(
        is_invalid(&register, &[5], None),
        "a scale that was not read is not 1"
    );
    assert_eq!(encode(&register, &Value::Number(52.3), Some(-1)), Ok(vec![523]));
    assert!(matches!(
        encode(&register, &Value::Number(52.3), None),
        Err(CodecError::NoScale(None))
    ));
}

#[test]
fn what_is_no_value_is_invalid() {
    let counter = Register {
        invalid: vec![0xFFFF_FFFF],
        ..scaled(0, ValueType::U32, 1, 100)
    };
    assert!(is_invalid(&counter, &[0xFFFF, 0xFFFF], None));
    let signed = Register {
        invalid: vec![0x8000],
        ..register(0, ValueType::I16)
    };
    assert!(
        is_invalid(&signed, &[0x8000], None),
        "the raw pattern decides, not the number"
    );
    let swapped = Register {
        invalid: vec![0x0102_0304],
        order: Order::Dcba,
        ..register(0, ValueType::U32)
    };
    assert!(
        is_invalid(&swapped, &[0x0403, 0x0201], None),
        "in the value's own order"
    );
    assert!(
        is_invalid(&register(0, ValueType::F32), &[0x7FC0, 0], None),
        "NaN"
    );
    assert!(
        is_invalid(&register(0, ValueType::F64), &[0x7FF0, 0, 0, 0], None),
        "infinity"
    );
    assert!(is_invalid(&register(0, ValueType::Bcd), &[0x12A4], None));
    assert!(
        is_invalid(&register(0, ValueType::U32), &[1], None),
        "half an answer"
    );
    let wrong = Register {
        span: Span::holding(0, 3),
        ..register(0, ValueType::U16)
    };
    assert!(is_invalid(&wrong, &[1, 2, 3], None));
}

#[test]
fn texts() {
    let register = text_register(0, 4);
    let read = |bytes: &[u8; 8]| {
        let words: Vec<u16> = bytes
            .chunks(2)
            .map(|b| u16::from_be_bytes([b[0], b[1]]))
            .collect();
        value(&register, &words).to_string()
    };
    assert_eq!(read(b"HQ21\0xyz"), "HQ21");
    assert_eq!(read(b"two  \0\0\0"), "two");
    assert_eq!(read(b" in     "), " in");
    assert_eq!(read("Küche\0\0".as_bytes().try_into().unwrap()), "Küche");
    assert_eq!(read(b"K\xFCche\0\0\0"), "Küche", "Latin-1");
    assert_eq!(
        read(b"Energi\xC3\0"),
        "EnergiÃ",
        "not cut off by the register's end: Latin-1"
    );
    assert_eq!(read(b"Energie\xC3"), "Energie", "cut off by the register's end");
    assert_eq!(read(b"\0\0\0\0\0\0\0\0"), "");
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    use CodecError::*;
    let tenth = scaled(0, ValueType::I16, 1, 10);
    let refuse = |register: &Register, value: Value| encode(register, &value, None).unwrap_err();
    assert_eq!(
        refuse(&tenth, Value::Integer(3277)),
        OutOfRange {
            asked: 3277.0,
            min: -3276.8,
            max: 3276.7
        }
    );
    assert!(matches!(
        refuse(&tenth, Value::Number(-3276.86)),
        OutOfRange { .. }
    ));
    assert_eq!(
        encode(&tenth, &Value::Number(3276.7), None),
        Ok(vec![0x7FFF]),
        "the bound itself fits"
    );
    assert!(matches!(
        refuse(&register(0, ValueType::U16), Value::Integer(-1)),
        OutOfRange { .. }
    ));
    assert!(matches!(
        refuse(&register(0, ValueType::U16), Value::Number(-0.3)),
        OutOfRange { .. }
    ));
    assert_eq!(
        encode(&scaled(0, ValueType::U16, 1, 100), &Value::Number(655.35), None),
        Ok(vec![0xFFFF])
    );
    assert!(matches!(
        refuse(&register(0, ValueType::U64), Value::Number(2e19)),
        OutOfRange { .. }
    ));
    assert!(matches!(
        refuse(&register(0, ValueType::F32), Value::Number(1e39)),
        OutOfRange { .. }
    ));
    let bits = register(0, ValueType::Bits { shift: 2, width: 2 });
    assert_eq!(encode(&bits, &Value::Integer(3), None), Ok(vec![0b1100]));
    assert!(matches!(refuse(&bits, Value::Integer(4)), OutOfRange { .. }));
    assert!(matches!(
        refuse(&register(0, ValueType::Bcd), Value::Integer(10_000)),
        OutOfRange { .. }
    ));
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(matches!(refuse(&tenth, Value::Number(number)), NotFinite(_)));
    }
    let marked = Register {
        invalid: vec![0x7FFF],
        ..register(0, ValueType::I16)
    };
    assert_eq!(
        refuse(&marked, Value::Integer(32_767)),
        Sentinel {
            asked: 32_767.0,
            raw: 0x7FFF
        }
    );
    assert_eq!(refuse(&tenth, Value::Text("on".into())), NotANumber("on".into()));
    assert_eq!(refuse(&text_register(0, 2), Value::Integer(1)), NotAText(1.0));
    assert_eq!(
        refuse(&text_register(0, 2), Value::Text("fünf".into())),
        TooLong { have: 5, max: 4 }
    );
    assert_eq!(
        refuse(&text_register(0, 2), Value::Text("a\0b".into())),
        TextNotKept
    );
    assert_eq!(
        refuse(&text_register(0, 2), Value::Text("ab ".into())),
        TextNotKept
    );
    let wrong = Register {
        span: Span::holding(0, 1),
        ..register(0, ValueType::U32)
    };
    assert_eq!(refuse(&wrong, Value::Integer(1)), WrongLength { words: 1 });
}

fn types() -> impl Strategy<Value = (ValueType, u16)> {
    use ValueType::*;
    prop_oneof![
        Just((I16, 1)),
        Just((U16, 1)),
        Just((I32, 2)),
        Just((U32, 2)),
        Just((U24, 2)),
        Just((I64, 4)),
        Just((U64, 4)),
        Just((F32, 2)),
        Just((F64, 4)),
        (1u16..=4).prop_map(|n| (Bcd, n)),
        (1u16..=4).prop_flat_map(|n| {
            let all = 16 * n as u8;
            (0..all).prop_flat_map(move |shift| {
                (1..=all - shift).prop_map(move |width| (Bits { shift, width }, n))
            })
        }),
        (1u16..=40).prop_map(|n| (Text, n)),
    ]
}

fn scales() -> impl Strategy<Value = Scale> {
    let powers = prop::sample::select(vec![1i64, 10, 100, 1000, 1_000_000, 3, 7, 360]);
    let signed = (powers.clone(), any::<bool>()).prop_map(|(n, minus)| if minus { -n } else { n });
    (signed, powers).prop_map(|(num, den)| Scale { num, den })
}

fn registers() -> impl Strategy<Value = Register> {
    let orders = prop::sample::select(vec![Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba]);
    let offsets = prop_oneof![3 => Just(0.0), 1 => -1000.0..1000.0f64];
    let marks = prop::collection::vec(
        prop_oneof![Just(0xFFFF), Just(0x8000), Just(0x7FFF), any::<u64>()],
        0..3,
    );
    (types(), orders, scales(), offsets, marks).prop_map(|((ty, count), order, scale, offset, invalid)| {
        Register {
            span: Span::holding(0, count),
            order,
            scale,
            offset,
            invalid,
            ..register(0, ty)
        }
    })
}

fn exponents() -> impl Strategy<Value = Option<i32>> {
    prop_oneof![3 => Just(None), 2 => (-10..=10i32).prop_map(Some), 1 => any::<i32>().prop_map(Some)]
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::Integer),
        (-70_000..70_000i64).prop_map(Value::Integer),
        any::<f64>().prop_map(Value::Number),
        (-70_000.0..70_000.0f64).prop_map(Value::Number),
        (-3.0..3.0f64).prop_map(Value::Number),
        any::<String>().prop_map(Value::Text),
        "[a-zäß ]{0,12}".prop_map(Value::Text),
    ]
}

/// Half a step of the register, and what an f64 cannot tell apart at this size.
fn tolerance(register: &Register, exponent: Option<i32>, asked: f64) -> f64 {
    let step = register.scale.as_f64().abs() * 10f64.powi(exponent.unwrap_or(0));
    let noise = 16.0 * f64::EPSILON * (asked.abs() + register.offset.abs() + step);
    match register.ty {
        ValueType::F32 => (asked - register.offset).abs() * f64::from(f32::EPSILON) + step * 1e-44 + noise,
        ValueType::F64 => noise,
        _ => 0.5 * step + noise,
    }
}

proptest! {
    #[test]
    fn a_value_comes_back_or_is_refused(register in registers(), asked in values(), exponent in exponents()) {
        let Ok(words) = encode(&register, &asked, exponent) else { return Ok(()) };
        prop_assert_eq!(words.len(), usize::from(register.span.count));
        let back = match decode(&register, &words, exponent) {
            Decoded::Value(value) => value,
            Decoded::Invalid(reason) => return Err(TestCaseError::fail(reason)),
        };
        match (&asked, back.as_f64()) {
            (Value::Text(_), _) => prop_assert_eq!(&back, &asked),
            (_, Some(back)) => {
                let asked = asked.as_f64().unwrap();
                prop_assert!((back - asked).abs() <= tolerance(&register, exponent, asked), "{} became {}", asked, back);
            }
            _ => prop_assert!(false, "a number became a text"),
        }
    }

    #[test]
    fn what_fits_is_not_refused(register in registers(), part in 0.0..=1.0f64) {
        // A value somewhere in the middle of the range, on a whole step.
        let register = Register { invalid: Vec::new(), ..register };
        let Some((low, high)) = whole_range(register.ty, register.span.count) else { return Ok(()) };
        let raw = (low as f64 + part * (high as f64 - low as f64)).floor();
        let asked = raw * register.scale.as_f64() + register.offset;
        prop_assert!(encode(&register, &Value::Number(asked), None).is_ok(), "{}", asked);
    }

    #[test]
    fn words_come_back(register in registers(), words in prop::collection::vec(any::<u16>(), 1..5)) {
        let register = Register { scale: Scale::ONE, offset: 0.0, ..register };
        let Decoded::Value(value) = decode(&register, &words, None) else { return Ok(()) };
        let count = words.len() as u16;
        let kept = match register.ty {
            ValueType::Bits { shift, width } => shift == 0 && u16::from(width) == 16 * count,
            ValueType::U24 => false,
            // White space, NUL or Latin-1 may be lost.
            ValueType::Text => value.to_string().is_ascii() && value.to_string().len() == 2 * words.len(),
            _ => true,
        };
        // A number above what i64 holds has lost digits.
        if kept && !matches!((register.ty, &value), (ValueType::U64 | ValueType::Bits { .. }, Value::Number(_))) {
            prop_assert_eq!(encode(&register, &value, None), Ok(words));
        }
    }

    #[test]
    fn no_words_make_it_panic(register in registers(), words in prop::collection::vec(any::<u16>(), 0..50), exponent in exponents(), count: u16, length in 0u16..6) {
        let _ = decode(&register, &words, exponent);
        let odd = Register { span: Span::holding(0, length), scale_point: Some("x".into()), ..register.clone() };
        let _ = decode(&odd, &words[..words.len().min(usize::from(length))], exponent);
        let _ = encode(&Register { span: Span::holding(0, count), ..register }, &Value::Integer(1), exponent);
    }
}
