//! Lists of unit ids as people write them: `1,3-9`.

use std::str::FromStr;

/// Unit ids in the order given, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitList(pub Vec<u8>);

impl FromStr for UnitList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut units = Vec::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (unit(from)?, unit(to)?);
            if from > to {
                return Err(format!("`{part}` runs backwards: write {to}-{from}"));
            }
            for u in from..=to {
                if !units.contains(&u) {
                    units.push(u);
                }
            }
        }
        if units.is_empty() {
            return Err("no unit in the list: write units as 1,3-9".to_owned());
        }
        Ok(UnitList(units))
    }
}

fn unit(text: &str) -> Result<u8, String> {
    match text.trim().parse::<u8>() {
        Ok(u) if u <= 247 => Ok(u),
        _ => Err(format!(
            "`{}` is no unit id: Modbus has units 0 to 247, written as 1,3-9",
            text.trim()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges() {
        assert_eq!("1,3-5,4".parse(), Ok(UnitList(vec![1, 3, 4, 5])));
        assert_eq!(" 100 , 227 ".parse(), Ok(UnitList(vec![100, 227])));
    }

    #[test]
    fn faults_say_what_to_write() {
        for (text, word) in [
            ("", "no unit"),
            ("9-3", "3-9"),
            ("248", "0 to 247"),
            ("x", "0 to 247"),
        ] {
            assert!(text.parse::<UnitList>().unwrap_err().contains(word), "{text}");
        }
    }
}
