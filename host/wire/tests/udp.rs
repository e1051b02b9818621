//! The engine over datagrams, where each may be lost, doubled, late, foreign or broken. In memory, under a clock that
//! stands still but for what the engine itself waits for.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use busbar_wire::{BadAnswer, InFlight, LinkState, Options, WireError};
use common::post::*;
use common::*;
use tokio::time::{Instant, sleep};

fn several(start: u16) -> Options {
    Options {
        in_flight: InFlight { start, max: 64 },
        ..Options::default()
    }
}

/// 30 % lost on each way: an exchange succeeds in 49 of 100 cases, one of four in 93.
#[tokio::test(start_paused = true)]
async fn fault_25_thirty_percent_loss_costs_few_reads() {
    let weather = Weather {
        loss: 30,
        ..Weather::default()
    };
    let (came, link) = read_in_storm(weather, Options::default(), 2_000).await;
    assert!(came >= 1_800, "{came} of 2000: {:?}", link.stats());
    assert!(link.stats().resent > 1_000, "{:?}", link.stats());
}

#[tokio::test(start_paused = true)]
async fn fault_26_a_doubled_answer_counts_once() {
    let weather = Weather {
        doubled: 100,
        ..Weather::default()
    };
    let (came, link) = read_in_storm(weather, Options::default(), 1_000).await;
    let stats = link.stats();
    assert_eq!((came, stats.answers, stats.requests), (1_000, 1_000, 1_000));
    assert_eq!((stats.late, stats.foreign), (1_000, 0));
}

#[tokio::test(start_paused = true)]
async fn fault_27_late_reordered_and_foreign_answers_are_skipped() {
    let weather = Weather {
        late: 40,
        foreign: 40,
        ..Weather::default()
    };
    let (came, link) = read_in_storm(weather, Options::default(), 2_000).await;
    let stats = link.stats();
    assert!(came >= 1_990, "{came} of 2000: {stats:?}");
    assert!(stats.late > 100 && stats.foreign > 100, "{stats:?}");
    assert_eq!(stats.connects, 1);
}

/// All of it at once, as the live table has to stand it.
#[tokio::test(start_paused = true)]
async fn faults_25_to_28_together_give_a_right_value_or_a_gap() {
    let weather = Weather {
        loss: 20,
        doubled: 20,
        late: 20,
        merged: 20,
        foreign: 20,
        broken: 20,
    };
    let (came, link) = read_in_storm(weather, Options::default(), 3_000).await;
    let stats = link.stats();
    assert!(came >= 2_700, "{came} of 3000: {stats:?}");
    assert!(
        stats.skipped > 100 && stats.late > 100 && stats.foreign > 100,
        "{stats:?}"
    );
    assert_eq!((stats.bad_answers, stats.connects), (0, 1));
}

/// Several in flight in the same weather: what belongs to what is told by the id alone.
#[tokio::test(start_paused = true)]
async fn faults_25_to_28_with_several_in_flight() {
    let weather = Weather {
        loss: 10,
        doubled: 20,
        late: 20,
        merged: 20,
        foreign: 20,
        broken: 20,
    };
    let link = meter(several(8), move |meter| {
        stormy(meter, weather, 99, Sent::default())
    });
    let reads = (0..16u16).map(|n| {
        let link = link.clone();
        tokio::spawn(async move {
            let mut came = 0;
            for i in 0..200 {
                let at = n * 3_000 + i * 4;
                if let Ok(got) = read(&link, 1, at, 4).await {
                    assert_eq!(got[1..], words(1, at, 4)[1..]);
                    came += 1;
                }
            }
            came
        })
    });
    let mut came = 0;
    for task in reads.collect::<Vec<_>>() {
        came += task.await.unwrap();
    }
    assert!(came >= 2_900, "{came} of 3200: {:?}", link.stats());
}

