//! The site file: which devices a simulated site has, where they listen, and what their values do.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::model::Ledger;
use busbar_ledger::value::Value;
use serde::Deserialize;
use toml::Spanned;

use crate::capture::Capture;
use crate::error::SiteError;
use crate::expression::{Compiler, order};
use crate::file::{DeviceFile, File, Given, OnWriteFile, ServiceFile, UnitFile};
use crate::house::{Node, Plan};
use crate::listen::{BAUD, Listen};
use crate::onwrite::OnWrite;
use crate::options::{Options, hidden, range};
use crate::sample::sample;

/// Larger files are refused before they are parsed.
const MAX_BYTES: usize = 1 << 20;
/// More signals than this are refused.
const MAX_SIGNALS: usize = 1000;

/// A simulated site, checked as far as that goes without its ledgers.
///
/// A site file names signals, and devices whose points show them. A device of kind `ledger` may also have
/// `zeros = true` (what the ledger knows and this device lacks reads 0) and `holding_only = true` (it does not
/// know function 4).
///
/// `on_write` of a service or a unit says how its points take writes, each with any of these:
///
/// | key | what a written value comes to |
/// |---|---|
/// | `lapse = "60s"` | falls back when nobody writes again for so long; without it, the ledger's `device_timeout` counts |
/// | `fallback = 0` | what it falls back to; without it, the value in this file |
/// | `refuse = 10` | refused with this exception |
/// | `keep = true` | answered as if all were well, and the old value stays |
/// | `clamp = [-3000, 3000]` | what lies outside becomes the nearer end |
/// | `settle = "800ms"` | shows so much later |
/// | `drop = "20s"` | goes back by itself to what was there before |
/// | `other = { value = 50, after = "2s" }` | another master writes its own; without `after`, before anybody reads |
///
/// Such a file in full:
///
/// ```
/// let site = r#"
/// seed   = 7                 # for what wanders
/// begins = "10:40"           # time of the site's day when it starts; `day = "10m"` makes its days short
///
/// [signals]                  # numbers; a text is the name of another signal
/// sun  = { day = { peak = 1, dawn = "06:00", dusk = "21:00" } }
/// pv   = { product = [3200, "sun"] }
/// load = { sum = [{ wander = { mean = 400, spread = 90, every = "10s" } },
///                 { pulse = { high = 1900, every = "7m", lasts = "90s" } }] }
/// grid = { difference = ["load", "pv"] }      # also: ratio, clamp = [value, low, high], sine
/// sold = { integral = { of = { clamp = ["grid", -9999, 0] }, times = -0.001, per = "1h", start = 12.5 } }
///
/// [[device]]
/// name   = "gx"
/// kind   = "gx"              # services behind units
/// listen = "modbus+tcp://127.0.0.1:0"
/// shuffle = true             # also: delay, drop = ["1320-1330"], hide = ["vebus@227"], writes, connections
///
/// [[device.service]]
/// service  = "grid"
/// instance = 30
/// invalid  = ["ac_frequency"]                 # known, but without a value; what is not named does not exist
/// [device.service.values]
/// serial           = "ABC123"
/// ac_l1_power      = { signal = "grid" }
/// ac_energy_reverse = { signal = "sold" }
///
/// [[device]]
/// name   = "meter"
/// kind   = "ledger"          # one ledger a unit
/// listen = "modbus+tcp://127.0.0.1:0"
///
/// [[device.unit]]            # also: firmware = "0.1.7.255", without what came `since` a later one; model = "DEM-3P"
/// unit   = 1
/// ledger = "generic/demo-meter"
/// values = { power = { signal = "load" }, wiring = 0 }
///
/// [[device]]
/// name   = "ess"
/// kind   = "gx"
/// listen = "modbus+tcp://127.0.0.1:0"
///
/// [[device.service]]
/// service  = "hub4"
/// values   = { overrides_setpoint = 0.0 }
/// [device.service.on_write]  # how points take writes, where they do not simply keep what they are given
/// overrides_setpoint = { lapse = "60s", fallback = 0.0 }
///
/// [[device]]                 # also modbus+udp, and modbus+rtu:///dev/ttyUSB0?baud=9600&parity=even
/// name   = "first"
/// kind   = "ledger"
/// listen = "modbus+rtu+tcp://127.0.0.1:4001"
/// baud   = 19200             # behind a gateway: how long characters take
/// unit   = [{ unit = 1, ledger = "generic/demo-meter" }]
///
/// [[device]]                 # on the same line, told apart by its unit
/// name   = "second"
/// kind   = "ledger"
/// listen = "modbus+rtu+tcp://127.0.0.1:4001"
/// unit   = [{ unit = 2, ledger = "generic/demo-meter" }]
/// "#;
/// assert!(busbar_simulate::Site::parse("site.toml", site).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Site {
    pub(crate) file: String,
    pub(crate) plan: Plan,
    pub(crate) devices: Vec<DeviceSpec>,
}

