//! The C functions behind a plugin in Rust: they turn what the host lends into safe types, call the plugin, and catch
//! its panics, which must not leave the library (the host cannot catch them, and across C they would end the process).
#![allow(unsafe_code, reason = "reads and writes what the host lends")]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

use crate::abi::{
    NO_OFFSET, RawAsk, RawFeed, RawHeard, RawStep, RawTelegram, RawText, Sink, Status, Tag, Vtable,
};
use crate::{Ask, Checked, Feed, Mode, Plugin, Step, Telegram, Verdict};

/// Carries a plugin's functions, so that a `static` can point at them.
pub struct Shim<P>(std::marker::PhantomData<P>);

impl<P: Plugin> Shim<P> {
    /// The functions of this plugin.
    pub const VTABLE: Vtable = Vtable {
        describe: Some(Self::describe),
        discover: Some(Self::discover),
        telegram: Some(Self::telegram),
        recognise: Some(Self::recognise),
    };

    unsafe extern "C" fn describe(out: *const Sink) -> i32 {
        // SAFETY: the host lends a valid sink for the length of this call.
        let out = Out(unsafe { &*out });
        guard(out, || describe::<P>(out))
    }

    unsafe extern "C" fn discover(ask: *const RawAsk, step: *mut RawStep, out: *const Sink) -> i32 {
        // SAFETY: the host lends a valid sink, ask and step for the length of this call; nobody else has the step.
        let (ask, step, out) = unsafe { (&*ask, &mut *step, Out(&*out)) };
        guard(out, || discover::<P>(ask, step, out))
    }

    unsafe extern "C" fn telegram(feed: *const RawFeed, heard: *mut RawHeard, out: *const Sink) -> i32 {
        // SAFETY: the host lends a valid sink, feed and answer for the length of this call; nobody else has the answer.
        let (feed, heard, out) = unsafe { (&*feed, &mut *heard, Out(&*out)) };
        guard(out, || telegram::<P>(feed, heard, out))
    }

    unsafe extern "C" fn recognise(telegram: *const RawTelegram, out: *const Sink) -> i32 {
        // SAFETY: the host lends a valid sink and telegram for the length of this call.
        let (telegram, out) = unsafe { (&*telegram, Out(&*out)) };
        guard(out, || recognise::<P>(telegram, out))
    }
}

/// Why a hook ends early; the number that it returns.
struct Stop(i32);

/// The host's sink.
#[derive(Clone, Copy)]
struct Out<'a>(&'a Sink);

impl Out<'_> {
    fn put(self, tag: u32, bytes: &[u8]) -> Result<(), Stop> {
        // SAFETY: the function belongs to this context, and takes a copy of bytes that live until it returns.
        match unsafe { (self.0.put)(self.0.context, tag, bytes.as_ptr(), bytes.len()) } {
            0 => Ok(()),
            _ => Err(Stop(Status::TOO_MUCH)),
        }
    }

    fn text(self, tag: u32, text: &str) -> Result<(), Stop> {
        self.put(tag, text.as_bytes())
    }

    fn fail(self, reason: &str) -> Stop {
        // An error that does not fit is cut by the host; there is nobody else to tell.
        let _ = self.text(Tag::ERROR, reason);
        Stop(Status::FAILED)
    }
}

fn guard(out: Out<'_>, hook: impl FnOnce() -> Result<(), Stop>) -> i32 {
    // Nothing that the hook touched is looked at after a panic: the plugin was made for this call, and the host drops
    // the output of a call that failed.
    match catch_unwind(AssertUnwindSafe(hook)) {
        Ok(Ok(())) => Status::DONE,
        Ok(Err(Stop(status))) => status,
        Err(payload) => {
            let _ = out.text(Tag::ERROR, message(&*payload));
            // Its Drop may panic again, outside of any guard.
            std::mem::forget(payload);
            Status::PANICKED
        }
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a panic without a message"
    }
}

fn describe<P: Plugin>(out: Out<'_>) -> Result<(), Stop> {
    let description = P::default().describe();
    out.text(Tag::TITLE, description.title)?;
    out.text(Tag::SUMMARY, description.summary)?;
    out.text(Tag::LICENCE, description.licence)?;
    if description.discovers {
        out.put(Tag::DISCOVERS, &[])?;
    }
    if description.telegrams {
        out.put(Tag::TELEGRAMS, &[])?;
    }
    for (name, text) in &description.ledgers {
        out.text(Tag::LEDGER, name)?;
        out.text(Tag::LEDGER_TEXT, text)?;
    }
    Ok(())
}

