//! Takes out of texts and documents what a stranger need not know. The same thing is always replaced by the same word, so
//! that what belongs together can still be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;

/// What stands for something that has no name of its own.
pub const REMOVED: &str = "(removed)";
/// A shorter secret is only looked for as a whole word: a part of a word it could be anywhere.
const LEAST_PART: usize = 4;
/// Words after which something secret stands.
const TELLTALES: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "kennwort",
    "pwd",
    "token",
    "secret",
    "auth_key",
    "api_key",
    "bearer",
];
/// Folders below which each person has one of his own.
const HOMES: [&str; 5] = ["home", "Users", "run/media", "media", "var/spool/cron"];

/// What kind of thing is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A password, a key.
    Secret,
    /// A serial number, a hardware address.
    Serial,
    /// What somebody called a thing.
    Name,
    /// A host's name.
    Host,
    /// An address that the whole world can reach.
    Address,
    /// A person.
    User,
}

impl What {
    fn word(self) -> &'static str {
        match self {
            What::Secret => "secret",
            What::Serial => "serial",
            What::Name => "name",
            What::Host => "host",
            What::Address => "address",
            What::User => "user",
        }
    }
}

struct Known {
    /// As it is looked for: in small letters, one entry for each character.
    letters: Vec<char>,
    /// Only as a word of its own.
    whole: bool,
    stands: String,
}

/// What is known to be private, and what stands for it.
#[derive(Default)]
pub struct Redactor {
    known: Vec<Known>,
    labels: BTreeMap<(What, String), String>,
    /// Words and titles that everybody's Busbar has: who is called so is not told by it.
    public: BTreeSet<String>,
    /// Encoded forms: these are looked for as they are.
    encoded: Vec<String>,
}