#[derive(Clone, Debug)]
pub(crate) struct DeviceSpec {
    pub(crate) name: String,
    pub(crate) listen: Listen,
    /// Which device of the site listens there first: this one, or one with which it shares a line.
    pub(crate) place: usize,
    pub(crate) kind: Kind,
    pub(crate) options: Options,
    pub(crate) parts: Vec<PartSpec>,
}

/// How a device behaves as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// A Victron GX: services behind units, its own rules for addresses and values.
    Gx,
    /// One ledger a unit; what is not defined is refused.
    Ledger,
    /// What a capture says. No site file names it.
    #[serde(skip)]
    Replay(Arc<Capture>),
}

/// One ledger on a device, with values.
#[derive(Clone, Debug)]
pub(crate) struct PartSpec {
    pub(crate) line: usize,
    pub(crate) ledger: String,
    /// Device instance on a GX, unit elsewhere.
    pub(crate) number: u16,
    /// Which of the models that `[identify]` names it is.
    pub(crate) model: Which,
    /// The device's firmware, in the ledger's format.
    pub(crate) firmware: Option<String>,
    pub(crate) entries: Vec<Entry>,
    /// How it takes writes, point by point.
    pub(crate) habits: Vec<Habit>,
}

/// Which of the answers that a ledger takes in `[identify]` a device gives to its probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Which {
    /// The first.
    #[default]
    First,
    /// That of the model of this name.
    Named(String),
    /// The one at this place of `equals`, from 0 on.
    Entry(usize),
}

/// How one point takes writes.
#[derive(Clone, Debug)]
pub(crate) struct Habit {
    pub(crate) line: usize,
    pub(crate) key: String,
    pub(crate) on: OnWrite,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) line: usize,
    pub(crate) key: String,
    pub(crate) cell: Cell,
}

/// What one point holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Fixed(Value),
    Living(Node),
    /// Registers as they are, whatever they mean: others at each request, in turn. Never empty.
    Words(Box<[Vec<u16>]>),
    /// The device has the point and knows no value for it.
    Invalid,
}

/// A place in the file, for messages.
struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn line(&self, span: Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }

    fn error(&self, span: Range<usize>, message: impl Into<String>) -> SiteError {
        SiteError {
            file: self.file.to_owned(),
            line: self.line(span),
            message: message.into(),
        }
    }
}

impl Site {
    /// Reads a site file; `file` is the name shown in messages.
    ///
    /// # Errors
    /// The first fault, with its line: not TOML, an unknown key, a signal that does not exist or needs itself, a
    /// URL that cannot be listened on. Whether points exist is checked by [`crate::start`].
    pub fn parse(file: &str, text: &str) -> Result<Site, SiteError> {
        let source = Source { file, text };
        if text.len() > MAX_BYTES {
            return Err(source.error(0..0, format!("the file is larger than {MAX_BYTES} bytes")));
        }
        let parsed: File = toml::from_str(text)
            .map_err(|error| source.error(error.span().unwrap_or_default(), error.message()))?;
        if parsed.device.is_empty() {
            return Err(source.error(0..0, "a site needs at least one [[device]]"));
        }
        if parsed.signals.len() > MAX_SIGNALS {
            return Err(source.error(0..0, format!("more than {MAX_SIGNALS} signals")));
        }
        let mut compiler = Compiler::new(parsed.signals.keys().map(|name| name.get_ref().clone()));
        let mut signals = Vec::with_capacity(parsed.signals.len());
        for (name, term) in &parsed.signals {
            signals.push(
                compiler
                    .term(term)
                    .map_err(|message| source.error(name.span(), message))?,
            );
        }
        let order = order(&signals).map_err(|place| {
            let name = parsed.signals.keys().nth(place);
            let (name, span) = name.map_or(("", 0..0), |name| (name.get_ref().as_str(), name.span()));
            source.error(
                span,
                format!("signal `{name}` needs itself; only an integral may close a circle"),
            )
        })?;
        let haste = match &parsed.day {
            None => 1.0,
            Some(day) if day.get_ref().0 >= 1.0 => 86_400.0 / day.get_ref().0,
            Some(day) => return Err(source.error(day.span(), "a day must last at least 1s")),
        };
        let mut devices: Vec<DeviceSpec> = Vec::with_capacity(parsed.device.len());
        for device in parsed.device {
            let span = device.span();
            let mut device = source.device(device.into_inner(), span.clone(), &mut compiler)?;
            if devices.iter().any(|other| other.name == device.name) {
                return Err(source.error(span, format!("two devices are called `{}`", device.name)));
            }
            let shared = devices
                .iter()
                .position(|other| other.listen.is_shared_with(&device.listen));
            device.place = shared.unwrap_or(devices.len());
            devices.push(device);
        }
        let begins = parsed.begins.map_or(0.0, |time| time.0);
        let plan = Plan {
            seed: parsed.seed,
            begins,
            haste,
            signals,
            order,
            integrals: compiler.integrals,
        };
        Ok(Site {
            file: file.to_owned(),
            plan,
            devices,
        })
    }

