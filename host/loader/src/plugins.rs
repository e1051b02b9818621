//! All plugins of a host.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use busbar_plugin_sdk::{Conversation, Feed, Found, Heard, MAX_FEED, Step, Telegram, Verdict};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::feed::OwnedFeed;
use crate::group::{Group, Rules};
use crate::inspect::Image;
use crate::line::{MAX_CAUSE, one_line};
use crate::process::{Deadlines, WorkerProgram};
use crate::protocol::{Reply, Request};
use crate::search::{Candidate, PluginDir, image_of, search_images};
use crate::{BroughtLedger, Described, Inspected, Language, LoaderError, Protection, check};

/// How to find and run plugins.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to search; see [`plugin_dirs`](crate::plugin_dirs).
    pub dirs: Vec<PluginDir>,
    /// Plugin name to the sha256, in hexadecimal, that its file must have.
    pub pins: BTreeMap<String, String>,
    /// The program's version: a plugin of the same one, in a directory of Busbar's own and of a name in `shipped`, ships
    /// with it.
    pub version: String,
    /// The names of the plugins that ship with the program. They share a worker, so that none can be among them only
    /// because of what it says of itself.
    pub shipped: Vec<String>,
    /// How a worker is started.
    pub program: WorkerProgram,
    /// How long a call may take.
    pub deadlines: Deadlines,
    /// After how long without a call a worker is ended.
    pub idle: Duration,
}

impl Options {
    /// The usual ones.
    pub fn new(dirs: Vec<PluginDir>) -> Options {
        Options {
            dirs,
            pins: BTreeMap::new(),
            version: env!("CARGO_PKG_VERSION").into(),
            shipped: Vec::new(),
            program: WorkerProgram::default(),
            deadlines: Deadlines::default(),
            idle: Duration::from_secs(10),
        }
    }
}

/// Why a plugin could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// There is none of this name, or it was refused.
    #[error("no plugin of this name is loaded; see: busbar plugin list")]
    Unknown,
    /// The call failed.
    #[error("{reason}")]
    Failed {
        /// Why.
        reason: String,
    },
    /// It failed too often, and is not called any more.
    #[error("set aside after three failures in a row: {reason}; restart busbar to try it again")]
    SetAside {
        /// Why it failed last.
        reason: String,
    },
    /// No worker could be started. No plugin is to blame.
    #[error("cannot start a plugin worker: {0}")]
    Start(io::Error),
}

/// What became of a library that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginState {
    /// It can be used.
    Loaded,
    /// It was not loaded, or could not describe itself; see the reason.
    Refused,
    /// A plugin of the same name comes first in the search; see the reason.
    Shadowed,
    /// It failed three times in a row; see the reason.
    SetAside,
}

/// One line of `busbar plugin list`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PluginInfo {
    /// The library, or a directory that could not be searched.
    pub path: PathBuf,
    /// Name; none where the file does not tell.
    pub name: Option<String>,
    /// Version.
    pub version: Option<String>,
    /// ABI.
    pub abi: Option<String>,
    /// Language.
    pub language: Option<Language>,
    /// The file's hash.
    pub sha256: Option<String>,
    /// What became of it.
    pub state: PluginState,
    /// Why, unless it is simply loaded.
    pub reason: Option<String>,
    /// It ships with this program, and shares a worker with the others that do.
    pub ships: bool,
    /// One line for people.
    pub title: Option<String>,
    /// A sentence or two.
    pub summary: Option<String>,
    /// An SPDX expression.
    pub licence: Option<String>,
    /// The files of the ledgers that it brings.
    pub ledgers: Vec<String>,
    /// Whether it takes part in discovery.
    pub discovers: bool,
    /// Whether it finds telegrams in streams.
    pub telegrams: bool,
    /// What its worker is kept from.
    pub protection: Option<Protection>,
    /// The process that it runs in just now.
    pub worker: Option<u32>,
    /// How often it failed since the host started; each time its worker was started anew.
    #[serde(default)]
    pub failures: u64,
}

/// A ledger, and which plugin brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginLedger {
    /// The plugin's name.
    pub plugin: String,
    /// The ledger.
    pub ledger: BroughtLedger,
}

struct Plugin {
    path: PathBuf,
    inspected: Option<Inspected>,
    ships: bool,
    state: PluginState,
    reason: Option<String>,
    described: Described,
    ledger_files: Vec<String>,
    /// Where it runs.
    member: Option<(Arc<Group>, usize)>,
}

