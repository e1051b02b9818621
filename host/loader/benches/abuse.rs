//! What misdeeds of plugins cost: `cargo bench -p busbar-loader --bench abuse [-- NAME]`. The same that the tests hold to
//! their bounds; here the numbers are printed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench")]

#[path = "../tests/abuse/cases.rs"]
mod cases;
#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/abuse/stage.rs"]
mod stage;

use busbar_loader::PluginState;
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
        "{:<40} {:>9} {:>9}  {:<9}  cause",
        "misdeed", "after ms", "good ms", "it is"
    );
    let mut faults = Vec::new();
    for case in CASES.iter().filter(|case| case.name.contains(&wanted)) {
        let outcome = runtime.block_on(play(case, &[busbar_loader::WORKER_COMMAND]));
        println!(
            "{:<40} {:>9.1} {:>9.1}  {:<9}  {}",
            case.name.replace('_', " "),
            outcome.after.as_secs_f64() * 1000.0,
            outcome.worst.as_secs_f64() * 1000.0,
            match outcome.state {
                PluginState::SetAside => "set aside",
                PluginState::Loaded => "alive",
                _ => "refused",
            },
            cause(&outcome.cause)
        );
        faults.extend(outcome.is_as_it_must_be(case).err());
    }
    println!(
        "\nafter: until it was refused, answered or ended. good: the longest that a good plugin beside it took for an answer."
    );
}

/// The cause alone, without what every plugin is told that is set aside.
fn cause(told: &str) -> &str {
    let cause = told
        .strip_prefix("set aside after three failures in a row: ")
        .unwrap_or(told);
    cause
        .strip_suffix("; restart busbar to try it again")
        .unwrap_or(cause)
}
