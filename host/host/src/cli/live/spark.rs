//! A curve of block characters.

use std::time::Duration;

use super::model::Sample;

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Where a reading was due and none came.
const GAP: char = '·';

/// The samples of the `window` before `now` as at most `width` characters, the newest at the right end; fewer where
/// readings are `every` so far apart. Blank where nothing was due yet.
pub fn curve(samples: &[Sample], now: Duration, window: Duration, every: Duration, width: usize) -> String {
    let most = window.as_secs_f64() / every.as_secs_f64().max(1e-3);
    let width = width.min(most as usize).max(1);
    let each = window.as_secs_f64() / width as f64;
    let mut bins: Vec<(u32, f64, bool)> = vec![(0, 0.0, false); width];
    for (at, value) in samples {
        let back = now.saturating_sub(*at).as_secs_f64() / each;
        let Some(bin) = width.checked_sub(1 + back as usize).and_then(|i| bins.get_mut(i)) else {
            continue;
        };
        match value {
            Some(value) => *bin = (bin.0 + 1, bin.1 + value, bin.2),
            None => bin.2 = true,
        }
    }
    let means = bins
        .iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, sum, _)| sum / f64::from(*n));
    let (low, high) = means.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    bins.into_iter()
        .map(|(n, sum, gap)| match (n, gap) {
            (_, true) => GAP,
            (0, false) => ' ',
            (n, false) if high > low => {
                let level = (sum / f64::from(n) - low) / (high - low) * (LEVELS.len() - 1) as f64;
                LEVELS.get(level.round() as usize).copied().unwrap_or(GAP)
            }
            _ => LEVELS[3],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn draw(values: &[Option<f64>], width: usize) -> String {
        let samples: Vec<Sample> = (0..).zip(values).map(|(n, v)| (S * n, *v)).collect();
        let now = S * ((values.len() as u32).saturating_sub(1));
        curve(&samples, now, S * 8, S, width)
    }

    #[test]
    fn the_newest_stands_at_the_right_end_and_a_gap_is_a_dot() {
        let values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0].map(Some);
        assert_eq!(draw(&values, 8), "▁▂▃▄▅▆▇█");
        assert_eq!(draw(&[Some(1.0), None, Some(3.0)], 8), "     ▁·█");
        assert_eq!(draw(&[Some(5.0); 3], 8), "     ▄▄▄");
        assert_eq!(draw(&[], 8).trim(), "");
    }

    #[test]
    fn a_narrow_curve_shows_means_and_keeps_its_gaps() {
        let values = [0.0, 0.0, 7.0, 7.0, 0.0, 7.0].map(Some);
        assert_eq!(draw(&values, 4), " ▁█▅");
        assert_eq!(draw(&[Some(1.0), Some(1.0), None, Some(2.0)], 4), "  ▁·");
    }
}