/// The plugins of a host: those that can be used, and those that were refused, with the reason.
pub struct Plugins {
    all: Vec<Plugin>,
    ledgers: Vec<PluginLedger>,
    notes: Vec<String>,
}

impl Plugins {
    /// Searches, inspects, starts workers and lets every plugin describe itself. A plugin that cannot is refused; the
    /// others are there all the same.
    pub async fn load(mut options: Options) -> Plugins {
        let dirs = std::mem::take(&mut options.dirs);
        // Hashing takes a while.
        let found = tokio::task::spawn_blocking(move || search_images(&dirs))
            .await
            .unwrap_or_default();
        Plugins::start(found, options).await
    }

    /// The same for one file, whatever it is called; `options.dirs` are not searched.
    pub async fn load_file(path: PathBuf, options: Options) -> Plugins {
        let found = tokio::task::spawn_blocking(move || vec![image_of(&path)])
            .await
            .unwrap_or_default();
        Plugins::start(found, options).await
    }

    async fn start(found: Vec<(Candidate, Option<Image>)>, options: Options) -> Plugins {
        let Options {
            dirs: _,
            pins,
            version,
            shipped: names,
            program,
            deadlines,
            idle,
        } = options;
        let rules = Rules {
            program,
            deadlines,
            idle,
        };
        let mut all = Vec::new();
        let mut shipped = (Vec::new(), Vec::new());
        let mut groups: Vec<(Arc<Group>, Vec<usize>)> = Vec::new();
        for (candidate, image) in found {
            let mut plugin = Plugin {
                path: candidate.path,
                inspected: None,
                ships: false,
                state: PluginState::Refused,
                reason: None,
                described: Described::default(),
                ledger_files: Vec::new(),
                member: None,
            };
            let usable = candidate.outcome.and_then(|inspected| {
                plugin.ships =
                    candidate.ours && inspected.version == version && names.contains(&inspected.name);
                let pinned = check_pin(&pins, &inspected);
                plugin.inspected = Some(inspected);
                pinned
            });
            if let Some(first) = candidate.shadowed_by {
                plugin.state = PluginState::Shadowed;
                plugin.reason = Some(format!("{} comes first", first.display()));
            } else if let Err(error) = usable {
                plugin.reason = Some(error.to_string());
            } else if let Some(image) = image {
                if plugin.ships {
                    shipped.0.push(image);
                    shipped.1.push(all.len());
                } else {
                    groups.push((Arc::new(Group::new(rules.clone(), vec![image])), vec![all.len()]));
                }
            }
            all.push(plugin);
        }
        if !shipped.0.is_empty() {
            groups.push((Arc::new(Group::new(rules, shipped.0)), shipped.1));
        }
        let mut plugins = Plugins {
            notes: idle_pins(&pins, &all),
            all,
            ledgers: Vec::new(),
        };
        plugins.describe(groups).await;
        plugins
    }

    async fn describe(&mut self, groups: Vec<(Arc<Group>, Vec<usize>)>) {
        let mut asked = JoinSet::new();
        for (group, plugins) in groups {
            asked.spawn(async move {
                let mut answers = Vec::new();
                for (member, plugin) in plugins.into_iter().enumerate() {
                    answers.push((
                        plugin,
                        (Arc::clone(&group), member),
                        describe(&group, member).await,
                    ));
                }
                // What only brings ledgers has done its work.
                if !answers.iter().any(|(_, _, answer)| {
                    answer
                        .as_ref()
                        .is_ok_and(|described| described.discovers || described.telegrams)
                }) {
                    group.end().await;
                }
                answers
            });
        }
        let mut answers: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
        answers.sort_by_key(|&(plugin, ..)| plugin);
        for (at, member, answer) in answers {
            let Some(plugin) = self.all.get_mut(at) else {
                continue;
            };
            match answer {
                Ok(mut described) => {
                    plugin.state = PluginState::Loaded;
                    let name = plugin.inspected.as_ref().map_or("", |inspected| &inspected.name);
                    for ledger in std::mem::take(&mut described.ledgers) {
                        plugin.ledger_files.push(ledger.file.clone());
                        self.ledgers.push(PluginLedger {
                            plugin: name.into(),
                            ledger,
                        });
                    }
                    plugin.described = described;
                }
                Err(error) => plugin.reason = Some(error.to_string()),
            }
            plugin.member = Some(member);
        }
    }

