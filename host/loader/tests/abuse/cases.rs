//! The misdeeds, each with what the cause must say. The tests hold every one to its bounds; the bench prints what it cost.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use busbar_loader::PluginState;

use super::common::chmod;
use super::stage::{Stage, in_c, plain_c, sound};

/// How a plugin misbehaves.
#[derive(Clone, Copy)]
pub(crate) enum Deed {
    /// By what its file is, before anything of it runs.
    File(fn(&Stage)),
    /// While it is loaded or describes itself: how the plugin in C is compiled.
    Load(&'static [&'static str]),
    /// When it is asked: what the plugin in C does.
    C(u8),
    /// When it is asked: what the plugin in Rust does.
    Rust(u8),
}

/// One misdeed.
pub(crate) struct Case {
    /// The name of its test.
    pub(crate) name: &'static str,
    /// What is done.
    pub(crate) deed: Deed,
    /// What must become of the plugin.
    pub(crate) state: PluginState,
    /// What the cause must say; or one of several, with a bar between.
    pub(crate) words: &'static str,
}

const fn case(name: &'static str, deed: Deed, state: PluginState, words: &'static str) -> Case {
    Case {
        name,
        deed,
        state,
        words,
    }
}

use Deed::{C, File, Load, Rust};
use PluginState::{Loaded, Refused, SetAside};

/// All of them.
pub(crate) const CASES: &[Case] = &[
    // Refused from the file: nothing of it runs.
    case(
        "another_abi",
        File(another_abi),
        Refused,
        "is built for plugin ABI 7.1",
    ),
    case(
        "a_foreign_library",
        File(foreign),
        Refused,
        "is not a Busbar plugin",
    ),
    case(
        "another_processor",
        File(other_processor),
        Refused,
        "is built for RISC-V",
    ),
    case(
        "a_truncated_file",
        File(truncated),
        Refused,
        "is truncated or damaged",
    ),
    case(
        "writable_by_its_group",
        File(|stage| chmod(&stage.bad(plain_c()), 0o664)),
        Refused,
        "its group (mode 0664); run: chmod go-w",
    ),
    case(
        "writable_by_everybody",
        File(|stage| chmod(&stage.bad(plain_c()), 0o666)),
        Refused,
        "everybody (mode 0666); run: chmod go-w",
    ),
    case(
        "a_writable_directory_above",
        File(writable_directory),
        Refused,
        "the directory",
    ),
    case("a_symbolic_link", File(link), Refused, "is a symbolic link"),
    case(
        "panics_that_abort_by_its_own_record",
        File(aborting),
        Refused,
        "panic=abort",
    ),
    // While it is loaded, or says what it is.
    case(
        "a_constructor_that_loops",
        Load(&["CONSTRUCT=1"]),
        SetAside,
        "more than 1s of processor time",
    ),
    case(
        "a_constructor_that_exits",
        Load(&["CONSTRUCT=2"]),
        SetAside,
        "exit code 0",
    ),
    case(
        "a_constructor_that_sleeps",
        Load(&["CONSTRUCT=3"]),
        SetAside,
        "slept for more than 1s",
    ),
    case(
        "a_constructor_that_makes_a_file",
        Load(&["CONSTRUCT=4"]),
        Loaded,
        "making a file: Operation not permitted",
    ),
    case(
        "a_constructor_that_crashes",
        Load(&["CONSTRUCT=5"]),
        SetAside,
        "memory that is not its own",
    ),
    case(
        "a_constructor_that_empties_a_file",
        Load(&["CONSTRUCT=6"]),
        Loaded,
        "emptying a file: Operation not permitted",
    ),
    case(
        "a_description_without_an_end",
        Load(&["DESCRIBE=1"]),
        Refused,
        "more than 4194304 bytes",
    ),
    case(
        "a_ledger_of_two_megabytes",
        Load(&["DESCRIBE=2"]),
        Refused,
        "ledger has 2097152 bytes; at most 1048576 fit",
    ),
    case(
        "two_thousand_ledgers",
        Load(&["DESCRIBE=3"]),
        Refused,
        "2000 ledgers; at most 1024",
    ),
    case(
        "a_title_that_is_no_text",
        Load(&["DESCRIBE=4"]),
        Refused,
        "not UTF-8",
    ),
    case(
        "a_ledger_outside_of_its_folder",
        Load(&["DESCRIBE=5"]),
        Refused,
        "\"../../passwd.toml\"",
    ),
    case(
        "a_title_that_paints_the_terminal",
        Load(&["DESCRIBE=6"]),
        Loaded,
        "good [2Jevil",
    ),
    // When it is asked: its process ends.
    case("a_panic", Rust(1), Loaded, "it panicked: on purpose"),
    case(
        "a_panic_that_aborts_against_its_record",
        Rust(22),
        SetAside,
        "it aborted",
    ),
    case("a_crash", Rust(2), SetAside, "memory that is not its own"),
    case("an_exit", Rust(3), SetAside, "exit code 0"),
    case("an_abort", Rust(13), SetAside, "it aborted"),
    case("a_loop", Rust(4), SetAside, "more than 1s of processor time"),
    case("a_sleep", Rust(11), SetAside, "slept for more than 1s"),
    case("naps", C(19), SetAside, "for more than 1s"),
    case("a_stop", C(10), Loaded, "stopping: Operation not permitted"),
    case(
        "a_first_thread_that_ends",
        C(11),
        SetAside,
        "slept for more than 1s",
    ),
    case(
        "ten_gigabytes",
        Rust(5),
        SetAside,
        "memory allocation of 10737418240 bytes failed",
    ),
    case(
        "shared_memory",
        C(17),
        Loaded,
        "shared memory: Operation not permitted",
    ),
    case("a_fork_bomb", C(15), Loaded, "0 processes"),
    case("a_thread_bomb", C(14), Loaded, "0 threads"),
    case(
        "a_socket",
        Rust(7),
        SetAside,
        "system call that plugins may not make",
    ),
    case(
        "a_program",
        Rust(15),
        SetAside,
        "system call that plugins may not make",
    ),
    case("a_file_that_is_read", Rust(8), Loaded, "false"),
    case(
        "a_file_that_is_written",
        C(16),
        Loaded,
        "making a file: Operation not permitted",
    ),
    case("the_environment", Rust(19), Loaded, "0"),
    case("a_signal_to_the_host", Rust(20), Loaded, "false"),
    case(
        "a_limit_of_the_host",
        C(12),
        Loaded,
        "limiting the host: Operation not permitted",
    ),
    case(
        "a_signal_by_way_of_the_channel",
        C(13),
        Loaded,
        "channel: Operation not permitted",
    ),
    // What it says.
    case(
        "a_flood_of_output",
        Rust(9),
        SetAside,
        "printed more than 262144 bytes",
    ),
    case(
        "an_answer_that_is_announced_too_large",
        Rust(14),
        SetAside,
        "a message of 4294967295 bytes",
    ),
    case(
        "an_answer_of_two_million_pieces",
        C(7),
        SetAside,
        "a message that makes no sense",
    ),
    case("an_answer_in_small_pieces", C(6), SetAside, "for more than 1s"),
    case("reading_the_channel", C(8), SetAside, "slept for more than 1s"),
    // Whether its thread that watches for the end of the host notices depends on whether that thread waits already.
    case(
        "a_closed_channel_without_an_end",
        C(9),
        SetAside,
        "slept for more than 1s|exit code 0|it closed its channel",
    ),
    case(
        "a_text_that_claims_to_be_longer",
        C(1),
        SetAside,
        // What lies there may be the guard of a stack, which Rust tells by itself.
        "memory that is not its own|it aborted",
    ),
    case(
        "a_length_that_overflows",
        C(20),
        Loaded,
        "more than 4194304 bytes",
    ),
    case(
        "a_step_longer_than_its_room",
        C(2),
        Loaded,
        "claims to have written 16385 probes",
    ),
    case(
        "too_many_probes",
        Rust(12),
        Loaded,
        "20000 probes in one step; the host takes 16384",
    ),
    case("a_probe_beyond_the_last_register", C(4), Loaded, "2 from 65535"),
    case(
        "a_unit_that_is_no_number",
        C(3),
        Loaded,
        "\"abc\\nd\" as a device's unit",
    ),
    case(
        "an_id_that_is_a_path",
        Rust(17),
        Loaded,
        "the device id \"../../etc\"",
    ),
    case("a_note_that_is_no_text", C(18), Loaded, "not UTF-8"),
    case(
        "an_error_without_an_end",
        C(23),
        Loaded,
        "it failed without a reason",
    ),
];

