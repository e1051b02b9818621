//! Who may import whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cargo_metadata::{DependencyKind, PackageId};

use crate::repository::{everything, has_word, none_of, rust, workspace};

/// A crate, the crates of ours that it may use, and those that only its tests may use.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

/// Knowledge flows down this table, never up.
const MAY_USE: &[Row] = &[
    // The program joins them. Of the plugins it uses nothing: they stand there to be built with it.
    (
        "busbar",
        &[
            "busbar-guard",
            "busbar-ledger",
            "busbar-loader",
            "busbar-plugin-generic",
            "busbar-plugin-p1",
            "busbar-plugin-sdk",
            "busbar-plugin-sunspec",
            "busbar-plugin-victron-gx",
            "busbar-plugin-vm-3p75ct",
            "busbar-simulate",
            "busbar-sinks",
            "busbar-store",
            "busbar-wire",
        ],
        &["busbar-zoo"],
    ),
    ("busbar-guard", &["busbar-ledger"], &[]),
    ("busbar-wire", &["busbar-guard", "busbar-ledger"], &["busbar-zoo"]),
    (
        "busbar-loader",
        &["busbar-plugin-sdk"],
        &["busbar-plugin-generic"],
    ),
    ("busbar-store", &[], &[]),
    // A sink reads the bus and cannot touch the wire: it cannot even name it.
    ("busbar-sinks", &["busbar-ledger", "busbar-store"], &[]),
    ("busbar-simulate", &["busbar-ledger"], &[]),
    (
        "busbar-plugin-victron-gx",
        &["busbar-ledger", "busbar-plugin-sdk"],
        &[],
    ),
    ("busbar-plugin-p1", &["busbar-ledger", "busbar-plugin-sdk"], &[]),
    (
        "busbar-plugin-generic",
        &["busbar-plugin-sdk"],
        &["busbar-ledger"],
    ),
    (
        "busbar-plugin-sunspec",
        &["busbar-plugin-sdk"],
        &["busbar-ledger"],
    ),
    (
        "busbar-plugin-vm-3p75ct",
        &["busbar-plugin-sdk"],
        &["busbar-ledger"],
    ),
    ("busbar-plugin-sdk", &[], &[]),
    ("busbar-ledger", &[], &[]),
    ("busbar-zoo", &["busbar-ledger", "busbar-simulate"], &[]),
    ("busbar-house", &[], &[]),
];

/// A crate from outside whose subject belongs to one of ours.
const OWNED: &[(&str, &str)] = &[
    ("axum", "busbar"),
    ("clap", "busbar"),
    ("if-addrs", "busbar"),
    ("landlock", "busbar-loader"),
    ("libloading", "busbar-loader"),
    ("mdns-sd", "busbar"),
    ("seccompiler", "busbar-loader"),
    ("socket2", "busbar-wire"),
    ("spdx", "busbar-house"),
    ("sqlx", "busbar-store"),
    ("tokio-modbus", "busbar-wire"),
];

/// Crates that hold no socket, no file and no clock, and neither does anything below them.
const PURE: &[&str] = &[
    "busbar-guard",
    "busbar-ledger",
    "busbar-plugin-sdk",
    "busbar-plugin-generic",
    "busbar-plugin-p1",
    "busbar-plugin-sunspec",
    "busbar-plugin-victron-gx",
    "busbar-plugin-vm-3p75ct",
];

/// What would bring a runtime, a network or a database into a pure crate.
const IMPURE: &[&str] = &[
    "async-std",
    "curl",
    "hyper",
    "mio",
    "reqwest",
    "rusqlite",
    "smol",
    "socket2",
    "sqlx",
    "tokio",
    "ureq",
];

