//! How fast a line is, and the pauses that it asks for.
//!
//! Source: Modbus over Serial Line, Specification and Implementation Guide V1.02, section 2.5.1.1.

use std::time::Duration;

use crate::endpoint::SerialLine;

/// Silence between frames above 19,200 baud, where 3.5 characters would be too short to be told apart.
const FAST_SILENCE: Duration = Duration::from_micros(1750);
/// Up to here silence is counted in characters.
const SLOW: u32 = 19_200;
/// What a line behind a gateway is taken for: its settings are in the gateway.
const GATEWAY: (u32, u32) = (9600, 10);

/// The time that bytes take on a line, and that must pass between frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    character: Duration,
    silence: Duration,
    turnaround: Duration,
}

impl Pace {
    /// Of a serial line.
    pub(crate) fn of(line: &SerialLine) -> Self {
        let character = line.character();
        Pace {
            character,
            silence: if line.baud > SLOW {
                FAST_SILENCE
            } else {
                character * 7 / 2
            },
            turnaround: line.turnaround,
        }
    }

    /// Of the line behind a gateway, which is taken for one of 9,600 baud.
    pub(crate) fn gateway() -> Self {
        let (baud, bits) = GATEWAY;
        let character = Duration::from_secs(1) * bits / baud;
        Pace {
            character,
            silence: character * 7 / 2,
            turnaround: Duration::ZERO,
        }
    }

    /// How long so many bytes take.
    pub(crate) fn airtime(&self, bytes: usize) -> Duration {
        // No frame is longer than 256 bytes.
        self.character * u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    /// From the last byte of one frame to the first of the next request.
    pub(crate) fn gap(&self) -> Duration {
        self.silence + self.turnaround
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(url: &str) -> Pace {
        Pace::of(&url.parse().unwrap())
    }

    #[test]
    fn silence_is_three_and_a_half_characters_and_above_19200_baud_a_fixed_time() {
        for (url, micros) in [
            ("/dev/x?baud=1200", 29_166),
            ("/dev/x?baud=9600", 3_645),
            ("/dev/x?baud=9600&parity=even", 4_010),
            ("/dev/x?baud=19200", 1_822),
            ("/dev/x?baud=38400", 1_750),
            ("/dev/x?baud=115200&turnaround=5ms", 6_750),
        ] {
            assert_eq!(pace(url).gap().as_micros(), micros, "{url}");
        }
    }

    #[test]
    fn the_longest_answer_takes_more_than_two_seconds_at_1200_baud() {
        let slow = pace("/dev/x?baud=1200").airtime(255);
        assert!(slow > Duration::from_millis(2100), "{slow:?}");
    }
}
