//! Literals in Python sources: enough of the language to find register lists in it, and nothing is executed. Pure.
//!
//! Whatever is not a literal, a name or a call of something with literals is [`Shape::Other`]: it is told with its
//! line, never guessed. Hostile sources are bounded in size, in tokens and in depth.

/// The largest source, in bytes.
pub const MAX_SOURCE: usize = 1 << 20;

/// The most tokens that are looked at.
const MAX_TOKENS: usize = 200_000;

/// How deep lists may lie in each other.
const MAX_DEPTH: usize = 24;

/// A piece of source.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub shape: Shape,
    /// Its line, counted from 1.
    pub line: usize,
}

/// What a piece of source is.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// Another number, as it is written.
    Real(String),
    /// A name, with dots: `MBClient.DATATYPE.FLOAT32`.
    Name(String),
    /// A list or a tuple.
    List(Vec<Node>),
    /// A dictionary.
    Dict(Vec<(Node, Node)>),
    /// A call: its name, and its arguments with their keywords.
    Call(String, Vec<(Option<String>, Node)>),
    /// Anything else.
    Other,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Text(String),
    Number(String),
    Name(String),
    Sign(char),
}

/// Every expression of a source that could be understood, each with the name that it was given, if any.
pub fn read(source: &str) -> Vec<(Option<String>, Node)> {
    let tokens = tokens(source);
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
    };
    let mut all = Vec::new();
    while let Some((token, _)) = reader.tokens.get(reader.at) {
        let assigned = match (token, reader.peek(1)) {
            (Token::Name(name), Some(Token::Sign('='))) if reader.peek(2) != Some(&Token::Sign('=')) => {
                Some(name.clone())
            }
            _ => None,
        };
        if assigned.is_some() {
            reader.at += 2;
        }
        let before = reader.at;
        let node = reader.node(0);
        if !matches!(node.shape, Shape::Other) || assigned.is_some() {
            all.push((assigned, node));
        }
        reader.at = reader.at.max(before + 1);
    }
    all
}

struct Reader<'a> {
    tokens: &'a [(Token, usize)],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|(token, _)| token)
    }

    fn is(&self, sign: char) -> bool {
        self.peek(0) == Some(&Token::Sign(sign))
    }

    /// One operand; `Other` where there is none.
    fn node(&mut self, depth: usize) -> Node {
        let Some((token, line)) = self.tokens.get(self.at).cloned() else {
            return Node {
                shape: Shape::Other,
                line: 0,
            };
        };
        self.at += 1;
        let shape = match token {
            Token::Text(mut text) => {
                // Texts that stand side by side are one.
                while let Some(Token::Text(more)) = self.peek(0) {
                    text.push_str(more);
                    self.at += 1;
                }
                Shape::Text(text)
            }
            Token::Number(digits) => match whole(&digits) {
                Some(n) => Shape::Whole(n),
                None if digits.parse::<f64>().is_ok() => Shape::Real(digits),
                None => Shape::Other,
            },
            Token::Sign('-') if depth < MAX_DEPTH => match self.node(depth + 1).shape {
                Shape::Real(digits) => Shape::Real(format!("-{digits}")),
                Shape::Whole(n) => n.checked_neg().map_or(Shape::Other, Shape::Whole),
                _ => Shape::Other,
            },
            Token::Name(name) => self.name(name, depth),
            Token::Sign(open @ ('(' | '[' | '{')) if depth < MAX_DEPTH => self.collection(open, depth + 1),
            Token::Sign(_) => Shape::Other,
        };
        Node { shape, line }
    }

    fn name(&mut self, mut name: String, depth: usize) -> Shape {
        while self.is('.') {
            let Some(Token::Name(part)) = self.peek(1) else {
                return Shape::Other;
            };
            name.push('.');
            name.push_str(part);
            self.at += 2;
        }
        if !self.is('(') || depth >= MAX_DEPTH {
            return Shape::Name(name);
        }
        self.at += 1;
        let mut arguments = Vec::new();
        while self.at < self.tokens.len() && !self.is(')') {
            let keyword = match (self.peek(0), self.peek(1)) {
                (Some(Token::Name(keyword)), Some(Token::Sign('='))) => Some(keyword.clone()),
                _ => None,
            };
            if keyword.is_some() {
                self.at += 2;
            }
            arguments.push((keyword, self.item(')', depth + 1)));
        }
        self.at += 1;
        Shape::Call(name, arguments)
    }

    fn collection(&mut self, open: char, depth: usize) -> Shape {
        let close = match open {
            '(' => ')',
            '[' => ']',
            _ => '}',
        };
        let (mut items, mut pairs) = (Vec::new(), Vec::new());
        while self.at < self.tokens.len() && !self.is(close) {
            if open != '{' {
                items.push(self.item(close, depth));
                continue;
            }
            let key = self.node(depth);
            if self.is(':') {
                self.at += 1;
                pairs.push((key, self.item(close, depth)));
            } else {
                self.skip(close);
                pairs.push((
                    key.clone(),
                    Node {
                        shape: Shape::Other,
                        line: key.line,
                    },
                ));
            }
        }
        self.at += 1;
        if open == '{' {
            Shape::Dict(pairs)
        } else {
            Shape::List(items)
        }
    }

    /// One item and the comma behind it. More than an operand (`3000 + 1`, `x for x in …`) is nothing that we know.
    fn item(&mut self, close: char, depth: usize) -> Node {
        let before = self.at;
        let mut node = self.node(depth);
        if !self.is(',') && !self.is(close) {
            node.shape = Shape::Other;
            self.skip(close);
        }
        if self.is(',') {
            self.at += 1;
        }
        self.at = self.at.max(before + 1);
        node
    }

    /// To the comma or the end of this item.
    fn skip(&mut self, close: char) {
        let mut open = 0usize;
        while let Some(token) = self.peek(0) {
            match token {
                Token::Sign('(' | '[' | '{') => open += 1,
                Token::Sign(',') if open == 0 => return,
                Token::Sign(c) if open == 0 && *c == close => return,
                Token::Sign(')' | ']' | '}') => open = open.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
        }
    }
}