/// Each kind of broken datagram, before a right answer in a datagram of its own.
#[tokio::test(start_paused = true)]
async fn fault_28_a_broken_datagram_is_skipped_and_never_ends_the_link() {
    let id = [0x12, 0x34];
    let header = |protocol: u16, length: u16| {
        [
            &id[..],
            &protocol.to_be_bytes(),
            &length.to_be_bytes(),
            &[1, 3, 2, 0, 7],
        ]
        .concat()
    };
    let broken = [
        vec![],
        vec![0],
        header(0, 0),
        header(0, 1),
        header(0, 255),
        header(0, 65_535),
        header(1, 5),
        header(0, 6),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![0xff; 65_507],
    ];
    let count = broken.len() as u64;
    let script = broken.clone();
    let link = meter(Options::default(), move |mut meter| {
        let script = script.clone();
        async move {
            for datagram in script {
                let asked = meter.asked().await;
                meter.send(datagram);
                meter.send(asked.answer());
            }
            meter.serve().await;
        }
    });
    for datagram in &broken {
        let result = read(&link, 1, 9, 2).await;
        assert_eq!(
            result.unwrap(),
            words(1, 9, 2),
            "after {:?}",
            &datagram[..datagram.len().min(12)]
        );
    }
    let stats = link.stats();
    assert_eq!((stats.skipped, stats.resent, stats.connects), (count, 0, 1));
}

/// What no device sends is not walked: it may begin like the very answer.
#[tokio::test(start_paused = true)]
async fn fault_28_a_huge_datagram_is_no_answer_however_it_begins() {
    let link = meter(Options::default(), |mut meter| async move {
        let asked = meter.asked().await;
        let mut huge = asked.answer();
        huge[10] ^= 0xff;
        huge.resize(65_507, 0xee);
        meter.send(huge);
        meter.send(asked.answer());
    });
    assert_eq!(read(&link, 1, 9, 2).await.unwrap(), words(1, 9, 2));
    assert_eq!((link.stats().skipped, link.stats().resent), (1, 0));
}

/// The answer itself, spoiled: it is not used, and a read for which nothing else comes says what came.
#[tokio::test(start_paused = true)]
async fn fault_28_a_truncated_answer_is_no_answer() {
    let link = meter(Options::default(), |mut meter| async move {
        while let Some(asked) = meter.try_asked().await {
            let answer = asked.answer();
            meter.send(&answer[..answer.len() - 1]);
        }
    });
    let error = read(&link, 1, 0, 2).await.unwrap_err();
    assert_eq!(error.code(), "not_modbus", "{error}");
    assert_eq!((link.stats().requests, link.stats().skipped), (4, 4));
}

/// Where a valid answer came before, what speaks there is known: a lost answer and a broken datagram are no more
/// than that, and end no scan.
#[tokio::test(start_paused = true)]
async fn fault_28_a_broken_datagram_does_not_make_a_meter_a_stranger() {
    let link = meter(Options::default(), |mut meter| async move {
        let asked = meter.asked().await;
        meter.send(asked.answer());
        while meter.try_asked().await.is_some() {
            meter.send([1, 2, 3]);
        }
    });
    assert!(read(&link, 1, 0, 1).await.is_ok());
    assert_eq!(read(&link, 1, 0, 1).await.unwrap_err().code(), "silent");
}

/// Fault 17 in datagrams: several messages in one, each at its place, with something behind that is none.
#[tokio::test(start_paused = true)]
async fn fault_28_every_message_of_a_datagram_is_walked() {
    let link = meter(several(3), |mut meter| async move {
        let [a, b, c] = [meter.asked().await, meter.asked().await, meter.asked().await];
        meter.send(
            [
                foreign(a, 1),
                c.answer(),
                a.answer(),
                foreign(a, 2),
                b.answer(),
                b"junk".to_vec(),
            ]
            .concat(),
        );
    });
    let (a, b, c) = tokio::join!(read(&link, 1, 1, 1), read(&link, 2, 2, 2), read(&link, 3, 3, 3));
    assert_eq!(a.unwrap(), words(1, 1, 1));
    assert_eq!(b.unwrap(), words(2, 2, 2));
    assert_eq!(c.unwrap(), words(3, 3, 3));
    let stats = link.stats();
    assert_eq!((stats.foreign, stats.skipped, stats.requests), (2, 1, 3));
}

