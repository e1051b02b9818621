//! Streams that are anything at all: the answer always comes, nothing wrong is given out, and little is kept.

use busbar_plugin_p1::P1;
use busbar_plugin_sdk::{Feed, MAX_FEED, Plugin};
use proptest::prelude::*;

use crate::common::{KEY, encrypted, feed, file, hear, in_pieces, one};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        cases,
        ..ProptestConfig::default()
    }
}

/// Bytes of which many begin or end something.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => any::<u8>(),
        2 => prop::sample::select(&b"/!\r\n\0()*:.-0123456789ABCDEFkWh"[..]),
        1 => prop::sample::select(&[0xDB, 0xAF, 0x08, 0x82, 0x81, 0x30, 0x7E, 0xFF][..]),
    ];
    prop::collection::vec(byte, 0..2000)
}

proptest! {
    #![proptest_config(config(80))]

    #[test]
    fn anything_is_heard_in_pieces_as_at_once(bytes in any_stream(), size in 1_usize..50) {
        let at_once = in_pieces([&bytes[..]]);
        let in_pieces = in_pieces(bytes.chunks(size));
        prop_assert_eq!(&at_once.telegrams, &in_pieces.telegrams);
        prop_assert_eq!(at_once.damaged, in_pieces.damaged);
        prop_assert!(at_once.telegrams.iter().all(|telegram| telegram.lines.iter().all(|line| !line.contains(char::is_control))));
    }

    #[test]
    fn what_is_left_of_a_stream_that_ended_is_nothing(bytes in any_stream()) {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let heard = P1.telegram(&Feed { whole: true, ..feed(rest) });
            prop_assert!(heard.consumed > 0, "{:?}", rest);
            rest = &rest[heard.consumed..];
        }
    }

    #[test]
    fn noise_around_telegrams_changes_none_of_them(
        noise in prop::collection::vec(prop::collection::vec(any::<u8>().prop_filter("begins nothing", |b| ![b'/', 0xAF, 0xDB].contains(b)), 0..200), 4),
        sizes in prop::collection::vec(1_usize..400, 1..20),
    ) {
        let telegrams = [file("nl50"), encrypted(), file("be")];
        let good: Vec<_> = telegrams.iter().map(|bytes| one(bytes)).collect();
        let mut stream = noise[0].clone();
        for (bytes, noise) in telegrams.iter().zip(&noise[1..]) {
            stream.extend(bytes);
            stream.extend(noise);
        }
        let mut pieces = Vec::new();
        let (mut rest, mut sizes) = (&stream[..], sizes.iter().cycle());
        while !rest.is_empty() {
            let (piece, more) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        prop_assert_eq!(in_pieces(pieces).telegrams, good);
    }

    #[test]
    fn a_stream_that_loses_bytes_never_says_what_the_meter_did_not(
        cuts in prop::collection::vec((0_usize..4000, 1_usize..600), 1..5),
        flips in prop::collection::vec((0_usize..4000, 1_u8..=255), 0..5),
    ) {
        let bytes = file("nl50");
        let good = one(&bytes);
        let mut stream = bytes.repeat(4);
        for (at, flip) in flips {
            let at = at % stream.len();
            stream[at] ^= flip;
        }
        for (at, len) in cuts {
            let from = at.min(stream.len());
            stream.drain(from..(from + len).min(stream.len()));
        }
        stream.extend(&bytes);
        let heard = hear(&stream);
        for telegram in &heard.telegrams {
            prop_assert_eq!(&telegram.lines, &good.lines);
        }
        prop_assert!(!heard.telegrams.is_empty());
    }

    #[test]
    fn an_encrypted_frame_that_was_changed_is_none(
        at in 0_usize..140, change in prop::collection::vec(any::<u8>(), 1..20), cut in 0_usize..20,
    ) {
        let good = encrypted();
        let mut frame = good.clone();
        for (byte, new) in frame.iter_mut().skip(at).zip(&change) {
            *byte = *new;
        }
        frame.truncate(good.len() - cut);
        let was_changed = frame != good;
        let heard = hear(&frame);
        prop_assert!(heard.telegrams.is_empty() == was_changed);
        // The next one is heard all the same.
        let next = in_pieces([&frame[..], &good, &good]);
        prop_assert!(next.telegrams.len() > usize::from(!was_changed));
    }

    #[test]
    fn keys_of_any_length_are_no_reason_to_panic(
        key in prop::collection::vec(any::<u8>(), 0..40), auth_key in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let bytes = encrypted();
        let feed = Feed { bytes: &bytes, key: &key, auth_key: &auth_key, ..Feed::default() };
        prop_assert!(P1.telegram(&feed).telegrams.is_empty() || key == KEY);
    }
}

#[test]
fn what_has_no_end_is_let_go() {
    let begins = b"/ABC5x\r\n\r\n1-0:1.7.0(";
    let endless: Vec<u8> = begins
        .iter()
        .copied()
        .chain(std::iter::repeat_n(b'5', MAX_FEED - begins.len()))
        .collect();
    let heard = hear(&endless);
    assert_eq!(heard.damaged, 1);
    assert!(endless.len() - heard.consumed < 17 * 1024);
    let starts = vec![b'/'; MAX_FEED];
    assert!(hear(&starts).consumed >= MAX_FEED - 1);
}

#[test]
fn frames_that_only_look_like_ones_cost_little() {
    // Each says that it is as long as any, and lies in the one before it.
    let header = [0xDB, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0x82, 0x3F, 0xFF, 0x30];
    let stream: Vec<u8> = header.into_iter().cycle().take(MAX_FEED).collect();
    let heard = hear(&stream);
    assert!(heard.consumed > 0 && heard.consumed < 1000, "{}", heard.consumed);
    assert!(heard.note.unwrap().contains("does not open"));
}
