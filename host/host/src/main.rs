//! The program `busbar`: parse, configure, run.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    // A worker strips itself of nearly everything before it loads a plugin, so nothing may be opened before it.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|command| command == busbar_loader::WORKER_COMMAND)
    {
        return busbar_loader::worker_main();
    }
    busbar::cli::main(std::env::args_os())
}
