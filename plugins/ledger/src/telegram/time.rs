//! Times in telegrams: `YYMMDDhhmmssX`, where the letter is the offset. W is standard time and S one hour more, whatever
//! the season: a meter that stays on standard time all summer says W all summer.

/// Standard time in minutes east of Greenwich where nothing else is said: Central Europe.
pub const CENTRAL_EUROPE: i16 = 60;

/// The farthest that a standard time is from Greenwich, in minutes.
const MAX_OFFSET: i16 = 14 * 60;

/// An offset as people write it, `+01:00`, in minutes.
pub fn parse_offset(text: &str) -> Option<i16> {
    let (sign, digits) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(digits), _) => (1, digits),
        (_, Some(digits)) => (-1, digits),
        _ => return None,
    };
    let pair = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<i16>().ok()).flatten()
    };
    let (hours, minutes) = digits.split_once(':')?;
    let (hours, minutes) = (pair(hours)?, pair(minutes).filter(|minutes| *minutes < 60)?);
    let offset = hours * 60 + minutes;
    (offset <= MAX_OFFSET).then_some(sign * offset)
}

const DAY: i64 = 86_400;

/// The moment, in seconds since 1970 (UTC). None for what is no date (a placeholder such as `632525252525W`), for a meter
/// on the channel that was never read (`700101…`), and without a letter, for then it is not known in which zone it is.
pub fn parse(text: &str, standard_offset: i16) -> Option<i64> {
    let bytes = text.as_bytes();
    let daylight = match bytes {
        [digits @ .., b'W'] if digits.len() == 12 => 0,
        [digits @ .., b'S'] if digits.len() == 12 => 60,
        _ => return None,
    };
    let pair = |at: usize| {
        let (ten, one) = (bytes.get(2 * at)?, bytes.get(2 * at + 1)?);
        (ten.is_ascii_digit() && one.is_ascii_digit())
            .then(|| i64::from(ten - b'0') * 10 + i64::from(one - b'0'))
    };
    let [year, month, day, hour, minute, second] =
        [pair(0)?, pair(1)?, pair(2)?, pair(3)?, pair(4)?, pair(5)?];
    let year = 2000 + year;
    let real = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let never = (year, month, day) == (2070, 1, 1);
    (real && !never).then(|| {
        let offset = i64::from(standard_offset) + daylight;
        days_since_1970(year, month, day) * DAY + hour * 3600 + (minute - offset) * 60 + second
    })
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// For years from 2000 on.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let before = (1..month).map(|month| days_of(year, month)).sum::<i64>();
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969) + before + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Option<i64> {
        parse(text, CENTRAL_EUROPE)
    }

    #[test]
    fn the_letter_is_the_offset() {
        // 2021-08-28T14:24:53Z, by a meter that stays on standard time.
        assert_eq!(utc("210828152453W"), Some(1_630_160_693));
        assert_eq!(utc("210828162453S"), Some(1_630_160_693));
        // Of a country west of it.
        assert_eq!(parse("210828142453W", 0), Some(1_630_160_693));
        // 2000-01-01T00:00:00Z and 2099-12-31T22:59:59Z.
        assert_eq!(utc("000101010000W"), Some(946_684_800));
        assert_eq!(utc("991231235959W"), Some(4_102_441_199));
    }

    #[test]
    fn offsets_are_hours_and_minutes() {
        for (text, minutes) in [("+01:00", 60), ("+00:00", 0), ("-03:30", -210), ("+14:00", 840)] {
            assert_eq!(parse_offset(text), Some(minutes), "{text}");
        }
        for text in [
            "", "01:00", "+1:00", "+01:60", "+14:01", "+0100", "+01:0x", "+99:00", "+ä:00",
        ] {
            assert_eq!(parse_offset(text), None, "{text}");
        }
    }

    #[test]
    fn an_hour_that_comes_twice_is_ordered_by_the_letter() {
        let summer = utc("261025023000S").unwrap();
        let winter = utc("261025023000W").unwrap();
        assert_eq!((summer, winter - summer), (1_792_888_200, 3600));
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in [
            "",
            "W",
            "632525252525W",
            "700101010000W",
            "700101000000W",
            "120517020000",
            "120230020000W",
            "210229000000W",
            "210228240000W",
            "210228006000W",
            "210228000060W",
            "210228000000X",
            "21022800000 W",
            "2102280000000W",
            "ä0228000000W",
        ] {
            assert_eq!(utc(text), None, "{text}");
        }
        assert!(utc("240229000000W").is_some());
    }

    #[test]
    fn every_day_of_the_century_follows_the_one_before() {
        let mut last = utc("000101000000W").unwrap() - DAY;
        for year in 0..100 {
            for month in 1..=12 {
                for day in 1..=days_of(2000 + year, month) {
                    if (year, month, day) == (70, 1, 1) {
                        last += DAY;
                        continue;
                    }
                    let today = utc(&format!("{year:02}{month:02}{day:02}000000W")).unwrap();
                    assert_eq!(today, last + DAY, "{year} {month} {day}");
                    last = today;
                }
            }
        }
    }
}
