//! Everything of a ledger but its points: names, transports, identification, how to read.

use std::ops::Range;
use std::time::Duration;

use super::Draft;
use super::common::{self, MAX_NOTE, MAX_TEXT};
use super::labels::probe_values;
use super::references::{Reference, Target};
use super::section::Section;
use super::text::{as_key, is_key, is_ledger_name};
use super::write::duration;
use crate::diagnostics::{Diagnostic, Sink};
use crate::format::{self, At, ReadFunction, Scheme, TypeName, ZeroIs};
use crate::identify::firmware_at_least;
use crate::model::{
    Bridge, Identify, IdentifyProbe, IdentityField, IdentityFormat, Manners, ReadRules, Transport, ValueType,
};
use crate::span::{Function, Span};
use crate::telegram::time::{CENTRAL_EUROPE, parse_offset};

/// What the ledger says before its points.
pub(super) struct Head {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) source: Option<String>,
    pub(super) model: String,
    pub(super) identified_by: Option<String>,
    pub(super) transports: Vec<Transport>,
    pub(super) identify: Option<Identify>,
    pub(super) read: ReadRules,
    pub(super) reserved: Vec<(Span, Range<usize>)>,
    /// Points that [identify] names.
    pub(super) references: Vec<Reference>,
    /// Whether a part was at fault, so that its absence says nothing.
    pub(super) identify_lost: bool,
}

pub(super) fn check(section: Section<format::File>, sink: &mut Sink) -> Head {
    let mut head = Head {
        name: String::new(),
        title: String::new(),
        source: None,
        model: String::new(),
        identified_by: None,
        transports: Vec::new(),
        identify: None,
        read: read_rules(format::Read::default(), sink),
        reserved: Vec::new(),
        references: Vec::new(),
        identify_lost: section.lost("identify") || section.lost("firmware"),
    };
    let (ledger_lost, title_lost) = (section.lost("ledger"), section.lost("title"));
    let scheme_lost = section.lost("scheme");
    let Some(file) = section.value else {
        head.identify_lost = true;
        return head;
    };

    match file.ledger {
        Some(At { value, span }) => head.name = ledger_name(value, span, sink),
        None if ledger_lost => {}
        None => missing("ledger", "add `ledger = \"<maker>/<model>\"` at the top", sink),
    }
    if file.title.is_none() && !title_lost {
        missing("title", "add `title = \"…\"` at the top: a name for people", sink);
    }
    head.title = common::text(file.title, "title", MAX_TEXT, sink).unwrap_or_default();
    head.source = common::text(file.source, "source", MAX_NOTE, sink);
    head.model = match file.model {
        Some(At { value, span }) => {
            if !is_model(&value) {
                sink.add(
                    "model",
                    span,
                    format!(
                        "`{}` cannot be a model",
                        value.chars().take(40).collect::<String>()
                    ),
                    format!(
                        "device ids are made of it: write a to z, 0 to 9 and _, for example `{}`",
                        as_key(&value)
                    ),
                );
            }
            value
        }
        None => head
            .name
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "_"),
    };
    head.identified_by = file
        .identified_by
        .map(|name| ledger_name(name.value, name.span, sink));
    head.transports = file
        .transport
        .into_iter()
        .filter_map(|t| transport(t, scheme_lost, sink))
        .collect();
    head.read = read_rules(file.read.unwrap_or_default(), sink);
    for run in file.reserved {
        head.reserved.extend(reserved(run, &head.read, sink));
    }
    if let Some(identify) = file.identify {
        head.references = identify
            .value
            .rescan_when_changed
            .iter()
            .map(|key| Reference::new(Target::Any, key.value.clone(), key.span.clone()))
            .collect();
        head.identify = Some(identification(identify.value, &head.read, sink));
    }
    head
}

fn missing(key: &str, help: &str, sink: &mut Sink) {
    sink.push(Diagnostic {
        code: "missing-key",
        message: format!("`{key}` is missing"),
        help: Some(help.to_owned()),
        span: Some(0..0),
        related: None,
    });
}

/// The name of a ledger, after a look at its form.
pub(super) fn ledger_name(value: String, span: Range<usize>, sink: &mut Sink) -> String {
    if !is_ledger_name(&value) {
        sink.add(
            "ledger-name",
            span,
            format!(
                "`{}` cannot be the name of a ledger",
                value.chars().take(40).collect::<String>()
            ),
            "write `<maker>/<model>` with a to z, 0 to 9, - and ., for example `victron/vm-3p75ct`",
        );
    }
    value
}

