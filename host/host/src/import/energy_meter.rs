//! The register map of the generic meter reader `energy-meter` (flex-modbus-reader), a Python file:
//! `Meter = ModbusDevice(model="…", registers_map=[Register("voltage", 3028, 2, MBClient.DATATYPE.FLOAT32), …],
//! unit=10, index_shift=-1)`.
//!
//! Maps that people made of it are understood too: lists of dictionaries, of lists or of tuples, dictionaries of
//! tuples or of dictionaries. Numbers are decimal or hexadecimal, names may stand for lists, types and numbers.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

use busbar_ledger::map::{Map, Settings};

use super::python::{self, Node, Shape};

/// More notes than this are only counted: a hostile file must not fill a screen.
const MAX_NOTES: usize = 100;

/// More devices than this are not taken: many of them may share one long list.
const MAX_DEVICES: usize = 64;

/// The longest text of a register, in bytes: many registers may share one.
const MAX_TEXT: usize = 1000;

/// How often names are followed.
const MAX_HOPS: usize = 8;

/// What was found in a file.
#[derive(Debug, Default)]
pub struct Found {
    /// Each device with its registers.
    pub devices: Vec<Device>,
    /// What was not understood, by line.
    pub notes: BTreeSet<(usize, String)>,
    /// Where the device was read: `HOST:PORT`, where the file says it.
    pub address: Option<String>,
}

/// A device and its registers.
#[derive(Debug)]
pub struct Device {
    /// Its name in the file: the model, else the variable.
    pub title: String,
    /// The variable that it was assigned to.
    pub variable: Option<String>,
    /// Its registers, checked.
    pub map: Map,
    /// The line of each, as the map has them.
    pub lines: Vec<usize>,
}

/// A register as the file has it.
struct Register {
    line: usize,
    fields: Vec<(&'static str, Shape)>,
}

/// Names of fields, and what people call them.
const FIELDS: [(&str, &[&str]); 8] = [
    ("name", &["name", "key"]),
    ("address", &["index", "address", "addr", "register", "start"]),
    ("length", &["length", "size", "count", "words"]),
    ("type", &["data_type", "datatype", "type", "dtype"]),
    ("unit", &["unit", "units"]),
    ("scale", &["scale", "factor", "multiplier"]),
    ("label", &["label", "description"]),
    ("function", &["function", "fc"]),
];

fn field(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    FIELDS
        .iter()
        .find(|(_, names)| names.contains(&name.as_str()))
        .map(|(field, _)| *field)
}

/// Reads the file. Pure; nothing of it is executed.
pub fn read(source: &str) -> Found {
    let all = python::read(source);
    let named = all
        .iter()
        .filter_map(|(name, node)| Some((name.as_deref()?, node)));
    let mut reader = Reader {
        names: named.collect(),
        found: Found::default(),
        settings: Vec::new(),
        unit: None,
    };
    reader.settings_of(&all);
    reader.constants();
    let mut calls = Vec::new();
    for (name, node) in &all {
        device_calls(name.as_deref(), node, 0, &mut calls);
    }
    if let Some((_, _, line)) = calls.get(MAX_DEVICES) {
        reader.note(*line, format!("only the first {MAX_DEVICES} devices are taken"));
    }
    for (variable, arguments, line) in calls.iter().take(MAX_DEVICES) {
        reader.device(*variable, arguments, *line);
    }
    if calls.is_empty() {
        for (name, node) in &all {
            reader.bare_list(name.as_deref(), node);
        }
    }
    reader.found
}

type Arguments = [(Option<String>, Node)];

/// Calls of `ModbusDevice`, wherever they stand.
fn device_calls<'a>(
    variable: Option<&'a str>,
    node: &'a Node,
    depth: usize,
    calls: &mut Vec<(Option<&'a str>, &'a Arguments, usize)>,
) {
    match &node.shape {
        Shape::Call(name, arguments) if last(name) == "ModbusDevice" => {
            calls.push((variable, arguments, node.line));
        }
        Shape::Call(_, arguments) if depth < MAX_HOPS => arguments
            .iter()
            .for_each(|(_, node)| device_calls(None, node, depth + 1, calls)),
        Shape::List(items) if depth < MAX_HOPS => {
            items
                .iter()
                .for_each(|node| device_calls(None, node, depth + 1, calls));
        }
        Shape::Dict(pairs) if depth < MAX_HOPS => {
            pairs
                .iter()
                .for_each(|(_, node)| device_calls(None, node, depth + 1, calls));
        }
        _ => {}
    }
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

struct Reader<'a> {
    names: HashMap<&'a str, &'a Node>,
    found: Found,
    /// Lines of settings for every map: orders and message size.
    settings: Vec<String>,
    /// The unit that stands beside the maps.
    unit: Option<i64>,
}

