//! Listening: what a stream brings is put together and shown to the plugins that know telegrams, until they are whole.

use busbar_plugin_sdk::{Checked, Feed, Heard, MAX_FEED, Telegram};
use busbar_sinks::telegram::Check;
use busbar_wire::{Chunk, Listener, Piece};

use super::raw;
use super::way::Ear;
use crate::catalog::Catalog;
use crate::error::{HostError, Result};

/// Whole telegrams, and what there was beside them.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order in which they came.
    pub telegrams: Vec<Whole>,
    /// Damaged ones, as far as they could be told apart.
    pub spoiled: Vec<Vec<u8>>,
    /// How many were damaged.
    pub damaged: u32,
    /// What the stream seems to be where it is none of telegrams.
    pub note: Option<String>,
}

/// A whole telegram.
#[derive(Clone, Debug)]
pub struct Whole {
    /// What it says.
    pub telegram: Telegram,
    /// Its bytes.
    pub raw: Vec<u8>,
    /// What its sum says.
    pub check: Check,
    /// The plugin that has found it.
    pub plugin: String,
}

/// One who listens to a stream and understands it.
pub struct Hearing {
    ear: Ear,
    listener: Listener,
    /// The plugins that are asked; once one has understood, no other is.
    plugins: Vec<String>,
    held: Vec<u8>,
    /// The answer before, where answers are fetched: the same one again is nothing new.
    last: Vec<u8>,
    /// Whether what it hears is counted: of several who listen to one stream, one counts.
    counts: bool,
    bytes: u64,
}

impl Hearing {
    /// Listens from now on, with this plugin or with all that know telegrams.
    ///
    /// # Errors
    /// When no plugin does.
    pub fn new(ear: &Ear, catalog: &Catalog, plugin: Option<&str>) -> Result<Self> {
        let mut plugins: Vec<String> = catalog.plugins().listeners().map(str::to_owned).collect();
        // Those that ship are believed first.
        plugins.sort_by_key(|name| !catalog.ships(name));
        if let Some(wanted) = plugin {
            plugins.retain(|name| name == wanted);
        }
        if plugins.is_empty() {
            return Err(HostError::failed(
                "no_plugins",
                match plugin {
                    Some(plugin) => format!("plugin {plugin} knows no telegrams"),
                    None => "no plugin is loaded that knows telegrams".to_owned(),
                },
                "See what is loaded with `busbar plugin list`; plugins lie beside the program or in --plugin-dir.",
            ));
        }
        Ok(Hearing {
            listener: ear.stream.listen(),
            ear: ear.clone(),
            plugins,
            held: Vec::new(),
            last: Vec::new(),
            counts: false,
            bytes: 0,
        })
    }

    /// The same one, which counts what it hears.
    #[must_use]
    pub fn counting(self) -> Self {
        Hearing { counts: true, ..self }
    }

    /// Bytes that came so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the next bytes bring, perhaps nothing whole; `None` once the stream is closed.
    ///
    /// # Errors
    /// A plugin's; what came is kept for the next time, within bounds.
    pub async fn next(&mut self, catalog: &Catalog) -> Result<Option<Batch>> {
        let chunk = match self.listener.next().await {
            None => return Ok(None),
            Some(Piece::Lost(lost)) => {
                // What is held does not go on with what comes next.
                let dropped = std::mem::take(&mut self.held).len() as u64;
                self.count(|stats| {
                    stats.overrun += lost;
                    stats.dropped += dropped;
                });
                return Ok(Some(Batch::default()));
            }
            Some(Piece::Bytes(chunk)) => chunk,
        };
        self.bytes += chunk.bytes.len() as u64;
        let again = chunk.whole && self.last == *chunk.bytes;
        if chunk.first {
            self.held.clear();
        }
        if chunk.whole {
            self.last = chunk.bytes.to_vec();
        }
        self.held.extend_from_slice(&chunk.bytes);
        let over = self.held.len().saturating_sub(MAX_FEED);
        if over > 0 {
            self.held.drain(..over);
            self.count(|stats| stats.dropped += over as u64);
        }
        let mut batch = self.understand(catalog, &chunk).await?;
        if chunk.whole {
            self.held.clear();
        }
        if again {
            // A gateway that has lost its meter gives its last telegram for ever. One that says when it was made is old.
            batch.telegrams.retain(|whole| whole.telegram.time_ms.is_none());
        }
        if !batch.telegrams.is_empty() {
            self.ear.stream.good(&chunk);
        }
        Ok(Some(batch))
    }