fn is_model(text: &str) -> bool {
    !text.is_empty() && is_key(&format!("m{text}"))
}

fn transport(transport: At<format::Transport>, scheme_lost: bool, sink: &mut Sink) -> Option<Transport> {
    let At {
        value: transport,
        span: place,
    } = transport;
    if transport.scheme.is_none() && !scheme_lost {
        sink.add(
            "missing-key",
            place,
            "`scheme` is missing",
            "add `scheme = \"modbus+tcp\"` (udp, rtu, rtu+tcp)",
        );
    }
    let mut port = None;
    if let Some(At { value, span }) = transport.port {
        port = u16::try_from(value).ok().filter(|&port| port > 0);
        if transport
            .scheme
            .as_ref()
            .is_some_and(|scheme| scheme.value == Scheme::Rtu)
        {
            sink.add("port", span, "a serial line has no port", "leave `port` out");
        } else if port.is_none() {
            sink.add(
                "port",
                span,
                format!("there is no port {value}"),
                "write 1 to 65535; Modbus has 502",
            );
        }
    }
    let units = units(transport.units, sink);
    let mdns = common::text(transport.mdns, "mdns", MAX_TEXT, sink);
    let scheme = match transport.scheme?.value {
        Scheme::Tcp => "modbus+tcp",
        Scheme::Udp => "modbus+udp",
        Scheme::Rtu => "modbus+rtu",
        Scheme::RtuOverTcp => "modbus+rtu+tcp",
    };
    Some(Transport {
        scheme: scheme.to_owned(),
        port,
        units,
        mdns,
    })
}

fn units(units: Option<At<Vec<At<i64>>>>, sink: &mut Sink) -> Vec<u8> {
    let Some(units) = units else { return vec![1] };
    if units.value.is_empty() {
        sink.add(
            "units",
            units.span,
            "no units",
            "name at least one, likeliest first: `units = [1]`",
        );
    }
    let mut all = Vec::new();
    for At { value, span } in units.value {
        match u8::try_from(value) {
            Ok(unit) if unit <= 247 || unit == 255 => {
                if all.contains(&unit) {
                    sink.add(
                        "units",
                        span,
                        format!("unit {unit} stands here twice"),
                        "name each unit once",
                    );
                } else {
                    all.push(unit);
                }
            }
            _ => sink.add(
                "units",
                span,
                format!("there is no unit {value}"),
                "write 0 to 247, or 255",
            ),
        }
    }
    all
}

fn read_rules(read: format::Read, sink: &mut Sink) -> ReadRules {
    let (function, fall_back_to_holding) = match read.function {
        None | Some(ReadFunction::Holding) => (Function::Holding, false),
        Some(ReadFunction::Coils) => (Function::Coils, false),
        Some(ReadFunction::Discrete) => (Function::Discrete, false),
        Some(ReadFunction::Input) => (Function::Input, false),
        Some(ReadFunction::InputThenHolding) => (Function::Input, true),
    };
    let max_words = read
        .max_words
        .map_or(125, |At { value, span }| match u16::try_from(value) {
            Ok(words) if (1..=125).contains(&words) => words,
            _ => {
                sink.add(
                    "max-words",
                    span,
                    format!("one read cannot be {value} registers long"),
                    "write 1 to 125",
                );
                125
            }
        });
    let index_shift = read
        .index_shift
        .map_or(0, |At { value, span }| match i32::try_from(value) {
            Ok(shift) if (-65_535..=65_535).contains(&shift) => shift,
            _ => {
                sink.add(
                    "index-shift",
                    span,
                    format!("index_shift {value} moves every address out of range"),
                    "write -1 for a list that counts from 1",
                );
                0
            }
        });
    let manners = Manners {
        in_flight: in_flight(read.in_flight, sink),
        spacing: pause(read.spacing, sink),
        pause_after_connect: pause(read.pause_after_connect, sink),
    };
    ReadRules {
        function,
        fall_back_to_holding,
        max_words,
        bridge: read.bridge.unwrap_or(Bridge::Declared),
        index_shift,
        zero_is_unproven: read.zero_is == Some(ZeroIs::Unproven),
        standard_offset: standard_offset(read.standard_offset, sink),
        manners,
    }
}

fn standard_offset(text: Option<At<String>>, sink: &mut Sink) -> i16 {
    let Some(At { value, span }) = text else {
        return CENTRAL_EUROPE;
    };
    parse_offset(&value).unwrap_or_else(|| {
        sink.add(
            "standard-offset",
            span,
            "that is no offset of a standard time",
            "write hours and minutes east of Greenwich: \"+01:00\", \"+00:00\", \"-03:30\"",
        );
        CENTRAL_EUROPE
    })
}

