//! What was learned about talking to an endpoint and to each unit behind it, kept so that the next start need not
//! learn it again.

use std::collections::BTreeMap;
use std::time::Duration;

pub use busbar_sinks::profile::{DeviceProfile, Profile, UnitProfile};
use busbar_store::{Connection, Registry};
use busbar_wire::{Learned, Stats};
use tracing::debug;

use crate::discover::FoundDevice;

/// What is known of a connection; nothing when it was never written, or cannot be read.
pub async fn load(registry: &Registry, connection: &Connection) -> Profile {
    match registry.profile(&connection.id).await {
        Ok(Some(body)) => serde_json::from_value(body).unwrap_or_default(),
        Ok(None) => Profile::default(),
        Err(error) => {
            debug!("the profile of \"{}\" cannot be read: {error}", connection.name);
            Profile::default()
        }
    }
}

/// The pauses to begin with.
pub fn learned(profile: &Profile) -> Learned {
    let pause = |ms: Option<u64>| Duration::from_millis(ms.unwrap_or(0));
    Learned {
        spacing: pause(profile.spacing_ms),
        settle: pause(profile.settle_ms),
    }
}

/// Takes over what a link has learned, as far as it has heard anything.
pub fn learn_link(profile: &mut Profile, stats: &Stats) {
    if let Some(latency) = stats.latency {
        profile.latency_ms = Some(in_steps(latency));
        profile.in_flight = Some(stats.window);
        profile.timeout_ms = Some(in_steps(stats.timeout));
        let whole = |pause: Duration| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        profile.spacing_ms = Some(whole(stats.spacing));
        profile.settle_ms = Some(whole(stats.settle));
    }
}

/// Takes over what a scan has learned. Several devices of one unit share its narrowest limit.
pub fn learn_scan(profile: &mut Profile, devices: &[FoundDevice]) {
    let mut longest: BTreeMap<u8, u16> = BTreeMap::new();
    for device in devices {
        let unit = longest.entry(device.report.unit_id).or_insert(u16::MAX);
        *unit = device.max_words.min(*unit);
    }
    for (unit, words) in longest {
        profile.units.entry(unit).or_default().max_words = Some(words);
    }
}

/// Changes what is kept of a connection, where that is new. A profile saves time and nothing else, so that a disk
/// that fails here is only noted.
pub async fn keep(registry: &Registry, connection_id: &str, change: impl FnOnce(&mut Profile)) {
    let known: Profile = match registry.profile(connection_id).await {
        Ok(Some(body)) => serde_json::from_value(body).unwrap_or_default(),
        _ => Profile::default(),
    };
    let mut now = known.clone();
    change(&mut now);
    if now == known {
        return;
    }
    let Ok(body) = serde_json::to_value(now) else {
        return;
    };
    if let Err(error) = registry.put_profile(connection_id, &body).await {
        debug!("the profile of an endpoint could not be kept: {error}");
    }
}

/// Rounded up to the next of 1, 1.25, 1.5, 1.75, 2, 2.5, … milliseconds times a power of two: a smoothed time that
/// trembles is written once.
fn in_steps(time: Duration) -> u64 {
    let ms = u64::try_from(time.as_micros().div_ceil(1000))
        .unwrap_or(u64::MAX)
        .max(1);
    let quarter = 1 << (ms.ilog2().saturating_sub(2));
    ms.div_ceil(quarter).saturating_mul(quarter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_trembles_is_one_time() {
        let steps = |ms: f64| in_steps(Duration::from_secs_f64(ms / 1000.0));
        assert_eq!([0.0, 0.2, 1.0, 1.1, 7.5].map(steps), [1, 1, 1, 2, 8]);
        assert_eq!([101.0, 104.9, 111.9, 113.0].map(steps), [112, 112, 112, 128]);
        assert!((1..10_000).all(|ms| {
            let step = in_steps(Duration::from_millis(ms));
            step >= ms && step <= ms + ms / 4 + 1
        }));
    }

    #[test]
    fn a_unit_is_shown_with_its_endpoint() {
        let mut profile = Profile::default();
        assert_eq!(profile.device(3), None);
        profile.units.entry(3).or_default().max_words = Some(60);
        let stats = Stats {
            latency: Some(Duration::from_millis(12)),
            window: 4,
            ..Stats::default()
        };
        learn_link(&mut profile, &stats);
        learn_link(&mut profile, &Stats::default());
        let shown = profile.device(3).unwrap();
        assert_eq!(
            (shown.max_words, shown.in_flight, shown.latency_ms),
            (Some(60), Some(4), Some(12))
        );
        assert_eq!(profile.device(4).unwrap().max_words, None);
    }

    #[test]
    fn a_profile_of_an_older_version_is_read_as_far_as_it_goes() {
        let old = serde_json::json!({ "in_flight": 8, "max_words": 60 });
        let profile: Profile = serde_json::from_value(old).unwrap();
        assert_eq!(profile.in_flight, Some(8));
    }
}
