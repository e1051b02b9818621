//! Plugins that Busbar did not write: a project that `plugin new` makes is built, tested, loaded and read through, in each
//! language, and what is wrong with a library is shown to its author.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::common::host::Background;
use crate::common::writes::Known;
use crate::common::{Home, Run, finish, list, text};

/// A program that a project is built with, run to its end in a directory.
async fn tool(program: &str, install: &str, dir: &Path, args: &[&str]) -> Run {
    let named: OsString = match program {
        // The one that runs this test.
        "cargo" => std::env::var_os("CARGO").unwrap_or_else(|| program.into()),
        _ => program.into(),
    };
    let mut command = Command::new(named);
    command
        .args(args)
        .current_dir(dir)
        // The project has a place of its own for what is built.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET_DIR")
        .env_remove("RUSTFLAGS")
        .env_remove("MAKEFLAGS")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let child = command
        .spawn()
        .unwrap_or_else(|e| panic!("{program} cannot be run: {e}; install it ({install})"));
    finish(child).await
}

async fn cargo(dir: &Path, args: &[&str]) -> Run {
    tool("cargo", "https://rustup.rs", dir, args).await
}

/// `make`, which needs `cc`.
async fn make(dir: &Path, args: &[&str]) -> Run {
    tool("cc", "apt install build-essential", dir, &["--version"]).await;
    tool("make", "apt install build-essential", dir, args).await
}

/// The commands that `plugin new` said to type next, word by word, the `cd` left out.
fn next(made: &Value) -> Vec<Vec<String>> {
    let commands = list(made, "next").iter().skip(1);
    commands
        .map(|command| command.as_str().unwrap().split(' ').map(str::to_owned).collect())
        .collect()
}

/// The first two of them: build and test.
async fn is_built_and_tested(made: &Value, project: &Path, more: &[&str]) -> Run {
    let mut last = None;
    for command in &next(made)[..2] {
        let args: Vec<&str> = command[1..].iter().map(String::as_str).collect();
        let args = [&args[..], more].concat();
        last = Some(well(match command[0].as_str() {
            "cargo" => cargo(project, &args).await,
            "make" => make(project, &args).await,
            other => panic!("{other} is no way to build: {made:#}"),
        }));
    }
    last.unwrap()
}

/// The other two: a simulated meter, and a scan that finds it. Only the port is another, which is free.
async fn is_tried(home: &Home, made: &Value, project: &Path) {
    const PORT: &str = "127.0.0.1:1502";
    let [_, _, simulate, scan] = &next(made)[..] else {
        panic!("{made:#}")
    };
    let busbar = |words: &[String], place: &str| {
        assert_eq!(words[0], "busbar");
        let said: Vec<String> = words[1..].iter().map(|word| word.replace(PORT, place)).collect();
        let mut command = home.command(&said);
        command.current_dir(project).arg("--json");
        command
    };
    let simulated = Background::of(busbar(simulate, "127.0.0.1:0"));
    let line: Value = serde_json::from_str(&simulated.says("url").await).unwrap();
    let place = text(&line, "url").trim_start_matches("modbus+tcp://").to_owned();
    let report = finish(busbar(scan, &place).spawn().unwrap()).await.json();
    assert_eq!(list(&report, "devices").len(), 1, "{report:#}");
    assert_eq!(report["devices"][0]["serial"], "SIM0001", "{report:#}");
    simulated.signal(Signal::TERM);
    assert_eq!(simulated.end().await.code(), 0);
}

fn well(run: Run) -> Run {
    assert_eq!(run.code(), 0, "{run:#?}");
    run
}

/// The site of a meter of this plugin's at unit 2.
fn site(plugin: &str) -> String {
    format!(
        r#"
        [[device]]
        name   = "cellar"
        kind   = "ledger"
        listen = "modbus+tcp://127.0.0.1:0"
        [[device.unit]]
        unit   = 2
        ledger = "{plugin}/meter"
        [device.unit.values]
        serial      = "AB-1234"
        firmware    = 7
        voltage     = 229.9
        current     = -3.25
        power       = -70000
        frequency   = 50.02
        energy      = 123456.78
        temperature = -4.5
        "#
    )
}

