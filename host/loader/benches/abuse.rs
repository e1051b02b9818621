//! What misdeeds of plugins cost: `cargo bench -p busbar-loader --bench abuse [-- NAME]`. The same that the tests hold to
//! their bounds; here the numbers are printed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench")]

#[path = "../tests/abuse/cases.rs"]
mod cases;
#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/abuse/stage.rs"]
mod stage;

use cases::CASES;
use stage::play;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let wanted = arguments.next().unwrap_or_default();
    if wanted == busbar_loader::WORKER_COMMAND {
        busbar_loader::worker_main();
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    println!(
        "{:<42} {:>10} {:>10}  what became of it",
        "misdeed", "after ms", "good ms"
    );
    let mut faults = Vec::new();
    for case in CASES.iter().filter(|case| case.name.contains(&wanted)) {
        let outcome = runtime.block_on(play(case, &[busbar_loader::WORKER_COMMAND]));
        println!(
            "{:<42} {:>10.1} {:>10.1}  {}",
            case.name.replace('_', " "),
            outcome.after.as_secs_f64() * 1000.0,
            outcome.worst.as_secs_f64() * 1000.0,
            outcome.cause
        );
        faults.extend(outcome.is_as_it_must_be(case).err());
    }
    println!(
        "\nafter: until it was refused, answered or ended. good: the longest that a good plugin beside it took for an answer."
    );
}
