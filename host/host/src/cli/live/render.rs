//! From what is known to lines of text. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::model::{Live, Point, Sample};
use super::spark::curve;
use crate::format;
use crate::format::visible;

/// What stands for a value that is not known.
const UNKNOWN: &str = "–";
/// Below this width there is one value a line.
const NARROW: usize = 58;
/// The widest a column of numbers gets.
const WIDEST: usize = 22;
/// Room for an age, behind a row of phases and behind a single value.
const AGE: usize = 8;
const LIST_AGE: usize = 7;
/// So few values stand one below the other.
const FEW: usize = 7;
/// The order of the rows: what people look for first.
const CLASSES: [&str; 7] = [
    "power",
    "voltage",
    "current",
    "apparent_power",
    "reactive_power",
    "power_factor",
    "energy",
];

/// How much room there is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Lines.
    pub height: usize,
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// With escape sequences.
    pub colour: bool,
}

impl Style {
    fn of(self, code: &str, text: &str) -> String {
        match self.colour && !text.trim().is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
    fn bold(self, text: &str) -> String {
        self.of("1", text)
    }
    fn dim(self, text: &str) -> String {
        self.of("2", text)
    }
    fn good(self, text: &str) -> String {
        self.of("32", text)
    }
    fn alert(self, text: &str) -> String {
        self.of("1;33", text)
    }
}

/// The whole picture: who it is, whether it answers, its phases as columns, and the rest.
pub fn table(live: &Live, now: Duration, clock: &str, size: Size, style: Style) -> Vec<String> {
    let width = size.width.max(20);
    let mut lines = head(live, now, clock, width, style);
    let shown: Vec<&Point> = live
        .points
        .iter()
        .filter(|point| point.class != "identity")
        .collect();
    let grid = Grid::of(&shown);
    let rest: Vec<&Point> = match &grid {
        Some(grid) if width >= NARROW => {
            lines.extend(grid.lines(live, now, width, style));
            lines.push(String::new());
            shown
                .iter()
                .filter(|point| !grid.has(&point.key))
                .copied()
                .collect()
        }
        _ => shown,
    };
    let room = Size {
        width,
        height: size.height.saturating_sub(lines.len()),
    };
    lines.extend(list(live, &rest, now, room, style));
    if lines.len() > size.height {
        lines.truncate(size.height.saturating_sub(1));
        lines.push(style.dim(&fit("… more than fits: make the window larger", width)));
    }
    lines
}

/// One line for a pipe: the time, then what changes, or the gap.
pub fn plain(live: &Live, now: Duration, clock: &str) -> String {
    if let Some(gap) = gap_text(live, now) {
        return format!("{clock}  {gap}");
    }
    let known = live.points.iter().filter(|point| point.class != "identity");
    let values: Vec<String> = known
        .map(|point| format!("{}={}", point.key, point.text.as_deref().unwrap_or(UNKNOWN)))
        .collect();
    format!("{clock}  {}", values.join("  "))
}

fn head(live: &Live, now: Duration, clock: &str, width: usize, style: Style) -> Vec<String> {
    let about = |key: &str| live.device[key].as_str().map(visible);
    let facts: Vec<String> = ["model", "serial", "firmware"]
        .iter()
        .filter_map(|key| about(key))
        .collect();
    let name = about("name").unwrap_or_else(|| live.url.clone());
    let time = clock.split(' ').nth(1).unwrap_or(clock).to_owned();
    let silent = live.silent_for(now);
    let mark = match (&live.gap, silent) {
        (None, _) if live.heard.is_none() => style.dim("○"),
        (None, _) => style.good("●"),
        (Some(_), None) => style.alert("◐"),
        (Some(_), Some(_)) => style.alert("○"),
    };
    let room = width.saturating_sub(time.width() + 4);
    let name = fit(&name, room);
    let facts = match room.saturating_sub(name.width() + 2) {
        0..10 => String::new(),
        left => fit(&facts.join(" · "), left),
    };
    let space = width.saturating_sub(name.width() + 2 + facts.width() + 2 + time.width());
    let mut lines = vec![format!(
        "{}  {}{}{mark} {}",
        style.bold(&name),
        style.dim(&facts),
        " ".repeat(space),
        style.dim(&time)
    )];
    let unit = live.device["unit_id"]
        .as_u64()
        .map(|unit| format!(" · unit {unit}"));
    let ledger = about("ledger").map(|ledger| format!(" · {ledger}"));
    let place = format!(
        "{}{}{} · every {}",
        visible(&live.url),
        unit.unwrap_or_default(),
        ledger.unwrap_or_default(),
        span(live.interval)
    );
    lines.push(style.dim(&fit(&place, width)));
    match (gap_text(live, now), &live.gap) {
        (Some(text), Some(gap)) => {
            let first = lines.len();
            lines.extend(wrap(&text, width));
            lines
                .iter_mut()
                .skip(first)
                .for_each(|line| *line = style.alert(line));
            lines.extend(wrap(&visible(&gap.hint), width));
        }
        _ if live.heard.is_none() => lines.push(style.dim("waiting for the first answer …")),
        _ => {}
    }
    lines.push(String::new());
    lines
}

/// What is said of a gap; `None` while all is well.
fn gap_text(live: &Live, now: Duration) -> Option<String> {
    let gap = live.gap.as_ref()?;
    let cause = visible(&gap.cause);
    Some(match live.silent_for(now) {
        Some(silence) if live.heard.is_none() => format!("no answer yet, after {}: {cause}", span(silence)),
        Some(silence) => format!("no answer for {}: {cause}", span(silence)),
        None => {
            let missing = live.points.iter().filter(|point| point.text.is_none()).count();
            format!("{missing} values are missing: {cause}")
        }
    })
}

/// Phases as columns.
struct Grid<'a> {
    /// The numbers of the phases that there are.
    phases: Vec<char>,
    /// By what is left of the key without its phase.
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    label: String,
    by_phase: BTreeMap<char, &'a Point>,
    total: Option<&'a Point>,
}

