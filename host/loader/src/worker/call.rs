//! Calls a plugin's functions: lends it slices and a sink, and believes nothing that comes back.
#![allow(unsafe_code, reason = "calls C functions and takes bytes from them")]

use std::ffi::c_void;

use busbar_plugin_sdk::abi::{MAX_PROBES, RawAsk, RawStep, Sink, Status, Tag, Vtable};
use busbar_plugin_sdk::{Ask, Forecast, Found, Mode, Probe, Step, Verdict};

use crate::{BroughtLedger, Described};

/// How much text one call may give.
const MAX_TEXT: usize = 4 * 1024 * 1024;
/// How many texts one call may give.
const MAX_TEXTS: usize = 65_536;
/// How much of an error is kept.
const MAX_ERROR: usize = 1024;

/// What a plugin has put into the sink.
#[derive(Default)]
struct Collected {
    texts: Vec<(u32, Vec<u8>)>,
    size: usize,
    error: Option<String>,
}

impl Collected {
    fn take(&mut self, tag: u32, bytes: &[u8]) -> bool {
        if tag == Tag::ERROR {
            let end = bytes.len().min(MAX_ERROR);
            self.error = Some(String::from_utf8_lossy(&bytes[..end]).into_owned());
            return true;
        }
        if bytes.len() > MAX_TEXT - self.size || self.texts.len() == MAX_TEXTS {
            return false;
        }
        self.size += bytes.len();
        self.texts.push((tag, bytes.to_vec()));
        true
    }
}

unsafe extern "C" fn put(context: *mut c_void, tag: u32, data: *const u8, len: usize) -> i32 {
    // SAFETY: the context is the `Collected` of the call that this belongs to, which is on the stack below.
    let collected = unsafe { &mut *context.cast::<Collected>() };
    let fits = len == 0 || (!data.is_null() && len <= MAX_TEXT);
    let bytes = if len == 0 || !fits {
        &[]
    } else {
        // SAFETY: by the ABI the plugin lends this many bytes. One that lies ends its own process.
        unsafe { std::slice::from_raw_parts(data, len) }
    };
    i32::from(!(fits && collected.take(tag, bytes)))
}

/// Runs a hook with a sink; the texts, or why it failed.
pub(super) fn with_sink(hook: impl FnOnce(*const Sink) -> i32) -> Result<Vec<(u32, String)>, String> {
    let mut collected = Collected::default();
    let sink = Sink {
        context: (&raw mut collected).cast(),
        put,
    };
    let status = hook(&raw const sink);
    let reason = collected.error.take();
    match status {
        Status::DONE => collected
            .texts
            .into_iter()
            .map(|(tag, bytes)| String::from_utf8(bytes).map(|text| (tag, text)))
            .collect::<Result<_, _>>()
            .map_err(|_| "it gave text that is not UTF-8".into()),
        Status::PANICKED => Err(format!("it panicked: {}", reason.unwrap_or_default())),
        Status::TOO_MUCH => Err(format!(
            "it gave more than {MAX_TEXT} bytes or {MAX_TEXTS} pieces of text"
        )),
        status => Err(reason.unwrap_or_else(|| format!("it failed without a reason (status {status})"))),
    }
}

/// Asks a plugin who it is.
pub(crate) fn describe(vtable: Vtable) -> Result<Described, String> {
    let hook = vtable.describe.ok_or("it has no describe function")?;
    // SAFETY: the sink is valid for the length of the call.
    let texts = with_sink(|sink| unsafe { hook(sink) })?;
    let mut described = Described::default();
    for (tag, text) in texts {
        match tag {
            Tag::TITLE => described.title = text,
            Tag::SUMMARY => described.summary = text,
            Tag::LICENCE => described.licence = text,
            Tag::DISCOVERS if vtable.discover.is_none() => {
                return Err("it says that it discovers, but has no discover function".into());
            }
            Tag::DISCOVERS => described.discovers = true,
            Tag::TELEGRAMS if vtable.telegram.is_none() || vtable.recognise.is_none() => {
                return Err(
                    "it says that it takes telegrams, but lacks one of the functions for them".into(),
                );
            }
            Tag::TELEGRAMS => described.telegrams = true,
            Tag::LEDGER => described.ledgers.push(BroughtLedger {
                file: text,
                text: String::new(),
            }),
            Tag::LEDGER_TEXT => {
                described
                    .ledgers
                    .last_mut()
                    .ok_or("it gave a ledger without a name")?
                    .text = text
            }
            // Of a newer minor version.
            _ => {}
        }
    }
    Ok(described)
}

