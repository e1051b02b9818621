//! What entities said, packed and pruned.

use busbar_store::{History, Quality, Registry, Retention, Sample};
use tempfile::{TempDir, tempdir};

use crate::open;

async fn history() -> (TempDir, Registry, History) {
    let dir = tempdir().unwrap();
    let registry = open(dir.path()).await;
    let (history, _) = History::open(&registry).await.unwrap();
    (dir, registry, history)
}

#[tokio::test]
async fn samples_come_back_by_entity_and_time() {
    let (_dir, registry, history) = history().await;
    for ts in 0..500_i64 {
        let value = |k: i64| Some((ts * 10 + k) as f64 / 10.0);
        history
            .append(
                ts * 1000,
                &[
                    Sample {
                        entity: "d.b",
                        value: value(2),
                        quality: Quality::Good,
                    },
                    Sample {
                        entity: "d.a",
                        value: value(1),
                        quality: Quality::Stale,
                    },
                    Sample {
                        entity: "d.none",
                        value: None,
                        quality: Quality::Unavailable,
                    },
                ],
            )
            .await
            .unwrap();
    }
    let a = history
        .samples("d.a", 100_000, 200_000, usize::MAX)
        .await
        .unwrap();
    assert_eq!(a.len(), 100);
    assert!(a.iter().zip(100..).all(|(s, ts)| s.ts_ms == ts * 1000
        && s.value == Some((ts * 10 + 1) as f64 / 10.0)
        && s.quality == Quality::Stale));
    let b = history
        .samples("d.b", 499_000, i64::MAX, usize::MAX)
        .await
        .unwrap();
    assert_eq!((b.len(), b[0].value), (1, Some(499.2)));
    let none = history.samples("d.none", i64::MIN, i64::MAX, 77).await.unwrap();
    assert_eq!(
        (none.len(), none[76].value, none[76].quality),
        (77, None, Quality::Unavailable)
    );
    assert!(
        history
            .samples("d.unknown", i64::MIN, i64::MAX, 10)
            .await
            .unwrap()
            .is_empty()
    );

    // Another process of the host knows the same numbers for the same entities.
    history.close().await.unwrap();
    let (history, _) = History::open(&registry).await.unwrap();
    history
        .append(
            500_000,
            &[Sample {
                entity: "d.b",
                value: Some(1.0),
                quality: Quality::Good,
            }],
        )
        .await
        .unwrap();
    assert_eq!(
        history
            .samples("d.b", 0, i64::MAX, usize::MAX)
            .await
            .unwrap()
            .len(),
        501
    );
}

#[tokio::test]
async fn a_clock_that_stands_still_or_goes_back_loses_nothing() {
    let (_dir, _registry, history) = history().await;
    for (ts, value) in [(5000, 1.0), (5000, 2.0), (4000, 3.0), (5000, 4.0), (5001, 5.0)] {
        let sample = Sample {
            entity: "d.k",
            value: Some(value),
            quality: Quality::Good,
        };
        history.append(ts, &[sample]).await.unwrap();
    }
    let stored = history.samples("d.k", 0, i64::MAX, 10).await.unwrap();
    let stored: Vec<_> = stored.iter().map(|s| (s.ts_ms, s.value.unwrap())).collect();
    assert_eq!(
        stored,
        [(4000, 3.0), (5000, 1.0), (5000, 2.0), (5000, 4.0), (5001, 5.0)]
    );
    for ts in [-1, i64::MAX] {
        let sample = Sample {
            entity: "d.k",
            value: Some(0.0),
            quality: Quality::Good,
        };
        assert!(history.append(ts, &[sample]).await.is_err());
    }
}

/// 1,000 entities, each second: the values that are not exact in 4 bytes, as most scaled ones are.
async fn fill(history: &History, seconds: std::ops::Range<i64>) {
    let names: Vec<String> = (0..1000)
        .map(|i| format!("device_{}.point_{i}", i / 50))
        .collect();
    for ts in seconds {
        let samples: Vec<Sample> = names
            .iter()
            .zip(0i64..)
            .map(|(entity, i)| Sample {
                entity,
                value: Some((ts + i) as f64 / 10.0 + 0.03),
                quality: Quality::Good,
            })
            .collect();
        history.append(ts * 1000, &samples).await.unwrap();
    }
}

#[tokio::test]
async fn a_value_takes_twelve_bytes_at_most() {
    let (dir, registry, history) = history().await;
    fill(&history, 0..300).await;
    history.close().await.unwrap();
    registry.close().await.unwrap();
    let bytes = dir.path().join("history.db").metadata().unwrap().len();
    assert!(
        bytes <= 12 * 1000 * 300,
        "{} bytes a value",
        bytes as f64 / 300_000.0
    );
}

async fn prune(history: &History, retention: Retention) -> u64 {
    let mut frames = 0;
    loop {
        let pruned = history.prune(retention).await.unwrap();
        frames += pruned.frames;
        if !pruned.more {
            return frames;
        }
    }
}

#[tokio::test]
async fn age_and_size_are_held_and_space_is_given_back() {
    let (dir, registry, history) = history().await;
    let file = || dir.path().join("history.db").metadata().unwrap().len();
    fill(&history, 0..600).await;
    let all = history.size().await.unwrap();

    let none = Retention {
        keep_from_ms: 0,
        max_bytes: u64::MAX,
    };
    assert_eq!(prune(&history, none).await, 0);
    let half = Retention {
        keep_from_ms: 300_000,
        max_bytes: u64::MAX,
    };
    assert_eq!(prune(&history, half).await, 300);
    let stored = history
        .samples("device_0.point_0", 0, i64::MAX, usize::MAX)
        .await
        .unwrap();
    assert_eq!((stored.len(), stored[0].ts_ms), (300, 300_000));
    assert!(history.size().await.unwrap() < all * 6 / 10);

    // Five times as much comes in as may stay.
    let small = Retention {
        keep_from_ms: 0,
        max_bytes: all / 2,
    };
    for round in 0..5 {
        fill(&history, 600 + round * 300..900 + round * 300).await;
        prune(&history, small).await;
        assert!(history.size().await.unwrap() <= all / 2);
    }
    assert_eq!(history.check().await.unwrap(), None);
    let newest = history
        .samples("device_0.point_0", 2_099_000, i64::MAX, 10)
        .await
        .unwrap();
    assert_eq!(newest.len(), 1, "the newest stays");
    history.close().await.unwrap();
    registry.close().await.unwrap();
    assert!(file() <= all / 2 + 4096, "the file shrank: {} of {all}", file());
}