#[test]
fn who_may_import_whom() {
    let table: BTreeMap<_, _> = MAY_USE
        .iter()
        .map(|(name, may, tests)| (*name, (*may, *tests)))
        .collect();
    let ours: BTreeSet<&str> = workspace()
        .workspace_packages()
        .iter()
        .map(|p| p.name.as_str())
        .collect();
    let mut findings: Vec<String> = table
        .keys()
        .filter(|name| !ours.contains(*name))
        .map(|name| format!("{name} is gone: remove its row from the table"))
        .collect();
    for package in workspace().workspace_packages() {
        let Some((may, tests)) = table.get(package.name.as_str()) else {
            findings.push(format!(
                "{} has no row in the table: decide what it may use",
                package.name
            ));
            continue;
        };
        for dependency in package
            .dependencies
            .iter()
            .filter(|d| ours.contains(d.name.as_str()))
        {
            let in_tests =
                dependency.kind == DependencyKind::Development && tests.contains(&dependency.name.as_str());
            if !may.contains(&dependency.name.as_str()) && !in_tests {
                findings.push(format!(
                    "{} uses {} ({})",
                    package.name, dependency.name, dependency.kind
                ));
            }
        }
    }
    none_of(
        &findings,
        "Knowledge flows one way; the table in tests/house/imports.rs says which:",
    );
}

#[test]
fn the_zoo_is_for_tests_alone() {
    let findings: Vec<_> = workspace()
        .workspace_packages()
        .iter()
        .flat_map(|p| p.dependencies.iter().map(move |d| (&p.name, d)))
        .filter(|(_, d)| d.name == "busbar-zoo" && d.kind != DependencyKind::Development)
        .map(|(name, _)| name.to_string())
        .collect();
    none_of(
        &findings,
        "Simulated faults are no part of what is shipped; make it a dev-dependency of:",
    );
}

#[test]
fn each_subject_has_one_owner() {
    let mut findings = Vec::new();
    for (subject, owner) in OWNED {
        let users = workspace().workspace_packages().into_iter().flat_map(|p| {
            let used = p
                .dependencies
                .iter()
                .filter(|d| d.name == *subject && d.kind != DependencyKind::Development);
            used.map(move |_| p.name.as_str())
        });
        let strangers = users.filter(|user| user != owner);
        findings.extend(strangers.map(|user| format!("{user} uses {subject}, which is {owner}'s")));
    }
    // Not even a test knows SQL or a library handle: it asks the owner.
    for package in workspace().workspace_packages() {
        for dependency in &package.dependencies {
            let owner = match dependency.name.as_str() {
                "sqlx" => "busbar-store",
                "libloading" => "busbar-loader",
                _ => continue,
            };
            if package.name != owner && dependency.kind == DependencyKind::Development {
                findings.push(format!(
                    "tests of {} use {}, which is {owner}'s",
                    package.name, dependency.name
                ));
            }
        }
    }
    none_of(&findings, "One crate owns each subject:");
}

#[test]
fn pure_crates_stay_pure() {
    let resolve = everything().resolve.as_ref().expect("a resolved graph");
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut findings = Vec::new();
    for name in PURE {
        let start = workspace()
            .workspace_packages()
            .into_iter()
            .find(|p| p.name == *name);
        let start = &start.unwrap_or_else(|| panic!("{name} is gone")).id;
        let mut seen = BTreeSet::from([start]);
        let mut queue = VecDeque::from([start]);
        while let Some(id) = queue.pop_front() {
            if IMPURE.contains(&everything()[id].name.as_str()) {
                findings.push(format!("{name} holds {}", everything()[id].name));
            }
            let below = nodes[id].deps.iter();
            let below = below.filter(|d| d.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal));
            queue.extend(below.map(|d| &d.pkg).filter(|id| seen.insert(id)));
        }
    }
    none_of(&findings, "What knows devices is pure functions over data:");
}

#[test]
fn nothing_links_a_plugin() {
    let plugins: Vec<String> = workspace()
        .workspace_packages()
        .iter()
        .filter(|p| p.name.starts_with("busbar-plugin-") && p.name != "busbar-plugin-sdk")
        .map(|p| p.name.replace('-', "_"))
        .collect();
    let mut findings = Vec::new();
    for file in rust() {
        for (number, line) in file.code() {
            // A test of the plugin itself may; it lies in the plugin's folder.
            let linked = plugins.iter().find(|plugin| {
                let own = plugin.trim_start_matches("busbar_plugin_").replace('_', "-");
                has_word(line, plugin)
                    && !line.contains('"')
                    && !file.path.starts_with(&format!("plugins/{own}/"))
            });
            if let Some(plugin) = linked {
                findings.push(format!("{}:{number} names {plugin}", file.path));
            }
        }
    }
    none_of(
        &findings,
        "The exported records of two plugins collide in one program; a worker loads their libraries:",
    );
}
