//! Which system calls a worker may make: what memory, clocks, locks, reading libraries, panics and its channel need.
//!
//! Two filters lie on each other. What only a hostile plugin would try ends the process, so that it is seen; whatever
//! else is not on the list is refused with EPERM, which libraries live with.

use super::sandbox::Shield;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn enter() -> Shield {
    Shield::Off("not available for this processor".into())
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) fn enter() -> Shield {
    match filters::apply() {
        Ok(()) => Shield::On,
        Err(error) => Shield::Off(error.to_string()),
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod filters {
    use std::collections::BTreeMap;

    use seccompiler::{
        BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, TargetArch, apply_filter_all_threads,
    };

    #[cfg(target_arch = "x86_64")]
    const ARCH: TargetArch = TargetArch::x86_64;
    #[cfg(target_arch = "aarch64")]
    const ARCH: TargetArch = TargetArch::aarch64;

    /// A plugin that does one of these has no business here.
    const FATAL: &[i64] = &[
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_bpf,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_fork,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_vfork,
    ];

    const ALLOWED: &[i64] = &[
        // Memory.
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_membarrier,
        // The channel, standard error, and reading libraries.
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_pread64,
        libc::SYS_preadv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_fstatfs,
        libc::SYS_statfs,
        libc::SYS_lseek,
        libc::SYS_faccessat,
        libc::SYS_faccessat2,
        libc::SYS_readlinkat,
        libc::SYS_getcwd,
        libc::SYS_fadvise64,
        libc::SYS_dup,
        libc::SYS_ppoll,
        libc::SYS_pselect6,
        // Locks, clocks, signals of its own, panics and its end.
        libc::SYS_futex,
        libc::SYS_futex_waitv,
        libc::SYS_set_robust_list,
        libc::SYS_get_robust_list,
        libc::SYS_rseq,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_getcpu,
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_gettimeofday,
        libc::SYS_times,
        libc::SYS_getrusage,
        libc::SYS_restart_syscall,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_exit,
        libc::SYS_exit_group,
        // Who and where it is.
        libc::SYS_getpid,
        libc::SYS_getppid,
        libc::SYS_gettid,
        libc::SYS_getuid,
        libc::SYS_geteuid,
        libc::SYS_getgid,
        libc::SYS_getegid,
        libc::SYS_uname,
        libc::SYS_sysinfo,
        libc::SYS_getrandom,
        // Limits of its own can only be made narrower: the hard ones are set.
        libc::SYS_getrlimit,
        libc::SYS_setrlimit,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_stat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_lstat,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_access,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_readlink,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_select,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_time,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_arch_prctl,
    ];

    pub(super) fn apply() -> Result<(), Error> {
        let fatal = FATAL.iter().map(|&call| (call, vec![])).collect();
        let mut allowed: BTreeMap<i64, Vec<SeccompRule>> =
            ALLOWED.iter().map(|&call| (call, vec![])).collect();
        // abort() sends its signal with this one: to itself, and no other signal, for one that stops would be a pause
        // without an end.
        let own = u64::from(rustix::process::getpid().as_raw_nonzero().get().unsigned_abs());
        let abort = [is(0, own)?, is(2, libc::SIGABRT as u64)?];
        allowed.insert(libc::SYS_tgkill, vec![SeccompRule::new(abort.into())?]);
        // Names for memory areas, which glibc gives.
        allowed.insert(libc::SYS_prctl, vec![when(is(0, libc::PR_SET_VMA as u64)?)?]);
        // Of this process only: those of another one of the same user, the host, could be changed as well.
        allowed.insert(libc::SYS_prlimit64, vec![when(is(0, 0)?)?]);
        // Not the commands that name an owner and a signal for a descriptor: the kernel would send it to the host.
        let commands = [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_DUPFD_CLOEXEC];
        let commands = commands.map(|command| when(is(1, command as u64)?));
        allowed.insert(libc::SYS_fcntl, commands.into_iter().collect::<Result<_, _>>()?);
        // Files are opened for reading, whatever Landlock knows: a constructor could empty one, or write to a port.
        allowed.insert(libc::SYS_openat, vec![when(reads(2)?)?]);
        #[cfg(target_arch = "x86_64")]
        allowed.insert(libc::SYS_open, vec![when(reads(1)?)?]);
        // Shared memory does not count towards the limit of data.
        let private = SeccompCmpOp::MaskedEq(libc::MAP_TYPE as u64);
        let private = SeccompCondition::new(3, SeccompCmpArgLen::Dword, private, libc::MAP_PRIVATE as u64)?;
        allowed.insert(libc::SYS_mmap, vec![when(private)?]);
        // Both are made before the first holds: it lets no further one in.
        let inner = program(
            allowed,
            SeccompAction::Errno(libc::EPERM as u32),
            SeccompAction::Allow,
        )?;
        let outer = program(fatal, SeccompAction::Allow, SeccompAction::KillProcess)?;
        apply_filter_all_threads(&outer)?;
        apply_filter_all_threads(&inner)
    }

    fn program(
        rules: BTreeMap<i64, Vec<SeccompRule>>,
        otherwise: SeccompAction,
        listed: SeccompAction,
    ) -> Result<BpfProgram, Error> {
        Ok(SeccompFilter::new(rules, otherwise, listed, ARCH)?.try_into()?)
    }

    fn when(condition: SeccompCondition) -> Result<SeccompRule, Error> {
        Ok(SeccompRule::new(vec![condition])?)
    }

    fn is(argument: u8, value: u64) -> Result<SeccompCondition, Error> {
        let equal = SeccompCmpOp::Eq;
        Ok(SeccompCondition::new(
            argument,
            SeccompCmpArgLen::Dword,
            equal,
            value,
        )?)
    }

    /// Whether the flags of an open, in this argument, neither write nor make anything.
    fn reads(argument: u8) -> Result<SeccompCondition, Error> {
        let writes = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND) as u64;
        let masked = SeccompCmpOp::MaskedEq(writes);
        Ok(SeccompCondition::new(
            argument,
            SeccompCmpArgLen::Dword,
            masked,
            0,
        )?)
    }
}