impl<'a> Reader<'a> {
    fn note(&mut self, line: usize, what: impl Into<String>) {
        if self.found.notes.len() < MAX_NOTES {
            self.found.notes.insert((line, what.into()));
        }
    }

    /// What a name stands for, where the file says it.
    fn resolved(&self, node: &'a Node) -> &'a Node {
        let mut node = node;
        for _ in 0..MAX_HOPS {
            match &node.shape {
                Shape::Name(name) => match self.names.get(name.as_str()) {
                    Some(meant) => node = meant,
                    None => return node,
                },
                _ => return node,
            }
        }
        node
    }

    /// Orders, message size and address, from the calls that make a client or a reader.
    fn settings_of(&mut self, all: &'a [(Option<String>, Node)]) {
        for (_, node) in all {
            let Shape::Call(name, arguments) = &node.shape else {
                continue;
            };
            for (keyword, value) in arguments {
                let value = self.resolved(value);
                match (keyword.as_deref(), &value.shape) {
                    (Some(order @ ("byteorder" | "wordorder")), Shape::Name(name)) => {
                        match last(name).to_ascii_lowercase().as_str() {
                            end @ ("big" | "little") => self.settings.push(format!("{order} = \"{end}\"")),
                            "auto" => self.note(
                                value.line,
                                format!("{order} AUTO: name one when reading, or use --{order} auto"),
                            ),
                            // `args.byteorder`: only known when the program runs.
                            _ => {}
                        }
                    }
                    (Some("message_size"), Shape::Whole(n @ 1..=125)) => {
                        self.settings.push(format!("message_size = {n}"));
                    }
                    _ => {}
                }
            }
            if last(name).ends_with("TcpClient") {
                self.address(arguments);
            }
        }
        self.settings.sort();
        self.settings
            .dedup_by_key(|line| line.split('=').next().map(str::to_owned));
    }

    /// Address and unit that stand beside the map under the names that people give them.
    fn constants(&mut self) {
        let of = |names: &[&str]| {
            let named = names.iter().find_map(|name| self.names.get(name).copied());
            named.map(|node| &self.resolved(node).shape)
        };
        let host = of(&["HOST", "host", "IP", "ip", "METER_HOST", "METER_IP"]);
        let port = of(&["PORT", "port", "METER_PORT"]);
        let unit = of(&["UNIT", "unit", "UNIT_ID", "unit_id", "SLAVE", "slave"]);
        if let Some(Shape::Whole(unit @ 0..=247)) = unit {
            self.unit = Some(*unit);
        }
        if self.found.address.is_none() {
            self.found.address = endpoint(host, port);
        }
    }

    fn address(&mut self, arguments: &'a Arguments) {
        let named = |wanted: &str, place: usize| {
            let by_name = arguments.iter().find(|(k, _)| k.as_deref() == Some(wanted));
            by_name
                .or_else(|| arguments.get(place).filter(|(k, _)| k.is_none()))
                .map(|(_, node)| node)
        };
        let host = named("host", 0).map(|node| &self.resolved(node).shape);
        let port = named("port", 1).map(|node| &self.resolved(node).shape);
        self.found.address = endpoint(host, port).or(self.found.address.take());
    }

    fn device(&mut self, variable: Option<&str>, arguments: &'a Arguments, line: usize) {
        const PLACES: [&str; 2] = ["model", "registers_map"];
        let mut settings = self.settings.clone();
        let (mut title, mut list) = (None, None);
        for (i, (keyword, value)) in arguments.iter().enumerate() {
            let value = self.resolved(value);
            match (keyword.as_deref().or(PLACES.get(i).copied()), &value.shape) {
                (Some("model"), Shape::Text(model)) => title = Some(model.clone()),
                (Some("registers_map" | "registers"), _) => list = Some(value),
                (Some("unit"), Shape::Whole(unit)) => settings.push(format!("unit_id = {unit}")),
                (Some("index_shift"), Shape::Whole(shift)) => settings.push(format!("index_shift = {shift}")),
                (Some(other), _) => {
                    self.note(value.line, format!("`{other}` of the device was not understood"))
                }
                (None, _) => self.note(value.line, "an argument of the device was not understood"),
            }
        }
        self.usual_unit(&mut settings);
        let title = title
            .filter(|t| !t.trim().is_empty())
            .or_else(|| variable.map(str::to_owned));
        match list {
            Some(list) => {
                let registers = self.registers(list);
                self.finish(
                    title.unwrap_or_else(|| "meter".to_owned()),
                    variable,
                    &settings,
                    registers,
                );
            }
            None => self.note(line, "the device has no registers_map"),
        }
    }

    /// A list or a dictionary of registers without a device around it.
    fn bare_list(&mut self, variable: Option<&str>, node: &'a Node) {
        let looks_like_it = match &node.shape {
            Shape::List(items) => items.iter().any(|item| self.register(item, None).is_ok()),
            Shape::Dict(pairs) => pairs
                .iter()
                .any(|(key, item)| matches!(&key.shape, Shape::Text(name) if self.register(item, Some(name)).is_ok())),
            _ => false,
        };
        if looks_like_it {
            let registers = self.registers(node);
            let mut settings = self.settings.clone();
            self.usual_unit(&mut settings);
            self.finish(
                variable.unwrap_or("meter").to_owned(),
                variable,
                &settings,
                registers,
            );
        }
    }

    /// The unit beside the maps is that of a map without one.
    fn usual_unit(&self, settings: &mut Vec<String>) {
        if let Some(unit) = self.unit
            && !settings.iter().any(|line| line.starts_with("unit_id"))
        {
            settings.push(format!("unit_id = {unit}"));
        }
    }

    fn registers(&mut self, list: &'a Node) -> Vec<Register> {
        let mut registers = Vec::new();
        let items: Vec<(Option<&'a str>, &'a Node)> = match &list.shape {
            Shape::List(items) => items.iter().map(|item| (None, item)).collect(),
            Shape::Dict(pairs) => pairs
                .iter()
                .map(|(key, item)| match &key.shape {
                    Shape::Text(name) => (Some(name.as_str()), item),
                    _ => (None, item),
                })
                .collect(),
            _ => {
                self.note(list.line, "the list of registers is made by code: write it out");
                return registers;
            }
        };
        for (name, item) in items {
            match self.register(item, name) {
                Ok(register) => registers.push(register),
                Err(why) => self.note(item.line, why),
            }
        }
        registers
    }

    /// One register in any of the forms.
    fn register(&self, node: &'a Node, name: Option<&str>) -> Result<Register, String> {
        let node = self.resolved(node);
        let mut fields: Vec<(&'static str, Shape)> = Vec::new();
        if let Some(name) = name {
            fields.push(("name", Shape::Text(name.to_owned())));
        }
        let mut put = |field: &'static str, value: &'a Node| {
            fields.push((
                field,
                match &self.resolved(value).shape {
                    Shape::Text(text) if text.len() > MAX_TEXT => Shape::Other,
                    // No field of a register is made of others.
                    Shape::List(_) | Shape::Dict(_) | Shape::Call(..) => Shape::Other,
                    plain => plain.clone(),
                },
            ));
        };
        // The order of a register's parts when they have no names; a dictionary's key is the name.
        let places: &[&'static str] = &["name", "address", "length", "type"];
        let places = places.get(usize::from(name.is_some())..).unwrap_or_default();
        match &node.shape {
            Shape::Call(called, arguments) if last(called).ends_with("Register") => {
                for (i, (keyword, value)) in arguments.iter().enumerate() {
                    match keyword.as_deref().map_or(places.get(i).copied(), field) {
                        Some(field) => put(field, value),
                        None => return Err("an argument of the register was not understood".to_owned()),
                    }
                }
            }
            Shape::Dict(pairs) => {
                for (key, value) in pairs {
                    if let Shape::Text(key) = &key.shape
                        && let Some(field) = field(key)
                    {
                        put(field, value);
                    }
                }
            }
            Shape::List(items) => {
                // A list of three leaves the length out.
                let short = items.len() + 1 == places.len();
                let places = places.iter().filter(|place| !short || **place != "length");
                let expected = places.clone().copied().collect::<Vec<_>>().join(", ");
                for (place, value) in places.zip(items) {
                    put(place, value);
                }
                let order = fields.iter().all(|(field, shape)| match *field {
                    "name" | "type" => !matches!(shape, Shape::Whole(_) | Shape::Real(_)),
                    "address" | "length" => {
                        !matches!(shape, Shape::Real(_) | Shape::Name(_)) && !is_word(shape)
                    }
                    _ => true,
                });
                if !order {
                    return Err(format!("the parts are in another order: expected ({expected})"));
                }
            }
            Shape::Call(called, _) => return Err(format!("`{called}(…)` is no register")),
            _ => return Err("that is no register that can be read without executing it".to_owned()),
        }
        for needed in ["name", "address", "type"] {
            let given = fields.iter().find(|(field, _)| *field == needed);
            match given.map(|(_, shape)| shape) {
                None => return Err(format!("the register has no {needed}")),
                Some(shape) if as_toml(needed, shape).is_none() => {
                    return Err(format!("the {needed} of the register is no plain value"));
                }
                Some(_) => {}
            }
        }
        Ok(Register {
            line: node.line,
            fields,
        })
    }

    /// Checks the registers as a list, and leaves out those at fault.
    fn finish(
        &mut self,
        title: String,
        variable: Option<&str>,
        settings: &[String],
        mut registers: Vec<Register>,
    ) {
        // Each round leaves out at least one.
        while !registers.is_empty() {
            let (text, first) = list_text(&title, settings, &registers);
            let faults = match Map::read("list.toml", &text, &Settings::default()) {
                Ok(map) => {
                    self.found.devices.push(Device {
                        title,
                        variable: variable.map(str::to_owned),
                        map,
                        lines: registers.iter().map(|register| register.line).collect(),
                    });
                    return;
                }
                Err(faults) => faults,
            };
            let mut out = BTreeSet::new();
            for fault in faults.all() {
                let (line, _) = faults.position(fault);
                let row = line.checked_sub(first).filter(|row| *row < registers.len());
                let place = row
                    .and_then(|row| registers.get(row))
                    .map_or(0, |register| register.line);
                let help = fault
                    .help
                    .as_deref()
                    .map(|help| format!(" ({help})"))
                    .unwrap_or_default();
                self.note(place, format!("{}{help}", fault.message));
                out.extend(row);
            }
            if out.is_empty() {
                return;
            }
            let mut row = 0;
            registers.retain(|_| {
                row += 1;
                !out.contains(&(row - 1))
            });
        }
    }
}

/// `HOST:PORT` of what a file says, where it can be one.
fn endpoint(host: Option<&Shape>, port: Option<&Shape>) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let port = match port {
        Some(Shape::Whole(port @ 1..=65_535)) => *port,
        _ => 502,
    };
    match host {
        Some(Shape::Text(host)) if !host.is_empty() && host.len() < 256 && host.chars().all(plain) => {
            Some(format!("{host}:{port}"))
        }
        _ => None,
    }
}

/// A text that is no number.
fn is_word(shape: &Shape) -> bool {
    matches!(shape, Shape::Text(text) if !text.starts_with(|c: char| c.is_ascii_digit() || c == '-'))
}

/// The registers as a list, one a line, and the line of the first.
fn list_text(title: &str, settings: &[String], registers: &[Register]) -> (String, usize) {
    let mut text = String::new();
    let title: String = title.chars().filter(|c| !c.is_control()).take(100).collect();
    // Text goes into a string: this cannot fail.
    let _ = writeln!(text, "title = {}", quoted(&title));
    for line in settings {
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(text, "register = [");
    for register in registers {
        let fields: Vec<String> = register
            .fields
            .iter()
            .filter_map(|(field, shape)| Some(format!("{field} = {}", as_toml(field, shape)?)))
            .collect();
        let _ = writeln!(text, "{{ {} }},", fields.join(", "));
    }
    text.push_str("]\n");
    (text, settings.len() + 3)
}

/// A value as a list has it; `None` for what is no plain value.
fn as_toml(field: &str, shape: &Shape) -> Option<String> {
    Some(match shape {
        Shape::Text(text) => quoted(text),
        Shape::Whole(n) => n.to_string(),
        Shape::Real(digits) => quoted(digits),
        // `MBClient.DATATYPE.FLOAT32` is FLOAT32.
        Shape::Name(name) if field == "type" => quoted(last(name)),
        _ => return None,
    })
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text)
        .unwrap_or_default()
        .replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests;
