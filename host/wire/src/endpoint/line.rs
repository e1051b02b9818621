//! A serial line and its settings, written as the rest of a URL: `/dev/ttyUSB0?baud=9600&parity=none`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What a path may not hold as it is.
pub(super) const SPECIAL: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'"');

/// A serial port and how the line is set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SerialLine {
    /// The port. One under `/dev/serial/by-id` survives a replug.
    pub path: PathBuf,
    /// Bits a second, 1,200 to 921,600; 9,600 when left out.
    pub baud: u32,
    /// None when left out. The standard's own default is even, most meters leave the factory with none.
    pub parity: Parity,
    /// 1 or 2; 1 when left out.
    pub stop_bits: u8,
    /// 7 or 8; 8 when left out, and always for RTU.
    pub data_bits: u8,
    /// Pause that a slow RS485 converter needs between an answer and the next request, beside the silence of
    /// 3.5 characters that Modbus asks for; none when left out.
    pub turnaround: Duration,
    /// Whether the system is to switch the port's RS485 driver (by RTS, or as the port does it). Off when left out:
    /// USB adapters switch by themselves.
    pub rs485: bool,
}

/// The parity bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Parity {
    /// No parity bit.
    #[default]
    None,
    /// Even.
    Even,
    /// Odd.
    Odd,
}

impl Parity {
    /// Its name in a URL.
    pub fn name(self) -> &'static str {
        match self {
            Parity::None => "none",
            Parity::Even => "even",
            Parity::Odd => "odd",
        }
    }

    /// Reads a name, or its first letter.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "none" | "n" | "N" => Ok(Parity::None),
            "even" | "e" | "E" => Ok(Parity::Even),
            "odd" | "o" | "O" => Ok(Parity::Odd),
            _ => Err("parity is none, even or odd".to_owned()),
        }
    }
}

/// The path of a port as it stands in a URL.
pub(super) fn port(text: &str) -> Result<PathBuf, String> {
    let path = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| "the path is not UTF-8".to_owned())?;
    if !path.starts_with('/') || path.len() < 2 {
        return Err("the port's path is missing (three slashes: two of the URL, one of the path)".to_owned());
    }
    if path.chars().any(char::is_control) {
        return Err("the path holds a control character".to_owned());
    }
    Ok(PathBuf::from(path.as_ref()))
}

/// Bits a second.
pub(super) fn baud(text: &str) -> Result<u32, String> {
    let baud = text.parse().ok().filter(|baud| (1_200..=921_600).contains(baud));
    baud.ok_or_else(|| "baud is a number from 1200 to 921600".to_owned())
}

impl SerialLine {
    /// A port with the settings that most meters have: 9,600 baud, 8 data bits, no parity, 1 stop bit.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        SerialLine {
            path: path.into(),
            baud: 9600,
            parity: Parity::None,
            stop_bits: 1,
            data_bits: 8,
            turnaround: Duration::ZERO,
            rs485: false,
        }
    }

    /// How long one character takes on the line: start bit, data bits, parity bit, stop bits.
    pub fn character(&self) -> Duration {
        let parity = u32::from(self.parity != Parity::None);
        let bits = 1 + u32::from(self.data_bits) + parity + u32::from(self.stop_bits);
        Duration::from_secs(1) * bits / self.baud.max(1)
    }
}

impl fmt::Display for SerialLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.to_string_lossy();
        write!(
            f,
            "{}?baud={}&parity={}",
            utf8_percent_encode(&path, SPECIAL),
            self.baud,
            self.parity.name()
        )?;
        if self.stop_bits != 1 {
            write!(f, "&stop={}", self.stop_bits)?;
        }
        if self.data_bits != 8 {
            write!(f, "&data={}", self.data_bits)?;
        }
        if !self.turnaround.is_zero() {
            write!(f, "&turnaround={}ms", self.turnaround.as_millis())?;
        }
        if self.rs485 {
            f.write_str("&rs485=yes")?;
        }
        Ok(())
    }
}

impl FromStr for SerialLine {
    type Err = String;

    /// Reads what stands behind `modbus+rtu://`. The error says what is wrong.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('#') {
            return Err("`#` has no meaning here".to_owned());
        }
        let (path, settings) = text.split_once('?').unwrap_or((text, ""));
        let mut line = SerialLine::new(port(path)?);
        for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            line.set(name, value)?;
        }
        Ok(line)
    }
}

impl SerialLine {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "baud" => {
                self.baud = baud(value)?;
            }
            "parity" => self.parity = Parity::parse(value)?,
            "stop" => {
                self.stop_bits = match value {
                    "1" => 1,
                    "2" => 2,
                    _ => return Err("stop is 1 or 2".to_owned()),
                }
            }
            "data" => {
                self.data_bits = match value {
                    "8" => 8,
                    "7" => return Err("RTU sends 8 data bits; 7 would be Modbus ASCII".to_owned()),
                    _ => return Err("data is 8".to_owned()),
                }
            }
            "turnaround" => {
                let millis: u64 = value
                    .strip_suffix("ms")
                    .and_then(|millis| millis.parse().ok())
                    .filter(|millis| *millis <= 1_000)
                    .ok_or("turnaround is 0ms to 1000ms")?;
                self.turnaround = Duration::from_millis(millis);
            }
            "rs485" => {
                self.rs485 = match value {
                    "yes" => true,
                    "no" => false,
                    _ => return Err("rs485 is yes or no".to_owned()),
                }
            }
            _ => {
                return Err(format!(
                    "unknown setting `{name}`: there are baud, parity, stop, data, turnaround and rs485"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<SerialLine, String> {
        text.parse()
    }

    #[test]
    fn one_line_has_one_spelling() {
        for text in [
            "/dev/ttyUSB0",
            "/dev/ttyUSB0?",
            "/dev/ttyUSB0?parity=none",
            "/dev/ttyUSB0?parity=N&stop=1&baud=9600&data=8&turnaround=0ms",
        ] {
            assert_eq!(
                line(text).unwrap().to_string(),
                "/dev/ttyUSB0?baud=9600&parity=none",
                "{text}"
            );
        }
        for text in [
            "/dev/ttyS1?baud=19200&parity=even&stop=2&turnaround=5ms&rs485=yes",
            "/dev/serial/by-id/usb-FTDI_FT232R%20USB-if00?baud=9600&parity=none",
        ] {
            assert_eq!(line(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_character_takes_its_bits() {
        let slow = line("/dev/x?baud=9600&parity=even").unwrap();
        assert_eq!(slow.character(), Duration::from_nanos(1_145_833));
        assert_eq!(line("/dev/x?baud=1200").unwrap().character().as_micros(), 8_333);
    }

    #[test]
    fn what_no_line_can_be_is_refused_with_what_to_write() {
        for (text, word) in [
            ("", "three slashes"),
            ("/", "three slashes"),
            ("dev/ttyUSB0", "three slashes"),
            ("/dev/x?baud=fast", "1200 to 921600"),
            ("/dev/x?baud=0", "1200 to 921600"),
            ("/dev/x?parity=mark", "none, even or odd"),
            ("/dev/x?stop=3", "1 or 2"),
            ("/dev/x?data=7", "ASCII"),
            ("/dev/x?turnaround=5", "0ms to 1000ms"),
            ("/dev/x?rs485=on", "yes or no"),
            ("/dev/x?speed=9600", "baud"),
            ("/dev/x#1", "#"),
            ("/dev/%00", "control"),
        ] {
            let error = line(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
