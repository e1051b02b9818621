//! The kill switch: a file that anybody can make, and that a full disk does not stop.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use busbar_store::{KillSwitch, StoreError};
use tempfile::tempdir;

use crate::{disk, files};

#[test]
fn it_is_thrown_and_taken_back() {
    let dir = tempdir().unwrap();
    let switch = KillSwitch::prepare(dir.path()).unwrap();
    assert!(!switch.is_on());
    assert_eq!(files(dir.path()), ["kill-switch.off"]);
    assert_eq!(switch.reason(), None);
    switch.off().expect("it is off");

    switch.on("the battery smells").unwrap();
    assert_eq!(files(dir.path()), ["kill-switch"]);
    assert_eq!(
        dir.path().join("kill-switch").metadata().unwrap().mode() & 0o777,
        0o600
    );
    switch.on("and again").unwrap();
    assert_eq!(
        switch.reason().as_deref(),
        Some("the battery smells"),
        "the first reason stays"
    );

    // It stands as it stood when a host starts again.
    let next = KillSwitch::prepare(dir.path()).unwrap();
    assert!(next.is_on() && switch.is_on());
    assert_eq!(files(dir.path()), ["kill-switch"]);
    next.off().unwrap();
    assert!(!switch.is_on());
    assert_eq!(files(dir.path()), ["kill-switch.off"]);
    assert_eq!(
        fs::read_to_string(dir.path().join("kill-switch.off")).unwrap(),
        ""
    );
    // The old reason is none of the new one.
    switch.on("").unwrap();
    assert_eq!((switch.is_on(), switch.reason()), (true, None));
    switch.off().unwrap();
    switch.on(&"ü".repeat(3000)).unwrap();
    assert_eq!(switch.reason().unwrap().chars().count(), 500);
}

#[test]
fn an_owner_throws_it_with_touch() {
    let dir = tempdir().unwrap();
    let switch = KillSwitch::prepare(dir.path()).unwrap();
    fs::write(dir.path().join("kill-switch"), "by hand\n").unwrap();
    assert!(switch.is_on());
    assert_eq!(switch.reason().as_deref(), Some("by hand"));
    switch.on("too late").unwrap();
    assert_eq!(switch.reason().as_deref(), Some("by hand"));
    assert!(KillSwitch::prepare(dir.path()).unwrap().is_on());
    assert_eq!(files(dir.path()), ["kill-switch", "kill-switch.off"]);
    switch.off().unwrap();
    assert!(!switch.is_on());
    assert_eq!(files(dir.path()), ["kill-switch.off"]);

    // And takes it back with rm: then there is none that lies ready until one is needed.
    switch.on("again").unwrap();
    fs::remove_file(dir.path().join("kill-switch")).unwrap();
    assert!(!switch.is_on());
    switch.on("without one that lies ready").unwrap();
    assert!(switch.is_on());
    fs::remove_file(dir.path().join("kill-switch")).unwrap();
    switch.off().unwrap();
    assert_eq!(files(dir.path()), ["kill-switch.off"], "and it lies ready again");
}

#[test]
fn whatever_has_its_name_counts_and_only_a_file_is_taken_away() {
    let dir = tempdir().unwrap();
    let switch = KillSwitch::prepare(dir.path()).unwrap();
    let on = dir.path().join("kill-switch");
    let make: [fn(&Path); 2] = [
        |path| fs::create_dir(path).unwrap(),
        |path| symlink("nowhere", path).unwrap(),
    ];
    for make in make {
        make(&on);
        assert!(switch.is_on());
        assert_eq!(switch.reason(), None);
        switch.on("it is on").unwrap();
        let error = switch.off().unwrap_err();
        assert!(
            matches!(&error, StoreError::NoFile { path } if *path == on),
            "{error}"
        );
        assert!(error.hint().contains("yourself"), "{}", error.hint());
        assert!(switch.is_on());
        if fs::remove_file(&on).is_err() {
            fs::remove_dir(&on).unwrap();
        }
    }
    let off = dir.path().join("kill-switch.off");
    fs::remove_file(&off).unwrap();
    fs::create_dir(&off).unwrap();
    let error = KillSwitch::prepare(dir.path()).unwrap_err();
    assert!(
        matches!(&error, StoreError::NoFile { path } if *path == off),
        "{error}"
    );
    assert!(!switch.is_on());
}

#[test]
fn a_directory_that_is_gone_or_never_was() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let error = KillSwitch::prepare(&data).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    fs::create_dir(&data).unwrap();
    let switch = KillSwitch::prepare(&data).unwrap();
    fs::rename(&data, dir.path().join("elsewhere")).unwrap();
    assert!(switch.is_on(), "what cannot be seen is on");
    let error = switch.on("now").and(switch.off()).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
}

#[test]
fn a_directory_that_one_may_not_write() {
    if !disk::without_rights("kill::a_directory_that_one_may_not_write") {
        return;
    }
    let dir = tempdir().unwrap();
    let mode = |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
    let switch = KillSwitch::prepare(dir.path()).unwrap();
    mode(0o500);
    let error = KillSwitch::prepare(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Permission { .. }), "{error}");
    let error = switch.on("now").unwrap_err();
    assert!(matches!(error, StoreError::Permission { .. }), "{error}");
    mode(0o000);
    assert!(switch.is_on(), "what cannot be seen is on");
    mode(0o700);
    assert!(!switch.is_on());
}

#[test]
fn a_full_disk_does_not_stop_it() {
    let Some(dir) = disk::in_namespace("kill::a_full_disk_does_not_stop_it") else {
        return;
    };
    disk::mount(&["-t", "tmpfs", "-o", "size=1m,nr_inodes=4", "tmpfs", &dir]);
    let dir = Path::new(&dir);
    let switch = KillSwitch::prepare(dir).unwrap();
    disk::fill_up(&dir.join("ballast"));
    // Nor one that can hold no more files.
    fs::File::create(dir.join("last")).unwrap();
    fs::File::create(dir.join("none")).expect_err("there is no room for one");
    switch.on("the disk is full").unwrap();
    assert!(switch.is_on());
    switch.off().unwrap();
    switch.on("and once more").unwrap();
    assert!(KillSwitch::prepare(dir).unwrap().is_on());
    // One that was not prepared would have been too late.
    fs::remove_file(dir.join("kill-switch")).unwrap();
    fs::File::create(dir.join("none")).unwrap();
    let error = KillSwitch::prepare(dir).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
}

#[test]
fn a_read_only_file_system() {
    let Some(dir) = disk::in_namespace("kill::a_read_only_file_system") else {
        return;
    };
    disk::mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs", &dir]);
    let path = Path::new(&dir);
    let switch = KillSwitch::prepare(path).unwrap();
    disk::mount(&["-o", "remount,bind,ro", &dir]);
    for error in [
        KillSwitch::prepare(path).unwrap_err(),
        switch.on("now").unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
        assert!(error.to_string().contains(&dir), "{error}");
    }
    assert!(!switch.is_on());
}
