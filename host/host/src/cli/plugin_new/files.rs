//! The files of a new plugin's project. They lie in `plugins/sdk/templates` as a project called `my-meter` that builds as it
//! is; its name becomes the new one. The SDK's own sources go with them, so that the project needs nothing of this
//! repository.

use super::Lang;

/// The name of the templates' own project.
const TEMPLATE: &str = "my-meter";

/// A path from the project's root, and what it holds.
type Text = (&'static str, &'static str);

macro_rules! sdk {
    ($path:literal) => {
        include_str!(concat!("../../../../../plugins/sdk/", $path))
    };
}

const LEDGER: Text = ("ledgers/my-meter/meter.toml", sdk!("templates/ledger/meter.toml"));

const RUST: &[Text] = &[
    ("Cargo.toml", sdk!("templates/rust/Cargo.toml")),
    ("README.md", sdk!("templates/rust/README.md")),
    (".gitignore", sdk!("templates/rust/gitignore")),
    ("src/lib.rs", sdk!("templates/rust/src/lib.rs")),
    ("src/tests.rs", sdk!("templates/rust/src/tests.rs")),
    LEDGER,
];

/// What is the same whatever the plugin is called. A test holds this list against the folder.
const SDK: &[Text] = &[
    ("sdk/Cargo.toml", sdk!("templates/rust/sdk-Cargo.toml")),
    ("sdk/LICENSE-APACHE", sdk!("../../LICENSE-APACHE")),
    ("sdk/LICENSE-MIT", sdk!("../../LICENSE-MIT")),
    ("sdk/rustfmt.toml", sdk!("../../rustfmt.toml")),
    ("sdk/src/abi.rs", sdk!("src/abi.rs")),
    ("sdk/src/description.rs", sdk!("src/description.rs")),
    ("sdk/src/discovery.rs", sdk!("src/discovery.rs")),
    ("sdk/src/export.rs", sdk!("src/export.rs")),
    ("sdk/src/lib.rs", sdk!("src/lib.rs")),
    ("sdk/src/record.rs", sdk!("src/record.rs")),
    ("sdk/src/shim.rs", sdk!("src/shim.rs")),
    ("sdk/src/telegram.rs", sdk!("src/telegram.rs")),
];

const C: &[Text] = &[
    ("Makefile", sdk!("templates/c/Makefile")),
    ("README.md", sdk!("templates/c/README.md")),
    (".gitignore", sdk!("templates/c/gitignore")),
    ("my-meter.c", sdk!("templates/c/my-meter.c")),
    ("test.c", sdk!("templates/c/test.c")),
    LEDGER,
];

const HEADER: &[Text] = &[("busbar_plugin.h", sdk!("include/busbar_plugin.h"))];

/// The project of a plugin of this name: paths from its root, and texts.
pub(super) fn project(name: &str, lang: Lang) -> Vec<(String, String)> {
    let (own, given) = match lang {
        Lang::Rust => (RUST, SDK),
        Lang::C => (C, HEADER),
    };
    let identifier = name.replace('-', "_");
    let named = |text: &str| {
        text.replace(TEMPLATE, name)
            .replace(&TEMPLATE.replace('-', "_"), &identifier)
    };
    let own = own.iter().map(|(path, text)| (named(path), named(text)));
    let given = given
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    own.chain(given).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    fn sdk() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/sdk")
    }

    /// Every file below a folder, by its path from there.
    fn below(folder: &Path) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in next.read_dir().unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let path = path.strip_prefix(folder).unwrap();
                    found.insert(path.to_str().unwrap().to_owned());
                }
            }
        }
        found
    }

    #[test]
    fn a_project_carries_all_of_the_sdk() {
        let carried: BTreeSet<String> = SDK
            .iter()
            .filter_map(|(path, _)| path.strip_prefix("sdk/src/"))
            .map(str::to_owned)
            .collect();
        assert_eq!(carried, below(&sdk().join("src")));
        assert_eq!(
            below(&sdk().join("include")),
            BTreeSet::from([HEADER[0].0.to_owned()])
        );
    }

    #[test]
    fn no_template_is_left_out() {
        let carried: BTreeSet<&str> = RUST.iter().chain(SDK).chain(C).map(|(_, text)| *text).collect();
        for file in below(&sdk().join("templates")) {
            let text = std::fs::read_to_string(sdk().join("templates").join(&file)).unwrap();
            assert!(carried.contains(&*text), "templates/{file} goes into no project");
        }
    }

    #[test]
    fn the_sdk_of_a_project_is_built_as_the_one_here() {
        let read = |path: PathBuf| -> toml::Table { std::fs::read_to_string(path).unwrap().parse().unwrap() };
        let carried = read(sdk().join("templates/rust/sdk-Cargo.toml"));
        let workspace = read(sdk().join("../../Cargo.toml"));
        for key in ["version", "edition", "rust-version", "license"] {
            assert_eq!(
                carried["package"][key], workspace["workspace"]["package"][key],
                "{key}"
            );
        }
        let template = read(sdk().join("templates/rust/Cargo.toml"));
        for key in ["edition", "rust-version"] {
            assert_eq!(template["package"][key], carried["package"][key], "{key}");
        }
    }

    #[test]
    fn nothing_keeps_the_templates_name() {
        for lang in [Lang::Rust, Lang::C] {
            for (path, text) in project("acme-9", lang) {
                for old in ["my-meter", "my_meter"] {
                    assert!(!path.contains(old) && !text.contains(old), "{path}");
                }
            }
        }
    }
}
