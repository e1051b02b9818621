//! Register lists as people write them.

use super::*;
use crate::codec::{Decoded, decode};
use crate::model::{Bridge, Class, Point};
use crate::value::Value;

const TITLE: Title<'static> = Title {
    name: "acme/em3",
    title: "EM3",
    source: "em3.csv",
};

fn read(file: &str, text: &str) -> Map {
    Map::read(file, text, &Settings::default()).unwrap_or_else(|faults| panic!("{faults}"))
}

fn faults(file: &str, text: &str) -> String {
    Map::read(file, text, &Settings::default())
        .unwrap_err()
        .to_string()
}

fn ledger(map: &Map) -> Ledger {
    map.ledger("em3.toml", &TITLE)
        .unwrap_or_else(|faults| panic!("{faults}"))
        .1
}

#[test]
fn the_same_list_in_every_dress_is_the_same_ledger() {
    let dresses = [
        ("a.csv", "voltage,3028,2,FLOAT32,V\nenergy,0xC84,4,UINT64,Wh\n".to_owned()),
        ("a.csv", "\u{feff}name;address;length;type;unit\r\n# what the meter says\r\nvoltage;3028;2;float32;V\r\n\r\n\"energy\";0xC84;4;Uint64;Wh\r\n".to_owned()),
        ("a.tsv", "Type\tAddress\tName\tUnit\nf32\t3028\tvoltage\tV\nu64\t3204\tenergy\tWh\n".to_owned()),
        ("list", "[[register]]\nname = \"voltage\"\naddress = 3028\nlength = 2\ntype = \"FLOAT32\"\nunit = \"V\"\n[[register]]\nname = \"energy\"\naddress = 0xC84\ntype = \"uint64\"\nunit = \"Wh\"\n".to_owned()),
        ("a.toml", "registers = [\n  [\"voltage\", 3028, 2, \"FLOAT32\", \"V\"],\n  [\"energy\", 3204, 4, \"UINT64\", \"Wh\"],\n]\n".to_owned()),
    ];
    let first = read(dresses[0].0, &dresses[0].1);
    for (file, text) in &dresses {
        assert_eq!(read(file, text), first, "{text}");
    }
    let ledger = ledger(&first);
    let energy = ledger.point("energy").unwrap();
    assert_eq!(
        (energy.unit.as_deref(), energy.class),
        (Some("Wh"), Some(Class::Energy))
    );
    assert_eq!(
        energy.register().unwrap().span,
        crate::span::Span::holding(3204, 4)
    );
    assert_eq!(
        (ledger.read.max_words, ledger.read.bridge),
        (100, Bridge::Learned)
    );
}

#[test]
fn what_a_list_says_of_itself_counts_until_a_flag_says_otherwise() {
    let text = "title = \"PM8000\"\nunit_id = 10\nindex_shift = -1\nwordorder = \"little\"\nfunction = \"input\"\nmessage_size = 60\n\
        [[register]]\nname = \"a\"\naddress = 3000\ntype = \"INT32\"\n[[register]]\nname = \"b\"\naddress = 3002\ntype = \"INT32\"\norder = \"abcd\"\nfunction = 3\n";
    let map = read("m.toml", text);
    assert_eq!((map.title.as_deref(), map.unit_id), (Some("PM8000"), Some(10)));
    let own = ledger(&map);
    let register = |ledger: &Ledger, key: &str| ledger.point(key).and_then(Point::register).unwrap().clone();
    assert_eq!(
        register(&own, "a").span,
        crate::span::Span {
            function: Function::Input,
            at: 2999,
            count: 2
        }
    );
    assert_eq!(register(&own, "a").order, Order::Cdab);
    assert_eq!(
        (register(&own, "b").span.function, register(&own, "b").order),
        (Function::Holding, Order::Abcd)
    );
    assert_eq!(
        (own.read.max_words, own.transports[0].units.clone()),
        (60, vec![10])
    );

    let flags = Settings {
        index_shift: Some(5),
        byteorder: Some(Endian::Little),
        wordorder: Some(Endian::Big),
        message_size: Some(8),
    };
    let other = ledger(&Map::read("m.toml", text, &flags).unwrap());
    assert_eq!(
        (register(&other, "a").span.at, register(&other, "a").order),
        (3005, Order::Badc)
    );
    assert_eq!(
        register(&other, "b").order,
        Order::Abcd,
        "a register's own order stays"
    );
    assert_eq!(other.read.max_words, 8);
}

