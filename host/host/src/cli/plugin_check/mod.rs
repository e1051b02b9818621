//! `busbar plugin check`: loads one library as the host would, and shows its author all that is wrong with it.

mod compare;
mod meet;
mod streams;
mod trial;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use busbar_ledger::Diagnostics;
use busbar_ledger::model::Ledger;
use busbar_loader::{BroughtLedger, Options, PluginInfo, PluginState, Plugins, is_plugin_name};
use serde_json::{Value, json};

use super::output::Output;
use crate::config::PluginsConfig;
use crate::error::{HostError, Result};
use crate::format::visible;
use trial::Trial;

/// What came of one ledger.
struct Looked {
    file: String,
    outcome: Result<Arc<Ledger>, Fault>,
}

/// What is wrong with a ledger.
enum Fault {
    /// With its text.
    Text(Diagnostics),
    /// With its name, in words.
    Name(String),
}

/// Runs the command.
pub async fn run(file: &Path, config: &PluginsConfig, output: Output) -> Result<()> {
    let mut options = Options::new(Vec::new());
    options.pins = config.pin.clone();
    let mut plugins = Plugins::load_file(file.to_owned(), options).await;
    let info = plugins.list().into_iter().next().ok_or_else(|| {
        HostError::failed(
            "plugin",
            format!("{} could not be looked at", file.display()),
            "Try again.",
        )
    })?;
    if info.state != PluginState::Loaded {
        let reason = info.reason.unwrap_or_default();
        return Err(HostError::failed(
            "plugin",
            format!("{}: {reason}", file.display()),
            "Mend that and check again; docs/plugins.md says what a plugin has to be.",
        ));
    }
    let name = info.name.clone().unwrap_or_default();
    let ledgers: Vec<Looked> = plugins
        .take_ledgers()
        .into_iter()
        .map(|brought| check(brought.ledger))
        .collect();
    let mut faults = of_the_whole(file, &info, &ledgers);
    let mut trial = Trial::default();
    if info.discovers {
        let sound: Vec<_> = ledgers
            .iter()
            .filter_map(|looked| looked.outcome.as_ref().ok().cloned())
            .collect();
        trial = trial::trial(&plugins, &name, &sound).await;
        faults.append(&mut trial.faults);
        if ledgers.is_empty() {
            trial.notes.push(
                "it discovers, and brings no ledger: each device that it finds needs one that it makes (`ledger_text` of \
                 Found, busbar_found in C), or the scan fails"
                    .to_owned(),
            );
        }
    }
    if info.telegrams {
        faults.append(&mut streams::trial(&plugins, &name).await);
    }
    let wrong = ledgers.iter().filter(|ledger| ledger.outcome.is_err()).count() + faults.len();
    let error = (wrong > 0).then(|| {
        let first = faults.first().cloned();
        let cause = first.unwrap_or_else(|| "its ledgers have faults".to_owned());
        let more = if wrong > 1 {
            format!(" (and {} more)", wrong - 1)
        } else {
            String::new()
        };
        HostError::failed(
            "plugin",
            format!("{}: {cause}{more}", file.display()),
            "Mend what is shown and check again.",
        )
    });
    if output.is_json() {
        let (discovery, simulated) = trial.json();
        let mut document = json!({
            "file": file,
            "plugin": info,
            "ledgers": ledgers.iter().map(Looked::json).collect::<Vec<_>>(),
            "discovery": discovery,
            "simulated": simulated,
            "notes": trial.notes,
            "faults": faults,
        });
        if let Some(error) = &error {
            document["error"] = error.to_json()["error"].take();
        }
        output.document(&document)?;
    } else {
        show(&info, &ledgers, output);
        for (good, line) in trial.lines() {
            let word = if good {
                output.green("ok")
            } else {
                output.yellow("note")
            };
            output.line(&format!("{word} {}", visible(&line)));
        }
        for fault in &faults {
            output.line(&format!("{} {}", output.yellow("wrong"), visible(fault)));
        }
    }
    match error {
        None => Ok(()),
        Some(error) => Err(HostError::Reported {
            message: error.to_string(),
            hint: error.hint(),
        }),
    }
}

