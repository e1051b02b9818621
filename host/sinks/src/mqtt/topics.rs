//! The names of topics. What a device or a plugin calls itself becomes one level of a topic and never more: everything
//! that is not plain is escaped, so that no name can mean another topic, and no two names the same. Pure.

use std::borrow::Cow;
use std::fmt::Write;

/// The longest prefix, in bytes.
const MAX_PREFIX: usize = 128;

/// The topics of one host.
#[derive(Clone, Debug)]
pub struct Topics {
    prefix: String,
}

impl Topics {
    /// Below this prefix.
    pub fn new(prefix: &str) -> Self {
        Topics {
            prefix: prefix.to_owned(),
        }
    }

    /// What all topics begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether this host is there: `online` or `offline`.
    pub fn status(&self) -> String {
        format!("{}/status", self.prefix)
    }

    /// Whether a device is there: `online` or `offline`.
    pub fn availability(&self, device: &str) -> String {
        format!("{}/{}/availability", self.prefix, level(device))
    }

    /// What is known of a device.
    pub fn state(&self, device: &str) -> String {
        format!("{}/{}/state", self.prefix, level(device))
    }

    /// Where a value is set.
    pub fn set(&self, device: &str, key: &str) -> String {
        format!("{}/{}/{}/set", self.prefix, level(device), level(key))
    }

    /// Where is told what became of that.
    pub fn result(&self, device: &str, key: &str) -> String {
        format!("{}/{}/{}/result", self.prefix, level(device), level(key))
    }

    /// The filter of all topics of a device where is told what became of a command.
    pub fn all_results(&self, device: &str) -> String {
        format!("{}/{}/+/result", self.prefix, level(device))
    }

    /// Where what was asked to be set, and asks twice, is confirmed.
    pub fn confirm(&self, device: &str, key: &str) -> String {
        format!("{}/{}/{}/confirm", self.prefix, level(device), level(key))
    }

    /// The filter of all topics where something is confirmed.
    pub fn all_confirm(&self) -> String {
        format!("{}/+/+/confirm", self.prefix)
    }

    /// Device and key of a topic where something is confirmed.
    pub fn of_confirm(&self, topic: &str) -> Option<(String, String)> {
        self.of(topic, "confirm")
    }

    /// Tells by being there that the broker has not forgotten what Home Assistant was told.
    pub fn told_home_assistant(&self) -> String {
        format!("{}/home_assistant", self.prefix)
    }

    /// Where Home Assistant is told again of what was deleted there.
    pub fn tell_again(&self) -> String {
        format!("{}/home_assistant/again", self.prefix)
    }

    /// The filter of all topics where values are set.
    pub fn all_set(&self) -> String {
        format!("{}/+/+/set", self.prefix)
    }

    /// Device and key of a topic where a value is set.
    pub fn of_set(&self, topic: &str) -> Option<(String, String)> {
        self.of(topic, "set")
    }

    fn of(&self, topic: &str, what: &str) -> Option<(String, String)> {
        let rest = topic.strip_prefix(self.prefix.as_str())?.strip_prefix('/')?;
        let mut levels = rest.split('/');
        let (device, key) = (name(levels.next()?)?, name(levels.next()?)?);
        let ends = levels.next() == Some(what) && levels.next().is_none();
        ends.then_some((device, key))
    }
}

/// A name as one level of a topic: letters, digits, `_`, `-` and `.` stay, every other byte becomes `%XX`.
pub fn level(name: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !name.is_empty() && name.bytes().all(plain) {
        return Cow::Borrowed(name);
    }
    let mut level = String::with_capacity(name.len() + 8);
    if name.is_empty() {
        level.push('%');
    }
    for byte in name.bytes() {
        if plain(byte) {
            level.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(level, "%{byte:02X}");
        }
    }
    Cow::Owned(level)
}

/// The name that became this level; `None` where none does.
pub fn name(level: &str) -> Option<String> {
    if level == "%" {
        return Some(String::new());
    }
    let decoded = percent_encoding::percent_decode_str(level).decode_utf8().ok()?;
    // Only one spelling of a name is its own.
    (self::level(&decoded) == level).then(|| decoded.into_owned())
}

/// Whether a filter, with `+` and `#`, takes a topic.
pub fn matches(filter: &str, topic: &str) -> bool {
    // A topic of the broker itself is not meant by a filter that begins with anything.
    if topic.starts_with('$') != filter.starts_with('$') {
        return false;
    }
    let (mut wanted, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (wanted.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some(wanted), Some(level)) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
}

/// Whether topics can begin with this.
///
/// # Errors
/// Says why not, and what to write.
pub fn check_prefix(prefix: &str) -> Result<(), String> {
    let why = if prefix.is_empty() {
        "it is empty"
    } else if prefix.len() > MAX_PREFIX {
        "it is longer than 128 bytes"
    } else if prefix.contains(['+', '#']) {
        "+ and # have a meaning in topics"
    } else if prefix.chars().any(char::is_control) {
        "it holds what cannot be printed"
    } else if prefix.starts_with('$') {
        "what begins with $ belongs to the broker"
    } else if prefix.split('/').any(str::is_empty) {
        "nothing stands before, behind or between its /"
    } else {
        return Ok(());
    };
    Err(format!(
        "\"{}\": {why}; write a word such as \"busbar\"",
        prefix.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_topics_are_those_of_the_contract() {
        let topics = Topics::new("busbar");
        assert_eq!(topics.status(), "busbar/status");
        assert_eq!(topics.availability("d_1"), "busbar/d_1/availability");
        assert_eq!(topics.state("d_1"), "busbar/d_1/state");
        assert_eq!(topics.set("d_1", "power"), "busbar/d_1/power/set");
        assert_eq!(topics.result("d_1", "power"), "busbar/d_1/power/result");
        assert_eq!(
            topics.of_set("busbar/d_1/power/set"),
            Some(("d_1".to_owned(), "power".to_owned()))
        );
        for other in [
            "busbar/d_1/state",
            "busbar/d/k/set/x",
            "xbusbar/d/k/set",
            "busbarx/d/k/set",
            "busbar/d%/k/set",
        ] {
            assert_eq!(topics.of_set(other), None, "{other}");
        }
    }

    #[test]
    fn filters_take_what_they_say() {
        for (filter, topic, takes) in [
            ("busbar/+/+/set", "busbar/a/b/set", true),
            ("busbar/+/+/set", "busbar/a/set", false),
            ("busbar/#", "busbar", true),
            ("busbar/#", "busbar/a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
        ] {
            assert_eq!(matches(filter, topic), takes, "{filter} {topic}");
        }
    }

    #[test]
    fn prefixes_that_would_mean_something_else_are_refused() {
        for good in ["busbar", "home/energy", "größe"] {
            assert_eq!(check_prefix(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a/#",
            "+",
            "$SYS",
            "/a",
            "a/",
            "a//b",
            "a\0b",
            &"x".repeat(129),
        ] {
            assert!(check_prefix(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_one_safe_level_and_comes_back(text in any::<String>()) {
            let level = level(&text);
            prop_assert!(!level.is_empty() && !level.contains(['/', '+', '#', '$', '\0']));
            prop_assert_eq!(name(&level), Some(text));
        }

        #[test]
        fn any_topic_is_read_without_harm(topic in any::<String>()) {
            let topics = Topics::new("busbar");
            if let Some((device, key)) = topics.of_set(&topic) {
                prop_assert_eq!(topics.set(&device, &key), topic);
            }
        }
    }
}
