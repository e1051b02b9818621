//! Says serde's errors in the words of a ledger author.

use std::ops::Range;

use crate::diagnostics::Diagnostic;

/// The fault behind a serde error: where, what, and what to write instead. `path` are the keys that lead to it.
pub(crate) fn explain(
    error: &toml::de::Error,
    span: &Range<usize>,
    path: Option<&[String]>,
    what: &str,
) -> (Diagnostic, Option<String>) {
    let mut meant = None;
    let message = error.message();
    let key = path.and_then(<[String]>::last).map_or(what, String::as_str);
    let (code, message, help) = if let Some(rest) = message.strip_prefix("unknown field `") {
        let (name, known) = split_expected(rest);
        let help = choice(name, &known, "the keys here are");
        meant = nearest(name, known.iter().copied()).map(str::to_owned);
        ("unknown-key", format!("unknown key `{}`", shortened(name)), help)
    } else if let Some(rest) = message.strip_prefix("unknown variant `") {
        let (name, known) = split_expected(rest);
        let help = choice(name, &known, "write one of");
        (
            "unknown-value",
            format!("`{}` is not a known {}", shortened(name), noun(key)),
            help,
        )
    } else if let Some(rest) = message.strip_prefix("missing field `") {
        let missing = rest.trim_end_matches('`');
        (
            "missing-key",
            format!("`{missing}` is missing"),
            format!("add `{missing} = …`"),
        )
    } else if let Some(rest) = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
    {
        let (found, expected) = rest
            .rsplit_once(", expected ")
            .unwrap_or((rest, "something else"));
        let expected = in_words(expected);
        (
            "wrong-type",
            format!("`{key}` cannot be {}", found_in_words(found)),
            format!("write {expected}"),
        )
    } else if message == "wanted string or table" {
        (
            "wrong-type",
            format!("`{key}` must be a word"),
            "write it in quotes".to_owned(),
        )
    } else {
        (
            "wrong-value",
            format!("`{key}`: {message}"),
            "see ledgers/README.md for the format".to_owned(),
        )
    };
    (
        Diagnostic {
            code,
            message,
            help: Some(help),
            span: Some(span.clone()),
            related: None,
        },
        meant,
    )
}

/// More names than this are not listed beside one that was probably meant.
const LONG_LIST: usize = 16;

/// A hint at the nearest of the known names, then the list of them.
pub(crate) fn choice(name: &str, known: &[&str], intro: &str) -> String {
    let list = known.join(", ");
    match nearest(name, known.iter().copied()) {
        Some(near) if known.len() > LONG_LIST => format!("did you mean `{near}`?"),
        Some(near) => format!("did you mean `{near}`? {} {list}", capitalised(intro)),
        None => format!("{intro} {list}"),
    }
}

/// The known name that `name` was probably meant to be.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Names are short; a text that is longer than any of them was not meant to be one, and would cost time.
    if name.len() > 80 {
        return None;
    }
    known
        .map(|candidate| {
            (
                strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Splits serde's "name`, expected one of `a`, `b`".
fn split_expected(rest: &str) -> (&str, Vec<&str>) {
    match rest.rsplit_once("`, expected ") {
        Some((name, known)) => (name, known.split('`').skip(1).step_by(2).collect()),
        None => (rest.split('`').next().unwrap_or(rest), Vec::new()),
    }
}

/// What a key holds, for a sentence.
fn noun(key: &str) -> &str {
    match key {
        "in" | "proven_by" | "zero_is" | "prefer" | "absent" => "word",
        "reserved" => "function",
        other => other,
    }
}

fn in_words(expected: &str) -> &str {
    match expected {
        "i64" | "i128" | "u64" | "u128" | "i32" | "u32" | "u16" | "u8" => "a whole number",
        "f64" => "a number",
        "a string" => "a text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list in [ ]",
        other if other.starts_with("struct ") || other == "a map" => "a table in { }",
        other => other,
    }
}

fn found_in_words(found: &str) -> String {
    let found = found.trim_end_matches(" as i128").trim_end_matches(" as u128");
    for (kind, words) in [
        ("string ", "the text "),
        ("integer ", "the number "),
        ("floating point ", "the number "),
        ("boolean ", ""),
        ("sequence", "a list"),
        ("map", "a table"),
    ] {
        if let Some(rest) = found.strip_prefix(kind) {
            return shortened(&format!("{words}{rest}"));
        }
    }
    shortened(found)
}

/// Texts of a file are quoted, but not a page of them.
fn shortened(text: &str) -> String {
    if text.chars().count() <= 60 {
        text.to_owned()
    } else {
        text.chars().take(57).chain("…".chars()).collect()
    }
}

fn capitalised(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}