    /// A site of one device that is described by this ledger, every point with a likely value.
    ///
    /// # Errors
    /// The URL cannot be listened on.
    pub fn of_ledger(ledger: &Ledger, url: &str) -> Result<Site, SiteError> {
        let mut site = Site::parse(&ledger.name, &sample(ledger, url))?;
        site.listen_on(url)?;
        Ok(site)
    }

    /// The same, and the device gives the answer at this place of `equals` in the ledger's `[identify]`, from 0 on.
    ///
    /// # Errors
    /// As [`Site::of_ledger`].
    pub fn of_model(ledger: &Ledger, place: usize, url: &str) -> Result<Site, SiteError> {
        let mut site = Site::of_ledger(ledger, url)?;
        for part in site.devices.iter_mut().flat_map(|device| &mut device.parts) {
            if part.ledger == ledger.name {
                part.model = Which::Entry(place);
            }
        }
        Ok(site)
    }

    /// A site of one device that answers as it did when it was captured.
    ///
    /// # Errors
    /// The URL cannot be listened on.
    pub fn of_capture(name: &str, capture: Capture, url: &str) -> Result<Site, SiteError> {
        let listen = Listen::parse(url).map_err(|message| SiteError {
            file: name.to_owned(),
            line: 0,
            message,
        })?;
        let device = DeviceSpec {
            name: name.to_owned(),
            listen,
            place: 0,
            kind: Kind::Replay(Arc::new(capture)),
            options: Options::default(),
            parts: Vec::new(),
        };
        Ok(Site {
            file: name.to_owned(),
            plan: Plan::default(),
            devices: vec![device],
        })
    }

    /// Makes the site's only device listen elsewhere, or all of its only line.
    ///
    /// # Errors
    /// The URL cannot be listened on, or the site listens in several places.
    pub fn listen_on(&mut self, url: &str) -> Result<(), SiteError> {
        let error = |message| SiteError {
            file: self.file.clone(),
            line: 0,
            message,
        };
        let listen = Listen::parse(url).map_err(error)?;
        if self.devices.iter().any(|device| device.place != 0) {
            let count = self.devices.len();
            return Err(error(format!(
                "the site has {count} devices; give each its `listen` in the file"
            )));
        }
        for device in &mut self.devices {
            device.listen = listen.clone();
        }
        Ok(())
    }

    /// Lets every device that listens on a network do so on any free port, for tests and the demo. Those that
    /// share a port still do.
    pub fn on_free_ports(&mut self) {
        for socket in self
            .devices
            .iter_mut()
            .filter_map(|device| device.listen.socket_mut())
        {
            socket.port = 0;
        }
    }

    /// The options of a device, to change them before it starts.
    pub fn options_mut(&mut self, device: &str) -> Option<&mut Options> {
        self.devices
            .iter_mut()
            .find(|spec| spec.name == device)
            .map(|spec| &mut spec.options)
    }
}

