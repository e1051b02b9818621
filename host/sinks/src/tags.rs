//! Tags of the owner's own, which stand on everything that a sink sends: `tags = { site = "home" }`. Pure.

use std::collections::BTreeMap;

/// Tags that one sink may have.
const MOST: usize = 20;
/// The longest value, in bytes.
const LONGEST: usize = 200;

/// What tags every reading has already: an owner's tag cannot take their places.
pub const OURS: [&str; 12] = [
    "class",
    "connection",
    "device",
    "entity",
    "key",
    "label",
    "ledger",
    "name",
    "phase",
    "time",
    "unit",
    "unit_id",
];

/// Checks the owner's tags.
///
/// # Errors
/// What is wrong with one of them, and what to write instead.
pub fn check(tags: &BTreeMap<String, String>) -> Result<(), String> {
    if tags.len() > MOST {
        return Err(format!("tags: more than {MOST}"));
    }
    for (name, value) in tags {
        let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.len() <= 64
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain {
            return Err(format!(
                "tags: {name:?} is no name of a tag: write a letter, then letters, digits and `_`, such as \"site\""
            ));
        }
        if OURS.contains(&name.as_str()) {
            return Err(format!(
                "tags: every reading has {name:?} already: choose another name"
            ));
        }
        if value.is_empty() || value.len() > LONGEST || value.chars().any(char::is_control) {
            return Err(format!(
                "tags: {name} = {value:?} is no value of a tag: write 1 to {LONGEST} bytes without control characters"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_a_plain_name_of_its_own_and_a_value() {
        let check = |name: &str, value: &str| check(&BTreeMap::from([(name.to_owned(), value.to_owned())]));
        check("site", "Villa Müller, east").unwrap();
        for (name, value, word) in [
            ("device", "x", "already"),
            ("1st", "x", "letter"),
            ("a b", "x", "letter"),
            ("", "x", "letter"),
            ("site", "", "1 to 200"),
            ("site", "a\nb", "control"),
        ] {
            let error = check(name, value).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