impl<'a> Grid<'a> {
    /// `None` where no value is of a phase.
    fn of(points: &[&'a Point]) -> Option<Self> {
        let mut by_base: Vec<(String, Row<'a>)> = Vec::new();
        for point in points {
            let Some((base, phase)) = split(&point.key) else {
                continue;
            };
            let row = match by_base.iter().position(|(known, _)| *known == base) {
                Some(i) => &mut by_base[i].1,
                None => {
                    let total = [base.clone(), format!("{base}_total"), format!("total_{base}")];
                    let row = Row {
                        label: without_phase(&point.name, phase),
                        by_phase: BTreeMap::new(),
                        total: points.iter().find(|p| total.contains(&p.key)).copied(),
                    };
                    by_base.push((base, row));
                    &mut by_base.last_mut()?.1
                }
            };
            row.by_phase.insert(phase, point);
        }
        let mut phases: Vec<char> = by_base
            .iter()
            .flat_map(|(_, row)| row.by_phase.keys().copied())
            .collect();
        phases.sort_unstable();
        phases.dedup();
        let rank = |row: &Row<'_>| {
            let class = row
                .by_phase
                .values()
                .next()
                .map_or("", |point| point.class.as_str());
            CLASSES
                .iter()
                .position(|known| *known == class)
                .unwrap_or(CLASSES.len())
        };
        let mut rows: Vec<Row<'a>> = by_base.into_iter().map(|(_, row)| row).collect();
        rows.sort_by_key(rank);
        (!rows.is_empty()).then_some(Grid { phases, rows })
    }

    fn has(&self, key: &str) -> bool {
        self.rows
            .iter()
            .any(|row| row.cells(&self.phases).flatten().any(|point| point.key == key))
    }

    fn lines(&self, live: &Live, now: Duration, width: usize, style: Style) -> Vec<String> {
        let totals = self.rows.iter().any(|row| row.total.is_some());
        let columns = self.phases.len() + usize::from(totals);
        let labels = self
            .rows
            .iter()
            .map(|row| row.label.width())
            .max()
            .unwrap_or(0)
            .clamp(8, width / 4);
        let each = (width.saturating_sub(labels + AGE) / columns.max(1)).min(WIDEST);
        let mut heading = " ".repeat(labels);
        for phase in &self.phases {
            heading.push_str(&right(&format!("L{phase}"), each));
        }
        if totals {
            heading.push_str(&right("Total", each));
        }
        heading.push_str(&right("Age", AGE));
        let mut lines = vec![style.dim(&heading)];
        for row in &self.rows {
            let mut line = left(&row.label, labels);
            let cells: Vec<Option<&Point>> = row.cells(&self.phases).take(columns).collect();
            for cell in &cells {
                line.push_str(&match cell {
                    Some(point) => value(point, each, style),
                    None => " ".repeat(each),
                });
            }
            line.push_str(&style.dim(&right(&oldest(cells.iter().flatten().copied(), now), AGE)));
            lines.push(line);
            let curves: Vec<String> = cells
                .iter()
                .map(|cell| {
                    cell.map_or(String::new(), |point| {
                        spark(live, point, now, each.saturating_sub(2))
                    })
                })
                .collect();
            if curves.iter().any(|curve| !curve.trim().is_empty()) {
                let mut line = left(&last(live.window()), labels);
                curves.iter().for_each(|curve| line.push_str(&right(curve, each)));
                lines.push(style.dim(line.trim_end()));
            }
        }
        lines
    }
}

impl<'a> Row<'a> {
    fn cells<'b>(&'b self, phases: &'b [char]) -> impl Iterator<Item = Option<&'a Point>> + use<'a, 'b> {
        let of_phases = phases.iter().map(|phase| self.by_phase.get(phase).copied());
        of_phases.chain([self.total])
    }
}

/// A key and its phase: `power_l1` is `power` of 1, `ac_l2_power` is `ac_power` of 2. A value between two phases is of
/// neither.
fn split(key: &str) -> Option<(String, char)> {
    let parts: Vec<&str> = key.split('_').collect();
    let mut phases = parts
        .iter()
        .enumerate()
        .filter_map(|(i, part)| match part.as_bytes() {
            [b'l', n @ b'1'..=b'3'] => Some((i, char::from(*n))),
            _ => None,
        });
    let (at, phase) = phases.next()?;
    if phases.next().is_some() || parts.len() < 2 {
        return None;
    }
    let rest: Vec<&str> = parts
        .iter()
        .enumerate()
        .filter(|(i, _)| *i != at)
        .map(|(_, part)| *part)
        .collect();
    Some((rest.join("_"), phase))
}

/// A name without its phase, beginning with a capital.
fn without_phase(name: &str, phase: char) -> String {
    let of_phase = format!("L{phase}");
    let words: Vec<&str> = name.split_whitespace().filter(|word| *word != of_phase).collect();
    let mut name = words.join(" ");
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name
}

/// What is of no phase: measurements, then settings and states, in as many columns as fit; with a curve behind each
/// power where there is one column.
fn list(live: &Live, points: &[&Point], now: Duration, size: Size, style: Style) -> Vec<String> {
    let mut points = points.to_vec();
    points.sort_by_key(|point| !point.measured);
    let widest = |of: &dyn Fn(&Point) -> usize| points.iter().map(|point| of(point)).max().unwrap_or(0);
    let labels = widest(&|point| point.name.width());
    let values = widest(&|point| point.width).max(UNKNOWN.width());
    let whole = labels + values + LIST_AGE + 4;
    let fitting = ((size.width + 2) / whole).clamp(1, 4);
    // A few values need no columns.
    let columns = match points.len() {
        0..FEW if points.len() <= size.height => 1,
        _ => fitting,
    };
    let each = (size.width + 2) / columns - 2;
    let labels = labels.min(each / 2);
    let values = values.min(each.saturating_sub(labels + LIST_AGE + 2));
    let count = points.len().div_ceil(columns);
    let line = |row: usize| {
        let mut line = String::new();
        for (column, point) in (0..columns).filter_map(|c| Some((c, points.get(c * count + row)?))) {
            if column > 0 {
                line.push_str(&" ".repeat(each.saturating_sub(labels + values + LIST_AGE + 2) + 2));
            }
            line.push_str(&left(&point.name, labels));
            line.push_str(&value(point, values + 2, style));
            line.push_str(&style.dim(&right(&oldest([*point], now), LIST_AGE)));
            if columns == 1 {
                let used = labels + values + LIST_AGE + 4;
                let curve = spark(live, point, now, size.width.saturating_sub(used).min(60));
                line.push_str(&style.dim(&format!("  {curve}")));
            }
        }
        line.trim_end().to_owned()
    };
    (0..count).map(line).collect()
}

fn value(point: &Point, width: usize, style: Style) -> String {
    let text = point.text.as_deref().unwrap_or(UNKNOWN);
    let text = right(&fit(text, width.saturating_sub(1)), width);
    match &point.text {
        None => style.alert(&text),
        Some(_) if point.class == "power" && point.negative => style.good(&text),
        Some(_) if point.class == "power" => style.bold(&text),
        Some(_) => text,
    }
}

fn spark(live: &Live, point: &Point, now: Duration, width: usize) -> String {
    let samples: Vec<Sample> = live.samples(&point.key).collect();
    if samples.is_empty() || width == 0 {
        return String::new();
    }
    curve(&samples, now, live.window(), live.interval, width)
}

/// The age of the oldest of these values.
fn oldest<'a>(points: impl IntoIterator<Item = &'a Point>, now: Duration) -> String {
    let ages = points
        .into_iter()
        .map(|point| point.at.map(|at| now.saturating_sub(at)));
    match ages.max_by_key(|age| age.unwrap_or(Duration::MAX)) {
        Some(Some(age)) if age < Duration::from_secs(1) => "now".to_owned(),
        Some(Some(age)) => span(age),
        _ => UNKNOWN.to_owned(),
    }
}

/// What stands before curves.
fn last(window: Duration) -> String {
    match window.as_secs() {
        60 => "  last minute".to_owned(),
        _ => format!("  last {}", span(window)),
    }
}

/// A length of time in its largest unit.
fn span(time: Duration) -> String {
    match u64::try_from(time.as_millis()).unwrap_or(u64::MAX) {
        ms if ms % 1000 != 0 && ms < 1000 => format!("{ms} ms"),
        ms => format::age(i64::try_from(ms).unwrap_or(i64::MAX)),
    }
}

/// At most this wide; what is cut ends in an ellipsis.
fn fit(text: &str, width: usize) -> String {
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
    out.push('…');
    out
}

fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}

fn left(text: &str, width: usize) -> String {
    let text = fit(text, width);
    let room = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(room))
}

/// Broken between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(fit(word, width)),
        }
    }
    lines
}

#[cfg(test)]
mod tests;