/// Fault 28, as the system tells it: a clear cause at once, no storm, and back in time.
#[tokio::test(start_paused = true)]
async fn fault_28_a_closed_port_is_refused_without_a_storm() {
    let begun = Instant::now();
    let link = meter(Options::default(), move |mut meter| async move {
        while let Some(asked) = meter.try_asked().await {
            if (ms(10_000)..ms(100_000)).contains(&begun.elapsed()) {
                meter.refuse();
            } else {
                meter.send(asked.answer());
            }
        }
    });
    while begun.elapsed() < ms(100_000) {
        let before = Instant::now();
        let result = read(&link, 1, 0, 1).await;
        if before - begun < ms(10_000) {
            assert!(result.is_ok());
        } else {
            assert_eq!(result.unwrap_err().code(), "refused");
            assert_eq!(before.elapsed(), ms(0), "it is told at once");
            assert!(matches!(*link.state().borrow(), LinkState::Down { .. }));
        }
        sleep(ms(100)).await;
    }
    let opened = link.stats().connects;
    assert!((5..=14).contains(&opened), "{opened} sockets in 90 s");
    read_within(&link, 1, ms(35_000)).await;
    assert_eq!(*link.state().borrow(), LinkState::Up);
}

/// Fault 18 in datagrams, for ten minutes: no reading, a bounded log, and the link lives.
#[tokio::test(start_paused = true)]
async fn fault_18_random_datagrams_are_never_a_reading() {
    let lines = count_lines();
    let link = meter(Options::default(), |mut meter| async move {
        let mut dice = Dice(7);
        let noisy = Instant::now();
        loop {
            let length = dice.roll() as usize % 300;
            let noise: Vec<u8> = (0..length).map(|_| dice.roll() as u8).collect();
            meter.send(noise);
            match tokio::time::timeout(ms(5), meter.try_asked()).await {
                Ok(None) => return,
                Ok(Some(asked)) if noisy.elapsed() >= ms(600_000) => meter.send(asked.answer()),
                _ => {}
            }
        }
    });
    let begun = Instant::now();
    while begun.elapsed() < ms(600_000) {
        let error = read(&link, 1, 0, 4).await.unwrap_err();
        assert!(matches!(error.code(), "not_modbus" | "unit_resting"), "{error}");
        sleep(ms(500)).await;
    }
    assert!(lines() <= 2, "{} log lines", lines());
    assert!(link.stats().skipped > 50_000, "{:?}", link.stats());
}

/// Foreign answers without end (another client's, while the maker's app is open) end nothing.
#[tokio::test(start_paused = true)]
async fn fault_27_a_flood_of_foreign_answers_does_not_end_the_link() {
    let link = meter(Options::default(), |mut meter| async move {
        while let Some(asked) = meter.try_asked().await {
            for n in 0..1_000 {
                meter.send(foreign(asked, n));
            }
            meter.send(asked.answer());
        }
    });
    for at in 0..20 {
        assert_eq!(read(&link, 1, at, 2).await.unwrap(), words(1, at, 2));
    }
    let stats = link.stats();
    assert_eq!((stats.foreign, stats.connects, stats.resent), (20_000, 1, 0));
}

/// Only foreign answers: the read says so, and what to do.
#[tokio::test(start_paused = true)]
async fn fault_12_a_wrong_transaction_id_is_named() {
    let link = meter(Options::default(), |mut meter| async move {
        while let Some(asked) = meter.try_asked().await {
            meter.send(foreign(asked, 0));
        }
    });
    let error = read(&link, 1, 0, 1).await.unwrap_err();
    assert!(matches!(
        error,
        WireError::BadAnswer {
            reason: BadAnswer::Transaction { .. },
            ..
        }
    ));
    assert!(error.hint().contains("app"), "{}", error.hint());
}

