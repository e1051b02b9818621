//! Codes by which meters name what they say: OBIS (IEC 62056-61), `A-B:C.D.E*F`.

use std::fmt;

/// A code as it stands in a telegram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Obis {
    /// A: 1 electricity, 0 the meter and what hangs on it.
    pub medium: u8,
    /// B: 0 the meter itself, else a channel.
    pub channel: u8,
    /// C, D and E: the quantity, how it is processed, the tariff.
    pub rest: [u8; 3],
    /// F: a past billing period; none for the present one, which is also written 255.
    pub period: Option<u8>,
}

impl Obis {
    /// Reads a code that stands alone.
    pub fn parse(text: &str) -> Option<Obis> {
        let (medium, rest) = text.split_once('-')?;
        let (channel, rest) = rest.split_once(':')?;
        let (rest, period) = match rest.split_once('*') {
            Some((rest, period)) => (rest, Some(byte(period)?).filter(|period| *period != 255)),
            None => (rest, None),
        };
        let mut parts = rest.split('.');
        let mut part = || byte(parts.next()?);
        let rest = [part()?, part()?, part()?];
        if parts.next().is_some() {
            return None;
        }
        Some(Obis {
            medium: byte(medium)?,
            channel: byte(channel)?,
            rest,
            period,
        })
    }
}

/// One to three decimal digits, 0 to 255.
fn byte(text: &str) -> Option<u8> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Obis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Obis {
            medium,
            channel,
            rest: [c, d, e],
            period,
        } = self;
        write!(f, "{medium}-{channel}:{c}.{d}.{e}")?;
        period.map_or(Ok(()), |period| write!(f, "*{period}"))
    }
}

/// A code as a ledger names it: the channel may be that of the device that the ledger describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObisPlace {
    /// The code; its channel is 0 where it is the device's.
    code: Obis,
    /// Whether the channel is the device's: `0-n:24.2.1`.
    of_unit: bool,
}

impl ObisPlace {
    /// Reads a code in which `n` may stand for the channel.
    pub fn parse(text: &str) -> Option<ObisPlace> {
        match text.split_once("-n:") {
            Some((medium, rest)) => {
                Obis::parse(&format!("{medium}-0:{rest}")).map(|code| ObisPlace { code, of_unit: true })
            }
            None => Obis::parse(text).map(|code| ObisPlace { code, of_unit: false }),
        }
    }

    /// The code of the device at this channel.
    pub fn at(&self, unit: u8) -> Obis {
        match self.of_unit {
            true => Obis {
                channel: unit,
                ..self.code
            },
            false => self.code,
        }
    }
}

impl fmt::Display for ObisPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.to_string();
        match code.split_once("-0:").filter(|_| self.of_unit) {
            Some((medium, rest)) => write!(f, "{medium}-n:{rest}"),
            None => f.write_str(&code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_as_they_are_read() {
        for (text, written) in [
            ("1-0:1.8.0", "1-0:1.8.0"),
            ("01-00:001.08.000", "1-0:1.8.0"),
            ("1-0:1.8.0*255", "1-0:1.8.0"),
            ("1-0:1.8.0*1", "1-0:1.8.0*1"),
            ("255-255:255.255.255", "255-255:255.255.255"),
        ] {
            assert_eq!(Obis::parse(text).unwrap().to_string(), written, "{text}");
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        for text in [
            "",
            "1-0",
            "1-0:1.8",
            "1-0:1.8.0.0",
            "1-0:1.8.256",
            "1-0:+1.8.0",
            "1-0:1.8.",
            "a-0:1.8.0",
            "1-0:1.8.0*",
            "1-0:1.8.0*x",
            "0001-0:1.8.0",
            "1:0-1.8.0",
            "0-n:24.2.1",
            "ä-0:1.8.0",
        ] {
            assert_eq!(Obis::parse(text), None, "{text}");
        }
    }

    #[test]
    fn n_is_the_channel_of_the_device() {
        let place = ObisPlace::parse("0-n:24.2.1").unwrap();
        assert_eq!(place.to_string(), "0-n:24.2.1");
        assert_eq!(place.at(3), Obis::parse("0-3:24.2.1").unwrap());
        let fixed = ObisPlace::parse("0-0:96.1.1").unwrap();
        assert_eq!(
            (fixed.to_string(), fixed.at(3)),
            ("0-0:96.1.1".into(), fixed.at(0))
        );
        for text in ["n-0:1.8.0", "0-n:n.2.1", "-n:24.2.1", "0-n:"] {
            assert_eq!(ObisPlace::parse(text), None, "{text}");
        }
    }
}
