//! Telegrams in streams: what comes before, between and behind them, and how they come.

use busbar_plugin_p1::P1;
use busbar_plugin_sdk::{Checked, Feed, Plugin};

use crate::common::{encrypted, file, hear, in_pieces, names, one};

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn every_telegram_is_heard_whole_and_byte_by_byte() {
    for name in names() {
        let bytes = file(&name);
        let telegram = one(&bytes);
        let alone = in_pieces(bytes.chunks(1));
        assert_eq!(alone.telegrams, std::slice::from_ref(&telegram), "{name}");
        assert_eq!(alone.damaged, 0, "{name}");
        // Twice in a row, in pieces of odd sizes.
        let twice = joined(&[&bytes, &bytes]);
        for size in [2, 7, 64, 300] {
            let heard = in_pieces(twice.chunks(size));
            assert_eq!(heard.telegrams.len(), 2, "{name} in pieces of {size}");
            assert_eq!(heard.telegrams[0], telegram, "{name}");
            assert_eq!(heard.telegrams[1], telegram, "{name}");
        }
    }
    let heard = in_pieces(encrypted().chunks(1));
    assert_eq!((heard.telegrams.len(), heard.dropped), (1, 0));
}

#[test]
fn case_1_it_starts_in_the_middle() {
    let bytes = file("nl50");
    for from in 1..bytes.len() {
        let stream = joined(&[&bytes[from..], &bytes]);
        let heard = hear(&stream);
        assert_eq!(heard.telegrams.len(), 1, "from {from}");
        assert_eq!(heard.damaged, 0, "from {from}");
        // Line ends between telegrams are nobody's.
        let ends = bytes[from..]
            .iter()
            .take_while(|b| matches!(b, b'\r' | b'\n'))
            .count();
        assert_eq!(heard.dropped as usize, bytes.len() - from - ends, "from {from}");
    }
}

#[test]
fn case_2_a_flipped_byte_costs_the_telegram_and_nothing_else() {
    for name in ["nl50", "se", "be"] {
        let bytes = file(name);
        let good = one(&bytes);
        for at in 0..bytes.len() - 2 {
            for flip in [0x01, 0x08, 0x10, 0xFF] {
                let mut flipped = bytes.clone();
                flipped[at] ^= flip;
                let heard = hear(&joined(&[&flipped, &bytes]));
                // A digit of the sum in the other case is the same sum, and a line end can be put back.
                for telegram in &heard.telegrams {
                    assert_eq!(telegram.lines, good.lines, "{name}: byte {at} ^ {flip:#x}");
                }
                assert!(!heard.telegrams.is_empty(), "{name}: byte {at} ^ {flip:#x}");
                let is_dropped = heard.telegrams.len() == 1;
                assert!(!is_dropped || heard.dropped > 0, "{name}: byte {at} ^ {flip:#x}");
            }
        }
    }
}

#[test]
fn case_2_a_damaged_telegram_is_counted() {
    let mut bytes = file("nl50");
    bytes[100] ^= 1;
    let heard = hear(&bytes);
    assert_eq!((heard.telegrams.len(), heard.damaged), (0, 1));
    assert_eq!(
        heard.dropped as usize,
        bytes.len() - 2,
        "all but the line end behind it"
    );
}

#[test]
fn case_3_one_that_is_cut_off_by_the_next() {
    let bytes = file("nl50");
    for to in 5..bytes.len() - 6 {
        let heard = hear(&joined(&[&bytes[..to], &bytes]));
        assert_eq!((heard.telegrams.len(), heard.damaged), (1, 1), "cut at {to}");
    }
    // Nothing follows.
    let feed = Feed {
        bytes: &bytes[..500],
        whole: true,
        ..Feed::default()
    };
    let heard = P1.telegram(&feed);
    assert_eq!(
        (heard.consumed, heard.damaged, heard.telegrams.len()),
        (500, 1, 0)
    );
}

#[test]
fn case_4_sums_as_meters_write_them() {
    let bytes = file("nl50");
    let with = |end: &str| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let text = text.replace("!097A\r\n", end);
        let heard = hear(text.as_bytes());
        heard
            .telegrams
            .into_iter()
            .next()
            .map(|telegram| telegram.checked)
    };
    assert_eq!(with("!097A\r\n"), Some(Checked::Crc));
    assert_eq!(with("!97A\r\n"), Some(Checked::Crc));
    assert_eq!(with("!097a\r\n"), Some(Checked::Crc));
    assert_eq!(with("!097A\0\r\n"), Some(Checked::Crc));
    assert_eq!(with("!\r\n"), Some(Checked::None));
    assert_eq!(with("!97B\r\n"), None);
    assert_eq!(with("!0\r\n"), None);
    assert_eq!(with("!xyz\r\n"), None);
}

#[test]
fn case_5_noise_between_telegrams() {
    let bytes = file("se");
    for noise in [
        &[0_u8; 300][..],
        &[0xFF; 300],
        &[0xFF, 0xFB, 0x01, 0xFF, 0xFE, 0x22],
        b"hello\r\n",
    ] {
        let stream = joined(&[noise, &bytes, noise, &bytes, noise]);
        let heard = hear(&stream);
        assert_eq!((heard.telegrams.len(), heard.damaged, heard.note), (2, 0, None));
    }
}