    async fn understand(&mut self, catalog: &Catalog, chunk: &Chunk) -> Result<Batch> {
        let mut batch = Batch::default();
        while !self.held.is_empty() {
            let Some((plugin, heard)) = self.ask(catalog, chunk.whole).await? else {
                break;
            };
            batch.note = heard.note.clone().or(batch.note);
            let consumed = heard.consumed.min(self.held.len());
            let done: Vec<u8> = self.held.drain(..consumed).collect();
            self.take(&plugin, heard, &done, &mut batch);
            if consumed == 0 {
                break;
            }
        }
        Ok(batch)
    }

    /// Shows what is held to the plugins; the answer of the first that understands it, else of the one that lets go of
    /// the least.
    async fn ask(&mut self, catalog: &Catalog, whole: bool) -> Result<Option<(String, Heard)>> {
        let keys = &self.ear.keys;
        let feed = Feed {
            bytes: &self.held,
            key: &keys.key,
            auth_key: &keys.auth_key,
            whole,
            standard_offset: keys.standard_offset,
        };
        let mut least: Option<(String, Heard)> = None;
        let mut fault = None;
        for plugin in &self.plugins {
            let heard = match catalog.plugins().telegram(plugin, &feed).await {
                Ok(heard) => heard,
                Err(error) => {
                    fault = Some(HostError::Plugin {
                        plugin: plugin.clone(),
                        error,
                    });
                    continue;
                }
            };
            if !heard.telegrams.is_empty() {
                least = Some((plugin.clone(), heard));
                break;
            }
            if least
                .as_ref()
                .is_none_or(|(_, known)| heard.consumed < known.consumed)
            {
                least = Some((plugin.clone(), heard));
            }
        }
        match (&least, fault) {
            (None, Some(fault)) => Err(fault),
            (Some((plugin, heard)), _) if !heard.telegrams.is_empty() => {
                let plugin = plugin.clone();
                self.plugins.retain(|name| *name == plugin);
                Ok(least)
            }
            _ => Ok(least),
        }
    }

    fn take(&self, plugin: &str, heard: Heard, done: &[u8], batch: &mut Batch) {
        let Heard {
            telegrams,
            damaged,
            unchecked,
            dropped,
            ..
        } = heard;
        self.count(|stats| {
            stats.telegrams += telegrams.len() as u64;
            stats.damaged += u64::from(damaged);
            stats.unchecked += u64::from(unchecked);
            stats.dropped += u64::from(dropped);
        });
        batch.damaged = batch.damaged.saturating_add(damaged);
        let mut pieces = raw::pieces(done);
        for telegram in telegrams {
            let check = match telegram.checked {
                Checked::Crc | Checked::Restored => Check::Good,
                Checked::None => Check::Without,
            };
            batch.telegrams.push(Whole {
                raw: raw::of(&telegram, &mut pieces),
                check,
                plugin: plugin.to_owned(),
                telegram,
            });
        }
        let spoiled = pieces.into_iter().take(usize::try_from(damaged).unwrap_or(0));
        batch.spoiled.extend(spoiled.map(<[u8]>::to_vec));
    }

    fn count(&self, add: impl FnOnce(&mut busbar_wire::StreamStats)) {
        if self.counts {
            self.ear.stream.count(add);
        }
    }
}
