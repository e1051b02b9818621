//! The header for plugins in C says what the SDK says: a program compiled against it tells every size, offset and number,
//! and they are compared with those of Rust.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what cannot be set up fails the test, loudly"
)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;

use busbar_plugin_sdk::abi::{
    self, Entry, RawAsk, RawFeed, RawHeard, RawStep, RawTelegram, RawText, Record, Sink, Vtable,
};
use busbar_plugin_sdk::{Checked, Conversation, Evidence, Forecast, Mode, Outcome, Probe};
use tempfile::TempDir;

/// What both sides are asked for: an expression in C, and what Rust says.
type Facts = BTreeMap<String, u64>;

/// The size of the field that this leads to.
fn width<S, F>(_: fn(&S) -> &F) -> u64 {
    size_of::<F>() as u64
}

/// Notes a struct's size and alignment, and the offset and width of each field. A field that is left out here does not
/// compile.
macro_rules! shape {
    ($facts:ident, $rust:ident as $c:literal { $($field:ident),* }) => {
        let _ = |all: &$rust| { let $rust { $($field: _),* } = *all; };
        $facts.insert(format!("sizeof({})", $c), size_of::<$rust>() as u64);
        $facts.insert(format!("_Alignof({})", $c), align_of::<$rust>() as u64);
        $(
            let name = stringify!($field);
            $facts.insert(format!("offsetof({}, {name})", $c), offset_of!($rust, $field) as u64);
            $facts.insert(format!("sizeof((({} *)0)->{name})", $c), width(|all: &$rust| &all.$field));
        )*
    };
}

/// The numbers in `impl NAME { pub const A: u32 = 1; … }` of the SDK's source, so that none can be forgotten here.
fn numbers_of(name: &str) -> Vec<(String, u64)> {
    let source = include_str!("../src/abi.rs");
    let (_, rest) = source
        .split_once(&format!("\nimpl {name} {{\n"))
        .expect("it has this impl");
    let (body, _) = rest.split_once("\n}\n").expect("it ends");
    let constant = |line: &str| {
        let (name, value) = line.trim().strip_prefix("pub const ")?.split_once(": ")?;
        let (_, number) = value.split_once(" = ")?;
        Some((name.to_owned(), number.trim_end_matches(';').parse().unwrap()))
    };
    body.lines().filter_map(constant).collect()
}

/// The number by which an outcome crosses.
fn outcome(outcome: Outcome<'_>) -> u64 {
    let probe = Probe {
        unit: 1,
        function: 3,
        at: 0,
        count: 1,
    };
    let mut talk = Conversation::new(Mode::Quick, vec![]);
    talk.record(probe, outcome);
    talk.evidence[0].outcome.into()
}

fn facts() -> Facts {
    let mut facts = Facts::new();
    shape!(facts, Record as "busbar_record" {
        magic, record_size, abi_major, abi_minor, pointer_width, endianness, panic_unwinds, language, reserved,
        vtable_size, layout, name, version
    });
    shape!(facts, Entry as "busbar_entry" { record, vtable });
    shape!(facts, Vtable as "busbar_vtable" { describe, discover, telegram, recognise });
    shape!(facts, Sink as "busbar_sink" { context, put });
    shape!(facts, RawAsk as "busbar_ask" { mode, units_len, units, evidence, evidence_len, words, words_len });
    shape!(facts, RawStep as "busbar_step" { probes, capacity, len, forecast });
    shape!(facts, Probe as "busbar_probe" { unit, function, at, count });
    shape!(facts, Evidence as "busbar_evidence" { probe, outcome, exception, offset, len });
    shape!(facts, Forecast as "busbar_forecast" { remaining, expected_exceptions, possible });
    shape!(facts, RawFeed as "busbar_feed" {
        bytes, bytes_len, key, key_len, auth_key, auth_key_len, whole, standard_offset
    });
    shape!(facts, RawHeard as "busbar_heard" { consumed, damaged, unchecked, dropped, repeated });
    shape!(facts, RawText as "busbar_lent" { data, len });
    shape!(facts, RawTelegram as "busbar_telegram" {
        checked, has_time, time_ms, lines, lines_len, variant, ident
    });
    for (number, checked) in Checked::ALL.iter().enumerate() {
        let name = checked.name().to_ascii_uppercase();
        facts.insert(format!("BUSBAR_CHECKED_{name}"), number as u64);
    }
    for (name, number) in numbers_of("Tag") {
        facts.insert(format!("BUSBAR_TAG_{name}"), number);
    }
    for (name, number) in numbers_of("Status") {
        facts.insert(format!("BUSBAR_{name}"), number);
    }
    let more = [
        ("BUSBAR_ABI_MAJOR", abi::ABI_MAJOR.into()),
        ("BUSBAR_ABI_MINOR", abi::ABI_MINOR.into()),
        ("BUSBAR_MAX_PROBES", abi::MAX_PROBES as u64),
        ("BUSBAR_MAX_FEED", busbar_plugin_sdk::MAX_FEED as u64),
        (
            "(uint32_t)BUSBAR_NO_OFFSET",
            abi::NO_OFFSET.cast_unsigned().into(),
        ),
        ("BUSBAR_LAYOUT", abi::layout()),
        ("BUSBAR_WORDS", outcome(Outcome::Words(&[0]))),
        ("BUSBAR_EXCEPTION", outcome(Outcome::Exception(2))),
        ("BUSBAR_SILENT", outcome(Outcome::Silent)),
        ("BUSBAR_BROKEN", outcome(Outcome::Broken)),
        ("BUSBAR_QUICK", 0),
        ("BUSBAR_FULL", 1),
        ("BUSBAR_LISTED", 2),
    ];
    facts.extend(more.map(|(name, number)| (name.to_owned(), number)));
    facts
}