impl Source<'_> {
    fn device(
        &self,
        file: DeviceFile,
        span: Range<usize>,
        compiler: &mut Compiler,
    ) -> Result<DeviceSpec, SiteError> {
        let listen = Listen::parse(file.listen.get_ref())
            .map_err(|message| self.error(file.listen.span(), message))?;
        let mut options = Options {
            delay: Duration::from_secs_f64(file.delay.unwrap_or_default().0),
            shuffle: file.shuffle,
            holding_only: file.holding_only,
            zeros: file.zeros,
            ..Options::default()
        };
        options.writes = file.writes.unwrap_or(options.writes);
        options.connections = file.connections.unwrap_or(options.connections);
        if let Some(baud) = &file.baud {
            if !matches!(listen, Listen::RtuOverTcp(_)) {
                let message =
                    "only an RTU gateway (modbus+rtu+tcp) has `baud`; a serial line has it in its URL";
                return Err(self.error(baud.span(), message));
            }
            if !BAUD.contains(baud.get_ref()) {
                return Err(self.error(baud.span(), "baud is a number from 1200 to 921600"));
            }
            options.baud = Some(*baud.get_ref());
        }
        for text in &file.drop {
            let range = range(text.get_ref());
            let message = "write an address or a range of addresses, like \"830\" or \"1320-1330\"";
            options
                .drop
                .push(range.ok_or_else(|| self.error(text.span(), message))?);
        }
        for text in &file.hide {
            let place = hidden(text.get_ref());
            let message = "write what is hidden as \"vebus@227\", or \"@227\" for the whole unit";
            options
                .hide
                .push(place.ok_or_else(|| self.error(text.span(), message))?);
        }
        let mut parts = Vec::new();
        for service in file.service {
            let at = service.span();
            let ServiceFile {
                service,
                instance,
                invalid,
                values,
                on_write,
            } = service.into_inner();
            let ledger = format!("victron/gx-{service}");
            let entries = self.entries(invalid, values, compiler)?;
            parts.push((
                Kind::Gx,
                at,
                PartSpec {
                    line: 0,
                    ledger,
                    number: instance,
                    model: Which::First,
                    firmware: None,
                    entries,
                    habits: self.habits(on_write),
                },
            ));
        }
        for unit in file.unit {
            let at = unit.span();
            let UnitFile {
                unit,
                ledger,
                model,
                firmware,
                invalid,
                values,
                on_write,
            } = unit.into_inner();
            let entries = self.entries(invalid, values, compiler)?;
            parts.push((
                Kind::Ledger,
                at,
                PartSpec {
                    line: 0,
                    ledger,
                    number: unit.into(),
                    model: model.map_or(Which::First, Which::Named),
                    firmware,
                    entries,
                    habits: self.habits(on_write),
                },
            ));
        }
        let mut checked: Vec<PartSpec> = Vec::with_capacity(parts.len());
        for (kind, at, mut part) in parts {
            part.line = self.line(at.clone());
            let twice = |other: &PartSpec| other.ledger == part.ledger && other.number == part.number;
            if kind != file.kind {
                let message = "a device of kind \"gx\" has [[device.service]], one of kind \"ledger\" has [[device.unit]]";
                return Err(self.error(at, message));
            }
            if checked.iter().any(twice) {
                return Err(self.error(at, format!("{} {} is there twice", part.ledger, part.number)));
            }
            checked.push(part);
        }
        if checked.is_empty() {
            return Err(self.error(span, format!("device `{}` has nothing to serve", file.name)));
        }
        Ok(DeviceSpec {
            name: file.name,
            listen,
            place: 0,
            kind: file.kind,
            options,
            parts: checked,
        })
    }

    fn habits(&self, on_write: BTreeMap<Spanned<String>, OnWriteFile>) -> Vec<Habit> {
        let habit = |(key, on): (Spanned<String>, OnWriteFile)| Habit {
            line: self.line(key.span()),
            key: key.into_inner(),
            on: on.into(),
        };
        on_write.into_iter().map(habit).collect()
    }

    fn entries(
        &self,
        invalid: Vec<Spanned<String>>,
        values: BTreeMap<Spanned<String>, Given>,
        compiler: &mut Compiler,
    ) -> Result<Vec<Entry>, SiteError> {
        let mut entries = Vec::with_capacity(invalid.len() + values.len());
        for (key, given) in values {
            let line = self.line(key.span());
            let cell = match given {
                Given::Fixed(value) => Cell::Fixed(value),
                Given::Form(form) => Cell::Living(
                    compiler
                        .form(&form)
                        .map_err(|message| self.error(key.span(), message))?,
                ),
            };
            entries.push(Entry {
                line,
                key: key.into_inner(),
                cell,
            });
        }
        for key in invalid {
            let line = self.line(key.span());
            entries.push(Entry {
                line,
                key: key.into_inner(),
                cell: Cell::Invalid,
            });
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[[device]]\nname = \"a\"\nkind = \"gx\"\nlisten = \"modbus+tcp://127.0.0.1:0\"\n";

    fn fault(text: &str) -> String {
        Site::parse("s.toml", text).expect_err("it is wrong").to_string()
    }

    #[test]
    fn faults_name_their_line() {
        let service = "[[device.service]]\nservice = \"tank\"\n";
        for (text, expected) in [
            ("seed = ", "s.toml:1: "),
            ("seed = 1\nfoo = 2\n", "s.toml:2: unknown field `foo`"),
            ("seed = 1\n", "at least one [[device]]"),
            ("begins = \"25:00\"\n", "s.toml:1: `25:00` is not a time of day"),
            (
                "[signals]\na = { sum = [1, \"b\"] }\n[[device]]\n",
                "missing field",
            ),
            (
                &format!("[signals]\na = 1\nc = {{ sum = [\"b\"] }}\n{HEAD}"),
                "s.toml:3: there is no signal `b`",
            ),
            (
                &format!("[signals]\na = \"b\"\nb = {{ sum = [\"a\", 1] }}\n{HEAD}"),
                "needs itself",
            ),
            (
                &format!("[signals]\na = {{ summ = [1] }}\n{HEAD}"),
                "s.toml:2: unknown variant `summ`",
            ),
            (
                &format!("{HEAD}delay = \"20\"\n"),
                "s.toml:5: `20` is not a length of time",
            ),
            (&format!("{HEAD}drop = [\"9-3\"]\n"), "s.toml:5: write an address"),
            (
                &format!("{HEAD}hide = [\"tank\"]\n"),
                "s.toml:5: write what is hidden",
            ),
            (&HEAD.replace("127.0.0.1:0", ":0"), "s.toml:4: cannot listen on"),
            (
                &HEAD.replace("modbus+tcp", "modbus+tls"),
                "s.toml:4: cannot listen on",
            ),
            (HEAD, "s.toml:1: device `a` has nothing to serve"),
            (
                &format!("{HEAD}{service}{service}"),
                "s.toml:7: victron/gx-tank 0 is there twice",
            ),
            (
                &format!("{HEAD}[[device.unit]]\nunit = 1\nledger = \"x/y\"\n"),
                "s.toml:5: a device of kind",
            ),
            (
                &format!("{HEAD}{service}{HEAD}{service}"),
                "s.toml:7: two devices are called `a`",
            ),
            (
                &format!("{HEAD}{service}[device.service.on_write]\nlevel = {{ forget = true }}\n"),
                "s.toml:8: unknown field `forget`",
            ),
            (
                &format!("{HEAD}{service}[device.service.on_write]\nlevel = {{ lapse = \"60\" }}\n"),
                "s.toml:8: `60` is not a length of time",
            ),
            (
                &format!("{HEAD}{service}[device.service.values]\nlevel = {{ signal = \"x\" }}\n"),
                "s.toml:8: there is no signal `x`",
            ),
        ] {
            let said = fault(text);
            assert!(said.contains(expected), "{text}\nsaid {said}\nnot  {expected}");
        }
    }

    #[test]
    fn an_integral_may_close_a_circle() {
        let text = format!(
            "[signals]\nlevel = {{ integral = {{ of = \"flow\", per = \"1s\", start = 0 }} }}\n\
             flow = {{ difference = [8, \"level\"] }}\n\
             {HEAD}[[device.service]]\nservice = \"tank\"\nvalues = {{ level = {{ signal = \"level\" }} }}\n"
        );
        let site = Site::parse("s.toml", &text).unwrap();
        let Cell::Living(level) = &site.devices[0].parts[0].entries[0].cell else {
            panic!("it lives")
        };
        let house = crate::house::House::new(site.plan.clone());
        let value = |second| house.at(Duration::from_secs(second)).value(level);
        assert_eq!([value(0), value(1), value(2)], [0.0, 8.0, 8.0]);
    }

    #[test]
    fn the_only_device_can_be_sent_elsewhere() {
        let text = format!("{HEAD}[[device.service]]\nservice = \"tank\"\n");
        let mut site = Site::parse("s.toml", &text).unwrap();
        site.listen_on("modbus+tcp://[::1]:1502").unwrap();
        assert_eq!(site.devices[0].listen.to_string(), "modbus+tcp://[::1]:1502");
        assert!(site.listen_on("http://x").is_err());
        assert!(
            Site::parse("demo", crate::DEMO)
                .unwrap()
                .listen_on("modbus+tcp://127.0.0.1:1")
                .is_err()
        );
    }
}
