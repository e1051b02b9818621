//! Misdeeds that take more than one look.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use busbar_loader::{PluginState, Plugins, inspect};

use super::WORKER;
use super::common::poor_kernel;
use super::stage::{Stage, ask, in_c, plain_c, sound};

/// Cut anywhere, a library is refused, and nothing panics.
#[test]
fn a_file_that_ends_anywhere() {
    let stage = Stage::new(&WORKER);
    let whole = sound();
    // Densely where the headers are and where the tables at the end are, else anywhere.
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let anywhere = (0..60).map(|_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % whole.len() as u64).unwrap()
    });
    let headers = (0..1024).step_by(13);
    let tables = (whole.len() - 1024..whole.len()).step_by(31);
    for cut in headers.chain(tables).chain(anywhere) {
        let refused = inspect(&stage.bad(&whole[..cut]))
            .expect_err(&format!("cut at {cut}"))
            .to_string();
        let known = [
            "is not an ELF file",
            "is truncated or damaged",
            "is not a Busbar plugin",
            "does not export",
        ];
        assert!(
            known.iter().any(|cause| refused.starts_with(cause)),
            "cut at {cut}: {refused}"
        );
        assert!(!refused.contains('\n'), "cut at {cut}: {refused}");
    }
}

/// A million symbols, each with a name that goes on to the end of a large file: whoever looked for these ends would look
/// for hours.
#[cfg(target_pointer_width = "64")]
#[test]
fn names_without_an_end() {
    use object::read::elf::{ElfFile64, FileHeader};
    let stage = Stage::new(&WORKER);
    let mut bytes = plain_c().to_vec();
    let (symbols, names) = {
        let parsed = ElfFile64::<object::Endianness>::parse(&*bytes).unwrap();
        let headers = usize::try_from(parsed.elf_header().e_shoff(parsed.endian())).unwrap();
        let table = parsed.elf_dynamic_symbol_table();
        let header = |index: object::SectionIndex| headers + 64 * index.0;
        (header(table.section()), header(table.string_section()))
    };
    // The tables are moved to the end of the file, where they are large.
    let mut place = |header: usize, content: Vec<u8>| {
        let (at, size) = (bytes.len() as u64, content.len() as u64);
        bytes.extend(content);
        bytes[header + 24..header + 32].copy_from_slice(&at.to_le_bytes());
        bytes[header + 32..header + 40].copy_from_slice(&size.to_le_bytes());
    };
    let mut symbol = [0_u8; 24];
    symbol[..4].copy_from_slice(&1_u32.to_le_bytes());
    symbol[6] = 1;
    place(symbols, symbol.repeat(1_000_000));
    place(names, vec![b'B'; 30 << 20]);
    let file = stage.bad(&bytes);
    let began = Instant::now();
    let refused = inspect(&file).unwrap_err().to_string();
    assert!(refused.contains("does not export"), "{refused}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// Its constructor would leave a mark wherever it is loaded without a worker's limits; nobody loads it.
#[tokio::test]
#[allow(
    unsafe_code,
    reason = "loads a library, to see that its constructor does what the test relies on"
)]
async fn the_constructor_of_another_abi_never_runs() {
    let stage = Stage::new(&WORKER);
    let mark = stage.path().join("mark");
    let define = format!("MARK=\"{}\"", mark.display());
    let file = stage.bad(&in_c("hostile", &["ABI_MAJOR=7", "CONSTRUCT=4", &define]));
    assert!(inspect(&file).is_err());
    let listed = stage.host(stage.path()).await.list();
    assert_eq!(listed[0].state, PluginState::Refused);
    assert_eq!(
        (listed[0].worker, &listed[0].protection),
        (None, &None),
        "no worker was started for it"
    );
    assert!(!mark.exists(), "something of it has run");
    // SAFETY: its constructor makes a file, and nothing else of it is used.
    std::mem::forget(unsafe { libloading::Library::new(&file) }.unwrap());
    assert!(mark.exists(), "loaded by anybody else, it does leave a mark");
}

/// The file of a good plugin, exchanged for a bad one between the look and the use: what was looked at is used.
#[tokio::test]
async fn a_file_that_is_changed_after_the_look() {
    let stage = Stage::new(&WORKER);
    let file = stage.bad(plain_c());
    let plugins = stage.host(stage.path()).await;
    // Written in place, as a clumsy update would; then replaced, as an attacker would.
    fs::write(&file, in_c("hostile", &["CONSTRUCT=1"])).unwrap();
    end_worker(&plugins);
    assert_eq!(ask(&plugins, "hostile", 0).await.unwrap(), "fine");
    fs::remove_file(&file).unwrap();
    stage.bad(&in_c("hostile", &["CONSTRUCT=2"]));
    end_worker(&plugins);
    assert_eq!(ask(&plugins, "hostile", 0).await.unwrap(), "fine");
}

/// It answers for the worker, so that the worker's own answer waits for the next question. Nobody takes it for one.
#[tokio::test]
async fn an_answer_that_nobody_asked_for() {
    let stage = Stage::new(&WORKER);
    stage.bad(plain_c());
    let plugins = stage.host(stage.path()).await;
    let first = plugins.list()[0].worker;
    assert_eq!(
        ask(&plugins, "hostile", 5).await.unwrap(),
        "forged",
        "it may say of itself what it likes"
    );
    // Its next answer comes from a worker of its own.
    while plugins.list()[0].worker == first {
        assert_eq!(ask(&plugins, "hostile", 0).await.unwrap(), "fine");
    }
}

/// Not a test: a host on a kernel without seccomp, whose plugin starts a process and ends its own.
#[tokio::test]
#[ignore = "started by another test"]
async fn host_of_a_parent() {
    poor_kernel();
    let stage = Stage::new(&WORKER);
    stage.bad(plain_c());
    let plugins = stage.host(stage.path()).await;
    eprintln!("{}", ask(&plugins, "hostile", 30).await.unwrap());
    assert!(ask(&plugins, "hostile", 26).await.is_err());
    // What comes after is not asked for: the pipe to the test ends with the last who holds it.
}

/// Where the kernel lets a plugin start processes, they end with its worker.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn a_process_that_is_left_behind() {
    let host = Command::new("/proc/self/exe")
        .args(["--exact", "beyond::host_of_a_parent", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let told = String::from_utf8(host.stderr).unwrap();
    assert!(host.status.success(), "{told}");
    let child: i32 = told.lines().next().and_then(|line| line.parse().ok()).unwrap();
    // Only root may start one: the limit of processes does not count root's.
    assert_eq!(child > 0, rustix::process::geteuid().is_root(), "{told}");
    let lives = || fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z"));
    let began = Instant::now();
    while lives() {
        assert!(began.elapsed() < Duration::from_secs(10), "it is still there");
        std::thread::yield_now();
    }
}

fn end_worker(plugins: &Plugins) {
    let pid = plugins.list()[0].worker.and_then(|pid| i32::try_from(pid).ok());
    let pid = rustix::process::Pid::from_raw(pid.unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