fn include() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include")
}

/// Runs a compiler in a directory; what it says where it refuses.
fn compile(compiler: &str, dir: &TempDir, args: &[&str]) -> Result<(), String> {
    let output = Command::new(compiler)
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-I"])
        .arg(include())
        .args(args)
        .current_dir(dir.path())
        .output()
        .unwrap_or_else(|e| panic!("{compiler} cannot be run: {e} (apt install build-essential)"));
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn write(dir: &TempDir, name: &str, text: &str) {
    std::fs::write(dir.path().join(name), text).unwrap();
}

/// What a program says that was compiled in this directory.
fn run(dir: &TempDir, program: &str) -> String {
    let output = Command::new(dir.path().join(program)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

const PLUGIN: &str = r#"
#include <busbar_plugin.h>
static int32_t describe(const busbar_sink *out) { return busbar_put_text(out, BUSBAR_TAG_TITLE, "Acme"); }
BUSBAR_PLUGIN("acme", "1.0.0", describe, NULL);
"#;

const LISTENER: &str = r#"
#include <busbar_plugin.h>
static int32_t describe(const busbar_sink *out) { return busbar_put_text(out, BUSBAR_TAG_TELEGRAMS, ""); }
static int32_t telegram(const busbar_feed *feed, busbar_heard *heard, const busbar_sink *out) {
    heard->consumed = feed->bytes_len;
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_TELEGRAM, "none"));
    return busbar_put(out, BUSBAR_TAG_TELEGRAM_LINE, feed->bytes, feed->bytes_len);
}
static int32_t recognise(const busbar_telegram *said, const busbar_sink *out) {
    busbar_found found = {0, "acme/one", "", NULL, NULL, NULL, NULL, NULL};
    if (said->checked > BUSBAR_CHECKED_NONE) return busbar_fail(out, "newer than this plugin");
    BUSBAR_TRY(busbar_put(out, BUSBAR_TAG_NOTE, said->variant.data, said->variant.len));
    return busbar_put_found(out, &found);
}
BUSBAR_LISTENER("acme", "1.0.0", describe, NULL, telegram, recognise);
"#;

#[test]
fn every_size_offset_tag_and_number_is_that_of_the_sdk() {
    let dir = tempfile::tempdir().unwrap();
    let facts = facts();
    let mut program =
        "#include <busbar_plugin.h>\n#include <inttypes.h>\n#include <stdio.h>\nint main(void) {\n"
            .to_owned();
    for fact in facts.keys() {
        writeln!(
            program,
            "printf(\"%s = %\" PRIu64 \"\\n\", \"{fact}\", (uint64_t)({fact}));"
        )
        .unwrap();
    }
    program.push_str("puts(BUSBAR_RECORD_SECTION);\nreturn 0;\n}\n");
    write(&dir, "facts.c", &program);
    compile("cc", &dir, &["-std=c11", "facts.c", "-o", "facts"]).unwrap_or_else(|e| panic!("{e}"));
    let said = run(&dir, "facts");
    let mut expected: String = facts
        .iter()
        .map(|(fact, number)| format!("{fact} = {number}\n"))
        .collect();
    expected.push_str(abi::RECORD_SECTION);
    assert_eq!(said.trim_end(), expected);
}

#[test]
fn the_record_of_a_plugin_in_c_is_that_of_one_in_rust() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "plugin.c", PLUGIN);
    let show = r#"
        #include <busbar_plugin.h>
        #include <stdio.h>
        static void show(const busbar_record *record) {
            const unsigned char *bytes = (const unsigned char *)record;
            for (size_t at = 0; at < sizeof *record; at++) printf("%02x", (unsigned)bytes[at]);
            puts("");
        }
        int main(void) {
            show(&BUSBAR_PLUGIN_RECORD);
            show(&BUSBAR_PLUGIN_ENTRY.record);
            return BUSBAR_PLUGIN_ENTRY.vtable->describe == NULL || BUSBAR_PLUGIN_ENTRY.vtable->discover != NULL;
        }"#;
    write(&dir, "show.c", show);
    compile("cc", &dir, &["-std=c11", "plugin.c", "show.c", "-o", "show"]).unwrap_or_else(|e| panic!("{e}"));
    let said = run(&dir, "show");
    let mut lines = said.lines();
    let record = lines.next().unwrap();
    assert_eq!(lines.next(), Some(record), "section and symbol hold the same");

    #[derive(Default)]
    struct Acme;
    impl busbar_plugin_sdk::Plugin for Acme {
        const NAME: &'static str = "acme";
        const VERSION: &'static str = "1.0.0";
        fn describe(&self) -> busbar_plugin_sdk::Description {
            busbar_plugin_sdk::Description::default()
        }
    }
    let mut ours = busbar_plugin_sdk::private::record::<Acme>(true);
    ours.language = 0;
    let mut bytes: Vec<u8> = ours.magic.to_vec();
    for half in [ours.record_size, ours.abi_major, ours.abi_minor] {
        bytes.extend(half.to_ne_bytes());
    }
    bytes.extend([
        ours.pointer_width,
        ours.endianness,
        ours.panic_unwinds,
        ours.language,
    ]);
    bytes.extend(ours.reserved);
    bytes.extend(ours.vtable_size.to_ne_bytes());
    bytes.extend(ours.layout.to_ne_bytes());
    bytes.extend(ours.name);
    bytes.extend(ours.version);
    let expected: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(record, expected);
}