/// When it is sent again, and when it is over.
#[tokio::test(start_paused = true)]
async fn fault_25_a_read_is_sent_four_times_with_new_ids_and_then_ends() {
    let (link, mut sockets) = post(Options::default());
    let begun = Instant::now();
    let script = async {
        let mut meter = sockets.recv().await.unwrap();
        let mut seen = vec![];
        let mut ids = std::collections::BTreeSet::new();
        while let Ok(asked) = tokio::time::timeout(ms(5_000), meter.asked()).await {
            assert_eq!((asked.unit, asked.at, asked.count), (1, 7, 2));
            assert!(ids.insert(asked.id), "a new id each time");
            seen.push(begun.elapsed().as_millis());
        }
        (seen, meter)
    };
    let (error, (seen, mut meter)) = tokio::join!(read(&link, 1, 7, 2), script);
    let error = error.unwrap_err();
    assert_eq!(seen, [0, 250, 500, 750]);
    assert!(
        error
            .to_string()
            .ends_with("did not answer holding 7-8 within 1.0 s"),
        "{error}"
    );
    assert!(error.hint().contains("UDP port"), "{}", error.hint());
    assert_eq!((link.stats().timeouts, link.stats().resent), (1, 3));

    // Once the latency is known, sooner.
    let (result, ()) = tokio::join!(read(&link, 1, 7, 2), async {
        let asked = meter.asked().await;
        meter.send(asked.answer());
    });
    assert!(result.is_ok());
    let begun = Instant::now();
    let (result, seen) = tokio::join!(read(&link, 1, 7, 2), async {
        let mut seen = vec![];
        while let Ok(asked) = tokio::time::timeout(ms(500), meter.asked()).await {
            seen.push((begun.elapsed().as_millis(), asked));
        }
        seen
    });
    assert!(result.is_err());
    assert_eq!(
        seen.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
        [0, 100, 200, 300]
    );
    assert!(begun.elapsed() < ms(1_000), "{:?}", begun.elapsed());
}

/// The answer to an earlier transmission is an answer to this very read; the later one's comes late.
#[tokio::test(start_paused = true)]
async fn fault_27_an_answer_to_an_earlier_transmission_ends_the_read() {
    for answered in 0..3 {
        let link = meter(Options::default(), move |mut meter| async move {
            let mut asked = vec![];
            for _ in 0..3 {
                asked.push(meter.asked().await);
            }
            meter.send(asked[answered].answer());
            for other in asked {
                meter.send(other.answer());
            }
            meter.serve().await;
        });
        assert_eq!(read(&link, 1, 70, 2).await.unwrap(), words(1, 70, 2));
        assert_eq!(read(&link, 1, 80, 2).await.unwrap(), words(1, 80, 2));
        let stats = link.stats();
        assert_eq!(
            (stats.late, stats.foreign, stats.answers),
            (3, 0, 2),
            "{answered}"
        );
    }
}

/// Fault 11: after the read has ended, each of its answers is late, and none is taken for the next.
#[tokio::test(start_paused = true)]
async fn fault_11_answers_after_the_end_are_counted_and_skipped() {
    let link = meter(Options::default(), |mut meter| async move {
        let mut old = vec![];
        for _ in 0..4 {
            old.push(meter.asked().await);
        }
        let next = meter.asked().await;
        for asked in old {
            meter.send(asked.answer());
        }
        meter.send(next.answer());
        meter.silent().await;
    });
    assert_eq!(read(&link, 1, 100, 2).await.unwrap_err().code(), "silent");
    assert_eq!(read(&link, 1, 200, 2).await.unwrap(), words(1, 200, 2));
    assert_eq!((link.stats().late, link.stats().foreign), (4, 0));
}

/// Faults 13 to 15 in datagrams.
#[tokio::test(start_paused = true)]
async fn faults_13_to_15_answers_that_do_not_fit_are_refused() {
    let wrong: Vec<(u8, Vec<u8>)> = vec![
        (2, vec![3, 4, 0, 1, 0, 2]),
        (1, vec![4, 4, 0, 1, 0, 2]),
        (1, vec![0x84, 2]),
        (1, vec![0x83, 2, 2]),
        (1, vec![3, 2, 0, 1]),
        (1, vec![3, 6, 0, 1, 0, 2, 0, 3]),
        (1, vec![3, 3, 0, 1, 0]),
        (1, vec![3, 4, 0, 1, 0]),
        (1, vec![3, 4, 0, 1, 0, 2, 0]),
        (1, vec![3]),
    ];
    let script = wrong.clone();
    let link = meter(Options::default(), move |mut meter| {
        let script = script.clone();
        async move {
            for (unit, pdu) in script {
                let asked = meter.asked().await;
                meter.send(frame(asked.id, unit, &pdu));
                let asked = meter.asked().await;
                meter.send(asked.answer());
            }
        }
    });
    for (_, pdu) in &wrong {
        let error = read(&link, 1, 0, 2).await.unwrap_err();
        assert_eq!(error.code(), "bad_answer", "{pdu:?}");
        assert_eq!(read(&link, 1, 4, 2).await.unwrap(), words(1, 4, 2));
    }
    assert_eq!(link.stats().bad_answers, wrong.len() as u64);
}

