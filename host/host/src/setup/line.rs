//! What a typed line means as an answer: numbers, first letters, and a few words that do everywhere. Pure.

use super::screen::{Answer, Ask, Choice, numbers};

/// A typed line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// An answer.
    Answer(Answer),
    /// More about the question is wanted.
    Help,
    /// Nothing more is wanted.
    Quit,
}

/// Understands a line.
///
/// # Errors
/// What can be typed here.
pub fn understand(ask: &Ask, line: &str) -> Result<Typed, String> {
    let line = line.trim();
    let answer = |answer| Ok(Typed::Answer(answer));
    match line {
        "?" => return Ok(Typed::Help),
        "" => return answer(Answer::Default),
        _ => {}
    }
    match line.to_lowercase().as_str() {
        // Also where a text is asked for: nobody means to call his house b.
        "b" | "back" | "<" => return answer(Answer::Back),
        "q" | "quit" | "exit" => return Ok(Typed::Quit),
        _ => {}
    }
    match ask {
        Ask::Text { .. } => answer(Answer::Text(line.to_owned())),
        Ask::YesNo { .. } => match line.to_lowercase().as_str() {
            "y" | "yes" => answer(Answer::Yes(true)),
            "n" | "no" => answer(Answer::Yes(false)),
            _ => Err("Type y for yes or n for no.".to_owned()),
        },
        Ask::Choice { choices, filter, .. } => {
            if let Some(text) = line.strip_prefix('/').filter(|_| filter.is_some()) {
                return answer(Answer::Filter(text.trim().to_owned()));
            }
            match chosen(choices, line) {
                Some(key) => answer(Answer::Choose(key)),
                None if filter.is_some() && line.parse::<usize>().is_err() => {
                    answer(Answer::Filter(line.to_owned()))
                }
                None => Err(match choices.len() {
                    0 => "Nothing is listed: type / and another part of a name, or b to go back.".to_owned(),
                    1 => "Type 1, or Enter.".to_owned(),
                    _ => {
                        let numbers = numbers(choices);
                        let (first, last) = (numbers.first().cloned(), numbers.last().cloned());
                        format!(
                            "Type a number from {} to {}.",
                            first.unwrap_or_default(),
                            last.unwrap_or_default()
                        )
                    }
                }),
            }
        }
        Ask::Many { choices, .. } => {
            if let Some(text) = line.strip_prefix('/') {
                return answer(Answer::Filter(text.trim().to_owned()));
            }
            let keys: Vec<String> = choices.iter().map(|choice| choice.key.clone()).collect();
            listed(line, keys.len())
                .map(|chosen| {
                    let key = |n: &usize| keys.get(n - 1).cloned();
                    Typed::Answer(Answer::Toggle(chosen.iter().filter_map(key).collect()))
                })
                .ok_or_else(|| {
                    format!(
                        "Type numbers from 1 to {} (3, or 1,4-6), `all`, or / and a part of a name.",
                        keys.len()
                    )
                })
        }
        Ask::Work { .. } | Ask::End { .. } => Err("There is nothing to answer now.".to_owned()),
    }
}

/// The choice that a line names: by its number, its whole label, or the one label that begins so.
fn chosen(choices: &[Choice], line: &str) -> Option<String> {
    if line.parse::<u64>().is_ok() {
        let number = numbers(choices).iter().position(|number| number == line)?;
        return choices.get(number).map(|choice| choice.key.clone());
    }
    let line = line.to_lowercase();
    let key = |choice: &Choice| choice.key.clone();
    let labelled =
        |choice: &&Choice| choice.label.to_lowercase() == line || choice.key.to_lowercase() == line;
    if let Some(choice) = choices.iter().find(labelled) {
        return Some(key(choice));
    }
    let mut begin = choices
        .iter()
        .filter(|choice| choice.label.to_lowercase().starts_with(&line));
    match (begin.next(), begin.next()) {
        (Some(one), None) => Some(key(one)),
        _ => None,
    }
}

