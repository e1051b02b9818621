//! Calls a plugin's functions: lends it slices and a sink, and believes nothing that comes back.
#![allow(unsafe_code, reason = "calls C functions and takes bytes from them")]

use std::ffi::c_void;

use busbar_plugin_sdk::abi::{MAX_PROBES, RawAsk, RawStep, Sink, Status, Tag, Vtable};
use busbar_plugin_sdk::{Ask, Forecast, Found, Mode, Probe, Step, Verdict};

use crate::{BroughtLedger, Described};

/// How much text one call may give.
const MAX_TEXT: usize = 8 * 1024 * 1024;
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
fn with_sink(hook: impl FnOnce(*const Sink) -> i32) -> Result<Vec<(u32, String)>, String> {
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
            Tag::DISCOVERS => described.discovers = vtable.discover.is_some(),
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

fn verdict(texts: Vec<(u32, String)>) -> Result<Option<Verdict>, String> {
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
            _ => {}
        }
    }
    Ok(verdict)
}
