//! The examples of `--help` and of the manual page do what they say: each is run as it stands there, by a shell, on a stage
//! that has what a reader has.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use busbar::cli::args::Cli;
use busbar_zoo::simulate::Running;
use busbar_zoo::site;
use clap::{Command as Described, CommandFactory};
use futures_util::stream::{self, StreamExt};
use rustix::process::Signal;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::common::host::Background;
use crate::common::writes::{GX, LIMITS};
use crate::common::{Home, Run, finish, until};

/// The address in an example, and what stands there.
const ADDRESSES: [(&str, &str); 6] = [
    ("modbus+tcp://192.168.1.20", "gx"),
    ("modbus+tcp://192.168.1.21", "gx"),
    ("modbus+udp://192.168.1.30", "vm"),
    ("modbus+tcp://192.168.1.30", "meter"),
    ("modbus+tcp://192.168.1.40", "meter"),
    ("modbus+tcp://NEW", "gx"),
];

/// Other words that have to be others here.
const WORDS: [(&str, &str); 5] = [
    ("/media/usb/", ""),
    ("--for 60s", "--for 1s"),
    ("--for 30s", "--for 1s"),
    // Only this machine is searched.
    ("--network 192.168.1.0/24", "--network 127.0.0.1/32"),
    ("--plugin-dir my-plugins", "--plugin-dir plugins"),
];

/// Examples that go on until they are ended, and what they say when they are at work. The longest beginning counts.
const ENDLESS: [(&str, &str); 8] = [
    ("busbar", "Busbar is running"),
    ("busbar run", "Busbar is running"),
    ("busbar run --once", ""),
    ("busbar demo", "http://"),
    ("busbar demo --for", ""),
    ("busbar simulate", "modbus+"),
    ("busbar replay", "modbus+"),
    (
        "busbar read modbus+tcp://192.168.1.30 --ledger my-meter.toml --watch",
        "power",
    ),
];

/// Examples about what a running host holds.
const WITH_HOST: [&str; 4] = [
    "busbar entities --unit-of",
    "busbar lease",
    "busbar limits --confirm",
    "busbar set ",
];

/// Examples that ask somebody: here nobody is there, who would say yes.
const ASKING: [&str; 4] = [
    "busbar set ",
    "busbar change replace",
    "busbar change remove",
    "busbar restore ",
];

/// Examples that end with another exit code than 0 here, and what they say of it.
const EXITS: [(&str, i32, &str); 9] = [
    ("busbar devices --connection home --offline", 3, "offline"),
    ("busbar restore", 2, "which copy"),
    ("busbar restore ", 0, ""),
    ("busbar discover", 2, "your consent"),
    ("busbar discover --network", 0, ""),
    ("busbar discover --mdns-only", 3, "announces itself"),
    ("busbar ledger new --url", 2, "no terminal"),
    ("busbar setup", 2, "no terminal"),
    ("busbar setup modbus+tcp", 0, ""),
];

/// Files that others read, and that these examples make.
const MAKES: [(&str, &str); 3] = [
    ("busbar capture", "busbar-capture.jsonl"),
    ("busbar capture", "meter.jsonl"),
    ("busbar backup", "home.db"),
];

/// Everything that the examples name.
struct Stage {
    running: Running,
    /// A home with a registry, a configuration and files, from which each example gets a copy.
    home: Home,
    /// Whose turn it is to write to the device.
    writes: Mutex<()>,
    /// The day of its copy, as copies are named.
    copied_on: String,
}

const BATTERY: &str = "[[device.service]]\nservice = \"battery\"\ninstance = 512\nvalues = { soc = 77.0, dc_0_voltage = 52.1 }\n";
const READER: &str = "from pymodbus.client.tcp import ModbusTcpClient as MBClient\n\
    from flexmodbusreader.device import ModbusDevice, Register\n\
    Cellar = ModbusDevice(model=\"Cellar\", registers_map=[Register(\"power\", 0, 2, MBClient.DATATYPE.INT32)], unit=1)\n";
const OLD_P1: &str = "[GENERAL]\n[VSCP]\n[MQTT]\nhost = 192.168.1.7\n[SERIAL]\nserial_port = /dev/ttyUSB1\n";
const LIST: &str = "name,address,type,unit,function\npower,18,FLOAT32,W,input\n";
const SITE: &str = "[[device]]\nname = \"meter\"\nkind = \"ledger\"\nlisten = \"modbus+tcp://127.0.0.1:0\"\nzeros = true\n\
    [[device.unit]]\nunit = 1\nledger = \"generic/demo-meter\"\n\
    values = { model_number = 0xB5BA, serial = \"7\", wiring = 2, voltage_l1 = 230, power_l1 = 800, power = 800 }\n";

