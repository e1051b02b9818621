//! What a command says, and where: results on standard output, everything else on standard error.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, presets,
};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::error::{Exit, HostError};
use crate::format::visible;

/// How this command talks.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    colour: bool,
    /// Whether standard output is somebody else's.
    aside: bool,
}

impl Output {
    /// JSON or text; colours only on a terminal, and not where `NO_COLOR` is set.
    pub fn new(json: bool) -> Self {
        let colour =
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Output {
            json,
            colour,
            aside: false,
        }
    }

    /// The same on standard error, without colours: standard output is for something else.
    pub fn aside(self) -> Self {
        Output {
            colour: false,
            aside: true,
            ..self
        }
    }

    /// Whether the one JSON document is asked for.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether somebody looks at a terminal.
    pub fn is_terminal(&self) -> bool {
        !self.json && std::io::stdout().is_terminal()
    }

    /// Whether text may be coloured.
    pub fn colour(&self) -> bool {
        self.colour && !self.json
    }

    /// Prints the one JSON document of this command.
    pub fn document<T: Serialize>(&self, document: &T) -> Result<(), HostError> {
        self.json_text(serde_json::to_string_pretty(document))
    }

    /// Prints one JSON document on one line, for streams of them.
    pub fn json_line<T: Serialize>(&self, document: &T) -> Result<(), HostError> {
        self.json_text(serde_json::to_string(document))
    }

    fn json_text(&self, text: serde_json::Result<String>) -> Result<(), HostError> {
        let fault = |e| {
            HostError::failed(
                "internal",
                format!("cannot write JSON: {e}"),
                "Please report this.",
            )
        };
        self.line(&text.map_err(fault)?);
        Ok(())
    }

    /// Prints a line of result. A reader that has gone away (`| head`) ends the program quietly.
    /// A result that cannot be written (a full disk) is a failure.
    pub fn line(&self, text: &str) {
        if self.aside {
            // Nobody to tell when that is gone.
            let _ = writeln!(std::io::stderr(), "{text}");
            return;
        }
        match put(text) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(e) => {
                // Nobody to tell when standard error is gone, too.
                let _ = writeln!(std::io::stderr(), "busbar: cannot write the result: {e}");
                std::process::exit(1);
            }
        }
    }

    /// Prints a line for people, which JSON output leaves out.
    pub fn say(&self, text: &str) {
        if !self.json {
            self.line(text);
        }
    }

    /// A heading.
    pub fn bold(&self, text: &str) -> String {
        self.styled("1", text)
    }

    /// Something of less importance.
    pub fn dim(&self, text: &str) -> String {
        self.styled("2", text)
    }

    /// The same for a cell of a table, which measures its text.
    pub fn dim_cell(&self, text: &str) -> Cell {
        let cell = Cell::new(text);
        if self.colour() {
            cell.add_attribute(Attribute::Dim)
        } else {
            cell
        }
    }

    /// Something good, for a cell.
    pub fn green_cell(&self, text: &str) -> Cell {
        self.coloured_cell(Color::Green, text)
    }

    /// Something to look at, for a cell.
    pub fn yellow_cell(&self, text: &str) -> Cell {
        self.coloured_cell(Color::Yellow, text)
    }

    /// Something that does not work, for a cell.
    pub fn red_cell(&self, text: &str) -> Cell {
        self.coloured_cell(Color::Red, text)
    }

    fn coloured_cell(&self, colour: Color, text: &str) -> Cell {
        let cell = Cell::new(text);
        if self.colour() { cell.fg(colour) } else { cell }
    }

    /// Something good.
    pub fn green(&self, text: &str) -> String {
        self.styled("32", text)
    }

    /// Something to look at.
    pub fn yellow(&self, text: &str) -> String {
        self.styled("33", text)
    }

    /// Something that does not work.
    pub fn red(&self, text: &str) -> String {
        self.styled("31", text)
    }

    fn styled(&self, code: &str, text: &str) -> String {
        if self.colour() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Columns of the terminal; `None` where the output is no terminal, and lines may be as long as they are.
    pub fn width(&self) -> Option<usize> {
        let size = terminal_size::terminal_size_of(std::io::stdout());
        size.map(|(width, _)| usize::from(width.0))
            .filter(|width| *width > 0)
    }

    /// A text in lines that fit beside so many columns; as it is where the output is no terminal.
    pub fn lines_of(&self, indent: usize, text: &str) -> Vec<String> {
        let room = self
            .width()
            .map_or(usize::MAX, |width| width.saturating_sub(indent).max(20));
        wrapped(text, room)
    }

    /// Prints a text behind `head`, wrapped on a terminal, every further line as far to the right as the first one's text.
    pub fn hanging(&self, head: &str, text: &str, style: impl Fn(&str) -> String) {
        let indent = head.width();
        for (n, line) in self.lines_of(indent, text).iter().enumerate() {
            let line = style(line);
            match n {
                0 => self.line(&format!("{head}{line}")),
                _ => self.line(&format!("{:indent$}{line}", "")),
            }
        }
    }

    /// An empty table with these headings, as wide as the terminal.
    pub fn table<const N: usize>(&self, headings: [&str; N]) -> Table {
        self.table_of(&headings)
    }

    /// The same for headings that are only known at run time.
    pub fn table_of(&self, headings: &[&str]) -> Table {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(headings.iter().map(|h| {
            let cell = Cell::new(h);
            if self.colour() {
                cell.add_attribute(Attribute::Bold)
            } else {
                cell
            }
        }));
        table
    }

    /// Columns that are never broken, whatever else has to be: ids and names are there to be copied.
    pub fn whole_columns(&self, table: &mut Table, columns: &[usize]) {
        for column in columns {
            if let Some(column) = table.column_mut(*column) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    }

    /// Prints a table, without the blanks at the ends of its lines.
    pub fn table_lines(&self, table: &Table) {
        self.line(&table.trim_fmt());
    }

    /// Reports a failure the way the contract wants it, and gives the exit code.
    pub fn failure(&self, error: &HostError) -> ExitCode {
        if self.json && !error.is_reported() {
            // Who does not read it still gets the exit code.
            let _ = put(&error.to_json().to_string());
        }
        let mut err = std::io::stderr().lock();
        // Nobody to tell when standard error is gone.
        let _ = writeln!(err, "busbar: {}", visible(&error.to_string()));
        let hint = error.hint();
        if !hint.is_empty() {
            let hint = visible(&super::again::spelt(&hint));
            let lines = match std::io::stderr().is_terminal() {
                true => self.lines_of(2, &hint),
                false => vec![hint],
            };
            for line in lines {
                let _ = writeln!(err, "  {line}");
            }
        }
        let exit: Exit = error.exit();
        exit.into()
    }
}

fn put(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Words in lines of at most so many columns. A word that is longer has a line of its own: an id is never broken.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.width() + 1 + word.width() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// A number's cell, right-aligned.
pub fn number(text: impl ToString) -> Cell {
    Cell::new(text.to_string()).set_alignment(CellAlignment::Right)
}