fn whole(digits: &str) -> Option<i64> {
    let digits = digits.replace('_', "").to_ascii_lowercase();
    let radix = |prefix: &str, radix: u32| {
        let rest = digits.strip_prefix(prefix)?;
        Some(i64::from_str_radix(rest, radix).ok())
    };
    radix("0x", 16)
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0b", 2))
        .unwrap_or_else(|| digits.parse().ok())
}

/// The words of a source, each with its line; comments are left out.
fn tokens(source: &str) -> Vec<(Token, usize)> {
    let mut tokens = Vec::new();
    let chars: Vec<char> = source.chars().take(MAX_SOURCE).collect();
    let (mut i, mut line) = (0, 1);
    while let Some(&c) = chars.get(i) {
        if tokens.len() >= MAX_TOKENS {
            break;
        }
        let began = line;
        match c {
            '\n' => {
                line += 1;
                i += 1;
            }
            '#' => {
                while chars.get(i).is_some_and(|c| *c != '\n') {
                    i += 1;
                }
            }
            '"' | '\'' => {
                let (text, next) = quoted(&chars, i, false, &mut line);
                tokens.push((Token::Text(text), began));
                i = next;
            }
            c if c.is_ascii_digit() => {
                let end = word_end(&chars, i, |c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
                tokens.push((Token::Number(chars[i..end].iter().collect()), began));
                i = end;
            }
            c if c.is_alphabetic() || c == '_' => {
                let end = word_end(&chars, i, |c| c.is_alphanumeric() || c == '_');
                let word: String = chars[i..end].iter().collect();
                let quote = matches!(chars.get(end), Some('"' | '\'')) && word.len() <= 2;
                match word.to_ascii_lowercase().as_str() {
                    "r" | "u" | "b" | "br" | "rb" if quote => {
                        let raw = word.to_ascii_lowercase().contains('r');
                        let (text, next) = quoted(&chars, end, raw, &mut line);
                        tokens.push((Token::Text(text), began));
                        i = next;
                    }
                    // What a formatted text says is only known when it is executed.
                    "f" | "fr" | "rf" if quote => {
                        let (_, next) = quoted(&chars, end, true, &mut line);
                        tokens.push((Token::Sign('?'), began));
                        i = next;
                    }
                    _ => {
                        tokens.push((Token::Name(word), began));
                        i = end;
                    }
                }
            }
            c if c.is_whitespace() || c == '\\' => i += 1,
            c => {
                tokens.push((Token::Sign(c), began));
                i += 1;
            }
        }
    }
    tokens
}

fn word_end(chars: &[char], from: usize, belongs: impl Fn(char) -> bool) -> usize {
    let rest = chars.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|c| belongs(**c)).count()
}

/// A text from its opening quote on, and where the source goes on.
fn quoted(chars: &[char], start: usize, raw: bool, line: &mut usize) -> (String, usize) {
    let quote = chars.get(start).copied().unwrap_or('"');
    let long = chars.get(start + 1) == Some(&quote) && chars.get(start + 2) == Some(&quote);
    let width = if long { 3 } else { 1 };
    let mut text = String::new();
    let mut i = start + width;
    while let Some(&c) = chars.get(i) {
        let closes = chars
            .get(i..i + width)
            .is_some_and(|end| end.iter().all(|c| *c == quote));
        if closes {
            return (text, i + width);
        }
        match c {
            // A quote that is not closed costs its line.
            '\n' if !long => return (text, i),
            '\\' if !raw => {
                i += 1;
                match chars.get(i) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('\n') => *line += 1,
                    Some(c) => text.push(*c),
                    None => {}
                }
            }
            c => {
                *line += usize::from(c == '\n');
                text.push(c);
            }
        }
        i += 1;
    }
    (text, i)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(source: &str) -> Shape {
        read(source).remove(0).1.shape
    }

    #[test]
    fn literals_are_read() {
        assert_eq!(shape("0x1_0"), Shape::Whole(16));
        assert_eq!(shape("-7"), Shape::Whole(-7));
        assert_eq!(shape("'it\\'s' \"fine\""), Shape::Text("it'sfine".into()));
        assert_eq!(shape("a.b.C"), Shape::Name("a.b.C".into()));
        let Shape::List(items) = shape("[1, 'x', # two, 3\n 3000 + 1, (2,), f'{x}', *more]") else {
            panic!()
        };
        let shapes: Vec<_> = items.into_iter().map(|n| (n.shape, n.line)).collect();
        assert_eq!(shapes[1], (Shape::Text("x".into()), 1));
        assert_eq!(shapes[2], (Shape::Other, 2));
        assert_eq!(
            shapes[3].0,
            Shape::List(vec![Node {
                shape: Shape::Whole(2),
                line: 2
            }])
        );
        assert_eq!(
            (&shapes[4].0, &shapes[5].0, shapes.len()),
            (&Shape::Other, &Shape::Other, 6)
        );
    }

    #[test]
    fn hostile_sources_end() {
        for source in [
            "[".repeat(100_000),
            "{".repeat(9_999),
            "a(".repeat(50_000),
            "-".repeat(2_000),
            "'".repeat(70_001),
            "f\"".repeat(9_000),
        ] {
            let _ = read(&source);
        }
    }
}