/// The longest pause that a ledger may ask for; polling must still be worth its name.
const MAX_PAUSE: Duration = Duration::from_secs(10);

fn pause(text: Option<At<String>>, sink: &mut Sink) -> Duration {
    let Some(text) = text else {
        return Duration::ZERO;
    };
    let span = text.span.clone();
    let pause = duration(text, sink).unwrap_or_default();
    if pause > MAX_PAUSE {
        sink.add(
            "duration",
            span,
            format!("a pause of {} s", pause.as_secs()),
            "write at most \"10s\"",
        );
        return Duration::ZERO;
    }
    pause
}

fn in_flight(number: Option<At<i64>>, sink: &mut Sink) -> Option<u16> {
    let At { value, span } = number?;
    let number = u16::try_from(value).ok().filter(|n| (1..=64).contains(n));
    if number.is_none() {
        sink.add(
            "in-flight",
            span,
            format!("{value} requests at once"),
            "write 1 to 64",
        );
    }
    number
}

fn reserved(run: At<format::Run>, read: &ReadRules, sink: &mut Sink) -> Option<(Span, Range<usize>)> {
    let count = u16::try_from(run.value.count).ok().filter(|&count| count > 0);
    let Some(count) = count else {
        sink.add(
            "address",
            run.span,
            format!("a run of {} registers", run.value.count),
            "write [address, count] with a count of at least 1",
        );
        return None;
    };
    let at = At {
        value: run.value.at,
        span: run.span,
    };
    let span = common::span(
        run.value.function.unwrap_or(read.function),
        &at,
        count,
        0,
        read,
        sink,
    )?;
    Some((span, at.span))
}

fn identification(identify: format::Identify, read: &ReadRules, sink: &mut Sink) -> Identify {
    Identify {
        probe: identify
            .probe
            .and_then(|probe| self::probe(probe.value, read, sink)),
        serial: identify.serial.and_then(|field| self::field(field, read, sink)),
        firmware: identify.firmware.and_then(|field| self::field(field, read, sink)),
        model: identify.model.and_then(|field| self::field(field, read, sink)),
        rescan_when_changed: identify
            .rescan_when_changed
            .into_iter()
            .map(|key| key.value)
            .collect(),
    }
}

fn probe(probe: format::Probe, read: &ReadRules, sink: &mut Sink) -> Option<IdentifyProbe> {
    let function = probe.function.unwrap_or(read.function);
    let count = common::words(&probe.ty, probe.words.as_ref(), read.max_words, sink);
    let equals = probe_values(probe.equals, probe.ty.value, sink);
    let starts_with = beginnings(probe.starts_with, probe.ty.value, !equals.is_empty(), sink);
    let span = common::span(function, &probe.at, count?, 0, read, sink)?;
    let ty = match common::value_type(probe.ty.value) {
        ValueType::Bits { .. } => {
            sink.add(
                "type",
                probe.ty.span,
                "a probe cannot be of type bits",
                "compare the whole register: u16",
            );
            return None;
        }
        ty => ty,
    };
    Some(IdentifyProbe {
        span,
        ty,
        order: probe.order,
        equals,
        starts_with,
    })
}

fn beginnings(texts: Vec<At<String>>, ty: TypeName, equals: bool, sink: &mut Sink) -> Vec<String> {
    let mut all = Vec::new();
    for At { value, span } in texts {
        if ty != TypeName::Text || equals {
            let help = "write type = \"text\" with either `starts_with` or `equals`";
            sink.add(
                "starts-with",
                span,
                "only a text begins with a text, and `equals` says all already",
                help,
            );
            break;
        }
        if value.is_empty() {
            sink.add(
                "starts-with",
                span,
                "every text begins with an empty one",
                "write a few letters",
            );
            continue;
        }
        all.push(value);
    }
    all
}