/// What that meter says, by key.
fn truth() -> Vec<(&'static str, Value)> {
    vec![
        ("serial", json!("AB-1234")),
        ("firmware", json!(7)),
        ("voltage", json!(229.9)),
        ("current", json!(-3.25)),
        ("power", json!(-70000)),
        ("frequency", json!(50.02)),
        ("energy", json!(123_456.78)),
        ("temperature", json!(-4.5)),
    ]
}

/// Checks a plugin that was built into `dir` (from the project), finds the meter through it, and reads it.
async fn is_read_through(home: &Home, plugin: &str, dir: &str) {
    let dir = dir.to_owned();
    let library = home
        .path()
        .join(&dir)
        .join(format!("libbusbar_plugin_{}.so", plugin.replace('-', "_")));
    let checked = home
        .run(&["plugin", "check", library.to_str().unwrap(), "--json"])
        .await
        .json();
    assert_eq!(checked["plugin"]["name"], plugin);
    assert_eq!(list(&checked, "faults"), [] as [Value; 0]);
    assert_eq!(checked["ledgers"][0]["points"], 8, "{checked:#}");
    assert_eq!(checked["discovery"]["full"]["probes"], 247, "{checked:#}");
    let found = format!("{}_sim0001", plugin.replace('-', "_"));
    assert_eq!(checked["simulated"][0]["found"], json!([found]), "{checked:#}");

    // The simulator knows the ledger by the plugin alone.
    let file = home.write("site.toml", &site(plugin));
    let plugins = ["--plugin-dir", &dir];
    let simulated = Background::start(
        home,
        &[&["simulate", file.to_str().unwrap(), "--json"], &plugins[..]].concat(),
    );
    let line: Value = serde_json::from_str(&simulated.says("url").await).unwrap();
    let url = text(&line, "url");
    let scan = ["scan", url, "--plugin", plugin, "--save", "--json"];
    let report = home.run(&[&scan[..], &plugins[..]].concat()).await.json();
    assert_eq!(report["plugin"], plugin, "{report:#}");
    let device = &list(&report, "devices")[0];
    let id = format!("{}_ab_1234", plugin.replace('-', "_"));
    assert_eq!(
        [
            &device["id"],
            &device["unit_id"],
            &device["serial"],
            &device["ledger"]
        ],
        [
            &json!(id),
            &json!(2),
            &json!("AB-1234"),
            &json!(format!("{plugin}/meter"))
        ],
        "{device:#}"
    );
    assert_eq!(list(&report, "devices").len(), 1);

    // A host that polls it has the plugin from its configuration.
    let host = home
        .host_with(&format!("[plugins]\ndir = {:?}\n", home.path().join(&dir)))
        .await;
    host.device_is(&id, "online").await;
    let entities = host.get(&format!("/api/v1/entities?device={id}")).await;
    for (key, value) in truth() {
        let entity = list(&entities, "entities").iter().find(|e| e["key"] == key);
        let entity = entity.unwrap_or_else(|| panic!("no {key}: {entities:#}"));
        assert_eq!(entity["value"], value, "{entity:#}");
    }
    host.stop().await;
    simulated.signal(Signal::TERM);
    assert_eq!(simulated.end().await.code(), 0);
}

#[tokio::test]
async fn a_new_plugin_in_rust_is_built_tested_and_read_through() {
    let home = Home::new();
    let made = home.run(&["plugin", "new", "acme", "--json"]).await.json();
    let project = home.path().join("busbar-plugin-acme");
    for file in list(&made, "files") {
        assert!(project.join(file.as_str().unwrap()).is_file(), "{file}");
    }
    let tested = is_built_and_tested(&made, &project, &["--offline"]).await;
    assert!(tested.stdout.contains("test result: ok. 6 passed"), "{tested:#?}");
    is_tried(&home, &made, &project).await;
    is_read_through(&home, "acme", "busbar-plugin-acme/target/release").await;
}

