//! A plugin that does what none should: which misdeed is the first of the listed units.
#![allow(unsafe_code, missing_docs, reason = "misdeeds are what this is for")]
#![allow(
    clippy::panic,
    clippy::undocumented_unsafe_blocks,
    clippy::empty_loop,
    reason = "misdeeds are what this is for"
)]

use std::time::Duration;

use busbar_plugin_sdk::{Ask, Description, Feed, Found, Heard, Plugin, Probe, Step, Telegram, Verdict};

#[derive(Default)]
struct Hostile;

impl Plugin for Hostile {
    const NAME: &'static str = "hostile";
    const VERSION: &'static str = "0.0.1";

    fn describe(&self) -> Description {
        let ledgers = vec![("hostile/one.toml", "ledger = \"hostile/one\"")];
        Description {
            title: "Hostile",
            summary: "Misbehaves on demand",
            licence: "MIT",
            ledgers,
            discovers: true,
            telegrams: true,
        }
    }

    fn discover(&self, ask: &Ask<'_>) -> Step {
        match ask.units.first() {
            Some(1) => panic!("on purpose"),
            Some(2) => unsafe { std::ptr::null_mut::<u8>().wrapping_add(8).write_volatile(1) },
            Some(3) => std::process::exit(0),
            Some(4) => loop {
                std::hint::black_box(());
            },
            Some(5) => drop(std::hint::black_box(vec![1_u8; 10 << 30])),
            Some(6) => return note(std::hint::black_box(vec![1_u8; 50 << 20]).len()),
            Some(7) => unsafe {
                libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
            },
            Some(8) => return note(std::fs::read_to_string("/etc/passwd").is_ok()),
            Some(9) => loop {
                eprintln!("flood");
            },
            Some(10) => return note(std::thread::Builder::new().spawn(|| ()).is_ok()),
            Some(11) => std::thread::sleep(Duration::from_secs(3600)),
            Some(12) => {
                return Step {
                    probes: vec![
                        Probe {
                            unit: 1,
                            function: 3,
                            at: 0,
                            count: 1
                        };
                        20_000
                    ],
                    ..Step::default()
                };
            }
            Some(13) => std::process::abort(),
            Some(14) => unsafe {
                libc::write(0, [0xFF_u8; 64].as_ptr().cast(), 64);
            },
            Some(15) => unsafe {
                libc::execv(c"/bin/true".as_ptr(), [std::ptr::null()].as_ptr());
            },
            Some(16) => return note(unsafe { libc::fork() } >= 0),
            Some(17) => {
                let devices = vec![Found {
                    id: "../../etc".into(),
                    ..Found::default()
                }];
                return Step {
                    verdict: Some(Verdict {
                        devices,
                        ..Verdict::default()
                    }),
                    ..Step::default()
                };
            }
            Some(18) => println!("on standard output"),
            Some(19) => return note(std::env::vars_os().count()),
            Some(20) => return note(unsafe { libc::kill(libc::getppid(), 0) } == 0),
            Some(21) => {
                // Units come in their order: the second one is 100 more than the function.
                let function = ask.units.get(1).map_or(0, |unit| unit - 100);
                return Step {
                    probes: vec![Probe {
                        unit: 1,
                        function,
                        at: 0,
                        count: 1,
                    }],
                    ..Step::default()
                };
            }
            // As a plugin that was built with panic=abort and says that it was not.
            Some(22) => {
                std::panic::set_hook(Box::new(|_| std::process::abort()));
                panic!("on purpose");
            }
            _ => {}
        }
        note("fine")
    }

    fn telegram(&self, feed: &Feed<'_>) -> Heard {
        let whole = Telegram {
            lines: vec![format!("{} bytes, {} of a key", feed.bytes.len(), feed.key.len())],
            ..Telegram::default()
        };
        let mut heard = Heard {
            consumed: feed.bytes.len(),
            telegrams: vec![whole],
            ..Heard::default()
        };
        match feed.bytes.first() {
            Some(1) => panic!("on purpose"),
            Some(2) => unsafe { std::ptr::null_mut::<u8>().wrapping_add(8).write_volatile(1) },
            Some(3) => loop {
                std::hint::black_box(());
            },
            Some(4) => heard.consumed = usize::MAX,
            Some(5) => heard.consumed = 0,
            Some(6) => heard.telegrams[0].lines[0].push('\n'),
            Some(7) => heard.telegrams = vec![Telegram::default(); 2000],
            Some(8) => heard.telegrams[0].lines = vec![String::new(); 5000],
            Some(9) => heard.note = Some("a\u{1b}[31m\nb".into()),
            _ => {}
        }
        heard
    }

    fn recognise(&self, telegram: &Telegram) -> Verdict {
        let id = match telegram.variant.as_str() {
            "panic" => panic!("on purpose"),
            "odd" => "../../etc".into(),
            "named" => "hostile_1".into(),
            _ => String::new(),
        };
        let device = Found {
            id,
            name: Some(telegram.lines.join("\n")),
            ..Found::default()
        };
        Verdict {
            devices: vec![device],
            ..Verdict::default()
        }
    }
}

fn note(what: impl ToString) -> Step {
    Step {
        verdict: Some(Verdict {
            note: what.to_string(),
            ..Verdict::default()
        }),
        ..Step::default()
    }
}

busbar_plugin_sdk::export!(Hostile);
