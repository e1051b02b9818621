//! The text format: Prometheus' own, version 0.0.4, and OpenMetrics 1.0. Pure.

use std::fmt::Write;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// What kind of metrics a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Goes up only, or begins again at 0. Its samples end with `_total`.
    Counter,
    /// Always 1: the labels are what counts. Its samples end with `_info`.
    Info,
}

impl Format {
    /// What a reader asks for with `Accept`: OpenMetrics where it is named and not refused (`q=0`), and nothing else is
    /// liked better.
    pub fn asked(accept: &str) -> Format {
        let best = |name: &str| {
            let each = accept.split(',').filter_map(|one| {
                let mut parts = one.split(';').map(str::trim);
                let named = parts.next()?.eq_ignore_ascii_case(name);
                let q = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f64>().ok());
                named.then(|| q.unwrap_or(1.0))
            });
            each.fold(0.0, f64::max)
        };
        let open = best("application/openmetrics-text");
        match open > 0.0 && open >= best("text/plain") {
            true => Format::OpenMetrics,
            false => Format::Text,
        }
    }

    /// What is answered as `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes families, one after the other; each stands once, with all its samples behind it.
#[derive(Debug)]
pub struct Writer {
    format: Format,
    out: String,
}

impl Writer {
    /// Begins.
    pub fn new(format: Format) -> Self {
        Writer {
            format,
            out: String::new(),
        }
    }

    /// Begins a family. `name` is without `_total` and `_info`; `unit` is its end, or empty.
    pub fn family(&mut self, name: &str, kind: Kind, unit: &str, help: &str) {
        let open = self.format == Format::OpenMetrics;
        // In 0.0.4 a family is called as its samples are.
        let (ending, word) = match kind {
            Kind::Gauge => ("", "gauge"),
            Kind::Counter => ("_total", "counter"),
            Kind::Info => ("_info", "info"),
        };
        let ending = if open { "" } else { ending };
        let word = if open || kind != Kind::Info { word } else { "gauge" };
        let _ = write!(self.out, "# HELP {name}{ending} ");
        self.escaped(help, open);
        let _ = writeln!(self.out, "\n# TYPE {name}{ending} {word}");
        if open && !unit.is_empty() {
            let _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
    }

    /// One sample of the family. A number that is none is left out.
    pub fn sample(&mut self, name: &str, kind: Kind, labels: &Labels, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.out.push_str(name);
        self.out.push_str(match kind {
            Kind::Gauge => "",
            Kind::Counter => "_total",
            Kind::Info => "_info",
        });
        if !labels.0.is_empty() {
            self.out.push('{');
            self.out.push_str(&labels.0);
            self.out.push('}');
        }
        // Whole numbers are written as such, and -0 as 0.
        let _ = writeln!(self.out, " {}", value + 0.0);
    }

    /// A family of one sample without labels.
    pub fn single(&mut self, name: &str, kind: Kind, unit: &str, help: &str, value: f64) {
        self.family(name, kind, unit, help);
        self.sample(name, kind, &Labels::default(), value);
    }

    /// How much is written and not taken.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing is written that was not taken.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes what is written so far.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    /// Ends.
    pub fn end(&mut self) {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
    }

    fn escaped(&mut self, text: &str, quotes: bool) {
        escape(&mut self.out, text, quotes);
    }
}

/// Labels of one sample, written.
#[derive(Clone, Debug, Default)]
pub struct Labels(String);

impl Labels {
    /// One more. The name is one of ours, or checked.
    pub fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(name);
        self.0.push_str("=\"");
        escape(&mut self.0, value, true);
        self.0.push('"');
    }

    /// The same labels and one more.
    pub fn and(&self, name: &str, value: &str) -> Labels {
        let mut labels = self.clone();
        labels.add(name, value);
        labels
    }
}

/// Control characters other than a line's end tell nobody anything, and some readers refuse them.
fn escape(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_given_to_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::asked(prometheus), Format::OpenMetrics);
        for text in [
            "",
            "*/*",
            "text/html, */*;q=0.1",
            "text/plain",
            "application/openmetrics-text;q=0",
        ] {
            assert_eq!(Format::asked(text), Format::Text, "{text}");
        }
        assert_eq!(
            Format::asked("text/plain;q=1,application/openmetrics-text;q=0.2"),
            Format::Text
        );
    }

    #[test]
    fn both_formats_name_a_counter_by_their_own_rules() {
        let write = |format: Format| {
            let mut writer = Writer::new(format);
            writer.family("a_joules", Kind::Counter, "joules", "A \"b\"\\\n");
            writer.sample(
                "a_joules",
                Kind::Counter,
                &Labels::default().and("x", "\"\\\n\u{7}"),
                3.0,
            );
            writer.sample("a_joules", Kind::Counter, &Labels::default(), f64::NAN);
            writer.single("b", Kind::Info, "", "B.", 1.0);
            writer.end();
            writer.take()
        };
        assert_eq!(
            write(Format::Text),
            "# HELP a_joules_total A \"b\"\\\\\\n\n# TYPE a_joules_total counter\n\
             a_joules_total{x=\"\\\"\\\\\\n\u{fffd}\"} 3\n\
             # HELP b_info B.\n# TYPE b_info gauge\nb_info 1\n"
        );
        assert_eq!(
            write(Format::OpenMetrics),
            "# HELP a_joules A \\\"b\\\"\\\\\\n\n# TYPE a_joules counter\n# UNIT a_joules joules\n\
             a_joules_total{x=\"\\\"\\\\\\n\u{fffd}\"} 3\n\
             # HELP b B.\n# TYPE b info\nb_info 1\n# EOF\n"
        );
    }
}