fn check(brought: BroughtLedger) -> Looked {
    let BroughtLedger { file, text } = brought;
    let outcome = match busbar_ledger::parse(&file, &text) {
        Err(faults) => Err(Fault::Text(faults)),
        // It is asked for by the name of its file.
        Ok(ledger) if file.strip_suffix(".toml") != Some(&ledger.name) => Err(Fault::Name(format!(
            "{file} holds the ledger {0:?}; call the file {0}.toml, or the ledger otherwise",
            ledger.name
        ))),
        Ok(ledger) => Ok(Arc::new(ledger)),
    };
    Looked { file, outcome }
}

/// What is wrong with more than one ledger.
fn of_the_whole(file: &Path, info: &PluginInfo, ledgers: &[Looked]) -> Vec<String> {
    let mut faults = Vec::new();
    if !file.file_name().is_some_and(is_plugin_name) {
        let name = info.name.as_deref().unwrap_or("NAME").replace('-', "_");
        faults.push(format!(
            "the file is not called libbusbar_plugin_….so, and the host looks at no others; call it \
             libbusbar_plugin_{name}.so"
        ));
    }
    if !info.discovers && !info.telegrams && ledgers.is_empty() {
        faults.push("it brings no ledger and discovers nothing, so that it is of no use".to_owned());
    }
    if info.title.as_deref().unwrap_or_default().is_empty() {
        faults.push("it has no title; `busbar plugin list` shows it".to_owned());
    }
    let mut seen = BTreeSet::new();
    for ledger in ledgers {
        if !seen.insert(&ledger.file) {
            faults.push(format!("it brings {} twice; only the first is used", ledger.file));
        }
    }
    faults
}

impl Looked {
    fn json(&self) -> Value {
        match &self.outcome {
            Ok(ledger) => json!({
                "file": self.file, "ledger": ledger.name, "points": ledger.points.len(), "errors": []
            }),
            Err(Fault::Text(faults)) => {
                let lines: Vec<_> = faults.to_string().lines().map(str::to_owned).collect();
                json!({ "file": self.file, "errors": lines })
            }
            Err(Fault::Name(fault)) => json!({ "file": self.file, "errors": [fault] }),
        }
    }
}

fn show(info: &PluginInfo, ledgers: &[Looked], output: Output) {
    let text = |text: &Option<String>| visible(text.as_deref().unwrap_or_default());
    let mut table = output.table(["", ""]);
    let language = info.language.map(|language| format!("{language:?}"));
    let protection = info.protection.as_ref().map(ToString::to_string);
    for (what, value) in [
        ("name", text(&info.name)),
        ("version", text(&info.version)),
        ("title", text(&info.title)),
        ("summary", text(&info.summary)),
        ("licence", text(&info.licence)),
        ("abi", text(&info.abi)),
        ("language", text(&language)),
        ("sha256", text(&info.sha256)),
        ("discovers", if info.discovers { "yes" } else { "no" }.to_owned()),
        ("telegrams", if info.telegrams { "yes" } else { "no" }.to_owned()),
        ("ran behind", text(&protection)),
    ] {
        table.add_row(vec![what.to_owned(), value]);
    }
    output.table_lines(&table);
    output.line("");
    for ledger in ledgers {
        let file = visible(&ledger.file);
        match &ledger.outcome {
            Ok(found) => output.line(&format!(
                "{} {file}: {} points",
                output.green("ok"),
                found.points.len()
            )),
            Err(Fault::Text(faults)) => output.line(&crate::diagnostics::render(faults, output.colour())),
            Err(Fault::Name(fault)) => output.line(&format!("{} {}", output.yellow("wrong"), visible(fault))),
        }
    }
}
