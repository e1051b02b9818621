//! What crosses the border between a plugin and its host, byte for byte. Everything is `repr(C)`, and no ownership
//! crosses: the host lends what goes in (slices) and what comes out (a slice with its capacity, and a [`Sink`]).
//!
//! Authors in Rust need none of this: [`Plugin`](crate::Plugin) and [`export!`](crate::export) are enough.
//!
//! What may change: a [`Vtable`] grows at its end and raises [`ABI_MINOR`]; new [`Tag`]s raise it too. Everything else
//! is a new [`ABI_MAJOR`]. The first 16 bytes of [`Record`] never change.
#![allow(
    unsafe_code,
    reason = "raw pointers cross the border, and statics that hold them must be Sync"
)]

use std::ffi::c_void;
use std::mem::{offset_of, size_of};

use crate::{Evidence, Forecast, Probe};

/// The first eight bytes of every [`Record`].
pub const MAGIC: [u8; 8] = *b"BUSBARPL";
/// Host and plugin must agree on this one.
pub const ABI_MAJOR: u16 = 1;
/// A host takes plugins of an older minor version; newer hooks than it knows are not called.
pub const ABI_MINOR: u16 = 2;
/// The exported data symbol, an [`Entry`]. Reading it runs nothing.
pub const ENTRY_SYMBOL: &str = "BUSBAR_PLUGIN_ENTRY";
/// The ELF section that holds the same [`Record`], so that a host can read it before it loads anything.
pub const RECORD_SECTION: &str = ".busbar_plugin";
/// How many probes one step may ask for. The longest scan known (33 services at 247 units) fits.
pub const MAX_PROBES: usize = 16_384;

/// Who a plugin is and what it was built against. 80 bytes without pointers.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// Size of this record, 80.
    pub record_size: u16,
    /// [`ABI_MAJOR`] of the SDK.
    pub abi_major: u16,
    /// [`ABI_MINOR`] of the SDK.
    pub abi_minor: u16,
    /// Size of a pointer in bytes.
    pub pointer_width: u8,
    /// 1 little, 2 big (as ELF counts them).
    pub endianness: u8,
    /// 1 when a panic unwinds, so that the guard can catch it; 0 when it ends the process. C: 1.
    pub panic_unwinds: u8,
    /// 0 C, 1 Rust, 255 another.
    pub language: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// Size of the plugin's [`Vtable`].
    pub vtable_size: u32,
    /// [`layout`] of the types that cross.
    pub layout: u64,
    /// Name, filled with zeros.
    pub name: [u8; 32],
    /// Version, filled with zeros.
    pub version: [u8; 16],
}

/// What the symbol [`ENTRY_SYMBOL`] holds.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The same record as in the section.
    pub record: Record,
    /// The functions; `record.vtable_size` bytes.
    pub vtable: *const Vtable,
}

// SAFETY: an entry is a constant; the pointer leads to a constant too.
unsafe impl Sync for Entry {}

/// [`Vtable::describe`].
pub type DescribeFn = unsafe extern "C" fn(out: *const Sink) -> i32;
/// [`Vtable::discover`].
pub type DiscoverFn = unsafe extern "C" fn(ask: *const RawAsk, step: *mut RawStep, out: *const Sink) -> i32;

/// [`Vtable::telegram`]. From minor version 2 on.
pub type TelegramFn =
    unsafe extern "C" fn(feed: *const RawFeed, heard: *mut RawHeard, out: *const Sink) -> i32;
/// [`Vtable::recognise`]. From minor version 2 on.
pub type RecogniseFn = unsafe extern "C" fn(telegram: *const RawTelegram, out: *const Sink) -> i32;

/// The functions of a plugin. Grows at its end only; null means that the plugin has no such hook. Each returns a
/// [`Status`] and, when it is not [`Status::DONE`], gives the reason as [`Tag::ERROR`].
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Vtable {
    /// Tells the sink who the plugin is: [`Tag::TITLE`] and following.
    pub describe: Option<DescribeFn>,
    /// One step of a discovery: fills `step`, and tells the sink the verdict: [`Tag::NOTE`] and following.
    pub discover: Option<DiscoverFn>,
    /// Finds telegrams in a stream: fills `heard`, and tells the sink the telegrams: [`Tag::TELEGRAM`] and following.
    /// From minor version 2 on.
    pub telegram: Option<TelegramFn>,
    /// The devices in one telegram: tells the sink the verdict, [`Tag::NOTE`] and following. From minor version 2 on.
    pub recognise: Option<RecogniseFn>,
}