#[tokio::test]
async fn a_new_plugin_in_c_is_built_tested_and_read_through() {
    let home = Home::new();
    let line = [
        "plugin", "new", "acme-em9", "--lang", "c", "--dir", "in/there", "--json",
    ];
    let made = home.run(&line).await.json();
    assert_eq!(made["dir"], "in/there");
    let project = home.path().join("in/there");
    let tested = is_built_and_tested(&made, &project, &[]).await;
    assert!(tested.stdout.contains("ok it_brings_its_ledger"), "{tested:#?}");
    assert!(tested.stdout.contains("all is well"), "{tested:#?}");
    is_tried(&home, &made, &project).await;
    is_read_through(&home, "acme-em9", "in/there/build").await;
    well(make(&project, &["clean"]).await);
    assert!(!project.join("build").exists());
}

#[tokio::test]
async fn a_project_is_never_written_over_and_its_name_is_checked() {
    let home = Home::new();
    let first = home.run(&["plugin", "new", "acme"]).await;
    assert!(well(first).stdout.contains("cargo build --release"));
    let readme = home.path().join("busbar-plugin-acme/README.md");
    std::fs::write(&readme, "mine").unwrap();
    for (name, word) in [
        ("acme", "not empty"),
        ("Acme", "a-z"),
        ("a/b", "a-z"),
        ("generic", "already"),
        ("sdk", "already"),
    ] {
        let failure = home.run(&["plugin", "new", name, "--json"]).await.failure(2);
        let said = format!("{} {}", failure.message, failure.hint);
        assert!(said.contains(word), "{name}: {said}");
    }
    assert_eq!(std::fs::read_to_string(readme).unwrap(), "mine");
}

/// Where everything that is made is writable by its group, a project is taken as it was built all the same.
#[tokio::test]
async fn a_project_is_made_that_no_group_may_change() {
    let home = Home::new();
    let new = home.command(&["plugin", "new", "acme", "--lang", "c", "--dir", "in/there"]);
    let mut loose = Command::new("sh");
    loose
        .args(["-c", "umask 002; \"$0\" \"$@\" && cd in/there && make"])
        .arg(new.as_std().get_program())
        .args(new.as_std().get_args())
        .current_dir(home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    well(finish(loose.spawn().unwrap()).await);
    let library = home.path().join("in/there/build/libbusbar_plugin_acme.so");
    well(home.run(&["plugin", "check", library.to_str().unwrap()]).await);
}

/// A test of the C project says what it wanted, what it got, and where.
#[tokio::test]
async fn a_test_in_c_that_fails_tells_both_sides() {
    let home = Home::new();
    well(home.run(&["plugin", "new", "acme", "--lang", "c"]).await);
    let project = home.path().join("busbar-plugin-acme");
    let source = project.join("acme.c");
    let wrong = std::fs::read_to_string(&source)
        .unwrap()
        .replace("\"M1\"", "\"M2\"");
    std::fs::write(&source, wrong).unwrap();
    let run = make(&project, &["test"]).await;
    assert_ne!(run.code(), 0);
    for part in [
        "a_meter_is_found_by_its_signature",
        "--- wanted",
        "DEVICE_MODEL=M1",
        "--- got",
        "DEVICE_MODEL=M2",
    ] {
        assert!(run.stderr.contains(part), "{part}: {run:#?}");
    }
}

/// Compiles a plugin in C of these lines against the header, as the library of this name.
async fn compiled(home: &Home, name: &str, lines: &str) -> PathBuf {
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/sdk/include");
    home.write("plugin.c", &format!("#include <busbar_plugin.h>\n{lines}\n"));
    let args = [
        "-std=c11", "-Wall", "-fPIC", "-shared", "-I", include, "-o", name, "plugin.c",
    ];
    well(tool("cc", "apt install build-essential", home.path(), &args).await);
    // Whatever the umask here is.
    well(tool("chmod", "coreutils", home.path(), &["go-w", name]).await);
    home.path().join(name)
}

const DESCRIBE: &str = r#"
#include <stdlib.h>
#include <string.h>
static const char *const LEDGER =
    "ledger = \"acme/one\"\ntitle = \"One\"\n[identify]\nprobe = { at = 0, type = \"u16\", equals = { 0xACE1 = \"One\" } }\n"
    "[points]\npower = { at = 1, type = \"i16\" }\n";
static int32_t describe(const busbar_sink *out)
{
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_TITLE, "Acme"));
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_DISCOVERS, ""));
    return busbar_put_ledger(out, "acme/one.toml", LEDGER, strlen(LEDGER));
}
static int32_t discover(const busbar_ask *ask, busbar_step *step, const busbar_sink *out)
{
    if (ask->evidence_len == 0 && ask->mode != BUSBAR_LISTED)
        return busbar_add_probe(step, out, 1, 3, 0, 1);
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_NOTE, ""));
    const uint16_t *words = ask->evidence_len > 0 ? busbar_words(ask, ask->evidence, 1) : NULL;
    if (words == NULL || words[0] != 0xACE1)
        return BUSBAR_DONE;
    const busbar_found found = {.unit = 1, .ledger = "acme/one", .id = "acme_1"};
    return busbar_put_found(out, &found);
}
"#;
const EXPORT: &str = r#"BUSBAR_PLUGIN("acme", "1.0.0", describe, discover);"#;
const GOOD_NAME: &str = "libbusbar_plugin_acme.so";

