//! One event: what a VSCP node says once.

use super::decimal::Decimal;
use super::guid::Guid;

/// A node without registers and without a description of itself; its priority is normal.
pub const DUMB_NODE: u16 = 0x8000 | 0x0060;

/// The most bytes that an event of level II carries.
pub const MOST_DATA: usize = 487;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Bit 15 a dumb node, bits 14 to 12 the kind of GUID, 7 to 5 the priority (0 the highest), 2 to 0 a rolling index.
    pub head: u16,
    /// What kind of event it is.
    pub class: u16,
    /// Which of that kind.
    pub ty: u16,
    /// Who says it.
    pub guid: Guid,
    /// What it says.
    pub data: Vec<u8>,
    /// For people.
    pub note: String,
    /// The measurement's name among the settings, for topics.
    pub name: &'static str,
    /// The same as `data`, decoded.
    pub measured: Measured,
}

/// A measurement, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The number, as it is written.
    pub number: Number,
    /// VSCP's number of the unit, 0 to 3; 0 is the default of the type.
    pub unit: u8,
    /// Tells sensors with one GUID from each other.
    pub sensor_index: u8,
    /// Where the sensor is.
    pub zone: u8,
    /// Where in that zone.
    pub subzone: u8,
}

/// A number of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Written with its own digits.
    Exact(Decimal),
    /// Written as a Python program writes a float: always with a point or an exponent.
    Float(f64),
}

/// When something was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Nanoseconds since 1970, UTC.
    pub unix_ns: u64,
    /// Microseconds since anything that stays: only differences mean something. It begins anew after 71 minutes.
    pub relative_us: u32,
}

#[cfg(test)]
pub(crate) mod testing {
    //! For the tests of this folder.

    use super::*;

    /// An event with another number in each field.
    pub fn event() -> Event {
        Event {
            head: DUMB_NODE,
            class: 1040,
            ty: 13,
            guid: Guid::of_mac([2, 0, 0, 0, 0, 1]).with_id(258),
            data: b"\x01\x02\x03\x0112345.678\0".to_vec(),
            note: "Meter reading active energy out".to_owned(),
            name: "sum_active_energy_out",
            measured: Measured {
                number: Number::Exact(Decimal::of(12345.678).unwrap()),
                unit: 1,
                sensor_index: 1,
                zone: 2,
                subzone: 3,
            },
        }
    }
}
