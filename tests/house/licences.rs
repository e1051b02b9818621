//! Which licences come in, and which crates do not.

use std::collections::BTreeSet;
use std::path::Path;

use spdx::{Expression, ParseMode};

use crate::repository::{File, everything, files, none_of};

/// A dependency must be usable under one of these. A licence that is only one of several to choose from needs no
/// place here.
const ACCEPTED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "Unicode-3.0",
    "Zlib",
];

/// Crates that stay out, and why.
const BANNED: &[(&str, &str)] = &[
    (
        "abi_stable",
        "the ABI is our own `repr(C)`, read from the file before anything of it runs",
    ),
    (
        "aws-lc-sys",
        "a large C library with a build of its own; take ring where TLS is needed",
    ),
    (
        "evalexpr",
        "its licence is AGPL, and computed points are combinators, not a language",
    ),
    ("openssl-sys", "ties the program to a system library; take rustls"),
    ("rodbus", "its licence does not allow commercial use"),
    ("serde_yaml", "unmaintained; configuration is TOML"),
];

/// Whether a licence expression can be met with what is accepted. An expression that cannot be read is not.
fn is_accepted(expression: &str) -> bool {
    // Older crates write `MIT/Apache-2.0`.
    Expression::parse_mode(expression, ParseMode::LAX).is_ok_and(|expression| {
        expression.evaluate(|licence| {
            licence.addition.is_none() && licence.license.id().is_some_and(|id| ACCEPTED.contains(&id.name))
        })
    })
}

#[test]
fn expressions_mean_what_they_say() {
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "Unlicense OR MIT",
        "(MIT OR GPL-3.0-only) AND Unicode-3.0",
    ] {
        assert!(is_accepted(good), "{good}");
    }
    for bad in [
        "",
        "Unlicense",
        "GPL-3.0-only",
        "MIT AND LGPL-2.1-or-later",
        "Apache-2.0 WITH Classpath-exception-2.0",
    ] {
        assert!(!is_accepted(bad), "{bad}");
    }
}

#[test]
fn every_dependency_may_be_shipped() {
    let findings: Vec<_> = everything()
        .packages
        .iter()
        .filter(|package| !package.license.as_deref().is_some_and(is_accepted))
        .map(|package| {
            let licence = package
                .license
                .as_deref()
                .unwrap_or("no licence that a program could read");
            format!("{} {}: {licence}", package.name, package.version)
        })
        .collect();
    none_of(
        &findings,
        "Busbar is MIT OR Apache-2.0, and so must be able to ship what it holds:",
    );
}

#[test]
fn some_crates_stay_out() {
    let findings: Vec<_> = locks()
        .flat_map(|lock| BANNED.iter().map(move |(name, why)| (lock, name, why)))
        .filter(|(lock, name, _)| lock.text.contains(&format!("\nname = \"{name}\"\n")))
        .map(|(lock, name, why)| format!("{}: {name}: {why}", lock.path))
        .collect();
    none_of(
        &findings,
        "Remove what brings these in (`cargo tree -i NAME` shows it):",
    );
}

/// Every lock file.
fn locks() -> impl Iterator<Item = &'static File> {
    files()
        .iter()
        .filter(|file| Path::new(&file.path).ends_with("Cargo.lock"))
}

/// Name and version of each package of a lock file.
fn locked(path: &str) -> BTreeSet<(&'static str, &'static str)> {
    let lock = locks().find(|file| file.path == path);
    let text = &lock.unwrap_or_else(|| panic!("{path} is not tracked")).text;
    let packages = text.split("[[package]]\n").skip(1);
    let part = |package: &'static str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(key));
        line.map_or("", |value| value.trim_matches('"'))
    };
    packages
        .map(|package| (part(package, "name = "), part(package, "version = ")))
        .collect()
}

/// What fuzzing needs beside what the program is made of. It is never shipped, so that its licences matter to nobody:
/// libfuzzer-sys has code of LLVM's in it, under NCSA.
const FUZZING: [&str; 4] = ["arbitrary", "busbar-fuzz", "jobserver", "libfuzzer-sys"];

#[test]
fn what_is_fuzzed_is_what_is_built() {
    let ours = locked("Cargo.lock");
    let fuzzed = locked("tests/fuzz/Cargo.lock");
    assert!(fuzzed.len() > 100, "{}", fuzzed.len());
    let findings: Vec<_> = fuzzed
        .difference(&ours)
        .filter(|(name, _)| !FUZZING.contains(name))
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    none_of(
        &findings,
        "tests/fuzz/Cargo.lock has what Cargo.lock has not (`cp Cargo.lock tests/fuzz/`, then \
         `cargo metadata --manifest-path tests/fuzz/Cargo.toml` brings them together):",
    );
}