#[tokio::test]
async fn an_author_is_shown_what_is_wrong() {
    let home = Home::new();
    let good = format!("{DESCRIBE}{EXPORT}");
    let path = compiled(&home, GOOD_NAME, &good).await;
    let path = path.to_str().unwrap();
    home.run(&["plugin", "check", path, "--json"]).await.json();
    let shown = well(home.run(&["plugin", "check", path]).await);
    assert!(
        shown
            .lines()
            .iter()
            .any(|line| line == "ok acme/one.toml: 1 points"),
        "{shown:#?}"
    );
    assert!(
        shown.stdout.contains("a simulated acme/one is found: acme_1"),
        "{shown:#?}"
    );

    // What is written instead of what, the file's name, and what is said of it.
    let cases = [
        ("type =", "typ =", GOOD_NAME, "typ"),
        ("acme/one.toml", "acme/two.toml", GOOD_NAME, "acme/one"),
        ("", "", "acme.so", "libbusbar_plugin_acme.so"),
        (EXPORT, "", GOOD_NAME, "BUSBAR_PLUGIN"),
        ("(\"acme\"", "(\"Acme\"", GOOD_NAME, "name is not valid"),
        ("\"1.0.0\"", "\"1 0\"", GOOD_NAME, "version is not valid"),
        (
            "describe, discover)",
            "describe, NULL)",
            GOOD_NAME,
            "no discover function",
        ),
        (
            "describe, discover)",
            "NULL, discover)",
            GOOD_NAME,
            "no describe function",
        ),
        ("BUSBAR_TAG_TITLE", "BUSBAR_TAG_SUMMARY", GOOD_NAME, "title"),
        ("1, 3, 0, 1)", "1, 6, 0, 1)", GOOD_NAME, "function 6"),
        (
            "ask->evidence_len == 0",
            "ask->evidence_len < 9999",
            GOOD_NAME,
            "asks again and again",
        ),
        (
            "words == NULL || words[0] != 0xACE1",
            "words != NULL",
            GOOD_NAME,
            "silence proves nothing",
        ),
        (
            "BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_NOTE, \"\"));",
            "abort();",
            GOOD_NAME,
            "signal",
        ),
        (
            ".ledger = \"acme/one\"",
            ".ledger = \"acme/two\"",
            GOOD_NAME,
            "does not bring it",
        ),
        ("\"acme_1\"", "\"Acme 1\"", GOOD_NAME, "is not made of a-z"),
        // What it looks for is not what its ledger says.
        (
            "!= 0xACE1",
            "!= 0xACE2",
            GOOD_NAME,
            "a simulated acme/one is not recognised: of unit 1 the plugin read function 3 (holding), address 0 (0x0000), \
             1 register: 0xACE1; [identify] looks at function 3 (holding), address 0 (0x0000), 1 register: 44257 (0xACE1)",
        ),
        (
            "1, 3, 0, 1)",
            "1, 4, 0, 1)",
            GOOD_NAME,
            "by function 4, [identify] by function 3",
        ),
        ("1, 3, 0, 1)", "1, 3, 1, 1)", GOOD_NAME, "other addresses"),
        ("1, 3, 0, 1)", "9, 3, 0, 1)", GOOD_NAME, "did not ask unit 1"),
        (
            "0xACE1 = \\\"One\\\"",
            "0xACE1 = \\\"One\\\", 0xACE3 = \\\"Two\\\"",
            GOOD_NAME,
            "a simulated acme/one (Two) is not recognised",
        ),
        (
            ".unit = 1, .ledger",
            ".unit = 2, .ledger",
            GOOD_NAME,
            "none of its points could be read there by the ledger acme/one",
        ),
        (
            "BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_NOTE, \"\"));",
            "",
            GOOD_NAME,
            "BUSBAR_TAG_NOTE",
        ),
    ];
    for (old, new, name, word) in cases {
        let source = good.replace(old, new);
        let path = compiled(&home, name, &source).await;
        let run = home
            .run(&["plugin", "check", path.to_str().unwrap(), "--json"])
            .await;
        run.failure(1);
        assert!(
            run.stdout.replace("\\\"", "\"").contains(word),
            "{word:?} is not said: {run:#?}"
        );
        assert!(!run.stdout.contains("restart busbar"), "{run:#?}");
        // And to people.
        let run = home.run(&["plugin", "check", path.to_str().unwrap()]).await;
        assert_eq!(run.code(), 1, "{run:#?}");
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(word), "{word:?} is not shown: {run:#?}");
    }
}

