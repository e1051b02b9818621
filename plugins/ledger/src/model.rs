//! The checked form of a ledger: what the rest of Busbar works with.
//!
//! A [`Ledger`] can only be had by [`crate::parse`], which refuses what contradicts itself; code that holds
//! one may rely on every promise made here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::obis::ObisPlace;
use crate::span::{Function, Span};
use crate::value::Value;
use crate::write::WriteRule;

/// One kind of device or service: how to recognise it, and its points.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// `<maker>/<model>`, for example `victron/gx-vebus`.
    pub name: String,
    /// A name for people, for example `Victron VE.Bus inverter/charger`.
    pub title: String,
    /// Where the facts come from.
    pub source: Option<String>,
    /// Short model name used in device ids, `[a-z0-9_]+`; made from the ledger's name when left out.
    pub model: String,
    /// The ledger of the gateway that says who such a device is, where it cannot say so itself: without that one on the same
    /// connection nothing is written.
    pub identified_by: Option<String>,
    /// How such a device is reached.
    pub transports: Vec<Transport>,
    /// How it is recognised; `None` where only a plugin or the user can say what it is.
    pub identify: Option<Identify>,
    /// How it wants to be read.
    pub read: ReadRules,
    /// Runs that can be read but carry nothing: they bridge holes between points.
    pub reserved: Vec<Span>,
    /// Presence groups by name.
    pub groups: BTreeMap<String, Group>,
    /// All points, measured first in the order of the file, then computed ones so that each stands behind what
    /// it is computed from.
    pub points: Vec<Point>,
    /// Where each key stands in `points`.
    pub index: HashMap<String, usize>,
}

impl Ledger {
    /// The point with this key.
    pub fn point(&self, key: &str) -> Option<&Point> {
        self.index.get(key).and_then(|&i| self.points.get(i))
    }

    /// The same device read by function 3 where the ledger says 4, for devices that know only one of them. `None`
    /// unless the ledger says `function = "input-then-holding"`.
    pub fn in_holding(&self) -> Option<Ledger> {
        if !self.read.fall_back_to_holding {
            return None;
        }
        let mut ledger = self.clone();
        let moved = |span: &mut Span| {
            if span.function == Function::Input {
                span.function = Function::Holding;
            }
        };
        ledger.read.function = Function::Holding;
        ledger.read.fall_back_to_holding = false;
        ledger.reserved.iter_mut().for_each(moved);
        for point in &mut ledger.points {
            if let PointSource::Registers(all) = &mut point.source {
                all.iter_mut().for_each(|register| moved(&mut register.span));
            }
        }
        if let Some(identify) = &mut ledger.identify {
            let fields = [&mut identify.serial, &mut identify.firmware, &mut identify.model];
            fields
                .into_iter()
                .flatten()
                .for_each(|field| moved(&mut field.span));
            if let Some(probe) = &mut identify.probe {
                moved(&mut probe.span);
            }
        }
        Some(ledger)
    }

    /// Whether it describes telegrams: what a device says by itself, and nothing that could be asked for.
    pub fn is_of_telegrams(&self) -> bool {
        let lies = |point: &Point| (point.spoken().is_some(), !point.registers().is_empty());
        let (spoken, read) = self
            .points
            .iter()
            .map(lies)
            .fold((false, false), |(a, b), (c, d)| (a | c, b | d));
        spoken && !read
    }

    /// The last part of the name: `gx-vebus` of `victron/gx-vebus`.
    pub fn short_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }
}

/// One way to reach a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Transport {
    /// URL scheme: `modbus+tcp`, `modbus+udp`, `modbus+rtu`, `modbus+rtu+tcp`.
    pub scheme: String,
    /// The usual port, for network schemes.
    pub port: Option<u16>,
    /// The units at which the maker puts it, likeliest first; never empty.
    pub units: Vec<u8>,
    /// mDNS service type, where the device announces itself.
    pub mdns: Option<String>,
}