impl Stage {
    async fn new() -> Self {
        let services = GX.replace("c0ffee", "c0619ab5");
        let services = format!("{services}\n{BATTERY}");
        let running = site(&format!(
            "[[device]]\nname = \"gx\"\nkind = \"gx\"\nlisten = \"modbus+tcp://127.0.0.1:0\"\n{services}\n{SITE}\n\
             [[device]]\nname = \"vm\"\nkind = \"ledger\"\nlisten = \"modbus+udp://127.0.0.1:0\"\n\
             zeros = true\n[[device.unit]]\nunit = 1\nledger = \"victron/vm-3p75ct\"\n\
             values = {{ product_id = 0xA1B1, serial = \"HQ7\", phase_config = 3, voltage_l1 = 230 }}\n"
        ))
        .await;
        let home = Home::new();
        let url = running.url("gx").unwrap();
        home.run(&[
            "scan",
            &url,
            "--units",
            "100,225,227",
            "--save",
            "--name",
            "home",
            "--json",
        ])
        .await
        .json();
        home.run(&[
            "scan",
            &running.url("meter").unwrap(),
            "--ledger",
            "generic/demo-meter",
            "--save",
            "--name",
            "cellar",
            "--json",
        ])
        .await
        .json();
        // A host has run here once, and made its daily copy.
        home.write(
            "busbar.toml",
            &format!(
                "[web]\nlisten = \"127.0.0.1:0\"\n[discover]\nmdns_port = 1\n[site]\n{LIMITS}\n[[connection]]\nname = \"home\"\nurl = \"{url}\"\n\
                 [connection.writes]\nlevel = 3\nallow = [\"victron/gx-hub4:2716\", \"victron/gx-vebus:33\"]\n"
            ),
        );
        let host = Background::start(&home, &["run"]);
        host.says("Busbar is running").await;
        host.signal(Signal::TERM);
        assert_eq!(host.end().await.code(), 0);
        home.run(&["backup", "home.db", "--json"]).await.json();
        home.write("registers.csv", LIST);
        home.write("meter.csv", LIST);
        home.write("my_meter.py", READER);
        home.write("reader.py", READER);
        home.write("config.ini", OLD_P1);
        home.write("site.toml", SITE);
        home.write("my-meter.toml", "ledger = \"generic/mine\"\ntitle = \"Mine\"\n[[transport]]\nscheme = \"modbus+tcp\"\nunits = [1]\n[points]\npower = { at = 18, type = \"f32\", unit = \"W\", function = \"input\" }\n");
        let capture = include_str!("captures/victron_vm-3p75ct.jsonl");
        home.write("busbar-capture.jsonl", capture);
        home.write("meter.jsonl", capture);
        std::fs::create_dir(home.path().join("plugins")).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_busbar"));
        let library = home.path().join("libbusbar_plugin_acme.so");
        std::fs::copy(
            program.with_file_name("deps").join("libbusbar_plugin_generic.so"),
            &library,
        )
        .unwrap();
        std::fs::set_permissions(&library, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::create_dir(home.path().join("bin")).unwrap();
        symlink(program, home.path().join("bin/busbar")).unwrap();
        let listed = home.run(&["backup", "--list", "--json"]).await.json();
        let name = listed["backups"][0]["name"].as_str().unwrap_or_default();
        let copied_on = name
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take(10)
            .collect();
        Stage {
            running,
            home,
            writes: Mutex::default(),
            copied_on,
        }
    }

    /// A home like that one.
    fn copy(&self) -> Home {
        let home = Home::new();
        copy_all(self.home.path(), home.path());
        home
    }

    /// An example with the addresses of this stage.
    fn spell(&self, example: &str) -> String {
        let mut text = example.to_owned();
        for (address, device) in ADDRESSES {
            text = text.replace(address, self.running.url(device).unwrap().trim_end_matches('/'));
        }
        for (word, other) in WORDS {
            text = text.replace(word, other);
        }
        let port = self.running.address("gx").unwrap().port();
        text = text.replace("127.0.0.1/32", &format!("127.0.0.1/32 --port {port}"));
        // The copy that this stage has is of the day on which it was made.
        text = text.replace("2026-11-30", &self.copied_on);
        // Ports that may be taken here.
        text = text
            .replace("127.0.0.1:5020", "127.0.0.1:0")
            .replace("127.0.0.1:1502", "127.0.0.1:0");
        if ASKING.iter().any(|asks| example.starts_with(asks))
            && !text.contains("--yes")
            && !text.contains("--dry-run")
        {
            text.push_str(" --yes");
        }
        if example.starts_with("busbar capture") && !text.contains("--for") {
            text.push_str(" --for 1s");
        }
        text
    }
}

fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target: PathBuf = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_all(&entry.path(), &target);
        } else if kind.is_symlink() {
            symlink(std::fs::read_link(entry.path()).unwrap(), &target).unwrap();
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// The commands that do something, with what is typed for them.
fn commands(described: &Described, typed: &str) -> Vec<(String, Vec<String>)> {
    let help = described
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let examples: Vec<String> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| line.starts_with("busbar"))
        // What stands behind a wide gap says what it is for.
        .map(|line| line.split("   ").next().unwrap_or(line).trim_end().to_owned())
        .map(|line| {
            line.split_once("  ")
                .map_or(line.clone(), |(typed, _)| typed.to_owned())
        })
        .collect();
    let mut all = Vec::new();
    let below: Vec<_> = described
        .get_subcommands()
        .filter(|c| c.get_name() != "help")
        .collect();
    if below.is_empty() || !examples.is_empty() {
        all.push((typed.to_owned(), examples));
    }
    for each in below {
        all.extend(commands(each, &format!("{typed} {}", each.get_name())));
    }
    all
}