#[test]
fn it_compiles_without_a_warning_as_c_and_as_cpp() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "plugin.c", PLUGIN);
    write(&dir, "plugin.cc", PLUGIN);
    write(&dir, "listener.c", LISTENER);
    write(&dir, "listener.cc", LISTENER);
    let library = ["-fPIC", "-shared", "-fvisibility=hidden", "-o", "plugin.so"];
    let sources = [
        ("cc", "-std=c11", "plugin.c"),
        ("cc", "-std=c17", "plugin.c"),
        ("c++", "-std=c++11", "plugin.cc"),
        ("c++", "-std=c++20", "plugin.cc"),
        ("cc", "-std=c11", "listener.c"),
        ("c++", "-std=c++11", "listener.cc"),
    ];
    for (compiler, standard, source) in sources {
        compile(compiler, &dir, &[&library[..], &[standard, source]].concat())
            .unwrap_or_else(|e| panic!("{compiler} {standard}: {e}"));
    }
}

#[test]
fn a_name_or_version_that_does_not_fit_does_not_compile() {
    let dir = tempfile::tempdir().unwrap();
    let compiles = |name: &str, version: &str| {
        let text = PLUGIN.replace("acme", name).replace("1.0.0", version);
        write(&dir, "plugin.c", &text);
        compile(
            "cc",
            &dir,
            &["-std=c11", "-fPIC", "-shared", "plugin.c", "-o", "plugin.so"],
        )
    };
    assert_eq!(compiles(&"a".repeat(32), &"1".repeat(16)), Ok(()));
    for (name, version, what) in [
        ("", "1", "name is 1 to 32"),
        (&*"a".repeat(33), "1", "name is 1 to 32"),
        ("a", "", "version is 1 to 16"),
        ("a", &"1".repeat(17), "version is 1 to 16"),
    ] {
        let said = compiles(name, version).unwrap_err();
        assert!(said.contains(what), "{said}");
    }
}