/// How a device says what it is. Every read is harmless.
#[derive(Clone, Debug, PartialEq)]
pub struct Identify {
    /// The register that decides, and what it must hold. `None`: any valid answer to the first block will do.
    pub probe: Option<IdentifyProbe>,
    /// Where the serial number lies.
    pub serial: Option<IdentityField>,
    /// Where the firmware version lies.
    pub firmware: Option<IdentityField>,
    /// Where the model's name lies, where the device tells it.
    pub model: Option<IdentityField>,
    /// Keys of points whose change means that the device must be recognised anew.
    pub rescan_when_changed: Vec<String>,
}

/// The register that decides whether a device is of this kind.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentifyProbe {
    /// What is read.
    pub span: Span,
    /// How it is decoded.
    pub ty: ValueType,
    /// Byte and word order.
    pub order: Order,
    /// Accepted values and the model name of each; for text the key is the text itself. Empty: any answer.
    pub equals: Vec<(ProbeValue, String)>,
    /// For text: accepted beginnings; the model is then the text itself.
    pub starts_with: Vec<String>,
}

/// What an identification register may hold.
#[derive(Clone, Debug, PartialEq)]
pub enum ProbeValue {
    /// A number.
    Integer(i64),
    /// A text, compared whole.
    Text(String),
}

/// A piece of identity on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentityField {
    /// Where it lies.
    pub span: Span,
    /// How it becomes text.
    pub format: IdentityFormat,
    /// Byte and word order, for text.
    pub order: Order,
}

/// How registers become an identity text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IdentityFormat {
    /// ASCII or UTF-8, cut at the first NUL, trimmed.
    Text,
    /// An unsigned number of one to four words, high word first.
    Number,
    /// The two bytes of one word, as decimal numbers with a dot between: `0x0207` is `2.7`, `0x020A` is `2.10`.
    Bytes2,
    /// Four bytes compared one by one, and shown as a VM-3P75CT's are: `0.1.9.255` is `v1.09`, with hexadecimal
    /// digits, and `0.1.3.1` is `v1.03-beta-01`. Where the first is not 0, they are shown as they are.
    Bytes4,
    /// A GX firmware version in two words: version and beta (`v3.65~12`).
    Gx,
}

/// How a device wants to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadRules {
    /// The function of every point that names none.
    pub function: Function,
    /// `input-then-holding`: function 4 is tried once, and 3 is kept when the device refuses it.
    pub fall_back_to_holding: bool,
    /// The longest read, in registers: 1 to 125.
    pub max_words: u16,
    /// Which holes a block may span.
    pub bridge: Bridge,
    /// Added to every address of the file, already applied to all addresses of this model.
    pub index_shift: i32,
    /// Whether a value of 0 proves nothing, because the device answers 0 for what it does not have (a GX).
    pub zero_is_unproven: bool,
    /// Standard time where the device stands, in minutes east of Greenwich: its telegrams tell times by it.
    pub standard_offset: i16,
    /// What it asks of whoever talks to it.
    pub manners: Manners,
}

/// What a device asks of whoever talks to it, beside the reads themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manners {
    /// Requests that it takes at once; `None`: found out.
    pub in_flight: Option<u16>,
    /// Pause between an answer and the next request.
    pub spacing: Duration,
    /// Pause between connecting and the first request.
    pub pause_after_connect: Duration,
}

impl Manners {
    /// The manners that suit both: what two devices at one endpoint ask for.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let in_flight = self.in_flight.into_iter().chain(other.in_flight).min();
        Manners {
            in_flight,
            spacing: self.spacing.max(other.spacing),
            pause_after_connect: self.pause_after_connect.max(other.pause_after_connect),
        }
    }
}

/// Which holes between points a read may span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Bridge {
    /// None: a block ends where the points end.
    Never,
    /// Those that the ledger declares as `reserved`.
    Declared,
    /// Those that a scan has read successfully.
    Learned,
    /// All: the device answers undefined addresses.
    Any,
}