    /// The ledgers that the plugins brought, in the order of [`list`](Plugins::list). Given once: they are large, and the
    /// host keeps what it made of them.
    pub fn take_ledgers(&mut self) -> Vec<PluginLedger> {
        std::mem::take(&mut self.ledgers)
    }

    /// Everything that was found, used or not, in the order of the search.
    pub fn list(&self) -> Vec<PluginInfo> {
        self.all.iter().map(Plugin::info).collect()
    }

    /// What is wrong with the options, a line for each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The names of the plugins that take part in discovery.
    pub fn discoverers(&self) -> impl Iterator<Item = &str> {
        let discover = self
            .all
            .iter()
            .filter(|plugin| plugin.state == PluginState::Loaded && plugin.described.discovers);
        discover.filter_map(|plugin| Some(plugin.inspected.as_ref()?.name.as_str()))
    }

    /// The names of the plugins that find telegrams in streams.
    pub fn listeners(&self) -> impl Iterator<Item = &str> {
        let listen = self
            .all
            .iter()
            .filter(|plugin| plugin.state == PluginState::Loaded && plugin.described.telegrams);
        listen.filter_map(|plugin| Some(plugin.inspected.as_ref()?.name.as_str()))
    }

    /// Where a plugin runs.
    fn member(&self, name: &str) -> Result<&(Arc<Group>, usize), PluginError> {
        let loaded = self
            .all
            .iter()
            .filter(|plugin| plugin.state == PluginState::Loaded);
        let mut named =
            loaded.filter(|plugin| plugin.inspected.as_ref().is_some_and(|found| found.name == name));
        let plugin = named.next().and_then(|plugin| plugin.member.as_ref());
        plugin.ok_or(PluginError::Unknown)
    }

    /// One step of a discovery.
    pub async fn discover(&self, name: &str, conversation: &Conversation) -> Result<Step, PluginError> {
        let (group, member) = self.member(name)?;
        let request = |plugin| Request::Discover {
            plugin,
            conversation: conversation.clone(),
        };
        let accept = |reply| match reply {
            Reply::Stepped(mut step) => {
                check::step(&step)?;
                check::modest(&mut step.forecast);
                step.verdict.iter_mut().for_each(tidy);
                Ok(step)
            }
            _ => Err("its worker answered something else".into()),
        };
        group.call(*member, request, accept).await
    }

    /// The telegrams in a piece of a stream. Of more than [`MAX_FEED`] bytes the plugin is shown the first ones; of
    /// those it consumes something sooner or later, or the caller has to let go of the oldest.
    ///
    /// # Errors
    /// As for any call. Calls have no memory: what was not consumed is handed in again, also after an error.
    pub async fn telegram(&self, name: &str, feed: &Feed<'_>) -> Result<Heard, PluginError> {
        let (group, member) = self.member(name)?;
        let bytes = feed.bytes.get(..MAX_FEED).unwrap_or(feed.bytes);
        let feed = OwnedFeed::of(&Feed {
            bytes,
            whole: feed.whole && bytes.len() == feed.bytes.len(),
            ..*feed
        });
        let request = |plugin| Request::Telegram {
            plugin,
            feed: feed.clone(),
        };
        let accept = |reply| match reply {
            Reply::Heard(mut heard) => {
                check::heard(&heard, feed.len())?;
                heard
                    .note
                    .iter_mut()
                    .for_each(|note| *note = one_line(note, note.len()));
                for telegram in &mut heard.telegrams {
                    for text in [&mut telegram.variant, &mut telegram.ident] {
                        *text = one_line(text, text.len());
                    }
                }
                Ok(heard)
            }
            _ => Err("its worker answered something else".into()),
        };
        group.call(*member, request, accept).await
    }

    /// The devices that speak in a telegram. An id may be empty: then it is for the caller to give one.
    ///
    /// # Errors
    /// As for any call.
    pub async fn recognise(&self, name: &str, telegram: &Telegram) -> Result<Verdict, PluginError> {
        let (group, member) = self.member(name)?;
        let request = |plugin| Request::Recognise {
            plugin,
            telegram: telegram.clone(),
        };
        let accept = |reply| match reply {
            Reply::Recognised(mut verdict) => {
                check::speakers(&verdict)?;
                tidy(&mut verdict);
                Ok(verdict)
            }
            _ => Err("its worker answered something else".into()),
        };
        group.call(*member, request, accept).await
    }
}

