//! How this program is called again with the same surroundings: what stands in a hint can be typed as it stands there.

use std::path::Path;
use std::sync::OnceLock;

use super::args::Global;

/// The flags that a hint repeats; set once, at the start.
static FLAGS: OnceLock<String> = OnceLock::new();

/// Takes note of what was typed. What comes from the environment holds for the next call by itself.
pub fn remember(global: &Global, args: impl Iterator<Item = String>) {
    let args: Vec<String> = args.collect();
    let typed = |flag: &str| args.iter().any(|arg| arg.split('=').next() == Some(flag));
    let mut flags = String::new();
    let mut add = |flag: &str, path: &Path| {
        flags.push_str(&format!("{flag} {} ", quoted(&path.display().to_string())));
    };
    if typed("--data-dir") {
        add("--data-dir", &global.data_dir);
    }
    if let Some(config) = global.config.as_deref().filter(|_| typed("--config")) {
        add("--config", config);
    }
    for dir in &global.plugin_dir {
        add("--plugin-dir", dir);
    }
    // A second call in one process would be a test.
    let _ = FLAGS.set(flags);
}

/// A hint with the flags that were typed, wherever it says what to type.
pub fn spelt(hint: &str) -> String {
    with(FLAGS.get().map(String::as_str).unwrap_or_default(), hint)
}

/// The same. Pure.
fn with(flags: &str, hint: &str) -> String {
    if flags.is_empty() {
        return hint.to_owned();
    }
    let bare = format!("`busbar {}`", flags.trim_end());
    let spelt = hint.replace("`busbar ", &format!("`busbar {flags}"));
    spelt.replace("`busbar`", &bare)
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_can_be_typed_as_it_stands() {
        let flags = "--data-dir d ";
        assert_eq!(
            with(flags, "Start it with `busbar`."),
            "Start it with `busbar --data-dir d`."
        );
        assert_eq!(
            with(flags, "`busbar devices` shows it, `busbar doctor` why."),
            "`busbar --data-dir d devices` shows it, `busbar --data-dir d doctor` why."
        );
        assert_eq!(with("", "`busbar devices`"), "`busbar devices`");
    }

    #[test]
    fn a_path_is_one_word() {
        assert_eq!(quoted("/srv/busbar-data"), "/srv/busbar-data");
        assert_eq!(quoted("my data"), "'my data'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
