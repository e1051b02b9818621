//! What Home Assistant was told, kept in the data directory: a device that is taken out of Busbar while the broker or
//! Busbar is away is taken back later all the same, and what somebody deleted there stays deleted.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use tracing::warn;

use super::announced::{Announced, MOST};

/// The largest file that is believed, in bytes.
const LARGEST: u64 = 16 << 20;

/// The file.
#[derive(Clone, Debug)]
pub struct Memory(PathBuf);

impl Memory {
    /// In this data directory.
    pub fn within(data_dir: &Path) -> Self {
        Memory(data_dir.join("home_assistant").join("announced.json"))
    }

    /// What was told. One that cannot be read is set aside: all is told anew then.
    pub fn load(&self) -> Announced {
        let mut text = String::new();
        let read = std::fs::File::open(&self.0).and_then(|file| file.take(LARGEST).read_to_string(&mut text));
        let parsed = match read {
            Ok(_) => serde_json::from_str(&text).map_err(|e| e.to_string()),
            Err(e) if e.kind() == ErrorKind::NotFound => return Announced::default(),
            Err(e) => Err(e.to_string()),
        };
        match parsed {
            Ok(announced) if within_bounds(&announced) => announced,
            Ok(_) => self.set_aside("it names more devices than there can be"),
            Err(why) => self.set_aside(&why),
        }
    }

    /// Keeps what was told. A disk that takes nothing costs only the memory.
    pub fn keep(&self, announced: &Announced) {
        if let Err(e) = self.try_keep(announced) {
            warn!(
                "cannot keep in {} what Home Assistant was told: {e}; a device that is taken out of Busbar from now on \
                 may stay there, until you delete it there. Free some space, or give Busbar back its directory",
                self.0.display()
            );
        }
    }

    /// Forgets all.
    pub fn forget(&self) {
        match std::fs::remove_file(&self.0) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                warn!("cannot remove {}: {e}", self.0.display());
            }
            _ => {}
        }
    }

    fn try_keep(&self, announced: &Announced) -> std::io::Result<()> {
        if let Some(dir) = self.0.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let new = self.0.with_extension("json.new");
        let file = std::fs::File::create(&new)?;
        serde_json::to_writer(&file, announced)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.0)
    }

    fn set_aside(&self, why: &str) -> Announced {
        let aside = self.0.with_extension("json.damaged");
        warn!(
            "{} cannot be used: {why}; it is set aside as {}, and Home Assistant is told everything anew",
            self.0.display(),
            aside.display()
        );
        if let Err(e) = std::fs::rename(&self.0, &aside) {
            warn!("cannot set it aside: {e}");
        }
        Announced::default()
    }
}

fn within_bounds(announced: &Announced) -> bool {
    announced.devices.len() <= MOST && announced.devices.values().all(|told| told.parts.len() <= MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home_assistant::announced::Told;

    #[test]
    fn what_was_told_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::within(dir.path());
        assert_eq!(memory.load(), Announced::default());
        let mut announced = Announced::default();
        let told = Told {
            deleted: true,
            ..Told::default()
        };
        announced.devices.insert("one".to_owned(), told);
        memory.keep(&announced);
        assert_eq!(memory.load(), announced);
        memory.forget();
        assert_eq!(memory.load(), Announced::default());
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::within(dir.path());
        memory.keep(&Announced::default());
        std::fs::write(&memory.0, "{").unwrap();
        assert_eq!(memory.load(), Announced::default());
        assert!(dir.path().join("home_assistant/announced.json.damaged").exists());
    }
}
