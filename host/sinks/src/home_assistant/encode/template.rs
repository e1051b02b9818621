//! Templates by which Home Assistant takes values out of a device's state. What is not known is `None` in all of them,
//! and nothing that a device could say makes one fail: a text where a number belongs, a number without a name, a key that
//! is not there. Pure.

use std::fmt::Write;

use serde_json::Value;

/// The longest state that Home Assistant takes, in characters.
const LONGEST: usize = 255;
/// Whether what came in can be taken apart: the state of a device that is gone is empty, and so is no object.
pub const THERE: &str = "value_json is mapping";
/// What a template calls unknown. A label that reads so would not be seen.
const NOTHING: &str = "None";

/// Where a value lies in the state.
fn place(key: &str) -> String {
    // In Jinja, what a dictionary itself can do comes before what it holds.
    let methods = [
        "clear",
        "copy",
        "fromkeys",
        "get",
        "items",
        "keys",
        "pop",
        "popitem",
        "setdefault",
        "update",
        "values",
    ];
    match methods.contains(&key) {
        true => format!("value_json['{key}']"),
        false => format!("value_json.{key}"),
    }
}

/// A number, multiplied by `factor` where there is one.
pub fn number(key: &str, factor: Option<f64>, decimals: Option<u8>) -> String {
    let at = place(key);
    match factor {
        None => format!("{{{{ {at} if {THERE} and {at} is number else None }}}}"),
        Some(factor) => {
            let decimals = decimals.unwrap_or(9);
            format!("{{{{ ({at} * {factor}) | round({decimals}) if {THERE} and {at} is number else None }}}}")
        }
    }
}

/// A number where it lies within bounds: anything else is an error in Home Assistant's log.
pub fn bounded(key: &str, low: f64, high: f64) -> String {
    let at = place(key);
    format!("{{{{ {at} if {THERE} and {at} is number and {low} <= {at} <= {high} else None }}}}")
}

/// One of the names of an enumeration; `other` is what stands for every name that is not among them. Of a name that
/// cannot be an option as it is, its option.
pub fn named(key: &str, names: &[String], other: Option<&str>) -> String {
    let at = place(key);
    let listed: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let renamed: Vec<String> = names
        .iter()
        .filter(|name| option(name) != **name)
        .map(|name| format!("{}:{}", quoted(name), quoted(&option(name))))
        .collect();
    let name = match renamed.is_empty() {
        true => at.clone(),
        false => format!("{{{}}}.get({at}, {at})", renamed.join(",")),
    };
    // A number in the place of a name is one that has none.
    let other = other.map_or_else(
        || NOTHING.to_owned(),
        |other| format!("{} if {THERE} and {at} is string else None", quoted(other)),
    );
    format!(
        "{{{{ {name} if {THERE} and {at} in [{}] else {other} }}}}",
        listed.join(",")
    )
}

/// What the state says, in other words; `None` for everything else.
pub fn translated(key: &str, words: &[(Value, String)]) -> String {
    let at = place(key);
    let said = |value: &Value| match value {
        Value::String(text) => quoted(text),
        number => number.to_string(),
    };
    let list: Vec<String> = words
        .iter()
        .map(|(value, word)| format!("{}:{}", said(value), quoted(word)))
        .collect();
    format!("{{{{ {{{}}}.get({at}) if {THERE} else None }}}}", list.join(","))
}

/// The other way round: what is sent for a choice.
pub fn choice(names: &[(f64, String)]) -> String {
    let list: Vec<String> = names
        .iter()
        .map(|(number, name)| format!("{}:{number}", quoted(name)))
        .collect();
    format!("{{{{ {{{}}}.get(value, value) }}}}", list.join(","))
}

/// A moment, of the seconds since 1970 or of a text that says it. 0 is what devices say that have no clock.
pub fn moment(key: &str) -> String {
    let at = place(key);
    format!(
        "{{% set v = {at} if {THERE} else None %}}{{% set t = v if v is number else as_timestamp(v, 0) %}}\
         {{{{ (t | as_datetime).isoformat() if t is number and 0 < t < 253402300800 else None }}}}"
    )
}

/// Anything, as it is shown.
pub fn text(key: &str) -> String {
    let at = place(key);
    format!(
        "{{{{ ({at} | string)[:{LONGEST}] if {THERE} and ({at} is string or {at} is number) else None }}}}"
    )
}

/// A text that may be written; empty where it is not known or too long to be shown in a field of `most` characters.
pub fn writable_text(key: &str, most: usize) -> String {
    let at = place(key);
    format!("{{{{ {at} if {THERE} and {at} is string and {at} | length <= {most} else '' }}}}")
}

/// A name as an option: short enough, and none that Home Assistant takes for "unknown".
pub fn option(name: &str) -> String {
    let name: String = name.trim().chars().take(LONGEST).collect();
    match name.trim() {
        "" => "(no name)".to_owned(),
        name if name.eq_ignore_ascii_case(NOTHING) => format!("({name})"),
        name => name.to_owned(),
    }
}

/// A text in a template.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        match c {
            '\'' | '\\' => quoted.extend(['\\', c]),
            // A brace and its neighbour could end the template, and a line feed means something to it.
            '{' | '}' | '%' | '#' => {
                let _ = write!(quoted, "\\x{:02x}", c as u32);
            }
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}