const LISTENER: &str = r#"
static int32_t describe(const busbar_sink *out)
{
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_TITLE, "Acme"));
    return busbar_put_text(out, BUSBAR_TAG_TELEGRAMS, "");
}
static int32_t telegram(const busbar_feed *feed, busbar_heard *heard, const busbar_sink *out)
{
    (void)out;
    heard->consumed = feed->bytes_len;
    return BUSBAR_DONE;
}
static int32_t recognise(const busbar_telegram *said, const busbar_sink *out)
{
    (void)said;
    return busbar_put_text(out, BUSBAR_TAG_NOTE, "");
}
BUSBAR_LISTENER("acme", "1.0.0", describe, NULL, telegram, recognise);
"#;

/// A plugin in C that takes telegrams is tried with streams that hold none.
#[tokio::test]
async fn an_author_is_told_what_is_wrong_with_hearing() {
    let home = Home::new();
    let path = compiled(&home, GOOD_NAME, LISTENER).await;
    well(home.run(&["plugin", "check", path.to_str().unwrap()]).await);
    let consumes = "heard->consumed = feed->bytes_len;";
    for (new, word) in [
        ("heard->consumed = 0;", "consumes nothing"),
        ("heard->consumed = (feed->bytes_len + 63) / 64;", ""),
        (
            "heard->consumed = feed->bytes_len + 1;",
            "it consumed 1 bytes where there were 0",
        ),
        (
            "heard->consumed = feed->bytes_len;\n    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_TELEGRAM, \"crc\"));",
            "it hears a telegram in it (0 lines)",
        ),
        ("return busbar_fail(out, \"not today\");", "not today"),
    ] {
        let path = compiled(&home, GOOD_NAME, &LISTENER.replace(consumes, new)).await;
        let run = home
            .run(&["plugin", "check", path.to_str().unwrap(), "--json"])
            .await;
        assert_eq!(run.code(), i32::from(!word.is_empty()), "{run:#?}");
        assert!(run.stdout.contains(word), "{word:?} is not said: {run:#?}");
    }
    let without = LISTENER.replace("telegram, recognise);", "telegram, NULL);");
    let path = compiled(&home, GOOD_NAME, &without).await;
    let failure = home
        .run(&["plugin", "check", path.to_str().unwrap(), "--json"])
        .await
        .failure(1);
    assert!(
        failure.message.contains("lacks one of the functions"),
        "{failure:?}"
    );
}