#[test]
fn names_become_keys_and_stay_as_labels() {
    let map = read(
        "a.csv",
        "\"Voltage L1 [V]\";10;;UINT16;V;0,1;;4\n\"say \"\"hi\"\"\";11;;INT16;;;;;;-40\n",
    );
    assert_eq!(map.entries[0].key, "voltage_l1_v");
    assert_eq!(map.entries[1].key, "say_hi");
    let ledger = ledger(&map);
    let point = ledger.point("voltage_l1_v").unwrap();
    assert_eq!(point.label, "Voltage L1 [V]");
    let register = point.register().unwrap();
    assert_eq!(
        decode(register, &[2304], None),
        Decoded::Value(Value::Number(230.4))
    );
    assert_eq!(register.span.function, Function::Input);
    assert_eq!(ledger.point("say_hi").unwrap().register().unwrap().offset, -40.0);
}

#[test]
fn the_examples_of_the_guide_are_lists() {
    let guide = include_str!("../../../../ledgers/README.md");
    let (_, lists) = guide.split_once("## Register lists").unwrap();
    let block = |kind: &str| {
        let (_, rest) = lists.split_once(&format!("```{kind}\n")).unwrap();
        rest.split_once("```").unwrap().0
    };
    let csv = ledger(&read("guide.csv", block("csv")));
    assert_eq!(csv.points.len(), 3);
    assert_eq!(csv.point("temperature").unwrap().label, "Temperature of the case");
    let toml = read("guide.toml", block("toml"));
    assert_eq!(
        ledger(&toml)
            .point("voltage_l1")
            .unwrap()
            .register()
            .unwrap()
            .span
            .at,
        3027
    );
}

#[test]
fn a_ledger_is_told_from_a_list() {
    let text = "ledger = \"acme/em3\"\ntitle = \"EM3\"\n[points]\na = { at = 0, type = \"u16\" }\n";
    assert!(
        faults("a.toml", text).contains("--ledger"),
        "{}",
        faults("a.toml", text)
    );
}

#[test]
fn a_whole_file_in_one_quote_costs_one_line() {
    let faults = faults("a.csv", "name,address,type\n\"a,1,u16\nb,2,u16\n");
    assert_eq!(faults.lines().count(), 1, "{faults}");
    assert!(faults.starts_with("a.csv:2:1: "), "{faults}");
}

/// An encoder that has nothing to do with the codec: bytes of the value, words, then the two orders as the reader
/// that these lists come from applies them (`Endian.LITTLE` words are reversed, little bytes swapped in each word).
fn by_hand(big_endian: &[u8], bytes: Endian, words: Endian) -> Vec<u16> {
    let mut pairs: Vec<[u8; 2]> = big_endian.chunks(2).map(|pair| [pair[0], pair[1]]).collect();
    if words == Endian::Little {
        pairs.reverse();
    }
    pairs
        .into_iter()
        .map(|[high, low]| match bytes {
            Endian::Big => u16::from(high) * 256 + u16::from(low),
            Endian::Little => u16::from(low) * 256 + u16::from(high),
        })
        .collect()
}