/// What a hook returns.
pub struct Status;

impl Status {
    /// All is well.
    pub const DONE: i32 = 0;
    /// The plugin cannot; the reason is in the sink.
    pub const FAILED: i32 = 1;
    /// It panicked; the message is in the sink.
    pub const PANICKED: i32 = 2;
    /// It had more to say than the host takes.
    pub const TOO_MUCH: i32 = 3;
}

/// Where a plugin puts text. The host lends it for the length of one call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Sink {
    /// Handed back as it is.
    pub context: *mut c_void,
    /// Takes a copy of `len` bytes of UTF-8. Returns 0, or something else when the host takes no more: then the hook
    /// should return [`Status::TOO_MUCH`].
    pub put: unsafe extern "C" fn(context: *mut c_void, tag: u32, data: *const u8, len: usize) -> i32,
}

/// What a text in the sink is.
pub struct Tag;

impl Tag {
    /// Why the call failed.
    pub const ERROR: u32 = 1;
    /// A description's title.
    pub const TITLE: u32 = 16;
    /// A description's summary.
    pub const SUMMARY: u32 = 17;
    /// A description's licence.
    pub const LICENCE: u32 = 18;
    /// Empty; the plugin takes part in discovery.
    pub const DISCOVERS: u32 = 19;
    /// Begins a ledger: its file name.
    pub const LEDGER: u32 = 20;
    /// The ledger's text.
    pub const LEDGER_TEXT: u32 = 21;
    /// Empty; the plugin finds telegrams in streams. From minor version 2 on.
    pub const TELEGRAMS: u32 = 22;
    /// Begins a verdict: its note, perhaps empty.
    pub const NOTE: u32 = 32;
    /// Begins a device: its Modbus unit, as a decimal number.
    pub const DEVICE: u32 = 33;
    /// The device's ledger.
    pub const DEVICE_LEDGER: u32 = 34;
    /// The device's id.
    pub const DEVICE_ID: u32 = 35;
    /// Its name, where it has one.
    pub const DEVICE_NAME: u32 = 36;
    /// Its model, where known.
    pub const DEVICE_MODEL: u32 = 37;
    /// Its serial number, where known.
    pub const DEVICE_SERIAL: u32 = 38;
    /// Its firmware, where known.
    pub const DEVICE_FIRMWARE: u32 = 39;
    /// Text of a ledger made for this one device, where there is one. From minor version 1 on.
    pub const DEVICE_LEDGER_TEXT: u32 = 40;
    /// Begins a telegram: how it was checked, `crc`, `restored` or `none`. From minor version 2 on, as what follows.
    pub const TELEGRAM: u32 = 48;
    /// When it was made, in milliseconds since 1970, as a decimal number; where it says.
    pub const TELEGRAM_TIME: u32 = 49;
    /// One of its lines.
    pub const TELEGRAM_LINE: u32 = 50;
    /// Which kind of telegram it is.
    pub const TELEGRAM_VARIANT: u32 = 51;
    /// What the meter calls itself.
    pub const TELEGRAM_IDENT: u32 = 52;
    /// What a stream seems to be that is none of telegrams, and what to do.
    pub const HEARD_NOTE: u32 = 53;
}

/// [`Ask`](crate::Ask) as it crosses. A pointer may be anything where its length is 0.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawAsk {
    /// 0 quick, 1 full, 2 listed.
    pub mode: u32,
    /// Length of `units`.
    pub units_len: u32,
    /// The listed units.
    pub units: *const u8,
    /// The evidence.
    pub evidence: *const Evidence,
    /// Length of `evidence`.
    pub evidence_len: usize,
    /// The words of all evidence.
    pub words: *const u16,
    /// Length of `words`.
    pub words_len: usize,
}

