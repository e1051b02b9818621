//! What the SunSpec Alliance defines, as data: one file for each set of models with the same layout.
//!
//! A line is `model;id;family;kind;title`, `point;offset;name;type;words;scale;unit;required;kind;key;label;meanings`
//! or `repeat;offset;words;count`: the points behind it are those of a block that repeats, counted from the block.
//! Offsets count from the model's id register. A point without a key is a scale factor or a count.

use std::sync::LazyLock;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$((concat!($name, ".csv"), include_str!(concat!("../models/", $name, ".csv")))),*]
    };
}

/// Name and text of each file.
pub(crate) const FILES: [(&str, &str); 22] = files![
    "battery",
    "common",
    "controls",
    "der-ac",
    "der-capacity",
    "der-dc",
    "der-storage",
    "inclination",
    "inverter-float",
    "inverter-int",
    "irradiance",
    "meter-float",
    "meter-int",
    "mini-weather",
    "module-temperature",
    "mppt",
    "nameplate",
    "place",
    "settings",
    "status",
    "storage",
    "weather",
];

/// The common model: who made it, what it is called, its serial number.
pub(crate) const COMMON: u16 = 1;

/// One model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) id: u16,
    /// What it makes of a device: `inverter`, `meter`, `battery`, `der`, `weather`; empty for what any may have.
    pub(crate) family: &'static str,
    /// The last part of the ledger's name, where this model decides it.
    pub(crate) kind: &'static str,
    /// For people.
    pub(crate) title: &'static str,
    /// Where its layout stands in [`Models::layouts`].
    pub(crate) layout: usize,
}

/// The points of one or several models.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) points: Vec<Fact>,
    pub(crate) block: Option<Block>,
}

/// A part that repeats.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Offset of the first one.
    pub(crate) first: u16,
    /// Length of each.
    pub(crate) words: u16,
    /// The point that says how many there are; empty: the model's length does.
    pub(crate) count: &'static str,
    pub(crate) points: Vec<Fact>,
}

/// One point of the definition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) offset: u16,
    pub(crate) name: &'static str,
    pub(crate) ty: Type,
    pub(crate) words: u16,
    /// Name of its scale factor's point, or a power of ten.
    pub(crate) scale: &'static str,
    pub(crate) unit: &'static str,
    /// Models in which it is mandatory: `*` for all.
    required: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) key: &'static str,
    pub(crate) label: &'static str,
    /// Numbers of an enumeration, or of bits.
    pub(crate) meanings: Vec<(u8, &'static str)>,
}

impl Fact {
    /// Whether a model must implement it.
    pub(crate) fn is_required(&self, model: u16) -> bool {
        self.required == "*" || self.required.split(',').any(|id| id.parse() == Ok(model))
    }
}

/// SunSpec's types, as far as the models use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Int16,
    Uint16,
    Enum16,
    Bitfield16,
    Count,
    Sunssf,
    Int32,
    Uint32,
    Bitfield32,
    Acc32,
    Float32,
    Uint64,
    Acc64,
    Text,
}

impl Type {
    fn parse(name: &str) -> Option<Type> {
        Some(match name {
            "int16" => Type::Int16,
            "uint16" => Type::Uint16,
            "enum16" => Type::Enum16,
            "bitfield16" => Type::Bitfield16,
            "count" => Type::Count,
            "sunssf" => Type::Sunssf,
            "int32" => Type::Int32,
            "uint32" => Type::Uint32,
            "bitfield32" => Type::Bitfield32,
            "acc32" => Type::Acc32,
            "float32" => Type::Float32,
            "uint64" => Type::Uint64,
            "acc64" => Type::Acc64,
            "string" => Type::Text,
            _ => return None,
        })
    }
}

/// All models.
#[derive(Debug, Default)]
pub(crate) struct Models {
    pub(crate) models: Vec<Model>,
    pub(crate) layouts: Vec<Layout>,
}

