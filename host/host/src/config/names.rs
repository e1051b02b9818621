//! How the configuration and the command line name an entity: by its id, or by where it stands.
//!
//! `<device id>.<key>`; `<ledger>:<key or address>`; `<connection>/<unit>/<ledger>:<key or address>`.

use std::fmt;

/// The name of an entity, or of the same point on several devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// An entity's id.
    Id {
        /// The device's id.
        device: String,
        /// The point's key.
        key: String,
    },
    /// A point of a ledger.
    Point {
        /// Connection and unit; left out: wherever that ledger is.
        place: Option<(String, u8)>,
        /// The ledger.
        ledger: String,
        /// Which point.
        point: PointName,
    },
}

/// A point by its key or by its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointName {
    /// Its key.
    Key(String),
    /// Its zero-based protocol address.
    At(u16),
}

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || {
            format!(
                "`{}` names no entity: write its id (`busbar entities` lists them), LEDGER:KEY or LEDGER:ADDRESS \
                 (victron/gx-hub4:2716), or CONNECTION/UNIT/LEDGER:KEY",
                crate::format::visible(text)
            )
        };
        let Some((left, right)) = text.rsplit_once(':') else {
            let (device, key) = text.split_once('.').ok_or_else(form)?;
            let fits = |part: &str| {
                !part.is_empty()
                    && part
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            };
            return match fits(device) && fits(key) {
                true => Ok(Name::Id {
                    device: device.to_owned(),
                    key: key.to_owned(),
                }),
                false => Err(form()),
            };
        };
        if right.is_empty() {
            return Err(form());
        }
        let point = match right.bytes().all(|b| b.is_ascii_digit()) {
            true => PointName::At(right.parse().map_err(|_| form())?),
            false => PointName::Key(right.to_owned()),
        };
        let parts: Vec<&str> = left.split('/').collect();
        let (place, ledger) = match parts.as_slice() {
            [maker, model] => (None, format!("{maker}/{model}")),
            [connection, unit, maker, model] => {
                let unit = unit.parse().map_err(|_| form())?;
                (Some(((*connection).to_owned(), unit)), format!("{maker}/{model}"))
            }
            _ => return Err(form()),
        };
        Ok(Name::Point { place, ledger, point })
    }
}

impl fmt::Display for PointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PointName::Key(key) => f.write_str(key),
            PointName::At(at) => write!(f, "{at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_named_in_three_ways() {
        let point = |place: Option<(&str, u8)>, point| Name::Point {
            place: place.map(|(connection, unit)| (connection.to_owned(), unit)),
            ledger: "victron/gx-hub4".to_owned(),
            point,
        };
        for (text, name) in [
            ("victron/gx-hub4:2716", point(None, PointName::At(2716))),
            (
                "victron/gx-hub4:overrides_setpoint",
                point(None, PointName::Key("overrides_setpoint".into())),
            ),
            (
                "home/100/victron/gx-hub4:2716",
                point(Some(("home", 100)), PointName::At(2716)),
            ),
            (
                "c0ff_hub4_u100.overrides_setpoint",
                Name::Id {
                    device: "c0ff_hub4_u100".into(),
                    key: "overrides_setpoint".into(),
                },
            ),
        ] {
            assert_eq!(Name::parse(text), Ok(name), "{text}");
        }
        for wrong in [
            "",
            "setpoint",
            "hub4:2716",
            "a/b/c:1",
            "a/300/b/c:1",
            "a/b:70000",
            "a/b:",
            "A.b",
            "a.",
            "x/1/y/z/w:1",
        ] {
            assert!(Name::parse(wrong).is_err(), "{wrong}");
        }
    }
}