#[test]
fn case_6_line_ends_that_a_gateway_rewrote() {
    for name in names() {
        let bytes = file(&name);
        let good = one(&bytes);
        let lf_only: Vec<u8> = bytes.iter().copied().filter(|b| *b != b'\r').collect();
        let telegram = one(&lf_only);
        assert_eq!(telegram.lines, good.lines, "{name}");
        let expected = match good.checked {
            Checked::Crc => Checked::Restored,
            other => other,
        };
        assert_eq!(telegram.checked, expected, "{name}");
    }
}

#[test]
fn case_7_and_8_odd_lines() {
    let text = "/ABC5x\r\n\r\n1-0:1.7.0(1*kW)\r\n1-0:1.7.0(2*kW)\r\n1-0:1.8.0(*kWh)\r\n1-0:2.7.0(0.532)\r\n1-0:99.9.9()(x)\r\n\
                0-1:24.1.0(3)\r\n0-1:96.1.0(4731)\r\n0-1:24.2.1(261025022500W)(5*M3)\r\n";
    let text = format!("{text}0-0:96.13.0({})\r\n!\r\n", "41".repeat(1024));
    let heard = hear(text.as_bytes());
    assert_eq!(
        (heard.telegrams.len(), heard.repeated, heard.unchecked),
        (1, 1, 1)
    );
    let devices = crate::common::devices(&heard.telegrams[0]);
    let meter = &devices[&0];
    assert_eq!(meter.number("power_import"), Some(2000.0));
    assert_eq!(meter.value("energy_forward"), None);
    assert_eq!(meter.value("power_export"), None);
    assert_eq!(meter.value("power_total"), None, "of an export that is not known");
    assert_eq!(meter.value("message").unwrap(), "A".repeat(1024));
    assert_eq!(meter.value("raw_1_0_99_9_9").as_deref(), Some("()(x)"));
    assert_eq!(devices[&1].number("volume"), Some(5.0));
}

#[test]
fn case_11_the_hour_that_comes_twice_is_in_order() {
    let at = |time: &str| {
        let text = format!("/ABC5x\r\n\r\n0-0:1.0.0({time})\r\n!\r\n");
        hear(text.as_bytes()).telegrams[0].time_ms.unwrap()
    };
    let night = [
        "261025015959S",
        "261025023000S",
        "261025025959S",
        "261025020000W",
        "261025023000W",
        "261025030000W",
    ];
    assert!(night.map(at).is_sorted());
    assert_eq!(at("261025023000W") - at("261025023000S"), 3_600_000);
}

#[test]
fn case_12_a_day_of_telegrams_leaves_nothing_behind() {
    let bytes = file("nl50");
    let day = 86_400_usize;
    let mut kept: Vec<u8> = Vec::new();
    let mut heard_of = 0;
    // A second at a time, in two pieces.
    for _ in 0..day / 60 {
        for piece in [&bytes[..617], &bytes[617..]] {
            kept.extend_from_slice(piece);
            let heard = hear(&kept);
            heard_of += heard.telegrams.len();
            kept.drain(..heard.consumed);
        }
        assert!(kept.is_empty());
    }
    assert_eq!(heard_of, day / 60);
}

#[test]
fn a_line_of_seven_data_bits_that_was_opened_with_eight() {
    let even = |byte: &u8| byte | if byte.count_ones() % 2 == 1 { 0x80 } else { 0 };
    for name in ["nl22", "nl50"] {
        let bytes = file(name);
        let good = one(&bytes);
        let masked: Vec<u8> = bytes.iter().map(even).collect();
        assert_eq!(one(&masked), good);
        // The parity finds what the sum would not.
        for at in (0..masked.len() - 2).step_by(3) {
            let mut flipped = masked.clone();
            flipped[at] ^= 4;
            assert_eq!(
                hear(&joined(&[&flipped, &masked])).telegrams.len(),
                1,
                "{name}: byte {at}"
            );
        }
    }
}

#[test]
fn an_answer_of_http_may_lack_its_last_line_end() {
    let text = String::from_utf8(file("nl50")).unwrap();
    for end in ["!", "!\r\n", "!097A", "!97A"] {
        let text = text.replace("!097A\r\n", end);
        let feed = Feed {
            bytes: text.as_bytes(),
            whole: true,
            ..Feed::default()
        };
        let heard = P1.telegram(&feed);
        assert_eq!((heard.telegrams.len(), heard.damaged), (1, 0), "{end:?}");
        assert_eq!(heard.unchecked, u32::from(!end.contains('7')), "{end:?}");
    }
}

#[test]
fn a_stream_that_is_none_of_telegrams_is_named() {
    let hdlc: Vec<u8> = [
        0x7E, 0xA0, 0x27, 0x01, 0x02, 0x01, 0x10, 0x5A, 0x87, 0xE6, 0xE7, 0x00,
    ]
    .into_iter()
    .cycle()
    .take(240)
    .collect();
    let heard = hear(&hdlc);
    assert!(heard.note.unwrap().contains("HDLC"));
    let garbage: Vec<u8> = (0..200_u32)
        .map(|n| (n * 97 % 251) as u8 | 0x80)
        .filter(|b| *b != 0xDB && *b != 0xAF)
        .collect();
    assert!(hear(&garbage).note.unwrap().contains("baud rate"));
    assert_eq!(hear(&file("nl50")[30..]).note, None, "the rest of a telegram");
}