fn small(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

impl Redactor {
    /// This, and each word of it, is the same in everybody's Busbar: a name that is no other is kept.
    pub fn publish(&mut self, text: &str) {
        let text = text.to_lowercase();
        let words = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty());
        self.public.extend(words.map(str::to_owned));
        self.public.insert(text);
    }

    /// From now on this is replaced, wherever it stands; gives what stands for it.
    pub fn know(&mut self, what: What, text: &str) -> String {
        let text = text.trim();
        let number = text.chars().all(|c| c.is_ascii_digit());
        if text.is_empty() || (number && text.len() < LEAST_PART) {
            // It tells nothing of anybody; where it stands alone it is replaced all the same.
            return format!("{} {REMOVED}", what.word()).trim_start().to_owned();
        }
        let named = matches!(what, What::Name | What::Host | What::User);
        if named && self.public.contains(&text.to_lowercase()) {
            return text.to_owned();
        }
        let label = self.label(what, text);
        for form in forms(text) {
            let letters: Vec<char> = form.chars().map(small).collect();
            if letters.is_empty() || self.known.iter().any(|known| known.letters == letters) {
                continue;
            }
            let whole = letters.len() < LEAST_PART || (what == What::Name && letters.len() < 2 * LEAST_PART);
            self.known.push(Known {
                letters,
                whole,
                stands: label.clone(),
            });
            if form.len() >= LEAST_PART {
                self.encoded.extend(in_base64(&form));
            }
        }
        // The longest first: it may hold a shorter one.
        self.known
            .sort_by_key(|known| std::cmp::Reverse(known.letters.len()));
        label
    }

    fn label(&mut self, what: What, text: &str) -> String {
        let key = (what, text.to_lowercase());
        if let Some(label) = self.labels.get(&key) {
            return label.clone();
        }
        let number = 1 + self.labels.keys().filter(|(of, _)| *of == what).count();
        let label = format!("{}{number}", what.word());
        self.labels.insert(key, label.clone());
        label
    }

    /// How many different things were replaced, by kind.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for (what, _) in self.labels.keys() {
            *counts.entry(what.word()).or_insert(0) += 1;
        }
        counts
    }

    /// A URL without its user and password; its host's name is replaced, and an address that is not a private one.
    pub fn url(&mut self, text: &str) -> String {
        if let Ok(url) = url::Url::parse(text) {
            for part in [Some(url.username()), url.password()].into_iter().flatten() {
                if !part.is_empty() {
                    self.know(What::Secret, part);
                }
            }
            for (_, value) in url.query_pairs().filter(|(key, _)| is_telltale(key)) {
                self.know(What::Secret, &value);
            }
            if let Some(host) = url.host_str().filter(|host| is_name(host)) {
                self.know(What::Host, host);
            }
        }
        self.text(text)
    }

    /// A text without anything that is known to be private, or looks like it.
    pub fn text(&mut self, text: &str) -> String {
        let text = self.without_known(text);
        let text = self.without_homes(&text);
        let text = without_users(&text);
        let text = without_telltales(&text);
        self.without_addresses(&text)
    }

    /// A document, every text in it and every key.
    pub fn value(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(all) => all.into_iter().map(|value| self.value(value)).collect(),
            Value::Object(all) => {
                let each = all.into_iter();
                let redacted = each.map(|(key, value)| {
                    // What tells which program it is has the form of an address now and then.
                    let value = match (key.as_str(), value) {
                        ("firmware" | "version" | "abi" | "sha256" | "kernel", Value::String(text)) => {
                            Value::String(self.without_known(&text))
                        }
                        (_, value) => self.value(value),
                    };
                    (self.text(&key), value)
                });
                Value::Object(redacted.collect())
            }
            other => other,
        }
    }

    /// What tells which program it is: it has the form of an address now and then, and stays but for what is known.
    pub fn kept(&self, text: &str) -> String {
        self.without_known(text)
    }

    /// The people whose folders stand in paths.
    fn without_homes(&mut self, text: &str) -> String {
        let ends = |c: char| c == '/' || c == '"' || c == '\'' || c == ':' || c.is_whitespace();
        let homes = HOMES.map(|home| format!("/{home}/"));
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        loop {
            let next = homes
                .iter()
                .filter_map(|home| Some((rest.find(home)?, home.len())))
                .min();
            let Some((at, length)) = next else { break };
            let (before, from) = rest.split_at(at + length);
            out.push_str(before);
            let (user, behind) = from.split_at(from.find(ends).unwrap_or(from.len()));
            let stands = self
                .labels
                .iter()
                .any(|((of, _), label)| *of == What::User && label == user);
            match user.is_empty() || stands {
                true => out.push_str(user),
                false => out.push_str(&self.label(What::User, user)),
            }
            rest = behind;
        }
        out.push_str(rest);
        out
    }

    /// Every known thing by what stands for it, in one go: what stands for one is never taken for another.
    fn without_known(&self, text: &str) -> String {
        let letters: Vec<char> = text.chars().collect();
        let lower: Vec<char> = letters.iter().copied().map(small).collect();
        let word = |at: Option<&char>| at.is_some_and(|c| c.is_alphanumeric());
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        while at < letters.len() {
            let found = self.known.iter().find(|known| {
                let end = at + known.letters.len();
                lower.get(at..end) == Some(&known.letters[..])
                    && !(known.whole && (at > 0 && word(letters.get(at - 1)) || word(letters.get(end))))
            });
            match found {
                Some(known) => {
                    out.push_str(&known.stands);
                    at += known.letters.len();
                }
                None => {
                    out.push(letters[at]);
                    at += 1;
                }
            }
        }
        for encoded in &self.encoded {
            if out.contains(encoded.as_str()) {
                out = out.replace(encoded.as_str(), REMOVED);
            }
        }
        out
    }

    fn without_addresses(&mut self, text: &str) -> String {
        let part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(begin) = rest.find(part) {
            let (before, from) = rest.split_at(begin);
            out.push_str(before);
            let end = from.find(|c| !part(c)).unwrap_or(from.len());
            let (run, after) = from.split_at(end);
            let glued = out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
            out.push_str(&if glued { run.to_owned() } else { self.run(run) });
            rest = after;
        }
        out.push_str(rest);
        out
    }

    /// A run of digits, dots and colons: an address, with a port perhaps, or nothing of the kind.
    fn run(&mut self, run: &str) -> String {
        let trimmed = run.trim_end_matches(['.', ':']);
        let tail = &run[trimmed.len()..];
        if is_hardware(trimmed) {
            return format!("{}{tail}", self.label(What::Serial, trimmed));
        }
        let (host, port) = match trimmed.split_once(':') {
            Some((host, port)) if host.contains('.') && !port.contains(':') => (host, format!(":{port}")),
            _ => (trimmed, String::new()),
        };
        match host.parse::<IpAddr>() {
            Ok(address) if is_public(address) => {
                format!("{}{port}{tail}", self.label(What::Address, host))
            }
            _ => run.to_owned(),
        }
    }
}