fn another_abi(stage: &Stage) {
    let mark = format!("MARK=\"{}\"", stage.path().join("mark").display());
    stage.bad(&in_c("hostile", &["ABI_MAJOR=7", "CONSTRUCT=4", &mark]));
}

fn foreign(stage: &Stage) {
    let source = stage.path().join("foreign.c");
    fs::write(&source, "int add(int a, int b) { return a + b; }\n").unwrap();
    let library = stage.path().join("libbusbar_plugin_bad.so");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .status();
    assert!(made.expect("a C compiler is there").success());
    chmod(&library, 0o755);
}

fn other_processor(stage: &Stage) {
    let mut bytes = plain_c().to_vec();
    bytes[18..20].copy_from_slice(&243_u16.to_le_bytes());
    stage.bad(&bytes);
}

fn truncated(stage: &Stage) {
    let bytes = sound();
    stage.bad(&bytes[..bytes.len() / 2]);
}

fn writable_directory(stage: &Stage) {
    stage.bad(plain_c());
    chmod(stage.path(), 0o777);
}

fn link(stage: &Stage) {
    let file = stage.path().join("elsewhere.so");
    fs::write(&file, plain_c()).unwrap();
    symlink(file, stage.path().join("libbusbar_plugin_bad.so")).unwrap();
}

fn aborting(stage: &Stage) {
    let mut bytes = plain_c().to_vec();
    let records: Vec<usize> = (0..bytes.len() - 8)
        .filter(|&at| bytes[at..].starts_with(b"BUSBARPL"))
        .collect();
    for at in records {
        bytes[at + 16] = 0;
    }
    stage.bad(&bytes);
}
