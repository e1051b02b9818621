//! A device that answers with the registers of a sample file, and with nothing else.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use busbar_ledger::model::Ledger;
use serde::Deserialize;

use crate::Site;
use crate::error::SiteError;

/// The ledger that such a device is served by: each register is a point.
const LEDGER: &str = "sample/registers";

/// What is taken of a sample file; what its words should mean is no matter here.
#[derive(Deserialize)]
struct Sample {
    #[serde(default = "first_unit")]
    unit: u8,
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    holding: BTreeMap<String, Vec<u16>>,
    #[serde(default)]
    input: BTreeMap<String, Vec<u16>>,
}

fn first_unit() -> u8 {
    1
}

impl Site {
    /// A site that serves the first case of a sample file, and the ledger that it needs.
    ///
    /// # Errors
    /// The text is no sample, an address lies outside of Modbus, or the URL cannot be listened on.
    pub fn of_sample(file: &str, text: &str, url: &str) -> Result<(Site, Arc<Ledger>), SiteError> {
        let fault = |message: String| SiteError {
            file: file.to_owned(),
            line: 0,
            message,
        };
        let sample: Sample = toml::from_str(text).map_err(|error| fault(error.message().to_owned()))?;
        let case = sample
            .case
            .first()
            .ok_or_else(|| fault("a sample needs a [[case]]".to_owned()))?;
        let mut ledger = format!("ledger = \"{LEDGER}\"\ntitle = \"Registers of a sample\"\n[points]\n");
        let mut values = String::new();
        for (function, blocks) in [("holding", &case.holding), ("input", &case.input)] {
            for (at, words) in blocks {
                let from: u16 = at
                    .parse()
                    .map_err(|_| fault(format!("`{at}` is no address of Modbus")))?;
                for (at, word) in (u32::from(from)..).zip(words) {
                    let key = format!("{function}_{at}");
                    // Writing to a string cannot fail.
                    let _ = writeln!(
                        ledger,
                        "{key} = {{ at = {at}, type = \"u16\", function = \"{function}\" }}"
                    );
                    let _ = writeln!(values, "{key} = {word}");
                }
            }
        }
        let ledger = busbar_ledger::parse(file, &ledger).map_err(|faults| fault(faults.to_string()))?;
        let site = format!(
            "[[device]]\nname = \"sample\"\nkind = \"ledger\"\nlisten = {}\n\n[[device.unit]]\nunit = {}\n\
             ledger = \"{LEDGER}\"\n\n[device.unit.values]\n{values}",
            toml::Value::from(url),
            sample.unit,
        );
        Ok((Site::parse(file, &site)?, Arc::new(ledger)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_sample_is_refused_with_a_reason() {
        let url = "modbus+tcp://127.0.0.1:0";
        for (text, said) in [
            ("case = 1", "invalid type"),
            ("case = []", "needs a [[case]]"),
            ("[[case]]\n[case.holding]\nx = [1]", "no address"),
            ("[[case]]\n[case.holding]\n65535 = [1, 2]", "65536"),
        ] {
            let fault = Site::of_sample("s.toml", text, url).unwrap_err().to_string();
            assert!(fault.contains(said), "{text}: {fault}");
        }
        let text = "unit = 240\n[[case]]\n[case.holding]\n40000 = [0x5375, 0x6E53]\n[case.input]\n7 = [1]\n";
        let (_, ledger) = Site::of_sample("s.toml", text, url).unwrap();
        assert_eq!(ledger.points.len(), 3);
    }
}