async fn describe(group: &Arc<Group>, member: usize) -> Result<Described, PluginError> {
    let accept = |reply| match reply {
        Reply::Described(mut described) => {
            check::described(&described)?;
            for text in [
                &mut described.title,
                &mut described.summary,
                &mut described.licence,
            ] {
                *text = one_line(text, text.len());
            }
            Ok(described)
        }
        _ => Err("its worker answered something else".into()),
    };
    group
        .call(member, |plugin| Request::Describe { plugin }, accept)
        .await
}

/// The texts of a verdict, as they may be shown.
fn tidy(verdict: &mut Verdict) {
    verdict.note = one_line(&verdict.note, verdict.note.len());
    verdict.devices.iter_mut().for_each(about);
}

/// What a plugin tells about a device is shown in lines of the program's own.
fn about(device: &mut Found) {
    for text in [
        &mut device.name,
        &mut device.model,
        &mut device.serial,
        &mut device.firmware,
    ] {
        if let Some(text) = text.as_mut().filter(|text| text.contains(char::is_control)) {
            *text = one_line(text, text.len());
        }
    }
}

fn check_pin(pins: &BTreeMap<String, String>, inspected: &Inspected) -> Result<(), LoaderError> {
    match pins.get(&inspected.name) {
        Some(pinned) if !is_sha256(pinned) => Err(LoaderError::NoPin {
            found: inspected.sha256.clone(),
        }),
        Some(pinned) if !pinned.eq_ignore_ascii_case(&inspected.sha256) => Err(LoaderError::Pin {
            found: inspected.sha256.clone(),
            pinned: pinned.clone(),
        }),
        _ => Ok(()),
    }
}

fn is_sha256(pin: &str) -> bool {
    pin.len() == 64 && pin.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Pins that hold nothing fast: whoever wrote one believes that it does.
fn idle_pins(pins: &BTreeMap<String, String>, all: &[Plugin]) -> Vec<String> {
    let is_here = |name: &str| {
        all.iter()
            .any(|plugin| plugin.inspected.as_ref().is_some_and(|found| found.name == name))
    };
    let idle = pins.iter().filter(|(name, _)| !is_here(name));
    idle.map(|(name, pin)| {
        let name = one_line(&format!("{name:?}"), MAX_CAUSE);
        let malformed = if is_sha256(pin) { "" } else { ", and it is no sha256 (64 hexadecimal digits)" };
        format!(
            "[plugins] pin names {name}, and there is no such plugin{malformed}; see `busbar plugin list` for the names"
        )
    })
    .collect()
}

impl Plugin {
    fn info(&self) -> PluginInfo {
        let inspected = self.inspected.as_ref();
        let described = Some(&self.described).filter(|_| self.state == PluginState::Loaded);
        let (mut state, mut reason) = (self.state, self.reason.clone());
        let (mut protection, mut worker, mut failures) = (None, None, 0);
        if let Some((group, member)) = &self.member {
            (protection, worker) = group.worker();
            let health = group.health(*member);
            failures = health.ever;
            if health.is_set_aside() {
                (state, reason) = (PluginState::SetAside, health.reason);
            }
        }
        PluginInfo {
            path: self.path.clone(),
            name: inspected.map(|inspected| inspected.name.clone()),
            version: inspected.map(|inspected| inspected.version.clone()),
            abi: inspected.map(|inspected| inspected.abi.clone()),
            language: inspected.map(|inspected| inspected.language),
            sha256: inspected.map(|inspected| inspected.sha256.clone()),
            state,
            reason,
            ships: self.ships,
            title: described.map(|described| described.title.clone()),
            summary: described.map(|described| described.summary.clone()),
            licence: described.map(|described| described.licence.clone()),
            ledgers: self.ledger_files.clone(),
            discovers: described.is_some_and(|described| described.discovers),
            telegrams: described.is_some_and(|described| described.telegrams),
            protection,
            worker,
            failures,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_about_a_device_is_one_line_and_else_as_it_was() {
        let mut device = Found {
            name: Some("Roof\nok    all is well\u{1b}[31m".into()),
            serial: Some("A  1".into()),
            ..Found::default()
        };
        about(&mut device);
        assert_eq!(device.name.as_deref(), Some("Roof ok all is well [31m"));
        assert_eq!(device.serial.as_deref(), Some("A  1"));
    }
}
