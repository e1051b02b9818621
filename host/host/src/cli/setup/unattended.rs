//! The wizard without anybody to ask: every question takes what is proposed, until it is saved.

use std::sync::Arc;

use serde_json::json;

use crate::cli::output::Output;
use crate::cli::progress::Shown;
use crate::cli::scan_report::show;
use crate::discover::progress::Progress;
use crate::error::{HostError, Result};
use crate::format::visible;
use crate::setup::flow::Step;
use crate::setup::hands::{Hands, Tell};
use crate::setup::work::Kept;
use crate::setup::{Answer, Event, Flow, Wish};

/// More questions than this have no end.
const QUESTIONS: usize = 50;

/// Answers every question with what is proposed.
///
/// # Errors
/// What went wrong with the work; where a question has no answer that leads on.
pub async fn run(wish: Wish, hands: &mut Hands, output: Output) -> Result<()> {
    let wished = wish.name.clone();
    let mut flow = Flow::new(wish);
    let mut report = None;
    let progress = Arc::new(Shown::default());
    let shown = Arc::clone(&progress);
    let tell: Tell = Arc::new(move |event| {
        if let Event::Progress(event) = event {
            shown.event(event);
        }
    });
    for _ in 0..QUESTIONS {
        if let Some(work) = flow.work().cloned() {
            let switch = hands.ready();
            let event = {
                let done = hands.work(work, &tell);
                tokio::pin!(done);
                tokio::select! {
                    event = &mut done => event,
                    _ = tokio::signal::ctrl_c() => {
                        switch.cancel();
                        done.await
                    }
                }
            };
            match &event {
                Event::Failed(failure) => {
                    return Err(HostError::Remote {
                        code: failure.code.clone(),
                        message: failure.message.clone(),
                        hint: failure.hint.clone(),
                        exit: failure.exit,
                    });
                }
                Event::Dropped => {
                    return Err(HostError::nothing_found(
                        "what answers there is not what is known under this name",
                        "Set it up as a connection of its own, with another --name.",
                    ));
                }
                Event::Scanned(findings) => report = Some(findings.report.clone()),
                Event::Saved(kept) => {
                    drop(progress);
                    return saved(kept, wished.as_deref(), report, output);
                }
                _ => {}
            }
            flow.event(event);
            continue;
        }
        let screen = flow.screen();
        let nowhere = matches!(
            flow.step(),
            Step::Unknown | Step::Address | Step::Start | Step::Places
        );
        if let Some(fault) = screen.fault {
            return Err(HostError::usage(
                fault,
                "busbar setup --help shows what can be typed.",
            ));
        }
        if nowhere {
            let why = flow
                .trouble()
                .unwrap_or("nothing was recognised")
                .replace('\n', " ");
            return Err(HostError::nothing_found(
                why.trim_end_matches('.').to_owned(),
                "Name the ledger with --ledger (`busbar ledger list`), other units with --units, or try --mode full; \
                 `busbar raw` shows its registers.",
            ));
        }
        flow.answer(Answer::Default);
    }
    Err(HostError::failed(
        "internal",
        "the questions have no end",
        "Please report this.",
    ))
}

fn saved(
    kept: &Kept,
    wished: Option<&str>,
    report: Option<crate::discover::report::ScanReport>,
    output: Output,
) -> Result<()> {
    if output.is_json() {
        return output
            .document(&json!({ "connection": kept.connection, "changes": kept.lines, "report": report }));
    }
    if let Some(report) = &report {
        show(report, output)?;
    }
    output.line(&output.green(&format!("Saved as \"{}\".", visible(&kept.connection))));
    for line in &kept.lines {
        output.line(&visible(line));
    }
    if let Some(name) = wished.filter(|name| *name != kept.connection) {
        output.line(&output.yellow(&format!(
            "It is known by that name already: `busbar change name {} {}` gives it the other.",
            visible(&kept.connection),
            visible(name)
        )));
    }
    output.line("A host that runs polls it from now on; else `busbar` does, and shows it live.");
    Ok(())
}