/// One value of a device.
#[derive(Clone, Debug)]
pub struct Point {
    /// The id within the ledger, `[a-z][a-z0-9_]*`.
    pub key: String,
    /// A name for people, in sentence case.
    pub label: String,
    /// Where the value comes from.
    pub source: PointSource,
    /// How it is worked out on a device that has none of its registers.
    pub otherwise: Option<Expression>,
    /// Unit of measurement, as Home Assistant writes it (`V`, `A`, `W`, `kWh`, `°C`, `%`, …).
    pub unit: Option<String>,
    /// What kind of quantity it is.
    pub class: Option<Class>,
    /// For counters: how it runs.
    pub total: Option<Total>,
    /// Labels of an enumeration, by number; empty for anything else.
    pub labels: Arc<BTreeMap<i64, String>>,
    /// What an unlisted number of an enumeration is called; `{}` stands for the number.
    pub unlisted: Option<String>,
    /// When the value is one at all.
    pub valid_when: Option<Condition>,
    /// The presence group it belongs to.
    pub group: Option<String>,
    /// The first firmware that has it, in the ledger's firmware format.
    pub since: Option<String>,
    /// How often it is polled.
    pub rate: Rate,
    /// Whether the device accepts writes to it. What Busbar may write is decided elsewhere.
    pub writable: bool,
    /// Bounds and manner of writes, where the ledger gives them.
    pub write: Option<WriteRule>,
    /// Why Busbar never writes a point that the device would let one set.
    pub not_written: Option<String>,
    /// Decimals worth showing; worked out from the scale when the file says nothing.
    pub decimals: u8,
    /// What people of the maker call it (a D-Bus path, a register name).
    pub origin: Option<String>,
    /// Anything an owner or a reader of the file should know.
    pub note: Option<String>,
    /// Whether it is only there for other points to lean on: it is read, but it is no entity.
    pub internal: bool,
    /// Why this very device does not have it, in a ledger that was made for one device.
    pub absent: Option<String>,
}

/// Where a point's value comes from.
#[derive(Clone, Debug)]
pub enum PointSource {
    /// Registers of the device: the first entry is the point's own, then its fall-backs.
    Registers(Vec<Register>),
    /// A line of the telegrams that the device sends by itself.
    Obis(Spoken),
    /// Worked out from other points.
    Computed(Expression),
}

/// How one value lies in a telegram. Its unit of measurement stands there, too.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// The codes of its line; of those that are there the first counts. Never empty.
    pub codes: Vec<ObisPlace>,
    /// Which bracket, from 1; negative from the last one on. None: the last one with a value.
    pub bracket: Option<i8>,
    /// How it becomes a value.
    pub ty: SpokenType,
    /// The lowest and the highest value that is one.
    pub within: Option<(f64, f64)>,
}

/// How a bracket becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpokenType {
    /// A decimal number, turned into the point's unit.
    Number,
    /// A whole one.
    Integer,
    /// A text as it stands.
    Text,
    /// A text, decoded where it is written as the hexadecimal codes of its characters.
    Octets,
    /// A time, as seconds since 1970 (UTC).
    Timestamp,
    /// All brackets as they stand.
    Raw,
}

impl SpokenType {
    /// The name in ledgers.
    pub fn name(self) -> &'static str {
        match self {
            SpokenType::Number => "number",
            SpokenType::Integer => "integer",
            SpokenType::Text => "text",
            SpokenType::Octets => "octets",
            SpokenType::Timestamp => "timestamp",
            SpokenType::Raw => "raw",
        }
    }
}

impl Point {
    /// The point's own register; `None` for a computed one.
    pub fn register(&self) -> Option<&Register> {
        self.registers().first()
    }

    /// What a number of an enumeration means: its label, or the answer for numbers that are not listed. `None` for
    /// points that are no enumeration.
    pub fn meaning(&self, value: &Value) -> Option<String> {
        let Value::Integer(number) = value else {
            return None;
        };
        if self.labels.is_empty() {
            return None;
        }
        let unlisted = || {
            self.unlisted
                .as_ref()
                .map(|u| u.replace("{}", &number.to_string()))
        };
        self.labels.get(number).cloned().or_else(unlisted)
    }