/// How a private word may be written elsewhere: as it is, as a part of an id, as a part of a URL.
fn forms(text: &str) -> Vec<String> {
    let mut id = String::new();
    for c in text.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => id.push(c.to_ascii_lowercase()),
            _ if id.ends_with('_') || id.is_empty() => {}
            _ => id.push('_'),
        }
    }
    let id = id.trim_end_matches('_').to_owned();
    let in_url: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let in_path = in_url.replace('+', "%20");
    let decoded = url::form_urlencoded::parse(format!("x={}", text.replace('&', "%26")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned());
    let escaped = text.escape_default().to_string();
    let mut forms = vec![text.to_owned(), in_url, in_path, escaped];
    forms.extend(decoded);
    // Of what is not in its letters an id holds little: `"Süd"` is not `s_d`.
    if text.is_ascii() {
        forms.push(id.clone());
        forms.push(id.replace('_', ""));
    }
    forms.retain(|form| !form.is_empty());
    forms.dedup();
    forms
}

/// The letters that a text surely has when it stands somewhere in something that is written in base64.
fn in_base64(text: &str) -> Vec<String> {
    let core = |shift: usize| {
        let mut bytes = vec![0; shift];
        bytes.extend_from_slice(text.as_bytes());
        let encoded = STANDARD_NO_PAD.encode(&bytes);
        // Letters that hold bits of what stands before and behind it.
        let first = (shift * 8).div_ceil(6);
        let last = bytes.len() * 8 / 6;
        encoded.get(first..last).unwrap_or_default().to_owned()
    };
    let plain: Vec<String> = (0..3).map(core).filter(|core| core.len() >= LEAST_PART).collect();
    let in_urls = plain.iter().map(|core| core.replace('+', "-").replace('/', "_"));
    in_urls.chain(plain.clone()).collect()
}

fn is_telltale(key: &str) -> bool {
    let key = key.to_lowercase();
    TELLTALES.iter().any(|word| key.contains(word)) || key == "key"
}

fn is_name(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.parse::<IpAddr>().is_err() && !matches!(host, "localhost" | "")
}

