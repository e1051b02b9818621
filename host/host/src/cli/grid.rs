//! Tables that fit the terminal: ids are whole, what is nice to know is cut or left out.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::output::Output;

/// An elastic column is not cut below this while there is something to leave out.
const COMFORTABLE: usize = 16;
/// Nor below this at all.
const LEAST: usize = 8;
/// Between two columns.
const GAP: usize = 2;

/// How a cell looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    #[default]
    Plain,
    /// Of less importance.
    Dim,
    /// To look at.
    Yellow,
    /// Good.
    Green,
}

/// What a column does where there is too little room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It is shown whole, always.
    Whole,
    /// It is cut.
    Elastic,
    /// It is left out.
    Optional,
    /// It gets what the others leave, and is left out where that is little.
    Spare,
    /// It is shown whole, and no wider than this as a column: what is longer has a line of its own.
    Overhang(usize),
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    heading: &'static str,
    room: Room,
    right: bool,
}

impl Column {
    /// A column of texts.
    pub fn new(heading: &'static str, room: Room) -> Self {
        Column {
            heading,
            room,
            right: false,
        }
    }

    /// A column of numbers.
    pub fn right(heading: &'static str, room: Room) -> Self {
        Column {
            right: true,
            ..Column::new(heading, room)
        }
    }
}

/// A table.
#[derive(Debug)]
pub struct Grid {
    columns: Vec<Column>,
    rows: Vec<Vec<(String, Style)>>,
    /// Columns of blanks before each line.
    indent: usize,
}

impl Grid {
    /// An empty one.
    pub fn new(columns: &[Column]) -> Self {
        Grid {
            columns: columns.to_vec(),
            rows: Vec::new(),
            indent: 0,
        }
    }

    /// The same, so far from the edge.
    pub fn indented(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// Adds a row; a cell for each column.
    pub fn row(&mut self, cells: Vec<(String, Style)>) {
        // A line that begins within a cell would pass for one of Busbar's own.
        let on_one_line = |(text, style): (String, Style)| (text.replace(['\n', '\r'], " "), style);
        self.rows.push(cells.into_iter().map(on_one_line).collect());
    }

    /// The width of each column; `None`: left out.
    fn widths(&self, room: Option<usize>) -> Vec<Option<usize>> {
        let natural = |n: usize| {
            let cells = self
                .rows
                .iter()
                .filter_map(|row| row.get(n))
                .map(|(text, _)| text.width());
            let widest = cells.max().unwrap_or_default();
            // A column without anything in it is none.
            let column = self.columns.get(n);
            let widest = match column.map(|column| column.room) {
                Some(Room::Overhang(most)) => widest.min(most),
                _ => widest,
            };
            (widest > 0).then(|| widest.max(column.map_or(0, |c| c.heading.width())))
        };
        let mut widths: Vec<Option<usize>> = (0..self.columns.len()).map(natural).collect();
        let Some(room) = room else { return widths };
        let total = |widths: &[Option<usize>]| {
            let shown = widths.iter().flatten();
            self.indent + shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1)
        };
        let of = |room: Room, n: usize| self.columns.get(n).is_some_and(|column| column.room == room);
        let cut_to = |what: Room, least: usize, widths: &mut Vec<Option<usize>>| {
            while total(widths) > room {
                // The widest first.
                let widest = (0..widths.len())
                    .filter(|n| of(what, *n) && widths[*n] > Some(least))
                    .max_by_key(|n| widths[*n]);
                let Some(widest) = widest else { break };
                widths[widest] = widths[widest].map(|width| width - 1);
            }
        };
        cut_to(Room::Spare, COMFORTABLE, &mut widths);
        cut_to(Room::Elastic, COMFORTABLE, &mut widths);
        for n in (0..widths.len()).rev() {
            if total(&widths) > room && (of(Room::Optional, n) || of(Room::Spare, n)) {
                widths[n] = None;
            }
        }
        cut_to(Room::Elastic, LEAST, &mut widths);
        // What was left out may have made room again for what was cut.
        while total(&widths) < room {
            let cut = (0..widths.len()).find(|n| {
                (of(Room::Elastic, *n) || of(Room::Spare, *n))
                    && widths[*n].is_some()
                    && widths[*n] < natural(*n)
            });
            let Some(cut) = cut else { break };
            widths[cut] = widths[cut].map(|width| width + 1);
        }
        widths
    }

    /// Its lines, `room` columns wide at most where nothing whole is wider.
    pub fn lines(&self, room: Option<usize>, paint: impl Fn(Style, &str) -> String) -> Vec<String> {
        let widths = self.widths(room);
        self.rows
            .iter()
            .map(|row| {
                let cells = row.iter().map(|(text, style)| (text.as_str(), *style));
                self.line(cells, &widths, &paint)
            })
            .collect()
    }

