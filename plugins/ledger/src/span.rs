//! Where words lie on a device: function, address, count.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The four read functions of Modbus, which are also its four address spaces.
///
/// Source: Modbus Application Protocol V1.1b3, sections 6.1 to 6.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Function {
    /// Function 1: coils, one bit each.
    Coils,
    /// Function 2: discrete inputs, one bit each.
    Discrete,
    /// Function 3: holding registers, 16 bits each.
    Holding,
    /// Function 4: input registers, 16 bits each.
    Input,
}

impl Function {
    /// The function code on the wire, 1 to 4.
    pub fn code(self) -> u8 {
        match self {
            Function::Coils => 1,
            Function::Discrete => 2,
            Function::Holding => 3,
            Function::Input => 4,
        }
    }

    /// The function of a code on the wire; `None` for anything but 1 to 4.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Function::Coils),
            2 => Some(Function::Discrete),
            3 => Some(Function::Holding),
            4 => Some(Function::Input),
            _ => None,
        }
    }

    /// Whether an address of this space holds one bit instead of a 16-bit register.
    pub fn is_bit(self) -> bool {
        matches!(self, Function::Coils | Function::Discrete)
    }

    /// The name used in ledgers and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Function::Coils => "coils",
            Function::Discrete => "discrete",
            Function::Holding => "holding",
            Function::Input => "input",
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A run of addresses in one address space: what one read asks for.
///
/// Addresses are the zero-based ones of the protocol. For coils and discrete inputs one "word" is one bit,
/// handed over as 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The address space.
    pub function: Function,
    /// The first address.
    pub at: u16,
    /// How many addresses; at least 1 and never past 65,535.
    pub count: u16,
}

impl Span {
    /// A run of `count` holding registers from `at`.
    pub fn holding(at: u16, count: u16) -> Self {
        Span {
            function: Function::Holding,
            at,
            count,
        }
    }

    /// The first address after the run, as a number that cannot overflow.
    pub fn end(self) -> u32 {
        u32::from(self.at) + u32::from(self.count)
    }

    /// Whether `other` lies wholly inside this run, in the same address space.
    pub fn contains(self, other: Span) -> bool {
        self.function == other.function && self.at <= other.at && other.end() <= self.end()
    }

    /// Whether the two share an address.
    pub fn overlaps(self, other: Span) -> bool {
        self.function == other.function
            && u32::from(self.at) < other.end()
            && u32::from(other.at) < self.end()
    }
}

impl fmt::Display for Span {
    /// As people write it: `holding 800` or `holding 800-805`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count <= 1 {
            write!(f, "{} {}", self.function, self.at)
        } else {
            write!(f, "{} {}-{}", self.function, self.at, self.end() - 1)
        }
    }
}