/// What an endless example says when it is at work; none for one that ends by itself.
fn awaited(example: &str) -> Option<&'static str> {
    let fits = |begins: &str| match begins {
        "busbar" => example == begins,
        begins => example.starts_with(begins),
    };
    let fitting = ENDLESS.iter().filter(|(begins, _)| fits(begins));
    let said = fitting
        .max_by_key(|(begins, _)| begins.len())
        .map(|(_, said)| *said);
    said.filter(|said| !said.is_empty())
}

#[test]
fn every_command_has_two_examples() {
    for (command, examples) in commands(&Cli::command(), "busbar") {
        assert!(examples.len() >= 2, "{command}: {examples:?}");
        for example in &examples {
            let fits = command == "busbar" || example.starts_with(&command);
            assert!(fits, "{command} has an example of another: {example}");
        }
    }
}

#[tokio::test]
async fn every_example_does_what_it_says() {
    let stage = Stage::new().await;
    let all = commands(&Cli::command(), "busbar")
        .into_iter()
        .flat_map(|(_, examples)| examples);
    let runs = stream::iter(all.collect::<Vec<_>>()).map(async |example| run(&stage, &example).await);
    let faults: Vec<_> = runs
        .buffer_unordered(3)
        .filter_map(async |fault| fault)
        .collect()
        .await;
    assert!(
        faults.is_empty(),
        "{} examples fail:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// Runs an example; what is wrong with it.
async fn run(stage: &Stage, example: &str) -> Option<String> {
    let home = stage.copy();
    let writes = ["busbar set ", "busbar lease"]
        .iter()
        .any(|begins| example.starts_with(begins));
    let _turn = match writes {
        true => Some(stage.writes.lock().await),
        false => None,
    };
    // What an example makes is not there yet.
    for (begins, made) in MAKES {
        if example.starts_with(begins) {
            std::fs::remove_file(home.path().join(made)).unwrap();
        }
    }
    let host = if WITH_HOST.iter().any(|begins| example.starts_with(begins)) {
        let host = Background::start(&home, &["run"]);
        host.says("Busbar is running").await;
        hold_something(&home, example).await;
        Some(host)
    } else {
        None
    };
    let spelt = stage.spell(example);
    println!("{example}");
    let ended = match awaited(example) {
        Some(said) => {
            // The shell becomes the program, so that the signal reaches it.
            let process = Background::of(shell(&home, &format!("exec {spelt}")));
            process.says(said).await;
            process.signal(Signal::INT);
            process.end().await
        }
        None => finish(shell(&home, &spelt).spawn().unwrap()).await,
    };
    if let Some(host) = host {
        host.signal(Signal::TERM);
        host.end().await;
    }
    let fitting = EXITS.iter().filter(|(begins, ..)| example.starts_with(begins));
    let expected = fitting.max_by_key(|(begins, ..)| begins.len());
    let (exit, said) = expected.map_or((0, ""), |(_, exit, said)| (*exit, *said));
    fault(example, &ended, exit, said)
}

fn fault(example: &str, ended: &Run, exit: i32, said: &str) -> Option<String> {
    if ended.code() == exit && ended.stderr.contains(said) && !ended.stderr.contains("panicked") {
        return None;
    }
    Some(format!("{example}\n{ended:#?}"))
}

/// Commands about held values need one, and those about live values a device that was read.
async fn hold_something(home: &Home, example: &str) {
    until("a value that was read", async || {
        let read = home.run(&["entities", "--quality", "good"]).await;
        (read.code() == 0).then_some(())
    })
    .await;
    if example.starts_with("busbar lease") {
        let set = [
            "set",
            "victron/gx-hub4:2716",
            "500",
            "--for",
            "10m",
            "--yes",
            "--json",
        ];
        home.run(&set).await.json();
    }
}

fn shell(home: &Home, line: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", line])
        .current_dir(home.path())
        .env("PATH", format!("{}:{path}", home.path().join("bin").display()))
        .env_remove("BUSBAR_DATA_DIR")
        .env_remove("BUSBAR_CONFIG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    shell
}
