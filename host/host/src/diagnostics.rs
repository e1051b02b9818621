//! Faults of ledger files as people see them: the line, and what is wrong with it underlined.

use busbar_ledger::Diagnostics;
use miette::{GraphicalReportHandler, GraphicalTheme};

/// All faults with their lines.
pub fn render(diagnostics: &Diagnostics, colour: bool) -> String {
    let theme = if colour {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let mut out = String::new();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100);
    match handler.render_report(&mut out, &diagnostics.report()) {
        Ok(()) => out,
        // Text goes into a string: this cannot fail, but the plain form is there all the same.
        Err(_) => diagnostics.to_string(),
    }
}
