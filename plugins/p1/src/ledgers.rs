//! The ledgers that ship with the plugin.

use busbar_ledger::model::Ledger;

/// A ledger as it ships.
pub(crate) struct Shipped {
    /// Its file.
    pub(crate) file: &'static str,
    /// Its text.
    pub(crate) text: &'static str,
}

macro_rules! shipped {
    ($name:literal) => {
        Shipped {
            file: concat!("dsmr/", $name, ".toml"),
            text: include_str!(concat!("../../../ledgers/dsmr/", $name, ".toml")),
        }
    };
}

/// The meter itself.
pub(crate) static METER: Shipped = shipped!("p1");
/// Gas meters.
pub(crate) static GAS: Shipped = shipped!("p1-gas");
/// Water, cold and warm.
pub(crate) static WATER: Shipped = shipped!("p1-water");
/// Heat and cold.
pub(crate) static HEAT: Shipped = shipped!("p1-heat");
/// Electricity meters behind the meter.
pub(crate) static ELECTRICITY: Shipped = shipped!("p1-electricity");
/// All others.
pub(crate) static OTHER: Shipped = shipped!("p1-other");

/// All of them.
pub(crate) static ALL: [&Shipped; 6] = [&METER, &GAS, &WATER, &HEAT, &ELECTRICITY, &OTHER];

impl Shipped {
    /// It, checked; none where it has faults.
    pub(crate) fn ledger(&self) -> Option<Ledger> {
        busbar_ledger::parse(self.file, self.text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_no_faults_and_a_serial_number() {
        for shipped in ALL {
            let ledger = busbar_ledger::parse(shipped.file, shipped.text).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(format!("{}.toml", ledger.name), shipped.file);
            let serial = ledger.point("serial").unwrap().spoken().unwrap();
            assert!(!serial.codes.is_empty());
        }
    }
}
