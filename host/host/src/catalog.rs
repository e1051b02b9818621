//! Everything that plugins bring: ledgers, and who can discover what.

mod foreign;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use busbar_ledger::Diagnostics;
use busbar_ledger::model::Ledger;
use busbar_loader::{Options, PluginLedger, PluginState, Plugins};
use busbar_plugin_sdk::{Conversation, Found, Step};
use tracing::warn;

use crate::config::PluginsConfig;
use crate::error::{HostError, Result};

/// The plugins that are built and installed with the program.
const SHIPPED: [&str; 4] = ["generic", "sunspec", "victron-gx", "vm-3p75ct"];
/// Ledgers are small; a larger file is a mistake.
const MAX_LEDGER_BYTES: u64 = 4 << 20;

/// All plugins and their ledgers. A ledger is parsed when it is first asked for.
pub struct Catalog {
    plugins: Plugins,
    /// What is wrong with what plugins bring, or with how they are set up, a line for each.
    notes: Vec<String>,
    /// The names of the plugins that ship with the program, and are used.
    ships: HashSet<String>,
    texts: BTreeMap<String, Text>,
    parsed: Mutex<HashMap<String, Arc<Ledger>>>,
    /// Texts of ledgers that no plugin brings: the owner's own, by name.
    own: Mutex<HashMap<String, String>>,
    /// Ledgers that were made for one device, by its id. Two of them may have one name.
    composed: Mutex<HashMap<String, Arc<Ledger>>>,
}

/// A ledger as a plugin brought it.
struct Text {
    plugin: String,
    text: String,
}

impl Catalog {
    /// Finds, inspects and asks all plugins. What is refused is listed by `busbar plugin list`, and warned about.
    pub async fn load(given: &[PathBuf], config: &PluginsConfig) -> Self {
        let mut options = Options::new(busbar_loader::plugin_dirs(given, config.dir.as_deref()));
        options.pins = config.pin.clone();
        options.shipped = SHIPPED.map(str::to_owned).into();
        let mut plugins = Plugins::load(options).await;
        let mut notes = plugins.notes().to_vec();
        for plugin in plugins.list() {
            if plugin.state == PluginState::Refused {
                warn!(
                    "{} is not used: {}",
                    plugin.path.display(),
                    plugin.reason.unwrap_or_default()
                );
            }
        }
        // Those that ship first: another plugin cannot take the place of a ledger that the limits of writes come from.
        let ships: HashSet<String> = plugins
            .list()
            .into_iter()
            .filter(|plugin| plugin.ships && plugin.state == PluginState::Loaded)
            .filter_map(|plugin| plugin.name)
            .collect();
        let (own, others): (Vec<_>, Vec<_>) = plugins
            .take_ledgers()
            .into_iter()
            .partition(|brought| ships.contains(&brought.plugin));
        // One with faults would be in the way of every scan that looks through all ledgers.
        let others = foreign::sound(others, &mut notes).await.into_iter();
        let brought = own
            .into_iter()
            .map(|brought| (brought, None))
            .chain(others.map(|(brought, checked)| (brought, Some(checked))));
        let (mut texts, mut parsed) = (BTreeMap::new(), HashMap::new());
        for (PluginLedger { plugin, ledger }, checked) in brought {
            let name = ledger
                .file
                .strip_suffix(".toml")
                .unwrap_or(&ledger.file)
                .to_owned();
            match texts.entry(name) {
                Entry::Vacant(free) => {
                    parsed.extend(checked.map(|checked| (free.key().clone(), Arc::new(checked))));
                    free.insert(Text {
                        plugin,
                        text: ledger.text,
                    });
                }
                Entry::Occupied(first) => {
                    let first: &Text = first.get();
                    notes.push(format!(
                        "{} of plugin {plugin} is not used: {} brings it too",
                        ledger.file, first.plugin
                    ));
                }
            }
        }
        for note in &notes {
            warn!("{note}");
        }
        Catalog {
            plugins,
            notes,
            ships,
            texts,
            parsed: Mutex::new(parsed),
            own: Mutex::default(),
            composed: Mutex::default(),
        }
    }

    /// The plugins, refused ones included.
    pub fn plugins(&self) -> &Plugins {
        &self.plugins
    }

    /// What is wrong with what plugins bring, or with how they are set up, a line for each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Names of all ledgers, sorted.
    pub fn ledger_names(&self) -> Vec<String> {
        self.texts.keys().cloned().collect()
    }

