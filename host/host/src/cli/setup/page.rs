//! A screen of the wizard as lines of a terminal, as wide as that is. Pure.

use unicode_width::UnicodeWidthStr;

use crate::format::visible;
use crate::setup::screen::numbers;
use crate::setup::{Ask, Block, Choice, Screen, Toggle};

/// Wider lines are hard to read.
const WIDEST: usize = 120;
/// Narrower terminals get lines that they break themselves.
const NARROWEST: usize = 50;
/// Where lines begin.
const INDENT: &str = "  ";
/// A column of values is at least so wide.
const COLUMN: usize = 36;

/// How lines are painted.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    /// Whether colours are wanted.
    pub colour: bool,
    /// Columns of the terminal.
    pub width: usize,
}

impl Paint {
    /// For a terminal of so many columns.
    pub fn new(colour: bool, width: usize) -> Self {
        Paint {
            colour,
            width: width.clamp(NARROWEST, WIDEST),
        }
    }

    fn styled(self, code: &str, text: &str) -> String {
        match self.colour && !text.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    /// Something that matters.
    pub fn bold(self, text: &str) -> String {
        self.styled("1", text)
    }

    /// Something beside.
    pub fn dim(self, text: &str) -> String {
        self.styled("2", text)
    }

    /// Something that went well.
    pub fn green(self, text: &str) -> String {
        self.styled("32", text)
    }

    /// Something to look at twice.
    pub fn yellow(self, text: &str) -> String {
        self.styled("33", text)
    }

    /// What can be typed.
    pub fn cyan(self, text: &str) -> String {
        self.styled("36", text)
    }

    fn room(self) -> usize {
        self.width - 2 * INDENT.len()
    }
}

/// Everything above the prompt.
pub fn page(screen: &Screen, paint: Paint) -> Vec<String> {
    let mut lines = vec![String::new()];
    lines.push(title(screen, paint));
    lines.push(paint.dim(&"─".repeat(paint.width)));
    for (number, block) in screen.blocks.iter().enumerate() {
        let before = number.checked_sub(1).and_then(|number| screen.blocks.get(number));
        if before.is_some_and(|before| is_apart(before, block)) {
            lines.push(String::new());
        }
        lines.extend(shown(block, paint));
    }
    let listed = match &screen.ask {
        Ask::Choice { choices, default, .. } => list(choices, default, paint),
        Ask::Many { choices, filter, .. } => toggles(choices, filter, paint),
        _ => Vec::new(),
    };
    if !listed.is_empty() {
        if !screen.blocks.is_empty() {
            lines.push(String::new());
        }
        lines.extend(listed);
    }
    lines.push(String::new());
    lines
}

/// Whether a block stands apart from the one before: a new thought does, what belongs to it does not.
fn is_apart(before: &Block, block: &Block) -> bool {
    let is_text = |block: &Block| {
        matches!(
            block,
            Block::Text { .. } | Block::Good { .. } | Block::Note { .. }
        )
    };
    matches!(
        before,
        Block::Device { .. } | Block::Pairs { .. } | Block::Command { .. }
    ) && is_text(block)
        || matches!(
            (before, block),
            (Block::Text { .. } | Block::Good { .. }, Block::Text { .. })
        )
        || matches!(block, Block::Note { .. }) && !matches!(before, Block::Note { .. })
}

fn title(screen: &Screen, paint: Paint) -> String {
    let title = visible(&screen.title);
    let Some((step, of)) = screen.step else {
        return format!("{INDENT}{}", paint.bold(&title));
    };
    let step = format!("step {step} of {of}");
    let gap = paint.room().saturating_sub(title.width() + step.width()).max(2);
    format!(
        "{INDENT}{}{}{}",
        paint.bold(&title),
        " ".repeat(gap),
        paint.dim(&step)
    )
}

fn shown(block: &Block, paint: Paint) -> Vec<String> {
    let paragraph = |text: &str, style: &dyn Fn(&str) -> String, mark: &str| -> Vec<String> {
        let room = paint.room() - mark.width();
        let mut lines = Vec::new();
        for part in visible(text).lines() {
            for line in wrapped(part, room) {
                let mark = if lines.is_empty() {
                    mark.to_owned()
                } else {
                    " ".repeat(mark.width())
                };
                lines.push(format!("{INDENT}{}", style(&format!("{mark}{line}"))));
            }
        }
        lines
    };
    match block {
        Block::Text { text } => paragraph(text, &|line| line.to_owned(), ""),
        Block::Note { text } => paragraph(text, &|line| paint.yellow(line), "! "),
        Block::Good { text } => paragraph(text, &|line| paint.green(line), ""),
        Block::Command { text } => vec![format!("{INDENT}    {}", paint.cyan(&visible(text)))],
        Block::Pairs { rows } => pairs(rows, paint),
        Block::Device {
            name,
            about,
            values,
            rest,
        } => {
            let (name, about) = (visible(name), visible(about));
            let mut lines = vec![String::new()];
            if name.width() + about.width() + 3 <= paint.room() {
                lines.push(format!("{INDENT}{}   {}", paint.bold(&name), paint.dim(&about)));
            } else {
                lines.push(format!("{INDENT}{}", paint.bold(&name)));
                let about = wrapped(&about, paint.room()).into_iter();
                lines.extend(about.map(|line| format!("{INDENT}{}", paint.dim(&line))));
            }
            lines.extend(columns(values, paint));
            for remark in rest {
                for line in wrapped(&visible(remark), paint.room() - 2) {
                    lines.push(format!("{INDENT}  {}", paint.dim(&line)));
                }
            }
            lines
        }
    }
}

/// Names and what belongs to them, one under the other.
fn pairs(rows: &[(String, String)], paint: Paint) -> Vec<String> {
    let widest = rows
        .iter()
        .map(|(name, _)| visible(name).width())
        .max()
        .unwrap_or_default();
    let first = widest.min(paint.room() / 2);
    let mut lines = Vec::new();
    for (name, text) in rows {
        let name = visible(name);
        let room = paint.room().saturating_sub(first + 4).max(16);
        let mut parts = wrapped(&visible(text), room).into_iter();
        let head = parts.next().unwrap_or_default();
        if name.width() > first {
            lines.push(format!("{INDENT}  {}", paint.dim(&name)));
            lines.push(format!("{INDENT}  {:first$}  {head}", ""));
        } else {
            lines.push(
                format!("{INDENT}  {}{}  {head}", paint.dim(&name), pad(&name, first))
                    .trim_end()
                    .to_owned(),
            );
        }
        lines.extend(parts.map(|part| format!("{INDENT}  {:first$}  {part}", "")));
    }
    lines
}

/// Names and values side by side, as many as there is room for.
fn columns(values: &[(String, String)], paint: Paint) -> Vec<String> {
    let room = paint.room() - 2;
    let across = (room / COLUMN).max(1);
    let width = room / across;
    values
        .chunks(across)
        .map(|row| {
            let cell = |(name, value): &(String, String)| {
                let (name, value) = (visible(name), visible(value));
                let value = cut(&value, width / 2);
                let name = cut(&name, width.saturating_sub(value.width() + 4));
                let gap = width.saturating_sub(name.width() + value.width() + 3).max(1);
                format!(
                    "{name} {}{value}  ",
                    paint.dim(&".".repeat(gap.saturating_sub(1)).to_string())
                )
            };
            format!("{INDENT}  {}", row.iter().map(cell).collect::<String>())
                .trim_end()
                .to_owned()
        })
        .collect()
}

/// The choices, each with its number; the one that Enter takes is marked.
fn list(choices: &[Choice], default: &str, paint: Paint) -> Vec<String> {
    if let [only] = choices
        && only.hint.is_empty()
    {
        // Nothing to choose: Enter goes on.
        return Vec::new();
    }
    let numbers = numbers(choices);
    let digits = numbers.iter().map(String::len).max().unwrap_or_default();
    let widest = choices
        .iter()
        .map(|choice| visible(&choice.label).width())
        .max()
        .unwrap_or_default();
    let label_room = widest.min(paint.width / 2 - 6);
    let hint_room = paint.room().saturating_sub(digits + label_room + 6).max(16);
    let mut lines = Vec::new();
    for (number, choice) in choices.iter().enumerate() {
        let label = visible(&choice.label);
        let taken = choice.key == default;
        let mark = if taken { paint.green("›") } else { " ".to_owned() };
        let number = format!("{:>digits$}", numbers[number]);
        let shown = if taken { paint.bold(&label) } else { label.clone() };
        let number = paint.cyan(&number);
        let mut hints = wrapped(&visible(&choice.hint), hint_room).into_iter();
        if label.width() > label_room {
            lines.push(format!("{INDENT}{mark} {number}  {shown}"));
        } else {
            let hint = paint.dim(&hints.next().unwrap_or_default());
            let line = format!(
                "{INDENT}{mark} {number}  {shown}{}  {hint}",
                pad(&label, label_room)
            );
            lines.push(line.trim_end().to_owned());
        }
        let behind = " ".repeat(INDENT.len() + digits + label_room + 6);
        lines.extend(hints.map(|hint| format!("{behind}{}", paint.dim(&hint))));
    }
    lines
}

/// What can be switched, with how it stands.
fn toggles(choices: &[Toggle], filter: &str, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    if !filter.is_empty() {
        lines.push(format!(
            "{INDENT}{}",
            paint.dim(&format!("only what has \"{}\" in its name", visible(filter)))
        ));
    }
    if choices.is_empty() {
        lines.push(format!(
            "{INDENT}{}",
            paint.yellow("Nothing has that in its name.")
        ));
    }
    let digits = choices.len().to_string().len();
    for (number, choice) in choices.iter().enumerate() {
        let number = paint.cyan(&format!("{:>digits$}", number + 1));
        let state = match choice.on {
            true => paint.green("[x]"),
            false => "[ ]".to_owned(),
        };
        let room = paint.room().saturating_sub(digits + 8);
        let hint = cut(&visible(&choice.hint), room / 2);
        let label = cut(&visible(&choice.label), room.saturating_sub(hint.width() + 2));
        let gap = room.saturating_sub(label.width() + hint.width());
        let hint = paint.dim(&hint);
        lines.push(
            format!("{INDENT}{number}  {state}  {label}{}{hint}", " ".repeat(gap))
                .trim_end()
                .to_owned(),
        );
    }
    lines
}

/// What stands before the cursor, and above it what can be typed.
pub fn prompt(screen: &Screen, paint: Paint) -> (String, String) {
    let (prompt, default) = match &screen.ask {
        Ask::Choice {
            prompt,
            choices,
            default,
            ..
        } => {
            let number = choices.iter().position(|choice| choice.key == *default);
            let number = number.and_then(|number| numbers(choices).into_iter().nth(number));
            (prompt.clone(), number.unwrap_or_default())
        }
        Ask::Text { prompt, default } => (prompt.clone(), default.clone()),
        Ask::YesNo { prompt, default } => {
            let (prompt, default) = (prompt.clone(), if *default { "Y/n" } else { "y/N" });
            (prompt, default.to_owned())
        }
        Ask::Many { prompt, .. } => (prompt.clone(), "done".to_owned()),
        Ask::Work { .. } | Ask::End { .. } => (String::new(), String::new()),
    };
    let only = matches!(&screen.ask, Ask::Choice { choices, .. } if choices.len() == 1);
    let mut ways = vec![match (&screen.ask, only) {
        (_, true) => "Enter goes on".to_owned(),
        (Ask::Text { default, .. }, _) if default.is_empty() => "type it, then Enter".to_owned(),
        _ => "Enter takes what stands in [ ]".to_owned(),
    }];
    if matches!(
        &screen.ask,
        Ask::Many { .. } | Ask::Choice { filter: Some(_), .. }
    ) {
        ways.push("/text lists less".to_owned());
    }
    if screen.back {
        ways.push("b back".to_owned());
    }
    if !screen.help.is_empty() {
        ways.push("? help".to_owned());
    }
    ways.push("q quit".to_owned());
    let legend = format!("{INDENT}{}", paint.dim(&ways.join(" · ")));
    let default = match (default.as_str(), only) {
        ("", _) | (_, true) => String::new(),
        (default, _) => format!("[{}] ", visible(default)),
    };
    let prompt = match prompt.as_str() {
        "" => String::new(),
        prompt => format!("{} ", visible(prompt)),
    };
    (
        legend,
        format!("{INDENT}{}{}{} ", paint.bold(&prompt), default, paint.cyan("›")),
    )
}

/// Help, or what was wrong.
pub fn remark(text: &str, yellow: bool, paint: Paint) -> Vec<String> {
    let lines: Vec<String> = visible(text)
        .lines()
        .flat_map(|line| wrapped(line, paint.room()))
        .collect();
    lines
        .into_iter()
        .map(|line| match yellow {
            true => format!("{INDENT}{}", paint.yellow(&line)),
            false => format!("{INDENT}{line}"),
        })
        .collect()
}

/// Words in lines of at most so many columns. A word that is longer has a line of its own.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            lines.push(word.to_owned());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

fn pad(text: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(text.width()))
}

/// As much of a text as there is room for.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if kept.width() + 2 > width {
            break;
        }
        kept.push(c);
    }
    format!("{}…", kept.trim_end())
}
