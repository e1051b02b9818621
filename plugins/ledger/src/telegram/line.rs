//! One line of a telegram: a code and what stands in brackets behind it.

use std::fmt;

use crate::obis::Obis;

/// A line, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is about.
    pub code: Obis,
    /// Its brackets, in order; at least one.
    pub groups: Vec<Group>,
}

/// What stands in one bracket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The value, perhaps empty.
    pub value: String,
    /// The unit behind the `*`, where there is one.
    pub unit: Option<String>,
}

impl Line {
    /// Reads a line without its line end; none where it is no code with brackets behind it.
    pub fn parse(text: &str) -> Option<Line> {
        let open = text.find('(')?;
        let (code, mut rest) = text.split_at(open);
        let code = Obis::parse(code)?;
        let mut groups = Vec::new();
        while !rest.is_empty() {
            let (inner, behind) = rest.strip_prefix('(')?.split_once(')')?;
            if inner.contains('(') {
                return None;
            }
            groups.push(Group::of(inner));
            rest = behind;
        }
        Some(Line { code, groups })
    }
}

impl Group {
    /// The content of a bracket.
    fn of(inner: &str) -> Group {
        let (value, unit) = match inner.rsplit_once('*') {
            Some((value, unit)) => (value, Some(unit.trim()).filter(|unit| !unit.is_empty())),
            None => (inner, None),
        };
        Group {
            value: value.trim().to_owned(),
            unit: unit.map(str::to_owned),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.unit {
            Some(unit) => write!(f, "({}*{unit})", self.value),
            None => write!(f, "({})", self.value),
        }
    }
}

/// As it stands in a telegram: [`Line::parse`] reads it back.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)?;
        self.groups.iter().try_for_each(|group| group.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_as_they_are_read() {
        for text in [
            "1-0:1.8.1(001234.567*kWh)",
            "0-0:96.13.0()",
            "1-0:99.97.0(2)(0-0:96.7.19)(250801101500S)(0000000240*s)(260110033000W)(0000003600*s)",
            "0-1:24.2.1(700101010000W)(00000000)",
            "1-0:1.7.0(*kW)",
        ] {
            assert_eq!(Line::parse(text).unwrap().to_string(), text);
        }
        let line = Line::parse("1-0:1.8.0*255(00000119.841 * kWh )").unwrap();
        assert_eq!(line.to_string(), "1-0:1.8.0(00000119.841*kWh)");
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for text in [
            "",
            "!",
            "/KFM5KAIFA-METER",
            "(00001.001)",
            "1-0:1.8.1",
            "1-0:1.8.1(1",
            "1-0:1.8.1(1)x",
            "1-0:1.8.1((1))",
            "1-0:1.8.1)1(",
            "x(1)",
            "1-0:1.8.1(1)(",
            "1-0:1.8.1 (1)",
        ] {
            assert_eq!(Line::parse(text), None, "{text}");
        }
    }
}