    /// The plugin that brings a ledger, or that made it for a device: such a one begins with its name.
    pub fn plugin_of(&self, ledger: &str) -> Option<String> {
        if let Some(text) = self.texts.get(ledger) {
            return Some(text.plugin.clone());
        }
        let (plugin, _) = ledger.split_once('/')?;
        self.discovers(plugin).then(|| plugin.to_owned())
    }

    /// What a plugin calls what it is for.
    pub fn title_of(&self, plugin: &str) -> Option<String> {
        let named = |p: &busbar_loader::PluginInfo| p.name.as_deref() == Some(plugin);
        self.plugins.list().into_iter().find(named).and_then(|p| p.title)
    }

    /// A ledger by name.
    ///
    /// # Errors
    /// A usage error when no plugin brings it, with the name that comes nearest; its faults when it has any.
    pub fn ledger(&self, name: &str) -> Result<Arc<Ledger>> {
        if let Some(ledger) = self
            .parsed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
        {
            return Ok(Arc::clone(ledger));
        }
        let Some(text) = self.texts.get(name) else {
            return Err(self.unknown(name));
        };
        let ledger =
            Arc::new(busbar_ledger::parse(name, &text.text).map_err(|d| HostError::ledger(name, &d))?);
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        parsed.insert(name.to_owned(), Arc::clone(&ledger));
        Ok(ledger)
    }

    /// A ledger by name, or from a file where the text is a path to one.
    ///
    /// # Errors
    /// As [`Catalog::ledger`]; and a file that cannot be read.
    pub fn ledger_or_file(&self, text: &str) -> Result<Arc<Ledger>> {
        if self.texts.contains_key(text) {
            return self.ledger(text);
        }
        let path = Path::new(text);
        if path.is_file() || text.ends_with(".toml") {
            let (text, ledger) = read_ledger(path).map_err(|fault| match fault {
                LedgerFault::Faults(d) => HostError::ledger(text, &d),
                LedgerFault::Unreadable(message) => HostError::usage(message, "Check the path."),
                LedgerFault::List(_) => HostError::usage(
                    format!("{} is a register list, not a ledger", path.display()),
                    format!(
                        "Use `busbar read URL --map {0}`, or make a ledger of it: `busbar ledger new {0}`.",
                        path.display()
                    ),
                ),
            })?;
            return Ok(self.take_in(text, ledger));
        }
        Err(self.unknown(text))
    }

    /// Takes in a ledger of the owner's, as it was kept in the registry.
    ///
    /// # Errors
    /// Its faults: a newer version may be stricter than the one that took it in.
    pub fn adopt(&self, name: &str, text: &str) -> Result<()> {
        if self.own_text(name).as_deref() == Some(text) {
            return Ok(());
        }
        let ledger = busbar_ledger::parse(name, text).map_err(|d| HostError::ledger(name, &d))?;
        self.take_in(text.to_owned(), ledger);
        Ok(())
    }

    /// A ledger that a plugin made for one device. The text may hold what a device said of itself: it is checked like
    /// any file, and it cannot take the place of a ledger that is not this plugin's.
    ///
    /// # Errors
    /// Its faults, or that it is called otherwise than the plugin said or may say.
    pub async fn composed(&self, plugin: &str, name: &str, text: &str) -> Result<Arc<Ledger>> {
        let ledger = foreign::parse(name, text).await.map_err(|fault| {
            HostError::failed(
                "plugin",
                format!("plugin {plugin} made a ledger {name:?} for a device, and it has faults: {fault}"),
                "This is a fault of the plugin; scan with --ledger or another --plugin.",
            )
        })?;
        // Under the plugin's own name, or that of a ledger which it brings: then this one says more of one device.
        let owned = match self.texts.get(name) {
            Some(brought) => brought.plugin == plugin,
            None => name.split_once('/').is_some_and(|(maker, _)| maker == plugin),
        };
        if ledger.name != name || !owned {
            return Err(HostError::failed(
                "plugin",
                format!(
                    "plugin {plugin} made a ledger {:?} for a device and calls it {name:?}; it may only make {plugin}/… and what it brings itself",
                    ledger.name
                ),
                "This is a fault of the plugin; scan with --ledger or another --plugin.",
            ));
        }
        Ok(Arc::new(ledger))
    }