    /// Where a counter that begins again at 0 is full, in the point's unit: the range of its register. `None` for
    /// everything else.
    pub fn range(&self) -> Option<f64> {
        let register = self.register().filter(|_| self.total == Some(Total::Wrapping))?;
        let bits = match register.ty {
            ValueType::U24 => 24,
            _ => 16 * i32::from(register.span.count),
        };
        Some(2f64.powi(bits) * register.scale.as_f64().abs())
    }

    /// All registers that can deliver it, its own first; empty for one that is computed or lies in telegrams.
    pub fn registers(&self) -> &[Register] {
        match &self.source {
            PointSource::Registers(all) => all,
            PointSource::Obis(_) | PointSource::Computed(_) => &[],
        }
    }

    /// Where it lies in a telegram; `None` for a point that is read or computed.
    pub fn spoken(&self) -> Option<&Spoken> {
        match &self.source {
            PointSource::Obis(spoken) => Some(spoken),
            PointSource::Registers(_) | PointSource::Computed(_) => None,
        }
    }
}

/// How one value lies in registers.
#[derive(Clone, Debug, PartialEq)]
pub struct Register {
    /// Function, address and length.
    pub span: Span,
    /// The type.
    pub ty: ValueType,
    /// Byte and word order.
    pub order: Order,
    /// `value = raw * scale + offset`.
    pub scale: Scale,
    /// Added after scaling, in the point's unit.
    pub offset: f64,
    /// A register that holds a power of ten for this one (SunSpec); its key.
    pub scale_point: Option<String>,
    /// Raw patterns that mean "no value", as unsigned numbers of the type's width.
    pub invalid: Vec<u64>,
    /// The models that have it, as `[identify]` names them; empty: all.
    pub models: Vec<String>,
    /// The first firmware that has it, where it is a fall-back; the point's own register has the point's.
    pub since: Option<String>,
    /// For a fall-back: preferred to the register before it whenever its own range holds that one's value,
    /// because it is the finer of the two.
    pub preferred_when_it_fits: bool,
}

impl Register {
    /// A register that holds its value as it is: no scale, no sentinels, on every model.
    pub fn plain(span: Span, ty: ValueType, order: Order) -> Self {
        Register {
            span,
            ty,
            order,
            scale: Scale::ONE,
            offset: 0.0,
            scale_point: None,
            invalid: Vec::new(),
            models: Vec::new(),
            since: None,
            preferred_when_it_fits: false,
        }
    }
}

/// Types on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    /// Signed, one word.
    I16,
    /// Unsigned, one word.
    U16,
    /// Signed, two words.
    I32,
    /// Unsigned, two words.
    U32,
    /// Unsigned, the low three bytes of two words.
    U24,
    /// Signed, four words.
    I64,
    /// Unsigned, four words.
    U64,
    /// IEEE 754 single, two words.
    F32,
    /// IEEE 754 double, four words.
    F64,
    /// Binary-coded decimal, four digits a word, one to four words.
    Bcd,
    /// One bit, or a field of bits: `shift` from the least significant bit, `width` bits.
    Bits {
        /// Position of the lowest bit, 0 to 63.
        shift: u8,
        /// Number of bits, 1 to 64.
        width: u8,
    },
    /// Text, two characters a word.
    Text,
}

/// Where the value's bytes A B C D lie on the wire, for any width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Hash, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Order {
    /// As Modbus has it: high byte first, high word first.
    #[default]
    Abcd,
    /// Words reversed.
    Cdab,
    /// Bytes of each word swapped.
    Badc,
    /// Both.
    Dcba,
}

/// An exact factor. `num` is never 0, `den` is at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Numerator; its sign is the factor's.
    pub num: i64,
    /// Denominator.
    pub den: i64,
}