/// Asks a plugin for the next step of a discovery.
pub(crate) fn discover(vtable: Vtable, ask: &Ask<'_>) -> Result<Step, String> {
    let hook = vtable.discover.ok_or("it takes no part in discovery")?;
    let raw = RawAsk {
        mode: match ask.mode {
            Mode::Quick => 0,
            Mode::Full => 1,
            Mode::Listed => 2,
        },
        units_len: u32::try_from(ask.units.len()).map_err(|_| "too many units")?,
        units: ask.units.as_ptr(),
        evidence: ask.evidence.as_ptr(),
        evidence_len: ask.evidence.len(),
        words: ask.words.as_ptr(),
        words_len: ask.words.len(),
    };
    let mut probes = vec![
        Probe {
            unit: 0,
            function: 0,
            at: 0,
            count: 0
        };
        MAX_PROBES
    ];
    let mut step = RawStep {
        probes: probes.as_mut_ptr(),
        capacity: MAX_PROBES,
        len: 0,
        forecast: Forecast::default(),
    };
    // SAFETY: the slices behind `raw` and `step`, and the sink, are valid for the length of the call.
    let texts = with_sink(|sink| unsafe { hook(&raw const raw, &raw mut step, sink) })?;
    if step.len > MAX_PROBES {
        return Err(format!(
            "it claims to have written {} probes where {MAX_PROBES} fit",
            step.len
        ));
    }
    probes.truncate(step.len);
    probes.shrink_to_fit();
    Ok(Step {
        probes,
        forecast: step.forecast,
        verdict: verdict(texts)?,
    })
}

/// The verdict among the texts that a plugin gave, if there is one.
pub(super) fn verdict(texts: Vec<(u32, String)>) -> Result<Option<Verdict>, String> {
    let mut verdict: Option<Verdict> = None;
    for (tag, text) in texts {
        if tag == Tag::NOTE {
            verdict.get_or_insert_default().note = text;
            continue;
        }
        if tag == Tag::DEVICE {
            let unit = text
                .parse()
                .map_err(|_| format!("it gave {text:?} as a device's unit"))?;
            verdict.get_or_insert_default().devices.push(Found {
                unit,
                ..Found::default()
            });
            continue;
        }
        let Some(device) = verdict.as_mut().and_then(|verdict| verdict.devices.last_mut()) else {
            continue;
        };
        match tag {
            Tag::DEVICE_LEDGER => device.ledger = text,
            Tag::DEVICE_ID => device.id = text,
            Tag::DEVICE_NAME => device.name = Some(text),
            Tag::DEVICE_MODEL => device.model = Some(text),
            Tag::DEVICE_SERIAL => device.serial = Some(text),
            Tag::DEVICE_FIRMWARE => device.firmware = Some(text),
            Tag::DEVICE_LEDGER_TEXT => device.ledger_text = Some(text),
            _ => {}
        }
    }
    Ok(verdict)
}

#[cfg(test)]
#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "plays the part of a plugin in C"
)]
mod tests {
    use super::*;

    unsafe extern "C" fn says_what_is_not_text(out: *const Sink) -> i32 {
        let sink = unsafe { &*out };
        unsafe { (sink.put)(sink.context, Tag::TITLE, [0xC3_u8, 0x28].as_ptr(), 2) }
    }

    unsafe extern "C" fn says_too_much(out: *const Sink) -> i32 {
        let (sink, text) = (unsafe { &*out }, [b'x'; 4096]);
        while unsafe { (sink.put)(sink.context, Tag::TITLE, text.as_ptr(), text.len()) } == 0 {}
        Status::TOO_MUCH
    }

    unsafe extern "C" fn says_too_often(out: *const Sink) -> i32 {
        let sink = unsafe { &*out };
        while unsafe { (sink.put)(sink.context, Tag::DISCOVERS, std::ptr::null(), 0) } == 0 {}
        Status::TOO_MUCH
    }

    unsafe extern "C" fn lends_nothing(out: *const Sink) -> i32 {
        let sink = unsafe { &*out };
        unsafe { (sink.put)(sink.context, Tag::TITLE, std::ptr::null(), 10) }
    }

    unsafe extern "C" fn has_a_nameless_ledger(out: *const Sink) -> i32 {
        let sink = unsafe { &*out };
        unsafe { (sink.put)(sink.context, Tag::LEDGER_TEXT, b"x".as_ptr(), 1) }
    }