    fn line<'a>(
        &self,
        cells: impl Iterator<Item = (&'a str, Style)>,
        widths: &[Option<usize>],
        paint: &impl Fn(Style, &str) -> String,
    ) -> String {
        let mut line = " ".repeat(self.indent);
        // Blanks are only written when something follows.
        let mut owed = 0;
        // How far a cell reaches beyond its column, and where that ends.
        let (mut hanging, mut column_end) = (0, 0);
        for ((text, style), (column, width)) in cells.zip(self.columns.iter().zip(widths)) {
            let Some(width) = *width else { continue };
            if matches!(column.room, Room::Overhang(_)) && text.width() > width {
                line.push_str(text);
                (hanging, column_end) = (text.width() - width, self.indent + width);
                owed = GAP;
                continue;
            }
            let text = cut(text, width);
            let blanks = width.saturating_sub(text.width());
            let (before, behind) = if column.right { (blanks, 0) } else { (0, blanks) };
            owed += before;
            if hanging > 0 && !text.is_empty() {
                // The blanks before a number may do.
                if owed > hanging {
                    owed -= hanging;
                } else {
                    line.push('\n');
                    owed += column_end;
                }
                hanging = 0;
            }
            if !text.is_empty() {
                line.push_str(&" ".repeat(std::mem::take(&mut owed)));
                line.push_str(&match style {
                    Style::Plain => text,
                    style => paint(style, &text),
                });
            }
            owed += behind + GAP;
        }
        line
    }

    /// Prints it with its headings.
    pub fn print(&self, output: Output) {
        let headings = self.columns.iter().map(|column| (column.heading, Style::Plain));
        let widths = self.widths(output.width());
        let heading = self.line(headings, &widths, &|_, text| text.to_owned());
        output.line(&output.bold(&heading));
        self.print_rows(output);
    }

    /// Prints its rows alone.
    pub fn print_rows(&self, output: Output) {
        for line in self.lines(output.width(), |style, text| match style {
            Style::Plain => text.to_owned(),
            Style::Dim => output.dim(text),
            Style::Yellow => output.yellow(text),
            Style::Green => output.green(text),
        }) {
            output.line(&line);
        }
    }
}

/// At most so many columns of a text.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(c);
    }
    format!("{}…", out.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new(&[
            Column::new("device", Room::Whole),
            Column::new("name", Room::Elastic),
            Column::right("unit", Room::Optional),
            Column::new("nothing", Room::Whole),
        ]);
        for (id, name, unit) in [
            ("c0619ab1234f_battery_u225", "Pylontech in the cellar", "225"),
            ("c0619ab1234f_system_u100", "Müller", "100"),
        ] {
            let cell = |text: &str| (text.to_owned(), Style::Plain);
            grid.row(vec![cell(id), cell(name), cell(unit), cell("")]);
        }
        grid
    }

    fn lines(room: Option<usize>) -> Vec<String> {
        grid().lines(room, |_, text| text.to_owned())
    }

    #[test]
    fn a_row_is_one_line_whatever_is_in_it() {
        let mut grid = Grid::new(&[Column::new("name", Room::Whole)]);
        grid.row(vec![("Roof\nok    all is well\r".to_owned(), Style::Plain)]);
        let lines = grid.lines(None, |_, text| text.to_owned());
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains(['\n', '\r'])), "{lines:?}");
    }

    #[test]
    fn what_fits_is_whole() {
        let expected = [
            "c0619ab1234f_battery_u225  Pylontech in the cellar   225",
            "c0619ab1234f_system_u100   Müller                    100",
        ];
        assert_eq!(lines(None), expected);
        assert_eq!(lines(Some(80)), expected);
    }

    #[test]
    fn what_is_too_long_for_its_column_has_a_line_of_its_own() {
        let mut grid = Grid::new(&[
            Column::new("", Room::Overhang(6)),
            Column::right("", Room::Elastic),
            Column::new("", Room::Spare),
        ])
        .indented(2);
        let cell = |text: &str| (text.to_owned(), Style::Plain);
        grid.row(vec![cell("soc"), cell("77 %"), cell("State of charge")]);
        grid.row(vec![cell("a_long_key"), cell("1 V"), cell("Long")]);
        let lines = |room| grid.lines(room, |_, text| text.to_owned());
        assert_eq!(
            lines(None),
            [
                "  soc     77 %  State of charge",
                "  a_long_key\n           1 V  Long"
            ]
        );
        assert_eq!(lines(Some(25))[0], "  soc     77 %", "{:?}", lines(Some(25)));
    }

    #[test]
    fn what_does_not_fit_is_cut_then_left_out_and_an_id_never() {
        let narrow = lines(Some(50));
        assert_eq!(narrow[0], "c0619ab1234f_battery_u225  Pylontech in the…   225");
        assert!(narrow.iter().all(|line| line.width() <= 50), "{narrow:?}");
        assert_eq!(
            lines(Some(48))[0],
            "c0619ab1234f_battery_u225  Pylontech in the cel…"
        );
        assert_eq!(lines(Some(38))[0], "c0619ab1234f_battery_u225  Pylontech…");
        assert_eq!(lines(Some(10))[0], "c0619ab1234f_battery_u225  Pylonte…");
    }
}
