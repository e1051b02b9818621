//! What is refused from its file alone. Faults 63.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use busbar_loader::{Inspected, Language, LoaderError, PluginDir, inspect, search};
use common::{chmod, copy, folder, generic, put, tempdir};

const NAME: &str = "libbusbar_plugin_x.so";

/// Inspects a copy of the generic plugin after a change to its record.
fn with_record(change: impl FnOnce(&mut [u8])) -> Result<Inspected, LoaderError> {
    let dir = tempdir().unwrap();
    let mut bytes = fs::read(generic()).unwrap();
    let mut at: Vec<usize> = bytes
        .windows(8)
        .enumerate()
        .filter(|(_, w)| *w == b"BUSBARPL")
        .map(|(at, _)| at)
        .collect();
    // One lies in the section of its own, one in the exported symbol; the former comes first in the file.
    at.truncate(1);
    change(&mut bytes[at[0]..at[0] + 80]);
    inspect(&put(dir.path(), NAME, &bytes))
}

fn refusal(outcome: Result<Inspected, LoaderError>) -> String {
    let text = outcome.unwrap_err().to_string();
    assert!(!text.contains('\n'), "more than one line: {text}");
    text
}

#[test]
fn a_good_plugin_is_known_from_its_file() {
    let dir = tempdir().unwrap();
    let found = inspect(&copy(dir.path(), &generic())).unwrap();
    assert_eq!(
        (&*found.name, &*found.version),
        ("generic", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!((&*found.abi, found.language), ("1.2", Language::Rust));
    assert_eq!(found.sha256.len(), 64);
}

#[test]
fn another_abi_is_refused_by_its_number() {
    let text = refusal(with_record(|record| {
        record[10..12].copy_from_slice(&7_u16.to_ne_bytes())
    }));
    assert!(text.contains("ABI 7.2") && text.contains("1.2"), "{text}");
    // Even when nothing else of that version is known.
    let text = refusal(with_record(|record| {
        record[8..12].copy_from_slice(&[200, 0, 7, 0]);
        record[16..].fill(0xEE);
    }));
    assert!(text.contains("ABI 7.2"), "{text}");
}

#[test]
fn a_newer_minor_version_is_taken() {
    let found = with_record(|record| record[12] = 9).unwrap();
    assert_eq!(found.abi, "1.9");
}

#[test]
fn a_record_that_cannot_be_right_is_refused() {
    type Case = (fn(&mut [u8]), &'static str);
    let cases: [Case; 11] = [
        (|record| record[0] ^= 1, "magic"),
        (|record| record[8] = 79, "record size"),
        (|record| record[14] = 2, "pointer width"),
        (|record| record[15] = 3, "byte order"),
        (|record| record[16] = 0, "panic=abort"),
        (|record| record[20..24].fill(0xFF), "function table"),
        (|record| record[24] ^= 1, "memory layout"),
        (|record| record[32] = b'G', "name"),
        (|record| record[32] = 0xFF, "name"),
        (|record| record[63] = b'x', "name"),
        (|record| record[64] = b' ', "version"),
    ];
    for (change, word) in cases {
        let text = refusal(with_record(change));
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn what_is_no_library_is_refused() {
    let dir = tempdir().unwrap();
    let whole = fs::read(generic()).unwrap();
    let refused = |bytes: &[u8]| refusal(inspect(&put(dir.path(), NAME, bytes)));
    assert!(refused(b"").contains("not an ELF"));
    assert!(refused(b"#!/bin/sh\n").contains("not an ELF"));
    assert!(refused(&whole[..20]).contains("truncated"));
    let program = fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(refused(&program).contains("not a Busbar plugin"));
    let mut object = whole.clone();
    object[16] = 1;
    assert!(refused(&object).contains("not a shared library"));
}

#[test]
fn noise_in_the_headers_is_never_a_panic() {
    let dir = tempdir().unwrap();
    let mut whole = fs::read(generic()).unwrap();
    let sections = usize::try_from(u64::from_le_bytes(whole[40..48].try_into().unwrap())).unwrap();
    for at in (4..1024).chain(sections..(sections + 1024).min(whole.len())) {
        let kept = std::mem::replace(&mut whole[at], 0xFF);
        if at % 16 == 0 {
            let _ = inspect(&put(dir.path(), NAME, &whole));
        }
        whole[at] = if at % 3 == 0 { 0xFF } else { kept };
    }
}

#[test]
fn what_others_may_change_is_refused() {
    let dir = tempdir().unwrap();
    let path = copy(dir.path(), &generic());
    chmod(&path, 0o646);
    assert!(refusal(inspect(&path)).contains("writable by everybody (mode 0646); run: chmod go-w"));
    chmod(&path, 0o664);
    assert!(refusal(inspect(&path)).contains("writable by its group"));
    let link = dir.path().join("libbusbar_plugin_link.so");
    symlink(generic(), &link).unwrap();
    assert!(refusal(inspect(&link)).contains("symbolic link"));
    assert!(refusal(inspect(dir.path())).contains("not a regular file"));
    let pipe = dir.path().join("libbusbar_plugin_pipe.so");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    assert!(refusal(inspect(&pipe)).contains("not a regular file"));
    // Sparse: it costs nothing, and is refused by its size.
    let huge = put(dir.path(), "libbusbar_plugin_huge.so", b"");
    fs::File::options()
        .write(true)
        .open(&huge)
        .unwrap()
        .set_len(65 << 20)
        .unwrap();
    assert!(refusal(inspect(&huge)).contains("at most"));
}

#[test]
fn the_group_bit_is_not_held_against_a_build() {
    let dir = tempdir().unwrap();
    let deps = folder(&folder(&dir.path().join("debug")).join("deps"));
    let path = copy(&deps, &generic());
    chmod(&path, 0o664);
    chmod(&deps, 0o775);
    assert!(
        inspect(&path).is_err(),
        "a directory called deps is not yet a build"
    );
    let linked = copy(&dir.path().join("debug"), &generic());
    chmod(&linked, 0o664);
    assert!(inspect(&linked).is_err(), "nor is one called debug");
    folder(&dir.path().join("debug/.fingerprint"));
    chmod(&dir.path().join("debug"), 0o775);
    for path in [path, linked] {
        assert!(inspect(&path).is_ok());
        chmod(&path, 0o666);
        assert!(inspect(&path).is_err(), "the others' bit always is");
    }
}

#[test]
fn the_first_of_a_name_counts() {
    let dir = tempdir().unwrap();
    let named = |name: &str| PluginDir {
        path: dir.path().join(name),
        ours: false,
    };
    let fill = |name: &str| copy(&folder(&dir.path().join(name)), &generic());
    let first = fill("a");
    fill("b");
    put(
        &dir.path().join("b"),
        "libserde_derive-1.so",
        b"other libraries are not looked at",
    );
    put(
        &dir.path().join("b"),
        "libbusbar_plugin_broken.so",
        b"not a library",
    );
    let mut dirs = vec![named("a"), named("b"), named("a"), named("missing")];
    dirs.push(PluginDir {
        path: dir.path().join("missing too"),
        ours: true,
    });
    let found = search(&dirs);
    let told: Vec<_> = found
        .iter()
        .map(|each| {
            let path = each.path.strip_prefix(dir.path()).unwrap();
            (path, each.outcome.is_ok(), each.shadowed_by.as_deref())
        })
        .collect();
    let expected: [(&Path, bool, Option<&Path>); 4] = [
        (Path::new("a/libbusbar_plugin_generic.so"), true, None),
        (Path::new("b/libbusbar_plugin_broken.so"), false, None),
        (Path::new("b/libbusbar_plugin_generic.so"), true, Some(&first)),
        (Path::new("missing"), false, None),
    ];
    assert_eq!(told, expected);
}
