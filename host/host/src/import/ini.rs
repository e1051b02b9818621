//! Configuration files as Python's `configparser` reads them: sections, `key = value` or `key: value`, values that go on
//! in lines further in, `%(other)s`. Pure. What that parser would have stopped at is told with its line.

use std::collections::BTreeSet;

/// More faults than this are not told: a hostile file must not fill a screen.
const MAX_NOTES: usize = 100;
/// The longest value, in bytes, also after other values were put into it.
const MAX_VALUE: usize = 4096;
/// How deep values may lie in each other; Python's own bound.
const MAX_DEPTH: usize = 10;
/// The section whose keys all others have.
const DEFAULT: &str = "DEFAULT";

/// A file.
#[derive(Debug, Default)]
pub struct Ini {
    options: Vec<Opt>,
    sections: Vec<(String, usize)>,
    /// What was not understood, by line.
    pub notes: BTreeSet<(usize, String)>,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opt {
    /// Its section.
    pub section: String,
    /// The key, in small letters.
    pub key: String,
    /// The value as it stands there.
    pub raw: String,
    /// Its line, counted from 1.
    pub line: usize,
}

impl Ini {
    /// Reads a file.
    pub fn read(text: &str) -> Self {
        let mut reader = Reader::default();
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            reader.line(number + 1, line);
        }
        let mut ini = reader.ini;
        for option in &mut ini.options {
            option.raw.truncate(option.raw.trim_end().len());
        }
        ini
    }

    /// Whether there is such a section.
    pub fn has(&self, section: &str) -> bool {
        self.sections.iter().any(|(name, _)| name == section)
    }

    /// All sections with their lines.
    pub fn sections(&self) -> &[(String, usize)] {
        &self.sections
    }

    /// All keys of a section, those of `DEFAULT` not among them.
    pub fn of<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a Opt> {
        self.options
            .iter()
            .filter(move |option| option.section == section)
    }

    /// A key of a section, or of `DEFAULT`.
    pub fn option(&self, section: &str, key: &str) -> Option<&Opt> {
        let in_section = |name: &str| {
            self.options
                .iter()
                .find(|option| option.section == name && option.key == key)
        };
        in_section(section).or_else(|| in_section(DEFAULT))
    }

    /// Its value, with what it names put in.
    ///
    /// # Errors
    /// What is wrong with it. Python stops there; `option.raw` is what stands in the file.
    pub fn value(&self, section: &str, option: &Opt) -> Result<String, String> {
        let mut value = String::new();
        self.put(section, &option.raw, 0, &mut value)?;
        Ok(value)
    }

    fn put(&self, section: &str, raw: &str, depth: usize, value: &mut String) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("names lie more than {MAX_DEPTH} deep in each other"));
        }
        let mut rest = raw;
        while let Some((before, after)) = rest.split_once('%') {
            value.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                value.push('%');
                rest = after;
            } else if let Some((name, after)) = after.strip_prefix('(').and_then(|name| name.split_once(")s"))
            {
                let named = self.option(section, &name.to_lowercase());
                let named = named.ok_or_else(|| format!("%({name})s is nowhere in the file"))?;
                self.put(section, &named.raw, depth + 1, value)?;
                rest = after;
            } else {
                return Err("a % stands alone; Python wants two of them".to_owned());
            }
            if value.len() > MAX_VALUE {
                break;
            }
        }
        value.push_str(rest);
        if value.len() > MAX_VALUE {
            return Err(format!("it is longer than {MAX_VALUE} bytes"));
        }
        Ok(())
    }
}

#[derive(Default)]
struct Reader {
    ini: Ini,
    section: Option<String>,
    /// The key whose value may go on, by its place, and how far in its line began.
    open: Option<usize>,
    indent: usize,
}

impl Reader {
    fn note(&mut self, line: usize, what: impl Into<String>) {
        if self.ini.notes.len() < MAX_NOTES {
            self.ini.notes.insert((line, what.into()));
        }
    }