fn discover<P: Plugin>(raw: &RawAsk, raw_step: &mut RawStep, out: Out<'_>) -> Result<(), Stop> {
    let mode = match raw.mode {
        0 => Mode::Quick,
        1 => Mode::Full,
        2 => Mode::Listed,
        other => return Err(out.fail(&format!("scan mode {other} is newer than this plugin"))),
    };
    // SAFETY: the host lends these slices for the length of this call.
    let ask = unsafe {
        Ask {
            mode,
            units: borrow(raw.units, raw.units_len as usize),
            evidence: borrow(raw.evidence, raw.evidence_len),
            words: borrow(raw.words, raw.words_len),
        }
    };
    let Step {
        probes,
        forecast,
        verdict,
    } = P::default().discover(&ask);
    if probes.len() > raw_step.capacity {
        let reason = format!(
            "{} probes in one step; the host takes {}",
            probes.len(),
            raw_step.capacity
        );
        return Err(out.fail(&reason));
    }
    if !probes.is_empty() {
        // SAFETY: the host lent room for `capacity` probes, and this many fit; the plugin's are its own.
        unsafe { std::ptr::copy_nonoverlapping(probes.as_ptr(), raw_step.probes, probes.len()) };
    }
    raw_step.len = probes.len();
    raw_step.forecast = forecast;
    verdict.map_or(Ok(()), |verdict| tell(&verdict, out))
}

fn tell(verdict: &Verdict, out: Out<'_>) -> Result<(), Stop> {
    out.text(Tag::NOTE, &verdict.note)?;
    for device in &verdict.devices {
        out.text(Tag::DEVICE, &device.unit.to_string())?;
        out.text(Tag::DEVICE_LEDGER, &device.ledger)?;
        out.text(Tag::DEVICE_ID, &device.id)?;
        let more = [
            (Tag::DEVICE_NAME, &device.name),
            (Tag::DEVICE_MODEL, &device.model),
            (Tag::DEVICE_SERIAL, &device.serial),
            (Tag::DEVICE_FIRMWARE, &device.firmware),
            (Tag::DEVICE_LEDGER_TEXT, &device.ledger_text),
        ];
        for (tag, text) in more {
            if let Some(text) = text {
                out.text(tag, text)?;
            }
        }
    }
    Ok(())
}

fn telegram<P: Plugin>(raw: &RawFeed, raw_heard: &mut RawHeard, out: Out<'_>) -> Result<(), Stop> {
    let standard_offset = match raw.standard_offset {
        NO_OFFSET => None,
        minutes => Some(
            i16::try_from(minutes)
                .map_err(|_| out.fail(&format!("{minutes} minutes are no offset of a standard time")))?,
        ),
    };
    // SAFETY: the host lends these slices for the length of this call.
    let feed = unsafe {
        Feed {
            bytes: borrow(raw.bytes, raw.bytes_len),
            key: borrow(raw.key, raw.key_len),
            auth_key: borrow(raw.auth_key, raw.auth_key_len),
            whole: raw.whole != 0,
            standard_offset,
        }
    };
    let heard = P::default().telegram(&feed);
    *raw_heard = RawHeard {
        consumed: heard.consumed,
        damaged: heard.damaged,
        unchecked: heard.unchecked,
        dropped: heard.dropped,
        repeated: heard.repeated,
    };
    for telegram in &heard.telegrams {
        out.text(Tag::TELEGRAM, telegram.checked.name())?;
        if let Some(time) = telegram.time_ms {
            out.text(Tag::TELEGRAM_TIME, &time.to_string())?;
        }
        out.text(Tag::TELEGRAM_VARIANT, &telegram.variant)?;
        out.text(Tag::TELEGRAM_IDENT, &telegram.ident)?;
        for line in &telegram.lines {
            out.text(Tag::TELEGRAM_LINE, line)?;
        }
    }
    heard
        .note
        .as_ref()
        .map_or(Ok(()), |note| out.text(Tag::HEARD_NOTE, note))
}

fn recognise<P: Plugin>(raw: &RawTelegram, out: Out<'_>) -> Result<(), Stop> {
    let text = |raw: &RawText| {
        // SAFETY: the host lends this text for the length of this call.
        let bytes = unsafe { borrow(raw.data, raw.len) };
        String::from_utf8(bytes.to_vec()).map_err(|_| out.fail("the telegram is no UTF-8"))
    };
    let checked = Checked::ALL.get(raw.checked as usize).copied();
    let checked =
        checked.ok_or_else(|| out.fail("how the telegram was checked is newer than this plugin"))?;
    // SAFETY: as above.
    let lines = unsafe { borrow(raw.lines, raw.lines_len) };
    let telegram = Telegram {
        checked,
        time_ms: (raw.has_time != 0).then_some(raw.time_ms),
        lines: lines.iter().map(text).collect::<Result<_, _>>()?,
        variant: text(&raw.variant)?,
        ident: text(&raw.ident)?,
    };
    tell(&P::default().recognise(&telegram), out)
}

/// # Safety
/// Where `len` is not 0, `data` leads to that many valid elements that outlive `'a`.
unsafe fn borrow<'a, T>(data: *const T, len: usize) -> &'a [T] {
    if len == 0 {
        return &[];
    }
    // SAFETY: by this function's contract.
    unsafe { slice::from_raw_parts(data, len) }
}