/// Fault 20, with many on the wire and some of them sent again.
#[tokio::test(start_paused = true)]
async fn fault_20_transaction_ids_wrap() {
    let link = meter(several(8), |mut meter| async move {
        let mut dice = Dice(3);
        while let Some(asked) = meter.try_asked().await {
            if !dice.chance(1) {
                meter.send(asked.answer());
            }
        }
    });
    let reads = (0..8).map(|n| {
        let link = link.clone();
        tokio::spawn(async move {
            for i in 0..8_250u32 {
                let at = (i * 8 + n) as u16 % 60_000;
                assert_eq!(read(&link, 1, at, 1).await.unwrap(), words(1, at, 1));
            }
        })
    });
    for task in reads.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(link.stats().answers, 66_000);
    assert!(link.stats().resent > 300);
}

/// Fault 4 in datagrams: up means a valid answer, and a meter that was away is back in time.
#[tokio::test(start_paused = true)]
async fn fault_4_a_meter_that_is_off_is_down_and_comes_back() {
    let begun = Instant::now();
    let link = meter(Options::default(), move |mut meter| async move {
        while let Some(asked) = meter.try_asked().await {
            if !(ms(10_000)..ms(300_000)).contains(&begun.elapsed()) {
                meter.send(asked.answer());
            }
        }
    });
    assert_eq!(*link.state().borrow(), LinkState::Idle);
    let mut down_at = None;
    while begun.elapsed() < ms(300_000) {
        let on = begun.elapsed() < ms(10_000);
        assert_eq!(read(&link, 1, 0, 1).await.is_ok(), on);
        if let LinkState::Down { cause, .. } = &*link.state().borrow() {
            down_at.get_or_insert(begun.elapsed());
            assert_eq!(cause.code(), "silent");
        }
        sleep(ms(5_000)).await;
    }
    assert!(down_at.unwrap() <= ms(25_000), "{down_at:?}");
    read_within(&link, 1, ms(35_000)).await;
    assert_eq!(*link.state().borrow(), LinkState::Up);
}

/// One-shot: silence is told with what to check, and after 10 s it is over for good.
#[tokio::test(start_paused = true)]
async fn a_one_shot_link_gives_up_on_silence_after_ten_seconds() {
    let link = meter(Options::one_shot(), Meter::silent);
    let begun = Instant::now();
    let error = read(&link, 1, 0, 1).await.unwrap_err();
    assert_eq!(begun.elapsed(), ms(1_000));
    assert_eq!(error.code(), "silent");
    for part in ["UDP port", "502", "unit id", "other client", "firewall"] {
        assert!(error.hint().contains(part), "{part}: {}", error.hint());
    }
    for unit in 2..=247 {
        assert_eq!(read(&link, unit, 0, 1).await.unwrap_err().code(), "silent");
    }
    assert_eq!(begun.elapsed(), ms(10_000));
}

/// One-shot: a closed port is told soon.
#[tokio::test(start_paused = true)]
async fn a_one_shot_link_gives_up_after_three_refusals() {
    let link = meter(Options::one_shot(), |mut meter| async move {
        meter.asked().await;
        meter.refuse();
        meter.silent().await;
    });
    let begun = Instant::now();
    let error = read(&link, 1, 0, 1).await.unwrap_err();
    assert!(matches!(error, WireError::Refused { .. }), "{error}");
    assert!(error.hint().contains("UDP port"), "{}", error.hint());
    assert!(begun.elapsed() < ms(3_000), "{:?}", begun.elapsed());
    assert_eq!(link.stats().connects, 3);
}

/// A fixed id cannot be allowed here, whatever is asked for: a doubled answer would be taken for the next.
#[tokio::test(start_paused = true)]
async fn a_fixed_transaction_id_is_not_believed_over_datagrams() {
    let options = Options {
        fixed_transaction_id: true,
        ..Options::default()
    };
    let link = meter(options, |mut meter| async move {
        while let Some(asked) = meter.try_asked().await {
            meter.send(Asked { id: 0, ..asked }.answer());
        }
    });
    for at in 0..4 {
        assert!(read(&link, 1, at, 1).await.is_err());
    }
}