    /// What a plugin reads a device by that it has found: a ledger made for it, or one that is known.
    ///
    /// # Errors
    /// As [`Catalog::composed`] and [`Catalog::ledger`]; the plugin's fault where nobody brings it.
    pub async fn ledger_found(&self, plugin: &str, found: &Found) -> Result<Arc<Ledger>> {
        match &found.ledger_text {
            Some(text) => self.composed(plugin, &found.ledger, text).await,
            None => self.ledger(&found.ledger).map_err(|error| match error {
                HostError::Usage { message, .. } => HostError::failed(
                    "plugin",
                    format!("plugin {plugin} found {}, but {message}", found.id),
                    "This is a fault of the plugin, which `busbar plugin check FILE` shows to its author; scan with --ledger or another --plugin.",
                ),
                faults => faults,
            }),
        }
    }

    /// From now on this device is read by this ledger, which was made for it.
    pub fn keep_composed(&self, device: &str, ledger: &Arc<Ledger>) {
        let mut composed = self.composed.lock().unwrap_or_else(PoisonError::into_inner);
        composed.insert(device.to_owned(), Arc::clone(ledger));
    }

    /// Takes in a ledger that was made for one device, as it was kept in the registry.
    ///
    /// # Errors
    /// Its faults: a newer version may be stricter than the one that took it in.
    pub fn adopt_composed(&self, device: &str, text: &str) -> Result<()> {
        let ledger = busbar_ledger::parse(device, text).map_err(|d| HostError::ledger(device, &d))?;
        self.keep_composed(device, &Arc::new(ledger));
        Ok(())
    }

    /// The ledger of a known device: the one that was made for it, else the one of that name.
    ///
    /// # Errors
    /// As [`Catalog::ledger`].
    pub fn ledger_of(&self, device: &str, name: &str) -> Result<Arc<Ledger>> {
        let composed = self.composed.lock().unwrap_or_else(PoisonError::into_inner);
        match composed.get(device).filter(|ledger| ledger.name == name) {
            Some(ledger) => Ok(Arc::clone(ledger)),
            None => {
                drop(composed);
                self.ledger(name)
            }
        }
    }

    /// From now on this is what its name means. Many devices may be of one ledger: the same text is kept once.
    fn take_in(&self, text: String, ledger: Ledger) -> Arc<Ledger> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = parsed.get(&ledger.name)
            && own.get(&ledger.name) == Some(&text)
        {
            return Arc::clone(known);
        }
        let ledger = Arc::new(ledger);
        own.insert(ledger.name.clone(), text);
        parsed.insert(ledger.name.clone(), Arc::clone(&ledger));
        ledger
    }

    /// The text of a ledger of the owner's own.
    pub fn own_text(&self, name: &str) -> Option<String> {
        self.own
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    fn unknown(&self, name: &str) -> HostError {
        let nearest = self
            .texts
            .keys()
            .map(|known| match known.rsplit('/').next() == Some(name) {
                // The maker may be left out by whoever knows the model.
                true => (1.0, known),
                false => (strsim::jaro_winkler(known, name), known),
            })
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(likeness, _)| *likeness > 0.8);
        let hint = match nearest {
            _ if self.discovers(name) => {
                format!("{name} is a plugin that finds devices: scan with --plugin {name}.")
            }
            Some((_, known)) => format!("Did you mean {known}? `busbar ledger list` shows all."),
            None => "`busbar ledger list` shows all; a file is named with its path and .toml.".to_owned(),
        };
        HostError::usage(format!("there is no ledger {name:?}"), hint)
    }

    /// All ledgers of one plugin.
    ///
    /// # Errors
    /// The faults of one that has any.
    pub fn ledgers_of(&self, plugin: &str) -> Result<Vec<Arc<Ledger>>> {
        self.texts
            .iter()
            .filter(|(_, t)| t.plugin == plugin)
            .map(|(name, _)| self.ledger(name))
            .collect()
    }

    /// Ledgers that recognise their devices by themselves, over this scheme. Those of plugins that discover are left
    /// to them.
    ///
    /// # Errors
    /// The faults of one that has any.
    pub fn identifying_ledgers(&self, scheme: &str) -> Result<Vec<Arc<Ledger>>> {
        let mut all = Vec::new();
        for (name, text) in &self.texts {
            if self.discovers(&text.plugin) {
                continue;
            }
            let ledger = self.ledger(name)?;
            let reachable = ledger.transports.iter().any(|t| t.scheme == scheme);
            if reachable && ledger.identify.as_ref().is_some_and(|i| i.probe.is_some()) {
                all.push(ledger);
            }
        }
        Ok(all)
    }

    /// The names of the plugins that discover.
    pub fn discovering_plugins(&self) -> Vec<String> {
        self.plugins.discoverers().map(str::to_owned).collect()
    }

    /// Whether this plugin came with the program.
    pub fn ships(&self, plugin: &str) -> bool {
        self.ships.contains(plugin)
    }

    /// Whether this plugin discovers.
    pub fn discovers(&self, plugin: &str) -> bool {
        self.plugins.discoverers().any(|name| name == plugin)
    }

    /// A plugin that can be used, by name.
    ///
    /// # Errors
    /// A usage error when there is none of this name, or it was refused.
    pub fn usable_plugin(&self, name: &str) -> Result<String> {
        let named: Vec<_> = self
            .plugins
            .list()
            .into_iter()
            .filter(|p| p.name.as_deref() == Some(name))
            .collect();
        if named.iter().any(|p| p.state == PluginState::Loaded) {
            return Ok(name.to_owned());
        }
        Err(match named.into_iter().next() {
            Some(plugin) => HostError::usage(
                format!(
                    "plugin {name} cannot be used: {}",
                    plugin.reason.unwrap_or_default()
                ),
                "`busbar plugin list` shows what is loaded and what is refused.",
            ),
            None => HostError::usage(
                format!("there is no plugin {name:?}"),
                "`busbar plugin list` shows what there is; --plugin-dir adds a directory. A host that runs knows those that it was \
                 started with: restart it with --plugin-dir.",
            ),
        })
    }

    /// One step of a discovery.
    ///
    /// # Errors
    /// The plugin's, or its worker's.
    pub async fn discover(&self, plugin: &str, talk: &Conversation) -> Result<Step> {
        self.plugins
            .discover(plugin, talk)
            .await
            .map_err(|error| HostError::Plugin {
                plugin: plugin.to_owned(),
                error,
            })
    }
}

