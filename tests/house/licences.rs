//! Which licences come in, and which crates do not.

use spdx::{Expression, ParseMode};

use crate::repository::{everything, files, none_of};

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
    let lock = files()
        .iter()
        .find(|file| file.path == "Cargo.lock")
        .expect("a lock file");
    let findings: Vec<_> = BANNED
        .iter()
        .filter(|(name, _)| lock.text.contains(&format!("\nname = \"{name}\"\n")))
        .map(|(name, why)| format!("{name}: {why}"))
        .collect();
    none_of(
        &findings,
        "Remove what brings these in (`cargo tree -i NAME` shows it):",
    );
}
