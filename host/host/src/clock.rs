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

/// A moment as people read it: local to nobody, so in UTC.
pub fn show(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(
        |_| format!("{ms} ms"),
        |t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}
