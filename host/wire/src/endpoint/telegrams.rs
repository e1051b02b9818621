//! Places where a meter speaks by itself: a serial adapter at its customer port, or the address at which the newest
//! telegram is given.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::utf8_percent_encode;
use url::Url;

use super::line::{self, SPECIAL};
use super::{Host, Parity, SerialLine, place};

/// The port of HTTP.
const HTTP_PORT: u16 = 80;
/// Where gateways give the newest telegram.
const USUAL_PATH: &str = "/api/v1/telegram";

/// A serial adapter at a meter's customer port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TelegramLine {
    /// The port. One under `/dev/serial/by-id` survives a replug.
    pub path: PathBuf,
    /// How the line is set; `None`: found out.
    pub setting: Option<Setting>,
}

/// How a line is set on which a meter speaks; one stop bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Setting {
    /// Bits a second, 1,200 to 921,600.
    pub baud: u32,
    /// The parity bit.
    pub parity: Parity,
    /// 7 or 8.
    pub data_bits: u8,
}

impl Setting {
    /// What meters of today have.
    pub const USUAL: Setting = Setting {
        baud: 115_200,
        parity: Parity::None,
        data_bits: 8,
    };

    /// A port that is set so.
    pub(crate) fn of(self, path: PathBuf) -> SerialLine {
        SerialLine {
            baud: self.baud,
            parity: self.parity,
            data_bits: self.data_bits,
            ..SerialLine::new(path)
        }
    }

    /// As people write it: `115200 8N1`.
    pub fn short(self) -> String {
        let parity = match self.parity {
            Parity::None => 'N',
            Parity::Even => 'E',
            Parity::Odd => 'O',
        };
        format!("{} {}{parity}1", self.baud, self.data_bits)
    }
}

/// As in a URL: `baud=115200&parity=none&bits=8`.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting {
            baud,
            parity,
            data_bits,
        } = self;
        write!(f, "baud={baud}&parity={}&bits={data_bits}", parity.name())
    }
}

impl FromStr for Setting {
    type Err = String;

    /// What is left out is as meters of today have it; with a parity bit there are seven others.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut setting = Setting::USUAL;
        let mut bits = None;
        for part in text.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=').unwrap_or((part, "")) {
                ("baud", value) => setting.baud = line::baud(value)?,
                ("parity", value) => setting.parity = Parity::parse(value)?,
                ("bits", "7") => bits = Some(7),
                ("bits", "8") => bits = Some(8),
                ("bits", _) => return Err("bits is 7 or 8".to_owned()),
                (name, _) => {
                    return Err(format!(
                        "unknown setting `{name}`: there are baud, parity and bits"
                    ));
                }
            }
        }
        setting.data_bits = bits.unwrap_or(match setting.parity {
            Parity::None => 8,
            Parity::Even | Parity::Odd => 7,
        });
        Ok(setting)
    }
}

impl fmt::Display for TelegramLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        utf8_percent_encode(&self.path.to_string_lossy(), SPECIAL).fmt(f)?;
        self.setting.map_or(Ok(()), |setting| write!(f, "?{setting}"))
    }
}

impl FromStr for TelegramLine {
    type Err = String;

    /// Reads what stands behind `p1://`. The error says what is wrong.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('#') {
            return Err("`#` has no meaning here".to_owned());
        }
        let (path, settings) = text.split_once('?').unwrap_or((text, ""));
        Ok(TelegramLine {
            path: line::port(path)?,
            setting: match settings {
                "" => None,
                settings => Some(settings.parse()?),
            },
        })
    }
}

/// Where the newest telegram is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpPlace {
    /// Who gives it.
    pub host: Host,
    /// Under which path, percent-encoded, with its slash.
    pub path: String,
}

impl HttpPlace {
    /// Reads a whole URL. The error says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a user name or password is not sent anywhere".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("`?` and `#` have no meaning here".to_owned());
        }
        let path = match url.path() {
            "" | "/" => USUAL_PATH,
            path => path,
        };
        // What is sent as it is must not be able to end the line it stands in.
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the path holds what must be percent-encoded".to_owned());
        }
        Ok(HttpPlace {
            host: place(&url, Some(HTTP_PORT))?,
            path: path.to_owned(),
        })
    }
}

impl fmt::Display for HttpPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.path)
    }
}
