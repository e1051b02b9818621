//! The wall clock, in the one form that is stored and shown. Intervals are never measured with it.

/// Milliseconds since 1970, UTC.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A clock before this (2024) is not set.
const SANE_FROM_MS: i64 = 1_704_067_200_000;
/// A clock after this (2100) is not set either.
const SANE_TO_MS: i64 = 4_102_444_800_000;

/// Whether the clock can be right: nothing is removed by one that cannot.
pub fn is_sane(ms: i64) -> bool {
    (SANE_FROM_MS..SANE_TO_MS).contains(&ms)
}

/// A moment as people read it: by the clock on their wall, with its zone.
pub fn show(ms: i64) -> String {
    local(ms, "%Y-%m-%d %H:%M:%S %Z")
}

/// The same without seconds, where a minute is near enough.
pub fn show_minute(ms: i64) -> String {
    local(ms, "%Y-%m-%d %H:%M %Z")
}

fn local(ms: i64, form: &str) -> String {
    // A machine that does not say where it stands has UTC.
    let zone = jiff::tz::TimeZone::try_system().unwrap_or(jiff::tz::TimeZone::UTC);
    jiff::Timestamp::from_millisecond(ms).map_or_else(
        |_| format!("{ms} ms"),
        |t| t.to_zoned(zone).strftime(form).to_string(),
    )
}
