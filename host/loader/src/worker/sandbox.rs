//! Takes away what a plugin has no use for. What the kernel does not offer is left out, and said.
#![allow(unsafe_code, reason = "closes descriptors that no value owns")]

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
    Scope, path_beneath_rules,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use serde::{Deserialize, Serialize};

use super::seccomp;

/// Address space: room for the program, libraries and stacks, of which little is ever used.
const ADDRESS_SPACE: u64 = 1024 * 1024 * 1024;
/// Memory that is written to.
const DATA: u64 = 256 * 1024 * 1024;
/// Open files while libraries are loaded.
const FILES: u64 = 64;
/// Seconds of processor time in the life of one worker. Calls have deadlines of their own; this is for one whose host is
/// gone and whose plugin never comes back.
const CPU: u64 = 900;
/// Where the system's libraries lie, which a plugin may be linked to.
const LIBRARY_PATHS: [&str; 8] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
];

/// How far one kind of protection works here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shield {
    /// As meant.
    On,
    /// This kernel does not know all of it.
    Partly(String),
    /// Not at all, for this reason.
    Off(String),
}

/// What keeps a worker's plugins from doing harm, as its kernel offers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// No new privileges and none of root's; bounded memory, files, processes and core files.
    pub limits: Shield,
    /// Landlock: no files but the system's libraries, no network.
    pub landlock: Shield,
    /// Seccomp: no sockets, no programs, no processes, no threads, no files for writing, nothing to other processes.
    pub seccomp: Shield,
}

impl Protection {
    /// What a worker is not kept from here, or not wholly, with the reason; none where all is as it should be.
    pub fn lacks(&self) -> Vec<String> {
        let shields = [
            ("limits", &self.limits),
            ("Landlock", &self.landlock),
            ("seccomp", &self.seccomp),
        ];
        let lack = |(name, shield): (&str, &Shield)| match shield {
            Shield::On => None,
            Shield::Partly(why) => Some(format!("{name} in part ({why})")),
            Shield::Off(why) => Some(format!("no {name} ({why})")),
        };
        shields.into_iter().filter_map(lack).collect()
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shields = [
            ("limits", &self.limits),
            ("Landlock", &self.landlock),
            ("seccomp", &self.seccomp),
        ];
        for (at, (name, shield)) in shields.into_iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            match shield {
                Shield::On => write!(f, "{comma}{name}"),
                Shield::Partly(why) => write!(f, "{comma}{name} in part ({why})"),
                Shield::Off(why) => write!(f, "{comma}no {name} ({why})"),
            }?;
        }
        Ok(())
    }
}

/// Closes what was inherited but for `keep`, and takes on every limit. `files` are libraries that may be read besides the
/// system's.
pub(crate) fn enter(channel: &File, keep: &[i32], files: &[i32]) -> io::Result<Protection> {
    close_others(channel, keep)?;
    // Where memory is short, this goes before anything else. Not every system lets a process say so.
    let _ = std::fs::write("/proc/self/oom_score_adj", "900");
    let limits = limit();
    let landlock = restrict_files(files).map_or_else(|error| Shield::Off(error.to_string()), landlock_shield);
    // After Landlock, which holds for the threads that come later, and before seccomp and the last limit, which forbid to
    // make any.
    end_with_host()?;
    let _ = set(Resource::Nproc, 0);
    let seccomp = seccomp::enter();
    Ok(Protection {
        limits: limits_shield(limits, rustix::process::geteuid().is_root(), &seccomp),
        landlock,
        seccomp,
    })
}

/// No file may be opened any more, and what a constructor may have left open is closed: only `keep` stays, and the three
/// standard streams. The limit leaves one, because poll(2) refuses more than the limit.
pub(crate) fn open_no_more(channel: &File, keep: &[i32]) -> io::Result<()> {
    for descriptor in 3..FILES as i32 {
        if descriptor != channel.as_raw_fd() && !keep.contains(&descriptor) {
            // SAFETY: nothing in this process owns it but what the plugin itself opened.
            unsafe { libc::close(descriptor) };
        }
    }
    set(Resource::Nofile, 1)
}

