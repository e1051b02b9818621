//! Flags of register lists.

use std::path::PathBuf;

use busbar_ledger::map::{Endian, Settings};
use clap::{Args, ValueEnum};

/// What holds for all registers of a list.
#[derive(Clone, Debug, Default, Args)]
pub struct ListFlags {
    /// Add this to every address; -1 for a list that counts from 1
    #[arg(long, value_name = "N", alias = "index_shift", allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-65_535..=65_535))]
    pub index_shift: Option<i32>,
    /// The order of the bytes in each register [default: big]
    #[arg(long, value_name = "ORDER", ignore_case = true, value_enum)]
    pub byteorder: Option<OrderArg>,
    /// The order of the registers of a value [default: big]; auto shows what each would give
    #[arg(long, value_name = "ORDER", ignore_case = true, value_enum)]
    pub wordorder: Option<OrderArg>,
    /// Read at most this many registers in one request, 1 to 125 [default: 100]
    #[arg(long, value_name = "N", alias = "message_size", value_parser = clap::value_parser!(u16).range(1..=125))]
    pub message_size: Option<u16>,
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OrderArg {
    /// The high one
    Big,
    /// The low one
    Little,
    /// Not known: show both
    Auto,
}

impl OrderArg {
    fn known(self) -> Option<Endian> {
        match self {
            OrderArg::Big => Some(Endian::Big),
            OrderArg::Little => Some(Endian::Little),
            OrderArg::Auto => None,
        }
    }
}

impl ListFlags {
    /// Whether one of the orders is to be found out.
    pub fn is_auto(&self) -> bool {
        [self.byteorder, self.wordorder].contains(&Some(OrderArg::Auto))
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.index_shift.is_none()
            && self.byteorder.is_none()
            && self.wordorder.is_none()
            && self.message_size.is_none()
    }

    /// The same for the list's reader.
    pub fn settings(&self) -> Settings {
        Settings {
            index_shift: self.index_shift,
            byteorder: self.byteorder.and_then(OrderArg::known),
            wordorder: self.wordorder.and_then(OrderArg::known),
            message_size: self.message_size,
        }
    }

    /// The orders that are to be tried, the usual one first.
    pub fn orders(&self) -> Vec<(Endian, Endian)> {
        let both = [Endian::Big, Endian::Little];
        let of = |given: Option<OrderArg>| match given {
            Some(OrderArg::Auto) => both.to_vec(),
            Some(known) => known.known().into_iter().collect(),
            None => vec![Endian::Big],
        };
        let words = of(self.wordorder);
        of(self.byteorder)
            .into_iter()
            .flat_map(|bytes| words.iter().map(move |words| (bytes, *words)))
            .collect()
    }
}

/// The list of `busbar read`, and what to do with it.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Register lists (--map)")]
pub struct MapFlags {
    /// Read the registers of this list (CSV or TOML: name, address, length, type), without any ledger
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
    /// What holds for the whole list.
    #[command(flatten)]
    pub list: ListFlags,
    /// With an order of auto: read on with the one that gives the likeliest values
    #[arg(long, requires = "map")]
    pub pick: bool,
}