    unsafe extern "C" fn discovers_without_a_function(out: *const Sink) -> i32 {
        let sink = unsafe { &*out };
        unsafe { (sink.put)(sink.context, Tag::DISCOVERS, std::ptr::null(), 0) }
    }

    unsafe extern "C" fn takes_telegrams_without_a_function(out: *const Sink) -> i32 {
        let sink = unsafe { &*out };
        unsafe { (sink.put)(sink.context, Tag::TELEGRAMS, std::ptr::null(), 0) }
    }

    unsafe extern "C" fn speaks_of_the_future(out: *const Sink) -> i32 {
        let sink = unsafe { &*out };
        unsafe { (sink.put)(sink.context, 4711, b"x".as_ptr(), 1) }
    }

    unsafe extern "C" fn claims_too_many(_: *const RawAsk, step: *mut RawStep, _: *const Sink) -> i32 {
        unsafe { (*step).len = usize::MAX };
        Status::DONE
    }

    fn describe_with(hook: busbar_plugin_sdk::abi::DescribeFn) -> Result<Described, String> {
        describe(Vtable {
            describe: Some(hook),
            ..Vtable::default()
        })
    }

    #[test]
    fn text_that_is_none_is_refused() {
        assert!(
            describe_with(says_what_is_not_text)
                .unwrap_err()
                .contains("UTF-8")
        );
        assert!(describe_with(says_too_much).unwrap_err().contains("more than"));
        assert!(describe_with(says_too_often).unwrap_err().contains("more than"));
        assert!(describe_with(lends_nothing).is_err());
        assert!(
            describe_with(has_a_nameless_ledger)
                .unwrap_err()
                .contains("without a name")
        );
        assert!(
            describe_with(discovers_without_a_function)
                .unwrap_err()
                .contains("no discover function")
        );
        assert!(
            describe_with(takes_telegrams_without_a_function)
                .unwrap_err()
                .contains("lacks one of the functions")
        );
        assert_eq!(describe_with(speaks_of_the_future), Ok(Described::default()));
    }

    #[test]
    fn a_length_that_lies_is_refused() {
        let vtable = Vtable {
            discover: Some(claims_too_many),
            ..Vtable::default()
        };
        assert!(discover(vtable, &Ask::default()).unwrap_err().contains("claims"));
        assert!(discover(Vtable::default(), &Ask::default()).is_err());
        assert!(describe(Vtable::default()).is_err());
    }

    #[test]
    fn all_that_a_step_says_crosses_the_border() {
        #[derive(Default)]
        struct Echo;
        impl busbar_plugin_sdk::Plugin for Echo {
            const NAME: &'static str = "echo";
            const VERSION: &'static str = "1";
            fn describe(&self) -> busbar_plugin_sdk::Description {
                Default::default()
            }
            fn discover(&self, ask: &Ask<'_>) -> Step {
                let probes = ask.evidence.iter().map(|evidence| evidence.probe).collect();
                let device = Found {
                    unit: 255,
                    ledger: "echo/one".into(),
                    id: "echo_1".into(),
                    name: Some(String::new()),
                    model: None,
                    serial: Some(format!("{:?}", ask.words)),
                    firmware: Some(format!("{:?} {:?}", ask.mode, ask.units)),
                    ledger_text: Some("ledger = \"echo/one\"".into()),
                };
                let verdict = Some(Verdict {
                    devices: vec![Found::default(), device],
                    note: "näh".into(),
                });
                Step {
                    probes,
                    forecast: Forecast {
                        remaining: 1,
                        expected_exceptions: 2,
                        possible: 3,
                    },
                    verdict,
                }
            }
        }
        let mut talk = busbar_plugin_sdk::Conversation::new(Mode::Listed, vec![3, 255]);
        let probe = Probe {
            unit: 9,
            function: 4,
            at: 65_535,
            count: 1,
        };
        talk.record(probe, busbar_plugin_sdk::Outcome::Words(&[1, 0xFFFF]));
        let vtable = busbar_plugin_sdk::private::Shim::<Echo>::VTABLE;
        let there = discover(vtable, &talk.ask()).unwrap();
        assert_eq!(there, busbar_plugin_sdk::Plugin::discover(&Echo, &talk.ask()));
        assert_eq!(
            there.verdict.unwrap().devices[1].serial.as_deref(),
            Some("[1, 65535]")
        );
    }
}
