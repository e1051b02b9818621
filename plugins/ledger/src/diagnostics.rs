//! What is wrong with a file, where, and what to write instead.

use std::fmt;
use std::ops::Range;

use miette::{LabeledSpan, NamedSource, SourceCode};

/// At most this many faults of one file are shown; the rest are counted.
pub const MAX_SHOWN: usize = 50;

/// At most this many are kept while a file is read, so that a hostile one cannot fill the memory.
const MAX_KEPT: usize = 1_000;

/// The longest message, in characters.
const MAX_MESSAGE: usize = 400;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of fault it is, a stable word for programs.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// The bytes of the text that are wrong; `None` where the whole file is meant.
    pub span: Option<Range<usize>>,
    /// Another place that has to do with it, and what is there.
    pub related: Option<(Range<usize>, String)>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

impl miette::Diagnostic for Diagnostic {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let own = self
            .span
            .clone()
            .map(|span| LabeledSpan::new_primary_with_span(None, span));
        let related = self
            .related
            .clone()
            .map(|(span, text)| LabeledSpan::new_with_span(Some(text), span));
        own.is_some()
            .then(|| Box::new(own.into_iter().chain(related)) as Box<dyn Iterator<Item = LabeledSpan>>)
    }
}

/// All faults of one file, in the order of their places.
///
/// `Display` is one plain line for each fault, `file:line:column: message (help)`; [`Diagnostics::report`] is for
/// a renderer that underlines the places.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    source: NamedSource<String>,
    all: Vec<Diagnostic>,
    more: usize,
}

impl Diagnostics {
    /// The faults, at most [`MAX_SHOWN`].
    pub fn all(&self) -> &[Diagnostic] {
        &self.all
    }

    /// How many more there are.
    pub fn more(&self) -> usize {
        self.more
    }

    /// The name of the file, as it was given to the parser.
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// The faults as one report that miette can render, each with its lines.
    pub fn report(&self) -> Report<'_> {
        Report(self)
    }

    /// Line and column of a fault, both counted from 1, the column in characters.
    pub fn position(&self, diagnostic: &Diagnostic) -> (usize, usize) {
        let text = self.source.inner();
        let at = diagnostic
            .span
            .as_ref()
            .map_or(0, |span| span.start.min(text.len()));
        let before = text.get(..at).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        (
            line,
            before.get(line_start..).unwrap_or_default().chars().count() + 1,
        )
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.all.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            let (line, column) = self.position(diagnostic);
            write!(f, "{}:{line}:{column}: {}", self.file(), diagnostic.message)?;
            if let Some(help) = &diagnostic.help {
                write!(f, " ({help})")?;
            }
        }
        if self.more > 0 {
            write!(f, "\n{}: and {} more", self.file(), self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// The head under which the single faults are rendered.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a>(&'a Diagnostics);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostics { all, more, .. } = self.0;
        let count = all.len() + more;
        write!(
            f,
            "{count} {} in {}",
            if count == 1 { "fault" } else { "faults" },
            self.0.file()
        )
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.0.source)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let more = self.0.more;
        (more > 0)
            .then(|| Box::new(format!("and {more} more, once these are mended")) as Box<dyn fmt::Display>)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        Some(Box::new(self.0.all.iter().map(|d| d as &dyn miette::Diagnostic)))
    }
}

/// Collects faults while a file is read.
#[derive(Default)]
pub(crate) struct Sink {
    kept: Vec<Diagnostic>,
    dropped: usize,
}

impl Sink {
    /// Adds a fault; it is refined through the returned reference.
    pub(crate) fn add(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Diagnostic {
            code,
            message: message.into(),
            help: Some(help.into()),
            span: Some(span),
            related: None,
        });
    }

    pub(crate) fn push(&mut self, mut diagnostic: Diagnostic) {
        // Messages quote the file; nobody wants a page of it.
        if let Some((at, _)) = diagnostic.message.char_indices().nth(MAX_MESSAGE) {
            diagnostic.message.truncate(at);
            diagnostic.message.push('…');
        }
        if self.kept.len() >= MAX_KEPT {
            self.dropped += 1;
        } else if self.kept.last() != Some(&diagnostic) {
            // One line of a file may stand for many points; it is wrong once.
            self.kept.push(diagnostic);
        }
    }

    /// Whether so much is wrong that looking closer at a single section is of no use.
    pub(crate) fn is_flooded(&self) -> bool {
        self.kept.len() >= MAX_KEPT / 4
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Forgets faults on lines that cannot even be parsed: they only follow from that.
    pub(crate) fn forget_lines(&mut self, text: &str, lines: &[Range<usize>], from: usize) {
        let mut position = 0;
        self.kept.retain(|diagnostic| {
            position += 1;
            let Some(span) = diagnostic.span.as_ref().filter(|_| position > from) else {
                return true;
            };
            let start = text
                .get(..span.start)
                .and_then(|t| t.rfind('\n'))
                .map_or(0, |i| i + 1);
            !lines
                .iter()
                .any(|line| start <= line.end && line.start <= span.end)
        });
    }

    pub(crate) fn into_diagnostics(self, file: &str, text: &str) -> Diagnostics {
        let Sink {
            kept: mut all,
            dropped,
        } = self;
        all.sort_by_key(|d| d.span.as_ref().map_or(0, |span| span.start));
        let more = dropped + all.len().saturating_sub(MAX_SHOWN);
        all.truncate(MAX_SHOWN);
        Diagnostics {
            source: NamedSource::new(file, text.to_owned()),
            all,
            more,
        }
    }
}