/// What the limits are worth. The kernel never counts the processes of root, which only seccomp keeps from having any.
fn limits_shield(limits: io::Result<()>, root: bool, seccomp: &Shield) -> Shield {
    match limits {
        Err(error) => Shield::Off(error.to_string()),
        Ok(()) if root && *seccomp != Shield::On => {
            Shield::Partly("root's processes are not counted; run busbar as another user".into())
        }
        Ok(()) => Shield::On,
    }
}

fn landlock_shield(status: RulesetStatus) -> Shield {
    match status {
        RulesetStatus::FullyEnforced => Shield::On,
        RulesetStatus::PartiallyEnforced => {
            Shield::Partly("this kernel, older than 6.12, knows files only, or files and TCP".into())
        }
        RulesetStatus::NotEnforced => Shield::Off("not in this kernel".into()),
    }
}

fn set(resource: Resource, value: u64) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    setrlimit(resource, limit).map_err(|error| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("cannot limit {resource:?}: {error}"))
    })
}

fn limit() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    set(Resource::Cpu, CPU)?;
    set(Resource::As, ADDRESS_SPACE)?;
    set(Resource::Data, DATA)?;
    set(Resource::Core, 0)?;
    set(Resource::Fsize, 0)?;
    set(Resource::Memlock, 0)?;
    set(Resource::Nofile, FILES)
}

fn close_others(channel: &File, keep: &[i32]) -> io::Result<()> {
    let open = std::fs::read_dir("/proc/self/fd")?;
    let open: Vec<i32> = open
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in open.into_iter().filter(|&descriptor| descriptor > 2) {
        if descriptor != channel.as_raw_fd() && !keep.contains(&descriptor) {
            // SAFETY: inherited, so that nothing in this process owns it; or the directory's own, which is closed already.
            unsafe { libc::close(descriptor) };
        }
    }
    Ok(())
}

fn restrict_files(files: &[i32]) -> Result<RulesetStatus, RulesetError> {
    // Files, TCP, and signals to others. What later versions add, seccomp forbids.
    let abi = ABI::V6;
    let files = files
        .iter()
        .map(|descriptor| format!("/proc/self/fd/{descriptor}"));
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(LIBRARY_PATHS, AccessFs::from_read(abi)))?
        .add_rules(path_beneath_rules(files, AccessFs::from_read(abi)))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// Ends this process when its host is gone, whatever a plugin is doing. A parent-death signal would not do: it comes when
/// the *thread* that started this process ends.
fn end_with_host() -> io::Result<()> {
    let watch = || {
        let stdin = rustix::stdio::stdin();
        let mut channel = [PollFd::new(&stdin, PollFlags::RDHUP)];
        while matches!(poll(&mut channel, None), Err(rustix::io::Errno::INTR)) {}
        // SAFETY: ends the process at once, and runs nothing that a plugin may have registered for its end.
        unsafe { libc::_exit(0) }
    };
    std::thread::Builder::new()
        .name("end-with-host".into())
        .stack_size(64 * 1024)
        .spawn(watch)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_lacks_is_said() {
        let protection = |limits, landlock, seccomp: Shield| Protection {
            limits: limits_shield(limits, true, &seccomp),
            landlock: landlock_shield(landlock),
            seccomp,
        };
        let whole = protection(Ok(()), RulesetStatus::FullyEnforced, Shield::On);
        assert_eq!(whole.to_string(), "limits, Landlock, seccomp");
        let off = Shield::Off("not available for this processor".into());
        let poor = protection(Ok(()), RulesetStatus::NotEnforced, off).to_string();
        assert_eq!(
            poor,
            "limits in part (root's processes are not counted; run busbar as another user), no Landlock (not in this \
             kernel), no seccomp (not available for this processor)"
        );
        let denied = Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let old = protection(denied, RulesetStatus::PartiallyEnforced, Shield::On).to_string();
        assert!(
            old.starts_with("no limits (permission denied), Landlock in part (this kernel"),
            "{old}"
        );
        let counted = limits_shield(Ok(()), false, &Shield::Off(String::new()));
        assert_eq!(counted, Shield::On, "the processes of other users are counted");
    }
}
