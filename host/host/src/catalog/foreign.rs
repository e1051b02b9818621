//! Ledgers of plugins that do not ship, and those that plugins make for a device: text of strangers. It is checked beside
//! the thread that polls, and what is wrong with it is told in one line.

use busbar_ledger::model::Ledger;
use busbar_loader::PluginLedger;

/// The longest that is told of a fault, in characters.
const MAX_FAULT: usize = 200;

/// Checks a ledger; its first fault where it has any.
pub(super) async fn parse(name: &str, text: &str) -> Result<Ledger, String> {
    let (name, text) = (name.to_owned(), text.to_owned());
    let checked = tokio::task::spawn_blocking(move || check(&name, &text));
    checked.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Those without faults, with what they say. What is left out, and why, is added to the notes.
pub(super) async fn sound(
    brought: Vec<PluginLedger>,
    notes: &mut Vec<String>,
) -> Vec<(PluginLedger, Ledger)> {
    let checked = tokio::task::spawn_blocking(move || {
        let (mut sound, mut faults) = (Vec::new(), Vec::new());
        for brought in brought {
            let PluginLedger { plugin, ledger } = &brought;
            match check(&ledger.file, &ledger.text) {
                Ok(checked) => sound.push((brought, checked)),
                Err(fault) => faults.push(format!("{} of plugin {plugin} is not used: {fault}", ledger.file)),
            }
        }
        (sound, faults)
    });
    let (sound, faults) = checked.await.unwrap_or_default();
    notes.extend(faults);
    sound
}

fn check(name: &str, text: &str) -> Result<Ledger, String> {
    busbar_ledger::parse(name, text).map_err(|faults| {
        let first = faults.all().first();
        let message = first.map_or("it cannot be read", |fault| fault.message.as_str());
        let line = first.and_then(|fault| {
            let before = text.get(..fault.span.as_ref()?.start)?;
            Some(before.matches('\n').count() + 1)
        });
        let words: Vec<&str> = message.split_whitespace().collect();
        let shown: String = words
            .join(" ")
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_FAULT)
            .collect();
        match line {
            Some(line) => format!("line {line}: {shown}"),
            None => shown,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use busbar_loader::BroughtLedger;

    use super::*;

    const GOOD: &str = "ledger = \"a/b\"\ntitle = \"B\"\n[points]\np = { at = 1, type = \"u16\" }\n";

    fn points(count: usize) -> String {
        let lines = (0..count).map(|i| format!("p{i}={{at={},bit=1}}\n", i % 65_536));
        format!(
            "ledger=\"a/b\"\ntitle=\"B\"\n[points]\n{}",
            lines.collect::<String>()
        )
    }

    /// What a plugin could have the host read, and the beginning of what is said of it.
    #[tokio::test]
    async fn whatever_a_ledger_holds_it_is_refused_in_one_line() {
        let nested = |open: &str, close: &str| {
            format!(
                "ledger = \"a/b\"\ntitle = \"B\"\nx = {}{}",
                open.repeat(100_000),
                close.repeat(100_000)
            )
        };
        let hostile = [
            ("a million points", points(1_000_000), "the file has"),
            (
                "as many points as fit into the file",
                points(150_000),
                "more than 20000 points",
            ),
            ("nested lists", nested("[", "]"), "line 3"),
            ("nested tables", nested("{a=", "}"), "line 3"),
            ("a deep key", format!("{}a = 1", "a.".repeat(400_000)), "line 1"),
            ("a deep heading", format!("[{}a]", "a.".repeat(400_000)), "line 1"),
            (
                "a long name",
                format!("ledger = \"{}\"", "x".repeat(1_000_000)),
                "line 1",
            ),
            ("no text", "\u{0}".repeat(100_000), "line 1"),
        ];
        for (what, text, words) in hostile {
            let began = Instant::now();
            let fault = parse("a/b", &text).await.unwrap_err();
            assert!(fault.contains(words), "{what}: {fault}");
            assert!(
                fault.len() < 1000 && !fault.contains(char::is_control),
                "{what}: {fault:?}"
            );
            // Far below that where it is optimised; what grew with the square of its input would take hours.
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "{what}: {:?}",
                began.elapsed()
            );
        }
    }

    #[tokio::test]
    async fn a_faulty_ledger_costs_only_itself() {
        let brought = |file: &str, text: &str| PluginLedger {
            plugin: "acme".into(),
            ledger: BroughtLedger {
                file: file.into(),
                text: text.into(),
            },
        };
        let mut notes = Vec::new();
        let all = vec![brought("a/bad.toml", "ledger = 7"), brought("a/b.toml", GOOD)];
        let sound = sound(all, &mut notes).await;
        assert_eq!(sound.len(), 1);
        assert_eq!(
            (&sound[0].0, &*sound[0].1.name),
            (&brought("a/b.toml", GOOD), "a/b")
        );
        assert_eq!(notes.len(), 1);
        assert!(
            notes[0].starts_with("a/bad.toml of plugin acme is not used: line 1"),
            "{notes:?}"
        );
    }
}