/// Why a ledger file cannot be used.
pub enum LedgerFault {
    /// It has faults.
    Faults(Diagnostics),
    /// It cannot be read; in words.
    Unreadable(String),
    /// It is a register list: this is its text.
    List(String),
}

/// What is said of a list where a ledger is expected.
const IS_LIST: &str = "this is a register list: use --map, or `busbar ledger new FILE`";

impl LedgerFault {
    /// Every fault, with the file's lines underlined.
    pub fn report(&self, colour: bool) -> String {
        match self {
            LedgerFault::Faults(d) => crate::diagnostics::render(d, colour),
            LedgerFault::Unreadable(message) => message.clone(),
            LedgerFault::List(_) => IS_LIST.to_owned(),
        }
    }

    /// Every fault on a line.
    pub fn lines(&self) -> Vec<String> {
        match self {
            LedgerFault::Faults(d) => d.to_string().lines().map(str::to_owned).collect(),
            LedgerFault::Unreadable(message) => vec![message.clone()],
            LedgerFault::List(_) => vec![IS_LIST.to_owned()],
        }
    }
}

/// Reads and checks one ledger file.
///
/// # Errors
/// Its faults, or why it cannot be read.
pub fn read_ledger_file(path: &Path) -> Result<Ledger, LedgerFault> {
    read_ledger(path).map(|(_, ledger)| ledger)
}

fn read_ledger(path: &Path) -> Result<(String, Ledger), LedgerFault> {
    let shown = path.display().to_string();
    let unreadable = |e: std::io::Error| LedgerFault::Unreadable(format!("cannot read {shown}: {e}"));
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_LEDGER_BYTES {
        return Err(LedgerFault::Unreadable(format!(
            "{shown} is larger than 4 MiB: this is no ledger"
        )));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|e| {
        LedgerFault::Unreadable(format!(
            "{shown} is not UTF-8 (byte {})",
            e.utf8_error().valid_up_to()
        ))
    })?;
    match busbar_ledger::parse(&shown, &text) {
        Ok(ledger) => Ok((text, ledger)),
        Err(_) if busbar_ledger::map::is_list(&shown, &text) => Err(LedgerFault::List(text)),
        Err(faults) => Err(LedgerFault::Faults(faults)),
    }
}