/// [`Step`](crate::Step) as it crosses. The host lends it zeroed but for the first two fields.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawStep {
    /// Room for probes, lent by the host.
    pub probes: *mut Probe,
    /// How many fit.
    pub capacity: usize,
    /// How many the plugin wrote.
    pub len: usize,
    /// What is still to come.
    pub forecast: Forecast,
}

/// [`Feed`](crate::Feed) as it crosses. A pointer may be anything where its length is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawFeed {
    /// All that was not consumed yet.
    pub bytes: *const u8,
    /// Length of `bytes`.
    pub bytes_len: usize,
    /// The key to read with.
    pub key: *const u8,
    /// Length of `key`: 0 or 16.
    pub key_len: usize,
    /// The key to authenticate with.
    pub auth_key: *const u8,
    /// Length of `auth_key`: 0 or 16.
    pub auth_key_len: usize,
    /// 1 where nothing follows, else 0.
    pub whole: u32,
    /// Standard time in minutes east of Greenwich; [`NO_OFFSET`] where the plugin knows.
    pub standard_offset: i32,
}

/// [`RawFeed::standard_offset`] where none is set.
pub const NO_OFFSET: i32 = i32::MIN;

/// The numbers of [`Heard`](crate::Heard) as they cross; the host lends it zeroed.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct RawHeard {
    /// How many bytes are done with.
    pub consumed: usize,
    /// Damaged telegrams.
    pub damaged: u32,
    /// Telegrams without a sum.
    pub unchecked: u32,
    /// Bytes that belong to no telegram that is told.
    pub dropped: u32,
    /// Lines that were left out for a later one with the same code.
    pub repeated: u32,
}

/// A text that the host lends: UTF-8 without a zero at its end.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawText {
    /// Its bytes.
    pub data: *const u8,
    /// How many.
    pub len: usize,
}

/// [`Telegram`](crate::Telegram) as it is lent to a plugin.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawTelegram {
    /// Its place in [`Checked::ALL`](crate::Checked::ALL).
    pub checked: u32,
    /// 1 where `time_ms` says something, else 0.
    pub has_time: u32,
    /// When it was made.
    pub time_ms: i64,
    /// Its lines.
    pub lines: *const RawText,
    /// How many.
    pub lines_len: usize,
    /// Which kind of telegram it is.
    pub variant: RawText,
    /// What the meter calls itself.
    pub ident: RawText,
}

/// A fingerprint (FNV-1a) of the sizes and offsets of all that crosses. Two sides with different ones would read
/// each other's memory wrongly. The vtable is left out: it may grow. So are the types that came with a later minor version
/// (those of telegrams): a plugin that was built before them goes on to load, and they never change.
pub const fn layout() -> u64 {
    let facts = [
        size_of::<Record>(),
        offset_of!(Record, panic_unwinds),
        offset_of!(Record, vtable_size),
        offset_of!(Record, layout),
        offset_of!(Record, name),
        offset_of!(Record, version),
        size_of::<Entry>(),
        offset_of!(Entry, vtable),
        size_of::<Sink>(),
        offset_of!(Sink, put),
        size_of::<Probe>(),
        offset_of!(Probe, function),
        offset_of!(Probe, at),
        offset_of!(Probe, count),
        size_of::<Evidence>(),
        offset_of!(Evidence, outcome),
        offset_of!(Evidence, exception),
        offset_of!(Evidence, offset),
        offset_of!(Evidence, len),
        size_of::<Forecast>(),
        offset_of!(Forecast, expected_exceptions),
        offset_of!(Forecast, possible),
        size_of::<RawAsk>(),
        offset_of!(RawAsk, units_len),
        offset_of!(RawAsk, units),
        offset_of!(RawAsk, evidence),
        offset_of!(RawAsk, evidence_len),
        offset_of!(RawAsk, words),
        offset_of!(RawAsk, words_len),
        size_of::<RawStep>(),
        offset_of!(RawStep, capacity),
        offset_of!(RawStep, len),
        offset_of!(RawStep, forecast),
    ];
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < facts.len() {
        hash = (hash ^ facts[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

const _: () = assert!(size_of::<Record>() == 80 && offset_of!(Record, panic_unwinds) == 16);
const _: () = assert!(size_of::<Evidence>() == 16 && size_of::<Probe>() == 6);