#[test]
fn the_helpers_keep_within_their_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let program = r#"
        #include <busbar_plugin.h>
        #include <assert.h>
        #include <string.h>
        static char got[128];
        static uint32_t tags[8];
        static size_t puts_seen;
        static int32_t put(void *context, uint32_t tag, const uint8_t *data, size_t len) {
            if (puts_seen == *(size_t *)context) return 1;
            assert(len < sizeof got);
            memcpy(got, data, len);
            got[len] = '\0';
            tags[puts_seen++] = tag;
            return 0;
        }
        static int32_t gives_up(const busbar_sink *out) {
            BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_TITLE, "a"));
            assert(!"a sink that is full ends the function");
            return BUSBAR_DONE;
        }
        int main(void) {
            size_t most = 8;
            const busbar_sink out = {&most, put};

            /* Words: only those that are there. */
            const uint16_t words[] = {0x4142, 0x4320, 0x0000, 0x8001};
            busbar_ask ask;
            busbar_evidence evidence;
            memset(&ask, 0, sizeof ask);
            memset(&evidence, 0, sizeof evidence);
            ask.words = words;
            ask.words_len = 4;
            evidence.offset = 1;
            evidence.len = 3;
            assert(busbar_words(&ask, &evidence, 3) == words + 1);
            assert(busbar_words(&ask, &evidence, 4) == NULL);
            evidence.len = 4;
            assert(busbar_words(&ask, &evidence, 1) == NULL);
            evidence.len = 1;
            evidence.offset = UINT32_MAX;
            assert(busbar_words(&ask, &evidence, 1) == NULL);
            evidence.offset = 0;
            evidence.outcome = BUSBAR_SILENT;
            assert(busbar_words(&ask, &evidence, 0) == NULL);

            /* Texts: cut to the room, without blanks, and ASCII. */
            char text[9];
            assert(busbar_text(words, 4, text, sizeof text) == 3 && strcmp(text, "ABC") == 0);
            assert(busbar_text(words + 3, 1, text, sizeof text) == 2 && strcmp(text, "?\?") == 0);
            assert(busbar_text(words, 4, text, 3) == 2 && strcmp(text, "AB") == 0);
            assert(busbar_text(words, 4, text, 1) == 0 && text[0] == '\0');
            assert(busbar_text(words, 4, text, 0) == 0);
            busbar_make_id(text, sizeof text, "em", "A-12 longer");
            assert(strcmp(text, "em_a_12_") == 0);

            /* Numbers and probes. */
            busbar_decimal(1234, text, 4);
            assert(strcmp(text, "123") == 0);
            busbar_decimal(0, text, 0);
            assert(busbar_put_number(&out, BUSBAR_TAG_DEVICE, 0) == BUSBAR_DONE && strcmp(got, "0") == 0);
            assert(busbar_put_number(&out, BUSBAR_TAG_DEVICE, UINT32_MAX) == BUSBAR_DONE);
            assert(strcmp(got, "4294967295") == 0 && tags[1] == BUSBAR_TAG_DEVICE);
            busbar_probe room[1];
            busbar_step step;
            memset(&step, 0, sizeof step);
            step.probes = room;
            step.capacity = 1;
            assert(busbar_add_probe(&step, &out, 1, 3, 7, 2) == BUSBAR_DONE);
            assert(room[0].unit == 1 && room[0].function == 3 && room[0].at == 7 && room[0].count == 2);
            assert(busbar_add_probe(&step, &out, 1, 3, 7, 2) == BUSBAR_FAILED && step.len == 1);
            assert(tags[2] == BUSBAR_TAG_ERROR && strstr(got, "more probes") != NULL);

            /* What is not known is left out; a sink that takes no more ends it all. */
            busbar_found found;
            memset(&found, 0, sizeof found);
            found.unit = 5;
            found.ledger = "acme/one";
            found.id = "acme_1";
            puts_seen = 0;
            assert(busbar_put_found(&out, &found) == BUSBAR_DONE && puts_seen == 3);
            assert(tags[2] == BUSBAR_TAG_DEVICE_ID && strcmp(got, "acme_1") == 0);
            most = 3;
            assert(busbar_put_found(&out, &found) == BUSBAR_TOO_MUCH);
            assert(gives_up(&out) == BUSBAR_TOO_MUCH);
            return 0;
        }"#;
    write(&dir, "helpers.c", program);
    let args = [
        "-std=c11",
        "-fsanitize=undefined",
        "-fsanitize-undefined-trap-on-error",
        "helpers.c",
        "-o",
        "helpers",
    ];
    compile("cc", &dir, &args).unwrap_or_else(|e| panic!("{e}"));
    run(&dir, "helpers");
}