    fn line(&mut self, number: usize, line: &str) {
        let text = line.trim();
        if text.starts_with(['#', ';']) {
            return;
        }
        if text.is_empty() {
            self.goes_on("");
            return;
        }
        let indent = line.len() - line.trim_start().len();
        if self.open.is_some() && indent > self.indent {
            self.goes_on(text);
            return;
        }
        self.indent = indent;
        if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')) {
            self.begin(number, name.0);
            return;
        }
        self.option(number, text);
    }

    fn goes_on(&mut self, text: &str) {
        if let Some(option) = self.open.and_then(|open| self.ini.options.get_mut(open))
            && option.raw.len() + text.len() < MAX_VALUE
        {
            option.raw.push('\n');
            option.raw.push_str(text);
        }
    }

    fn begin(&mut self, number: usize, name: &str) {
        self.open = None;
        self.section = Some(name.to_owned());
        if name != DEFAULT && self.ini.has(name) {
            self.note(
                number,
                format!("the section [{name}] stands twice, and Python stops there; what is in both counts"),
            );
        } else {
            self.ini.sections.push((name.to_owned(), number));
        }
    }

    fn option(&mut self, number: usize, text: &str) {
        self.open = None;
        let Some(section) = self.section.clone() else {
            self.note(number, "stands before the first [SECTION]");
            return;
        };
        let Some((key, value)) = text.split_once(['=', ':']) else {
            // Never the text itself: it may be the end of a password.
            self.note(number, "has no = and no :");
            return;
        };
        let key = key.trim().to_lowercase();
        if key.is_empty() || key.len() > MAX_VALUE {
            self.note(number, "has no key before its =");
            return;
        }
        let value = value.trim();
        if value.len() > MAX_VALUE {
            self.note(
                number,
                format!("the value of {key} is longer than {MAX_VALUE} bytes"),
            );
            return;
        }
        let known = self
            .ini
            .options
            .iter()
            .position(|o| o.section == section && o.key == key);
        if let Some(known) = known {
            self.note(
                number,
                format!("{key} stands twice, and Python stops there; the last one counts"),
            );
            self.ini.options.remove(known);
        }
        self.open = Some(self.ini.options.len());
        self.ini.options.push(Opt {
            section,
            key,
            raw: value.to_owned(),
            line: number,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(ini: &Ini, section: &str, key: &str) -> Option<String> {
        let option = ini.option(section, key)?;
        Some(ini.value(section, option).unwrap())
    }

    #[test]
    fn what_python_reads_is_read() {
        let ini = Ini::read(
            "\u{feff}# a comment\n; another\n[DEFAULT]\nhome = /srv\n[One]\nKey: a = b\nempty =\n  next\nmore = first\n  second\n\n\
             \tthird\n# no part of it\n  fourth\n\npath = %(home)s/x%%\n[Two]\r\nkey = ü # no comment\r\n  [no section]\n",
        );
        assert!(ini.notes.is_empty(), "{:?}", ini.notes);
        assert_eq!(value(&ini, "One", "key").unwrap(), "a = b");
        assert_eq!(value(&ini, "One", "empty").unwrap(), "\nnext");
        assert_eq!(
            value(&ini, "One", "more").unwrap(),
            "first\nsecond\n\nthird\nfourth"
        );
        assert_eq!(value(&ini, "One", "path").unwrap(), "/srv/x%");
        assert_eq!(value(&ini, "Two", "key").unwrap(), "ü # no comment\n[no section]");
        assert_eq!(value(&ini, "Two", "home").unwrap(), "/srv");
        assert_eq!(value(&ini, "one", "key"), None);
        assert!(ini.has("Two") && !ini.has("Three"));
        assert_eq!(ini.option("Two", "key").unwrap().line, 18);
    }

    #[test]
    fn what_python_stops_at_is_told_with_its_line() {
        let ini = Ini::read("early = 1\n[A]\nkey = 1\nKEY = 2\nno delimiter\n= nothing\n[A]\nother = 3\n");
        let lines: Vec<usize> = ini.notes.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 4, 5, 6, 7]);
        assert_eq!(value(&ini, "A", "key").unwrap(), "2");
        assert_eq!(value(&ini, "A", "other").unwrap(), "3");
    }

    #[test]
    fn values_in_values_are_bounded() {
        let mut text = "[A]\na0 = xxxxxxxxxxxxxxxx\n".to_owned();
        for n in 1..10 {
            let name = format!("%(a{})s", n - 1);
            text.push_str(&format!("a{n} = {}\n", name.repeat(8)));
        }
        text.push_str("loop = %(loop)s\nlone = 5% of it\nlost = %(nowhere)s\n");
        let ini = Ini::read(&text);
        for (key, word) in [
            ("a9", "longer"),
            ("loop", "deep"),
            ("lone", "alone"),
            ("lost", "nowhere"),
        ] {
            let option = ini.option("A", key).unwrap();
            let fault = ini.value("A", option).unwrap_err();
            assert!(fault.contains(word), "{key}: {fault}");
        }
    }
}
