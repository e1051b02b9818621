//! Questions on the terminal.

use std::io::{IsTerminal, Write};

use super::output::Output;
use crate::error::{HostError, Result};

/// Whether there is somebody to ask.
pub fn can_ask(output: Output) -> bool {
    std::io::stdin().is_terminal() && !output.is_json()
}

/// Asks on standard error, yes being the default. An end of input is no answer, and so a no.
///
/// # Errors
/// When it cannot be asked or answered.
pub fn confirmed(question: &str) -> Result<bool> {
    Ok(matches!(
        answer(question, "[Y/n]")?.as_deref(),
        Some("" | "y" | "yes")
    ))
}

/// Asks about something risky: only a typed yes is one.
///
/// # Errors
/// As [`confirmed`].
pub fn agreed(question: &str) -> Result<bool> {
    Ok(matches!(answer(question, "[y/N]")?.as_deref(), Some("y" | "yes")))
}

/// Asks for a word; `None` at the end of input.
///
/// # Errors
/// As [`confirmed`].
pub fn text(question: &str) -> Result<Option<String>> {
    given(&format!("{question} "))
}

/// The answer in small letters; `None` at the end of input.
fn answer(question: &str, choice: &str) -> Result<Option<String>> {
    Ok(given(&format!("{question} {choice} "))?.map(|answer| answer.to_lowercase()))
}

fn given(question: &str) -> Result<Option<String>> {
    let mut err = std::io::stderr();
    let hint = "Use --yes to answer in advance.";
    write!(err, "{question}")
        .and_then(|()| err.flush())
        .map_err(|e| HostError::io("cannot ask", &e, hint))?;
    let mut answer = String::new();
    let read = std::io::stdin()
        .read_line(&mut answer)
        .map_err(|e| HostError::io("cannot read the answer", &e, hint))?;
    Ok((read > 0).then(|| answer.trim().to_owned()))
}