impl Models {
    /// Those that this plugin knows.
    pub(crate) fn known() -> &'static Models {
        static MODELS: LazyLock<Models> = LazyLock::new(|| {
            let mut models = Models::default();
            // A line that is not understood is left out; a test sees that there is none.
            for (_, text) in FILES {
                models.read(text);
            }
            models
        });
        &MODELS
    }

    /// One model.
    pub(crate) fn get(&self, id: u16) -> Option<(&Model, &Layout)> {
        let model = self.models.iter().find(|model| model.id == id)?;
        Some((model, self.layouts.get(model.layout)?))
    }

    /// Takes in one file; the lines that it does not understand.
    fn read(&mut self, text: &'static str) -> Vec<&'static str> {
        let mut layout = Layout::default();
        let mut odd = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if self.line(line, &mut layout).is_none() {
                odd.push(line);
            }
        }
        self.layouts.push(layout);
        odd
    }

    fn line(&mut self, line: &'static str, layout: &mut Layout) -> Option<()> {
        let fields: Vec<&str> = line.split(';').collect();
        match fields[..] {
            ["model", id, family, kind, title] => self.models.push(Model {
                id: id.parse().ok()?,
                family,
                kind,
                title,
                layout: self.layouts.len(),
            }),
            ["repeat", first, words, count] => {
                layout.block = Some(Block {
                    first: first.parse().ok()?,
                    words: words.parse().ok().filter(|words| *words > 0)?,
                    count,
                    points: Vec::new(),
                });
            }
            [
                "point",
                offset,
                name,
                ty,
                words,
                scale,
                unit,
                required,
                kind,
                key,
                label,
                meanings,
            ] => {
                let fact = Fact {
                    offset: offset.parse().ok()?,
                    name,
                    ty: Type::parse(ty)?,
                    words: words.parse().ok()?,
                    scale,
                    unit,
                    required,
                    kind,
                    key,
                    label,
                    meanings: meanings
                        .split(',')
                        .filter(|meaning| !meaning.is_empty())
                        .map(|meaning| {
                            let (number, text) = meaning.split_once('=')?;
                            Some((number.parse().ok()?, text))
                        })
                        .collect::<Option<_>>()?,
                };
                match &mut layout.block {
                    Some(block) => block.points.push(fact),
                    None => layout.points.push(fact),
                }
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_line_of_every_file_is_understood() {
        let mut models = Models::default();
        for (name, text) in FILES {
            assert_eq!(models.read(text), Vec::<&str>::new(), "{name}");
        }
        let ids: BTreeSet<u16> = models.models.iter().map(|model| model.id).collect();
        assert_eq!(ids.len(), models.models.len(), "a model is there twice");
        for id in [
            1, 101, 103, 111, 113, 120, 124, 160, 201, 204, 211, 214, 307, 701, 714, 802,
        ] {
            assert!(models.get(id).is_some(), "{id}");
        }
    }

    #[test]
    fn every_file_of_the_folder_is_in_the_program() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let mut there: Vec<_> = dir
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        assert_eq!(FILES.map(|(name, _)| name).to_vec(), there);
    }

    #[test]
    fn points_lie_beside_each_other_and_scale_factors_exist() {
        let models = Models::known();
        for layout in &models.layouts {
            let block = layout.block.as_ref();
            let parts = [
                (&layout.points, 2),
                (block.map_or(&layout.points, |b| &b.points), 0),
            ];
            for (points, from) in parts {
                let mut end = if block.is_some() { 0 } else { from };
                for fact in points {
                    assert!(fact.offset >= end, "{fact:?} overlaps the point before it");
                    end = fact.offset + fact.words;
                    let scale = fact.scale.parse::<i8>().is_ok()
                        || fact.scale.is_empty()
                        || layout.points.iter().any(|other| other.name == fact.scale);
                    assert!(scale, "{fact:?} has no scale factor");
                }
            }
            if let Some(block) = block {
                let last = block.points.last().expect("points");
                assert!(last.offset + last.words <= block.words, "{last:?}");
                assert!(block.count.is_empty() || layout.points.iter().any(|p| p.name == block.count));
            }
        }
    }
}