/// `ann:word@` of a URL, and addresses of mail, away.
fn without_users(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || "\"'<>()[]{},;`".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, after) = rest.split_at(at);
        let begin = before
            .rfind(ends)
            .map_or(0, |i| i + before[i..].chars().next().map_or(1, char::len_utf8));
        let token = &before[begin..];
        let after = &after[1..];
        match token.find("://") {
            // A user in a URL.
            Some(scheme) if !token[scheme + 3..].contains('/') => {
                out.push_str(&before[..begin + scheme + 3]);
            }
            _ if token.is_empty() => {
                out.push_str(before);
                out.push('@');
            }
            _ => {
                out.push_str(&before[..begin]);
                out.push_str(REMOVED);
                out.push('@');
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// `password=…`, `token: …` without what stands behind.
fn without_telltales(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let lower = rest.to_ascii_lowercase();
        let next = TELLTALES
            .iter()
            .filter_map(|word| lower.find(word).map(|at| at + word.len()))
            .min();
        let Some(end) = next else { break };
        let (before, after) = rest.split_at(end);
        out.push_str(before);
        let sign = after.find(|c: char| !"=: \"'".contains(c)).unwrap_or(after.len());
        let (signs, behind) = after.split_at(sign);
        out.push_str(signs);
        let bearer = before.to_ascii_lowercase().ends_with("bearer");
        if signs.contains(['=', ':']) || (bearer && !signs.is_empty()) {
            let quote = signs.chars().next_back().filter(|sign| "\"'".contains(*sign));
            let length = behind
                .find(|c: char| match quote {
                    Some(quote) => c == quote,
                    None => c.is_whitespace() || "\"'&,;".contains(c),
                })
                .unwrap_or(behind.len());
            if length > 0 {
                out.push_str(REMOVED);
            }
            rest = &behind[length..];
        } else {
            rest = behind;
        }
    }
    out.push_str(rest);
    out
}

/// Six pairs of hexadecimal digits.
fn is_hardware(text: &str) -> bool {
    let pairs: Vec<&str> = text.split(':').collect();
    pairs.len() == 6
        && pairs
            .iter()
            .all(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether an address tells where somebody lives. One that holds a hardware address tells which device it is.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation()
                || v4 == Ipv4Addr::UNSPECIFIED
                || a == 0
                || shared)
        }
        IpAddr::V6(v6) => v6 != Ipv6Addr::LOCALHOST && v6 != Ipv6Addr::UNSPECIFIED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_thing_has_the_same_word_everywhere() {
        let mut of = Redactor::default();
        of.know(What::Serial, "HQ2045-ABCDE");
        of.know(What::Name, "Haus Müller");
        for (text, redacted) in [
            ("hq2045_abcde_battery_u225.soc", "serial1_battery_u225.soc"),
            ("serial HQ2045-ABCDE is gone", "serial serial1 is gone"),
            ("\"haus müller\" is down", "\"name1\" is down"),
            ("Haus%20M%C3%BCller", "name1"),
        ] {
            assert_eq!(of.text(text), redacted);
        }
        assert_eq!(of.know(What::Serial, "hq2045-abcde"), "serial1");
    }

    #[test]
    fn what_everybody_has_is_kept_and_a_serial_number_never() {
        let mut of = Redactor::default();
        of.publish("victron/vm-3p75ct");
        of.publish("GX tank");
        for name in ["VM", "gx tank", "tank"] {
            assert_eq!(of.know(What::Name, name), name);
        }
        assert_eq!(
            of.text("plugin vm-3p75ct, a GX tank"),
            "plugin vm-3p75ct, a GX tank"
        );
        assert_eq!(of.know(What::Serial, "3p75ct"), "serial1");
    }

    #[test]
    fn a_short_name_is_a_word_of_its_own() {
        let mut of = Redactor::default();
        of.know(What::Name, "gx");
        assert_eq!(
            of.text("connection \"gx\", victron/gxs"),
            "connection \"name1\", victron/gxs"
        );
        of.know(What::Serial, "1");
        assert_eq!(of.text("unit 1"), "unit 1");
    }

    #[test]
    fn what_looks_private_is_taken_out_unknown_as_it_is() {
        let mut of = Redactor::default();
        for (text, redacted) in [
            ("mqtt://ann:word@broker:1883", "mqtt://broker:1883"),
            ("write to ann@example.org", "write to (removed)@example.org"),
            ("password=hunter2&x=1", "password=(removed)&x=1"),
            ("Authorization: Bearer abc.def", "Authorization: Bearer (removed)"),
            ("the password is wrong", "the password is wrong"),
            ("password=\"two words\" x", "password=\"(removed)\" x"),
            (
                concat!("cannot read /", "home/ann/x.so"),
                concat!("cannot read /", "home/user1/x.so"),
            ),
            ("\"/media/ben\": no space", "\"/media/user2\": no space"),
            ("/run/media/ann/stick", "/run/media/user1/stick"),
            ("192.168.1.20:502 stays", "192.168.1.20:502 stays"),
            ("8.8.4.4:502 goes.", "address1:502 goes."),
            ("and 8.8.4.4 is the same", "and address1 is the same"),
            ("2001:470:1f0b::1 goes", "address2 goes"),
            ("at 21:55:00 on 2026-11-30", "at 21:55:00 on 2026-11-30"),
            ("02:42:ac:11:00:02", "serial1"),
            ("decode 0.5 dB", "decode 0.5 dB"),
        ] {
            assert_eq!(of.text(text), redacted);
        }
    }

    #[test]
    fn a_secret_in_another_dress_is_found() {
        let mut of = Redactor::default();
        let secret = "k3y/With+Odd=Signs";
        of.know(What::Secret, secret);
        for shift in ["", "a", "ab"] {
            let coded = STANDARD_NO_PAD.encode(format!("{shift}{secret}{shift}"));
            let out = of.text(&format!("sent {coded}"));
            assert!(out.contains(REMOVED), "{out}");
        }
        assert_eq!(of.text("k3y%2FWith%2BOdd%3DSigns"), "secret1");
        let document = serde_json::json!({ secret: [secret, { "x": format!("<{secret}>") }], "n": 7 });
        let out = of.value(document).to_string();
        assert_eq!(out, r#"{"secret1":["secret1",{"x":"<secret1>"}],"n":7}"#);
    }

    #[test]
    fn a_url_keeps_what_tells_how_and_not_where() {
        let mut of = Redactor::default();
        assert_eq!(of.url("modbus+tcp://gx.local:502"), "modbus+tcp://host1:502");
        assert_eq!(
            of.url("modbus+tcp://192.168.1.20:502"),
            "modbus+tcp://192.168.1.20:502"
        );
        assert_eq!(
            of.url("modbus+rtu:///dev/ttyUSB0?baud=9600"),
            "modbus+rtu:///dev/ttyUSB0?baud=9600"
        );
        assert_eq!(of.url("mqtt://ann:w%C3%B6rd@broker.example"), "mqtt://host2");
        assert!(!of.text("it said wörd to ann").contains("wörd"));
    }
}
