//! The worker: the program once more, as a process that may do next to nothing, with plugins in it.
//!
//! It reads requests from its standard input, a socket, and answers there, one after the other, until the host closes
//! it. What a plugin prints goes to standard error, which the host logs.

mod call;
mod library;
mod listen;
mod sandbox;
mod seccomp;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;

pub use sandbox::{Protection, Shield};

use crate::check;
use crate::protocol::{Reply, Request, read, write};
use library::Library;

/// Runs a worker until the host has had enough. The program calls this first of all when it is started with the
/// single argument [`WORKER_COMMAND`](crate::WORKER_COMMAND), before it starts a thread or opens anything.
pub fn worker_main() -> ExitCode {
    // Messages are never printed: the only reader of standard error is the host, which shows them as the plugin's.
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("busbar plugin worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), crate::protocol::FrameError> {
    // A File, not a UnixStream: plain read and write are all that the filter of system calls lets through.
    let mut channel = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut libraries: Vec<Library> = Vec::new();
    let mut begun = false;
    while let Some((number, request)) = read::<(u64, Request)>(&mut channel)? {
        let reply = match request {
            Request::Begin { keep, files } if !begun => {
                begun = true;
                Reply::Began(sandbox::enter(&channel, &keep, &files)?)
            }
            _ if !begun => Reply::Failed("not begun".into()),
            Request::Begin { .. } => Reply::Failed("begun already".into()),
            Request::Load(load) => match Library::load(&load) {
                Ok(library) => {
                    libraries.push(library);
                    if load.alone {
                        let keep: Vec<i32> = load.sealed.into_iter().chain([load.file]).collect();
                        sandbox::open_no_more(&channel, &keep)?;
                    }
                    Reply::Done
                }
                Err(reason) => Reply::Failed(reason),
            },
            Request::Describe { plugin } => match libraries
                .get(plugin)
                .map(|library| call::describe(library.vtable))
                .map(|answer| answer.and_then(|described| check::described(&described).map(|()| described)))
            {
                Some(Ok(described)) => Reply::Described(described),
                Some(Err(reason)) => Reply::Failed(reason),
                None => Reply::Failed("no such plugin in this worker".into()),
            },
            Request::Discover { plugin, conversation } => {
                match libraries
                    .get(plugin)
                    .map(|library| call::discover(library.vtable, &conversation.ask()))
                    .map(|answer| answer.and_then(|step| check::step(&step).map(|()| step)))
                {
                    Some(Ok(step)) => Reply::Stepped(step),
                    Some(Err(reason)) => Reply::Failed(reason),
                    None => Reply::Failed("no such plugin in this worker".into()),
                }
            }
            Request::Telegram { plugin, feed } => {
                match libraries
                    .get(plugin)
                    .map(|library| listen::telegram(library.vtable, &feed.lend()))
                    .map(|answer| answer.and_then(|heard| check::heard(&heard, feed.len()).map(|()| heard)))
                {
                    Some(Ok(heard)) => Reply::Heard(heard),
                    Some(Err(reason)) => Reply::Failed(reason),
                    None => Reply::Failed("no such plugin in this worker".into()),
                }
            }
            Request::Recognise { plugin, telegram } => {
                match libraries
                    .get(plugin)
                    .map(|library| listen::recognise(library.vtable, &telegram))
                    .map(|answer| answer.and_then(|verdict| check::speakers(&verdict).map(|()| verdict)))
                {
                    Some(Ok(verdict)) => Reply::Recognised(verdict),
                    Some(Err(reason)) => Reply::Failed(reason),
                    None => Reply::Failed("no such plugin in this worker".into()),
                }
            }
        };
        write(&mut channel, &(number, reply))?;
    }
    Ok(())
}