#[test]
fn every_type_in_every_order_is_what_an_independent_encoder_meant() {
    let cases: [(&str, Vec<u8>, Value); 8] = [
        (
            "INT16",
            (-12_345_i16).to_be_bytes().to_vec(),
            Value::Integer(-12_345),
        ),
        (
            "UINT16",
            54_321_u16.to_be_bytes().to_vec(),
            Value::Integer(54_321),
        ),
        (
            "INT32",
            (-123_456_789_i32).to_be_bytes().to_vec(),
            Value::Integer(-123_456_789),
        ),
        (
            "UINT32",
            3_123_456_789_u32.to_be_bytes().to_vec(),
            Value::Integer(3_123_456_789),
        ),
        (
            "INT64",
            (-1_234_567_890_123_456_i64).to_be_bytes().to_vec(),
            Value::Integer(-1_234_567_890_123_456),
        ),
        (
            "UINT64",
            1_234_567_890_123_456_u64.to_be_bytes().to_vec(),
            Value::Integer(1_234_567_890_123_456),
        ),
        ("FLOAT32", 230.5_f32.to_be_bytes().to_vec(), Value::Number(230.5)),
        (
            "FLOAT64",
            (-49.987_654_321_f64).to_be_bytes().to_vec(),
            Value::Number(-49.987_654_321),
        ),
    ];
    for bytes in [Endian::Big, Endian::Little] {
        for words in [Endian::Big, Endian::Little] {
            let settings = Settings {
                byteorder: Some(bytes),
                wordorder: Some(words),
                ..Settings::default()
            };
            for (ty, big_endian, value) in &cases {
                let map = Map::read("a.csv", &format!("x,7,,{ty}"), &settings).unwrap();
                let ledger = ledger(&map);
                let register = ledger.point("x").and_then(Point::register).unwrap();
                let sent = by_hand(big_endian, bytes, words);
                assert_eq!(
                    decode(register, &sent, None),
                    Decoded::Value(value.clone()),
                    "{ty}, bytes {bytes:?}, words {words:?}"
                );
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn whatever_is_in_a_file_ends_in_a_ledger_or_in_faults(text in "([a-z\"0-9,;# \t\r\n=\\[\\]{}-]|UINT16|name|address|type){0,120}") {
        for file in ["a.csv", "a.toml", "a"] {
            if let Ok(map) = Map::read(file, &text, &Settings::default()) {
                map.ledger("as a ledger", &TITLE).unwrap_or_else(|faults| panic!("{text:?}: {faults}"));
            }
        }
    }

    #[test]
    fn a_list_that_reads_is_a_ledger_that_reads(
        rows in proptest::collection::vec(
            ("[ -~äµ°]{0,40}", 0u32..70_000, proptest::sample::select(vec!["INT16", "u32", "FLOAT64", "text", "bcd"]), 0u16..6,
             "[ -~µ]{0,18}", proptest::sample::select(vec!["", "1/10", "-0.1", "1000"]), "[ -~é]{0,20}", 1u8..5),
            1..12,
        ),
        shift in -3i32..3,
    ) {
        let mut text = String::new();
        for (name, at, ty, length, unit, scale, label, function) in rows {
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            text += &format!("{},{at},{length},{ty},{},{scale},{},{function}\n", quoted(&name), quoted(&unit), quoted(&label));
            // Most rows contradict something: a list of the sound ones is what is to be a ledger.
            let settings = Settings { index_shift: Some(shift), ..Settings::default() };
            match Map::read("a.csv", &text, &settings) {
                Ok(map) => { map.ledger("as a ledger", &TITLE).unwrap_or_else(|faults| panic!("{text}: {faults}")); }
                Err(_) => { text = text.lines().rev().skip(1).map(|line| format!("{line}\n")).collect::<Vec<_>>().into_iter().rev().collect(); }
            }
        }
    }
}

#[test]
fn a_row_has_a_word_order_of_its_own_and_strings_are_text() {
    let settings = Settings {
        byteorder: Some(Endian::Little),
        ..Settings::default()
    };
    let text = "name,address,type,order\na,1,UINT32,little\nb,3,UINT32,BIG\nc,5,UINT32,\n";
    let map = Map::read("a.csv", text, &settings).unwrap();
    let orders: Vec<_> = map.entries.iter().map(|entry| entry.order).collect();
    assert_eq!(orders, [Order::Dcba, Order::Badc, Order::Badc]);
    let faults = Map::read("a.csv", "a,1,8,STRING16", &Settings::default()).unwrap_err();
    assert!(faults.to_string().contains("write text"), "{faults}");
}