/// Numbers of a list: `3`, `1,4-6`, `all`.
fn listed(line: &str, most: usize) -> Option<Vec<usize>> {
    if line.eq_ignore_ascii_case("all") {
        return Some((1..=most).collect());
    }
    let mut all = Vec::new();
    for part in line.split([',', ' ']).filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (usize, usize) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        if from == 0 || from > to || to > most {
            return None;
        }
        all.extend((from..=to).filter(|n| !all.contains(n)).collect::<Vec<_>>());
    }
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::super::screen::Toggle;
    use super::*;

    fn choice(filter: Option<&str>) -> Ask {
        Ask::Choice {
            prompt: "Which".into(),
            choices: vec![
                Choice::new("find", "Look for it", ""),
                Choice::new("address", "I know its address", ""),
                Choice::new("serial", "A serial port", ""),
            ],
            default: "find".into(),
            filter: filter.map(str::to_owned),
        }
    }

    #[test]
    fn a_choice_is_a_number_or_the_beginning_of_its_label() {
        for (line, key) in [
            ("2", "address"),
            ("look", "find"),
            ("a serial port", "serial"),
            (" 1 ", "find"),
        ] {
            assert_eq!(
                understand(&choice(None), line),
                Ok(Typed::Answer(Answer::Choose(key.into()))),
                "{line}"
            );
        }
        for line in ["0", "4", "x", "99999999999999999999999"] {
            assert!(
                understand(&choice(None), line).unwrap_err().contains("1 to 3"),
                "{line}"
            );
        }
        // Where a list can be narrowed, words narrow it.
        assert_eq!(
            understand(&choice(Some("")), "meter"),
            Ok(Typed::Answer(Answer::Filter("meter".into())))
        );
    }

    #[test]
    fn levels_are_typed_as_what_they_are() {
        let levels = Ask::Choice {
            prompt: "Which level".into(),
            choices: (0..4)
                .map(|level| Choice::new(level.to_string(), format!("{level}: so far"), ""))
                .collect(),
            default: "0".into(),
            filter: None,
        };
        for level in ["0", "3"] {
            let chosen = Ok(Typed::Answer(Answer::Choose(level.into())));
            assert_eq!(understand(&levels, level), chosen);
        }
        assert!(understand(&levels, "4").unwrap_err().contains("0 to 3"));
    }

    #[test]
    fn the_same_words_do_everywhere() {
        let yes = Ask::YesNo {
            prompt: "Go on".into(),
            default: true,
        };
        let text = Ask::Text {
            prompt: "Name".into(),
            default: "home".into(),
        };
        for ask in [&yes, &text, &choice(None)] {
            assert_eq!(understand(ask, "b"), Ok(Typed::Answer(Answer::Back)));
            assert_eq!(understand(ask, "q"), Ok(Typed::Quit));
        }
        for ask in [&yes, &text, &choice(None)] {
            assert_eq!(understand(ask, "?"), Ok(Typed::Help));
            assert_eq!(understand(ask, ""), Ok(Typed::Answer(Answer::Default)));
            assert_eq!(understand(ask, "back"), Ok(Typed::Answer(Answer::Back)));
        }
        assert_eq!(
            understand(&text, "bb"),
            Ok(Typed::Answer(Answer::Text("bb".into())))
        );
        assert_eq!(understand(&yes, "N"), Ok(Typed::Answer(Answer::Yes(false))));
        assert!(understand(&yes, "maybe").is_err());
    }

    #[test]
    fn many_are_switched_by_numbers() {
        let toggle = |key: &str| Toggle {
            key: key.into(),
            label: key.into(),
            hint: String::new(),
            on: true,
        };
        let many = Ask::Many {
            prompt: "Which".into(),
            choices: ["a", "b", "c", "d"].map(toggle).to_vec(),
            filter: String::new(),
        };
        let keys = |line: &str| match understand(&many, line) {
            Ok(Typed::Answer(Answer::Toggle(keys))) => Some(keys.concat()),
            _ => None,
        };
        assert_eq!(keys("2").as_deref(), Some("b"));
        assert_eq!(keys("1,3-4, 3").as_deref(), Some("acd"));
        assert_eq!(keys("all").as_deref(), Some("abcd"));
        for wrong in ["0", "5", "3-1", "1,x", "1-99999999999"] {
            assert_eq!(keys(wrong), None, "{wrong}");
        }
    }
}
