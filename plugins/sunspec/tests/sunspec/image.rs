//! A device that is nothing but its registers, and the conversation with it.

use std::collections::BTreeMap;

use busbar_plugin_sdk::{Conversation, Mode, Outcome, Plugin, Probe, Verdict};
use busbar_plugin_sunspec::SunSpec;

/// More steps than any walk takes.
const MAX_STEPS: usize = 300;

/// Registers by unit.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pub units: BTreeMap<u8, BTreeMap<u16, u16>>,
    /// What a unit says that is not there; none: nothing.
    pub elsewhere: Option<u8>,
}

impl Image {
    pub fn new(unit: u8, at: u16, words: &[u16]) -> Image {
        let registers = (at..=u16::MAX).zip(words.iter().copied()).collect();
        Image {
            units: BTreeMap::from([(unit, registers)]),
            elsewhere: Some(11),
        }
    }

    fn read(&self, probe: Probe) -> Result<Vec<u16>, Option<u8>> {
        assert_eq!(probe.function, 3);
        let end = u32::from(probe.at) + u32::from(probe.count);
        assert!(
            probe.count > 0 && probe.count <= 125 && end <= 65_536,
            "{probe:?}"
        );
        let registers = self.units.get(&probe.unit).ok_or(self.elsewhere)?;
        (u32::from(probe.at)..end)
            .map(|at| registers.get(&(at as u16)).copied().ok_or(Some(2)))
            .collect()
    }
}

/// What came of a conversation.
#[derive(Debug)]
pub struct Talked {
    pub verdict: Verdict,
    pub probes: Vec<Probe>,
}

/// Talks until the plugin asks no more. As with the host, a unit that was silent once stays so.
pub fn talk(image: &Image, mode: Mode, units: &[u8]) -> Talked {
    let mut talk = Conversation::new(mode, units.to_vec());
    let mut probes = Vec::new();
    let mut silent = Vec::new();
    for _ in 0..MAX_STEPS {
        let step = SunSpec.discover(&talk.ask());
        if step.probes.is_empty() {
            let verdict = step.verdict.expect("a verdict at the end");
            return Talked { verdict, probes };
        }
        for probe in step.probes {
            assert!(!probes.contains(&probe), "{probe:?} is asked twice");
            probes.push(probe);
            if silent.contains(&probe.unit) {
                talk.record(probe, Outcome::Silent);
                continue;
            }
            match image.read(probe) {
                Ok(words) => talk.record(probe, Outcome::Words(&words)),
                Err(Some(code)) => talk.record(probe, Outcome::Exception(code)),
                Err(None) => {
                    silent.push(probe.unit);
                    talk.record(probe, Outcome::Silent);
                }
            }
        }
    }
    panic!("it asks for ever");
}

/// A list of models from its parts: the mark, the models, the end.
pub fn list(models: &[&[u16]]) -> Vec<u16> {
    let mut words = vec![0x5375, 0x6E53];
    models.iter().for_each(|model| words.extend_from_slice(model));
    words.extend([0xFFFF, 0]);
    words
}

/// A model whose body is all of one word.
pub fn model(id: u16, length: u16, word: u16) -> Vec<u16> {
    let mut words = vec![id, length];
    words.resize(usize::from(length) + 2, word);
    words
}

/// A common model.
pub fn common(manufacturer: &str, name: &str, serial: &str) -> Vec<u16> {
    let mut words = model(1, 66, 0);
    for (at, text) in [(2, manufacturer), (18, name), (50, serial)] {
        for (i, pair) in text.as_bytes().chunks(2).enumerate() {
            words[at + i] = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        }
    }
    words
}
