//! The lines of a telegram, one for each code.

use std::collections::HashMap;

use busbar_ledger::obis::Obis;
use busbar_ledger::telegram::Line;

/// The most lines of a telegram that are kept.
const MAX_LINES: usize = 2048;

/// What a telegram says, line by line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    /// What stands behind the `/`.
    pub(crate) ident: String,
    /// One line for each code, in the order of their last lines.
    pub(crate) lines: Vec<Line>,
    /// Lines that were left out for a later one with the same code.
    pub(crate) repeated: u32,
    /// Lines that are none.
    pub(crate) odd: u32,
    /// Whether codes are written with their billing period, as on the D0 port: `1-0:1.8.0*255`.
    pub(crate) with_period: bool,
}

/// Takes a telegram apart, from its `/` up to its `!`, both left out.
pub(crate) fn read(text: &str) -> Lines {
    let mut rows = text
        .split(['\r', '\n'])
        .map(|row| row.trim_matches(['\0', ' ', '\t']))
        .filter(|row| !row.is_empty());
    let mut lines = Lines {
        ident: clean(rows.next().unwrap_or_default()),
        ..Lines::default()
    };
    let mut all: Vec<Line> = Vec::new();
    for row in rows {
        match (row.starts_with('('), all.last_mut()) {
            (true, Some(before)) => lines.odd += u32::from(!go_on(before, row)),
            _ => match Line::parse(row) {
                Some(line) if all.len() < MAX_LINES => {
                    lines.with_period |= row.split('(').next().is_some_and(|code| code.ends_with("*255"));
                    all.push(line);
                }
                _ => lines.odd += 1,
            },
        }
    }
    let last: HashMap<Obis, usize> = all.iter().enumerate().map(|(at, line)| (line.code, at)).collect();
    let before = all.len();
    let mut at = 0;
    all.retain(|line| {
        at += 1;
        last.get(&line.code) == Some(&(at - 1))
    });
    lines.repeated = u32::try_from(before - all.len()).unwrap_or(u32::MAX);
    lines.lines = all;
    lines
}

/// A row of brackets belongs to the line before it. That of DSMR 2.2 and 3 is the value whose unit ends that line:
/// `…(0-1:24.2.1)(m3)`, then `(00001.001)`.
fn go_on(before: &mut Line, row: &str) -> bool {
    // Any code will do to take the brackets apart.
    let Some(Line { groups, .. }) = Line::parse(&format!("0-0:0.0.0{row}")) else {
        return false;
    };
    let is_unit = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic());
    match (before.groups.last_mut(), groups.as_slice()) {
        (Some(last), [value]) if last.unit.is_none() && value.unit.is_none() && is_unit(&last.value) => {
            last.unit = Some(std::mem::replace(&mut last.value, value.value.clone()));
        }
        _ => before.groups.extend(groups),
    }
    true
}

/// A text without control characters: they have been seen in identifications.
fn clean(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        read(text).lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_gas_of_old_telegrams_is_one_line() {
        let text = "ISk5\\2MT382-1004\r\n\r\n0-1:24.1.0(3)\r\n0-1:24.3.0(161107190000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n\
                    (00001.001)\r\n0-1:24.4.0(1)\r\n";
        let expected = [
            "0-1:24.1.0(3)",
            "0-1:24.3.0(161107190000)(00)(60)(1)(0-1:24.2.1)(00001.001*m3)",
            "0-1:24.4.0(1)",
        ];
        assert_eq!(lines(text), expected);
        assert_eq!(read(text).ident, "ISk5\\2MT382-1004");
    }

    #[test]
    fn of_lines_with_one_code_the_last_is_kept_and_the_others_are_counted() {
        let read = read("X\n1-0:1.7.0(1*kW)\n1-0:2.7.0(2*kW)\n1-0:1.7.0(3*kW)\n");
        let texts: Vec<String> = read.lines.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["1-0:2.7.0(2*kW)", "1-0:1.7.0(3*kW)"]);
        assert_eq!((read.repeated, read.odd), (1, 0));
    }

    #[test]
    fn what_is_no_line_is_counted_and_left_out() {
        let read = read("a\u{2}b\r\n\r\n(5)\r\nnonsense\r\n1-0:1.7.0(1*kW)\0\r\n(x\r\n");
        assert_eq!(read.ident, "a b");
        assert_eq!((read.lines.len(), read.odd), (1, 3));
    }

    #[test]
    fn codes_of_the_d0_port_lose_their_period_and_are_known_by_it() {
        let read = read("ESY5Q3DA1004 V3.04\r\n\r\n1-0:1.8.0*255(00032549.5061662*kWh)\r\n");
        assert!(read.with_period);
        assert_eq!(read.lines[0].to_string(), "1-0:1.8.0(00032549.5061662*kWh)");
    }
}