impl Register {
    /// Whether devices of this model have it. An unknown model may have anything.
    pub fn is_on(&self, model: Option<&str>) -> bool {
        self.models.is_empty() || model.is_none_or(|model| self.models.iter().any(|m| m == model))
    }
}

impl Scale {
    /// The factor 1.
    pub const ONE: Scale = Scale { num: 1, den: 1 };

    /// The factor as a floating-point number: the size and sign of one raw step.
    pub fn as_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }
}

/// What kind of quantity a point is. The names are Home Assistant's device classes where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(
    missing_docs,
    reason = "the names say it; units are checked by `Class::units`"
)]
pub enum Class {
    ApparentPower,
    AtmosphericPressure,
    Battery,
    Capacity,
    Concentration,
    Current,
    Direction,
    Distance,
    Duration,
    Energy,
    EnergyStorage,
    Enum,
    Frequency,
    Gas,
    Humidity,
    Identity,
    Illuminance,
    Irradiance,
    Location,
    Power,
    PowerFactor,
    Pressure,
    ReactiveEnergy,
    ReactivePower,
    Speed,
    State,
    Temperature,
    Timestamp,
    Voltage,
    Volume,
    VolumeFlowRate,
    Water,
}

/// How a counter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Total {
    /// Only upwards, but for resets.
    Increasing,
    /// Up and down.
    Net,
    /// Only upwards, and from 0 again when its register is full.
    Wrapping,
    /// Upwards, and from 0 again with each new day, session or other period.
    Resetting,
}

/// How often a point is polled, as a class; the connection's interval gives the seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rate {
    /// Each interval: powers, currents, voltages, states, alarms.
    Fast,
    /// Each sixth interval: energies, temperatures, state of charge.
    Normal,
    /// Each sixtieth interval: settings, history.
    Slow,
    /// At start and after a reconnect: identity.
    Once,
}

/// A question about another point's value. An unknown value answers no.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The key of the point that is asked.
    pub point: String,
    /// What its value must be.
    pub test: Test,
}

/// What a condition asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Greater than.
    Above(f64),
    /// Less than.
    Below(f64),
    /// At least.
    AtLeast(f64),
    /// At least the first and below the second.
    Between(f64, f64),
    /// One of these.
    In(Vec<i64>),
    /// None of these.
    NotIn(Vec<i64>),
    /// Anything but 0.
    NonZero,
    /// All of these bits are set.
    Bits(u64),
}

/// Points that exist together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What the group is, for people ("phase L2 of the output").
    pub title: Option<String>,
    /// Proves every member once it was ever true.
    pub when: Option<Condition>,
    /// Whether a member that was ever non-zero proves the others.
    pub proven_by_sibling: bool,
    /// While this is known to be false, the members are `absent`, whatever they read (a capability point such as
    /// a number of phases).
    pub requires: Option<Condition>,
}

/// A computed value. Every operand that is unknown makes the result unknown, except where said.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// The value of another point.
    Point(String),
    /// A constant.
    Constant(f64),
    /// a + b + …
    Sum(Vec<Expression>),
    /// a - b
    Difference(Box<Expression>, Box<Expression>),
    /// a * b * …
    Product(Vec<Expression>),
    /// a / b; unknown when |b| is below `min_denominator`.
    Ratio {
        /// Dividend.
        over: Box<Expression>,
        /// Divisor.
        under: Box<Expression>,
        /// The smallest magnitude of the divisor that still gives a value; at least 1e-9.
        min_denominator: f64,
    },
    /// |a * b| + |c * d| + …
    SumAbsProducts(Vec<Vec<Expression>>),
    /// The value, kept within the bounds.
    Clamp(Box<Expression>, f64, f64),
    /// |a|
    Absolute(Box<Expression>),
    /// -1 where a is below 0, else 1.
    Sign(Box<Expression>),
    /// a + b + … of those that the device has; unknown where it has none of them.
    SumPresent(Vec<Expression>),
    /// The first operand that is known.
    FirstValid(Vec<Expression>),
}