fn field(field: At<format::IdentityField>, read: &ReadRules, sink: &mut Sink) -> Option<IdentityField> {
    let At {
        value: field,
        span: place,
    } = field;
    let (format, fixed) = match (&field.ty, &field.format) {
        (Some(ty), None) => match ty.value {
            TypeName::Text => (IdentityFormat::Text, None),
            TypeName::U16 => (IdentityFormat::Number, Some(1)),
            TypeName::U32 => (IdentityFormat::Number, Some(2)),
            TypeName::U64 => (IdentityFormat::Number, Some(4)),
            _ => {
                sink.add(
                    "type",
                    ty.span.clone(),
                    format!("a {} is not an identity", common::type_name(ty.value)),
                    "write text, u16, u32 or u64, or a `format`",
                );
                return None;
            }
        },
        (None, Some(format)) => match format.value {
            IdentityFormat::Bytes2 => (format.value, Some(1)),
            IdentityFormat::Bytes4 | IdentityFormat::Gx => (format.value, Some(2)),
            other => (other, None),
        },
        _ => {
            sink.add(
                "format",
                field.ty.map_or(place, |ty| ty.span),
                "an identity needs either a type or a format",
                "write `type = \"text\"`, or `format = \"bytes4\"` (also bytes2, gx, number, text)",
            );
            return None;
        }
    };
    let most = if format == IdentityFormat::Text {
        i64::from(read.max_words)
    } else {
        4
    };
    let count = match (fixed, field.words) {
        (Some(fixed), None) => fixed,
        (Some(fixed), Some(words)) if words.value == i64::from(fixed) => fixed,
        (None, Some(words)) if (1..=most).contains(&words.value) => u16::try_from(words.value).unwrap_or(1),
        (fixed, words) => {
            let message = match &words {
                Some(words) => format!("an identity of {} registers", words.value),
                None => "`words` is missing".to_owned(),
            };
            let help = match fixed {
                Some(fixed) => format!("it has {fixed}: leave `words` out"),
                None => format!("write `words` from 1 to {most}"),
            };
            sink.add("words", words.map_or(place, |words| words.span), message, help);
            return None;
        }
    };
    let span = common::span(
        field.function.unwrap_or(read.function),
        &field.at,
        count,
        0,
        read,
        sink,
    )?;
    Some(IdentityField {
        span,
        format,
        order: field.order,
    })
}

/// Whether each model that a register is limited to is one that `[identify]` can tell.
pub(super) fn check_models(drafts: &[Draft], head: &Head, sink: &mut Sink) {
    if head.identify_lost {
        return;
    }
    let identify = head.identify.as_ref();
    // A device that writes its model's name itself may write any.
    if identify.is_some_and(|identify| identify.model.is_some()) {
        return;
    }
    let told: Vec<&str> = identify
        .and_then(|identify| identify.probe.as_ref())
        .map(|probe| probe.equals.iter().map(|(_, model)| model.as_str()).collect())
        .unwrap_or_default();
    for At { value, span } in drafts.iter().flat_map(|draft| &draft.models) {
        if told.contains(&value.as_str()) {
            continue;
        }
        let help = if told.is_empty() {
            "let [identify] tell models apart: probe = { at = …, type = \"u16\", equals = { 1 = \"A\", 2 = \"B\" } }".to_owned()
        } else {
            format!("write one that [identify] names: {}", told.join(", "))
        };
        let name: String = value.chars().take(40).collect();
        sink.add(
            "model",
            span.clone(),
            format!("no device is ever called `{name}`"),
            help,
        );
    }
}

/// Whether each `since` is a version in the format of the ledger's firmware.
pub(super) fn check_since(drafts: &[Draft], head: &Head, sink: &mut Sink) {
    if head.identify_lost {
        return;
    }
    let format = head
        .identify
        .as_ref()
        .and_then(|identify| identify.firmware.as_ref())
        .map(|field| field.format);
    for At { value: since, span } in drafts.iter().flat_map(|draft| &draft.since) {
        match format {
            None => sink.add(
                "since",
                span.clone(),
                "`since` needs to know where the firmware version lies",
                "add it to [identify]: firmware = { at = …, format = \"bytes4\" } (also bytes2, gx or text)",
            ),
            Some(format) if firmware_at_least(format, since, since).is_none() => sink.add(
                "since",
                span.clone(),
                format!(
                    "`{}` is not a version in this ledger's format",
                    since.chars().take(40).collect::<String>()
                ),
                match format {
                    IdentityFormat::Bytes2 => "write two numbers of 0 to 255: `2.7`",
                    IdentityFormat::Bytes4 => "write four numbers of 0 to 255: `0.1.9.255`",
                    IdentityFormat::Gx => "write it as the GX shows it: `v3.65` or `v3.65~12`",
                    IdentityFormat::Number => "write a whole number",
                    IdentityFormat::Text => "write numbers separated by dots: `1.10.2`",
                },
            ),
            Some(_) => {}
        }
    }
}
