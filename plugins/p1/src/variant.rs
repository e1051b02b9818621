//! Which country's kind of telegram it is, by what it says.

use busbar_ledger::obis::Obis;

use crate::lines::Lines;

/// A kind of telegram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// The Netherlands, DSMR 2.2 and 3.
    Nl3,
    /// The Netherlands, DSMR 4.
    Nl4,
    /// The Netherlands, DSMR 5.
    Nl5,
    /// Belgium, e-MUCS.
    Be,
    /// Luxembourg.
    Lu,
    /// Sweden and Finland.
    Se,
    /// Austria.
    At,
    /// Hungary.
    Hu,
    /// Ireland.
    Ie,
    /// The text of a D0 port (EasyMeter Q3D and others).
    D0,
    /// Another one.
    Other,
}

impl Variant {
    /// All of them.
    const ALL: [Variant; 11] = [
        Variant::Nl3,
        Variant::Nl4,
        Variant::Nl5,
        Variant::Be,
        Variant::Lu,
        Variant::Se,
        Variant::At,
        Variant::Hu,
        Variant::Ie,
        Variant::D0,
        Variant::Other,
    ];

    /// One word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Variant::Nl3 => "nl3",
            Variant::Nl4 => "nl4",
            Variant::Nl5 => "nl5",
            Variant::Be => "be",
            Variant::Lu => "lu",
            Variant::Se => "se",
            Variant::At => "at",
            Variant::Hu => "hu",
            Variant::Ie => "ie",
            Variant::D0 => "d0",
            Variant::Other => "other",
        }
    }

    /// The one of this name.
    pub(crate) fn of(name: &str) -> Variant {
        let named = Variant::ALL.into_iter().find(|variant| variant.name() == name);
        named.unwrap_or(Variant::Other)
    }

    /// Standard time where it is used, in minutes east of Greenwich.
    pub(crate) fn standard_offset(self) -> i16 {
        match self {
            Variant::Ie => 0,
            _ => busbar_ledger::telegram::time::CENTRAL_EUROPE,
        }
    }

    /// Recognises a telegram.
    pub(crate) fn recognise(lines: &Lines, encrypted: bool) -> Variant {
        let line = |code: &str| {
            let code = Obis::parse(code)?;
            lines.lines.iter().find(|line| line.code == code)
        };
        let has = |code: &str| line(code).is_some();
        let value = |code: &str| line(code)?.groups.first().map(|group| group.value.as_str());
        let in_watts = ["1-0:1.8.0", "1-0:1.8.1", "1-0:1.7.0"].iter().any(|code| {
            let unit = line(code).and_then(|line| line.groups.last()?.unit.as_deref());
            matches!(unit, Some("Wh" | "W"))
        });
        let version = value("1-3:0.2.8");
        match version {
            _ if lines.with_period => Variant::D0,
            _ if has("0-0:96.1.4") => Variant::Be,
            _ if has("0-0:42.0.0") && has("1-0:15.8.0") => Variant::Hu,
            _ if in_watts => Variant::At,
            _ if encrypted || lines.ident.starts_with("Lux") => Variant::Lu,
            None if has("1-0:1.8.0") && !has("1-0:1.8.1") && has("1-0:23.7.0") => Variant::Se,
            Some(version) if has("1-0:1.8.1") && version.starts_with('4') => Variant::Nl4,
            Some(_) if has("1-0:1.8.1") => Variant::Nl5,
            None if has("0-0:1.0.0") && has("0-0:96.1.0") && !has("0-0:96.1.1") && has("1-0:1.8.1") => {
                Variant::Ie
            }
            // Of old Dutch meters: no version, and no time.
            None if has("1-0:1.8.1") && has("0-0:96.1.1") && !has("0-0:1.0.0") => Variant::Nl3,
            _ => Variant::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back() {
        for variant in Variant::ALL {
            assert_eq!(Variant::of(variant.name()), variant);
        }
        assert_eq!(Variant::of("5B"), Variant::Other);
    }
}
