//! A register list written as a ledger, with words for those who will go on with it.

use std::fmt::Write;

use super::{Entry, MESSAGE_SIZE, Map};
use crate::model::{Class, Order};
use crate::span::Function;

/// What the head of the ledger says.
#[derive(Clone, Copy, Debug)]
pub struct Title<'a> {
    /// `<maker>/<model>`.
    pub name: &'a str,
    /// A name for people, where the list has none.
    pub title: &'a str,
    /// Where the list comes from.
    pub source: &'a str,
}

impl Class {
    /// The class that a unit says by itself; `None` where several could be meant.
    fn of_unit(unit: &str) -> Option<Class> {
        Some(match unit {
            "V" | "mV" => Class::Voltage,
            "A" | "mA" => Class::Current,
            "W" | "kW" | "MW" => Class::Power,
            "VA" | "kVA" => Class::ApparentPower,
            "var" | "kvar" => Class::ReactivePower,
            "Wh" | "kWh" | "MWh" => Class::Energy,
            "varh" | "kvarh" => Class::ReactiveEnergy,
            "Hz" => Class::Frequency,
            "°C" | "°F" => Class::Temperature,
            _ => return None,
        })
    }
}

impl Map {
    /// The list as the text of a ledger.
    pub fn ledger_text(&self, title: &Title<'_>) -> String {
        let mut text = String::new();
        // Text goes into a string: this cannot fail.
        let _ = self.write(title, &mut text);
        text
    }

    fn write(&self, title: &Title<'_>, out: &mut String) -> std::fmt::Result {
        let function = self.usual_function();
        writeln!(out, "ledger = {}", quoted(title.name))?;
        writeln!(
            out,
            "title  = {}",
            quoted(self.title.as_deref().unwrap_or(title.title))
        )?;
        writeln!(out, "source = {}\n", quoted(title.source))?;
        writeln!(out, "[[transport]]")?;
        writeln!(
            out,
            "scheme = \"modbus+tcp\"         # add modbus+udp, modbus+rtu or modbus+rtu+tcp where it speaks them"
        )?;
        writeln!(out, "port   = 502")?;
        writeln!(out, "units  = [{}]\n", self.unit_id.unwrap_or(1))?;
        writeln!(
            out,
            "# [identify] with a `probe` lets a scan recognise the device by itself: see ledgers/README.md.\n"
        )?;
        writeln!(out, "[read]")?;
        if function != Function::Holding {
            writeln!(out, "function    = \"{function}\"")?;
        }
        writeln!(
            out,
            "max_words   = {:<10} # the longest read",
            self.message_size.unwrap_or(MESSAGE_SIZE)
        )?;
        writeln!(
            out,
            "bridge      = \"learned\"  # holes that the device answers may be read over"
        )?;
        if self.index_shift != 0 {
            writeln!(
                out,
                "index_shift = {:<10} # added to every address below",
                self.index_shift
            )?;
        }
        writeln!(out, "\n[points]")?;
        let width = self
            .entries
            .iter()
            .map(|entry| entry.key.len())
            .max()
            .unwrap_or(0);
        for entry in &self.entries {
            write!(out, "{:width$} = {{ ", entry.key)?;
            entry.write(function, out)?;
            writeln!(out, " }}")?;
        }
        Ok(())
    }

    /// The function of most registers: it is written once.
    fn usual_function(&self) -> Function {
        let all = [
            Function::Holding,
            Function::Input,
            Function::Coils,
            Function::Discrete,
        ];
        let count = |function: &Function| self.entries.iter().filter(|e| e.function == *function).count();
        // The first of equals.
        all.into_iter()
            .rev()
            .max_by_key(count)
            .unwrap_or(Function::Holding)
    }
}

impl Entry {
    fn write(&self, usual: Function, out: &mut String) -> std::fmt::Result {
        write!(out, "at = {}", self.at)?;
        if !self.function.is_bit() {
            write!(out, ", type = \"{}\"", self.ty)?;
            if matches!(self.ty, "text" | "bcd") {
                write!(out, ", words = {}", self.words)?;
            }
            if self.order != Order::Abcd {
                write!(out, ", order = \"{}\"", self.order.name())?;
            }
        }
        if self.function != usual {
            write!(out, ", function = \"{}\"", self.function)?;
        }
        if let Some(scale) = &self.scale {
            write!(out, ", scale = {}", quoted(scale))?;
        }
        if let Some(offset) = self.offset {
            write!(out, ", offset = {offset:?}")?;
        }
        if let Some(unit) = &self.unit {
            write!(out, ", unit = {}", quoted(unit))?;
            if let Some(class) = Class::of_unit(unit) {
                write!(out, ", class = \"{}\"", crate::parse::common::class_name(class))?;
            }
        }
        if let Some(label) = &self.label {
            write!(out, ", label = {}", quoted(label))?;
        }
        if self.overlap {
            write!(out, ", overlap = true")?;
        }
        Ok(())
    }
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