/// What may be as it should be is a note, and no fault.
#[tokio::test]
async fn an_author_is_told_what_may_be_meant() {
    let home = Home::new();
    let good = format!("{DESCRIBE}{EXPORT}").replace(
        "[points]",
        "serial = { at = 2, type = \\\"text\\\", words = 4 }\\nfirmware = { at = 6, type = \\\"u16\\\" }\\n[points]",
    );
    let says = |more: &str| good.replace(".id = \"acme_1\"", &format!(".id = \"acme_1\", {more}"));
    let cases = [
        (
            says(".model = \"One\", .serial = \"SIM0001\", .firmware = \"1\""),
            None,
        ),
        (says(".serial = \"SIM1\""), Some("holds its values back")),
        (
            says(".firmware = \"0.1\""),
            Some("firmware of acme_1 is \"0.1\" by the plugin and \"1\" by [identify]"),
        ),
        (says(".model = \"one\""), Some("spell it as [identify] does")),
        (
            good.replace(
                "return busbar_put_ledger(out, \"acme/one.toml\", LEDGER, strlen(LEDGER));",
                "(void)LEDGER; return BUSBAR_DONE;",
            ),
            Some("it discovers, and brings no ledger"),
        ),
    ];
    for (source, word) in cases {
        let path = compiled(&home, GOOD_NAME, &source).await;
        let path = path.to_str().unwrap();
        let document = home.run(&["plugin", "check", path, "--json"]).await.json();
        let notes = list(&document, "notes");
        let shown = well(home.run(&["plugin", "check", path]).await);
        let lines = shown.lines();
        let shown: Vec<_> = lines.iter().filter(|line| line.starts_with("note ")).collect();
        assert_eq!(notes.len(), shown.len(), "{document:#} {shown:#?}");
        match word {
            None => assert_eq!(notes, [] as [Value; 0]),
            Some(word) => {
                assert!(notes[0].as_str().unwrap().contains(word), "{document:#}");
                assert!(shown[0].contains(word), "{shown:#?}");
            }
        }
    }
}

/// A device that is found and refuses what its ledger asks for is told with its refusal, and each probe on request.
#[tokio::test]
async fn a_device_that_refuses_its_ledger_is_told_of() {
    let home = Home::new();
    // The plugin is right, its ledger reads by another function than the device knows.
    let source = format!("{DESCRIBE}{EXPORT}").replace(
        "type = \\\"i16\\\" }",
        "type = \\\"i16\\\", function = \\\"input\\\" }",
    );
    assert!(source.contains("input"));
    compiled(&home, GOOD_NAME, &source).await;
    let device = home.write(
        "device.toml",
        "ledger = \"other/one\"\ntitle = \"One\"\n[identify]\nprobe = { at = 0, type = \"u16\", equals = { 0xACE1 = \"One\" } }\n\
         [points]\npower = { at = 1, type = \"i16\" }\n",
    );
    let simulated = Background::start(
        &home,
        &[
            "simulate",
            device.to_str().unwrap(),
            "--listen",
            "modbus+tcp://127.0.0.1:0",
            "--json",
        ],
    );
    let line: Value = serde_json::from_str(&simulated.says("url").await).unwrap();
    let scan = [
        "scan",
        text(&line, "url"),
        "--plugin",
        "acme",
        "--plugin-dir",
        ".",
    ];
    let run = home.run(&scan).await;
    assert_eq!(run.code(), 3, "{run:#?}");
    let found = "plugin acme found";
    for part in [found, "acme_1", "at unit 1", "function 4 (input) exception"] {
        assert!(run.stderr.contains(part), "{part}: {run:#?}");
    }
    assert!(!run.stderr.contains("asked unit"), "{run:#?}");
    let run = home.run(&[&scan[..], &["-v"]].concat()).await;
    let line = "acme asked unit 1, function 3, address 0, count 1: ACE1";
    assert!(run.stderr.contains(line), "{run:#?}");
    simulated.signal(Signal::TERM);
    assert_eq!(simulated.end().await.code(), 0);
}

#[tokio::test]
async fn the_plugins_that_ship_pass_the_check_of_a_strangers() {
    let home = Home::new();
    let document = home.run(&["plugin", "list", "--json"]).await.json();
    let ships = list(&document, "plugins").iter().filter(|p| p["ships"] == true);
    let mut checked = 0;
    for plugin in ships {
        let run = home
            .run(&["plugin", "check", text(plugin, "path"), "--json"])
            .await;
        let brings = list(plugin, "ledgers").len();
        assert_eq!(list(&run.json(), "ledgers").len(), brings, "{run:#?}");
        checked += 1;
    }
    assert!(checked >= 4, "{document:#}");
}

/// A plugin that says of a device of a GX that it is at another unit: what is written to it would go there.
const IMPOSTOR: &str = r#"
#include <string.h>
static int32_t describe(const busbar_sink *out)
{
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_TITLE, "Impostor"));
    return busbar_put_text(out, BUSBAR_TAG_DISCOVERS, "");
}
static int32_t discover(const busbar_ask *ask, busbar_step *step, const busbar_sink *out)
{
    if (ask->evidence_len == 0)
        return busbar_add_probe(step, out, 100, 3, 800, 1);
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_NOTE, ""));
    const busbar_found found = {
        .unit = 227, .ledger = "victron/gx-vebus", .id = "c0ffee_hub4_u100", .serial = "c0ffee"};
    BUSBAR_TRY(busbar_put_found(out, &found));
    const busbar_found moved = {
        .unit = 100, .ledger = "victron/gx-vebus", .id = "c0ffee_vebus_u227", .serial = "c0ffee"};
    return busbar_put_found(out, &moved);
}
BUSBAR_PLUGIN("impostor", "1.0.0", describe, discover);
"#;

#[tokio::test]
async fn a_plugin_moves_no_device_that_another_has_found() {
    let known = Known::new().await;
    let home = &known.home;
    let library = compiled(home, "libbusbar_plugin_impostor.so", IMPOSTOR).await;
    let dir = library.parent().unwrap().to_str().unwrap();
    let before = home.run(&["devices", "--json"]).await.json();
    let places = |document: &Value| {
        let place = |device: &Value| {
            (
                device["id"].clone(),
                device["unit_id"].clone(),
                device["ledger"].clone(),
            )
        };
        list(document, "devices").iter().map(place).collect::<Vec<_>>()
    };

    // Asked for by name: what it says of known devices is told, and not believed.
    let scan = [
        "scan",
        &known.url,
        "--save",
        "--yes",
        "--plugin-dir",
        dir,
        "--json",
    ];
    let report = home
        .run(&[&scan[..], &["--plugin", "impostor"]].concat())
        .await
        .json();
    let warnings = report["warnings"].to_string();
    assert!(
        warnings.contains("c0ffee_hub4_u100 at unit 227") && warnings.contains("left as it is known"),
        "{warnings}"
    );
    assert_eq!(
        places(&home.run(&["devices", "--json"]).await.json()),
        places(&before)
    );
    // And where nobody asks for it, those that ship are asked before it.
    let report = home
        .run(&[&scan[..], &["--units", "100,227"]].concat())
        .await
        .json();
    assert_eq!(text(&report, "plugin"), "victron-gx", "{report:#}");
    assert_eq!(
        places(&home.run(&["devices", "--json"]).await.json()),
        places(&before)
    );
}
