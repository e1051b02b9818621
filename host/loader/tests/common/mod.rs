//! What the tests of this crate share: the libraries that cargo built, and where to copy them.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use tempfile::TempDir;

/// target/<profile>.
fn profile_dir() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.parent().and_then(Path::parent).unwrap().to_path_buf()
}

/// The library of the generic plugin.
pub fn generic() -> PathBuf {
    profile_dir().join("deps/libbusbar_plugin_generic.so")
}

/// The library of the hostile one. `cargo test` builds it, and for `cargo bench` it is built here.
pub fn hostile() -> PathBuf {
    let path = profile_dir().join("examples/libbusbar_plugin_hostile.so");
    if !path.exists() {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.args([
            "build",
            "--quiet",
            "-p",
            "busbar-loader",
            "--example",
            "busbar_plugin_hostile",
        ]);
        cargo.arg("--target-dir").arg(profile_dir().parent().unwrap());
        if profile_dir().ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "{cargo:?}");
    }
    path
}

/// A temporary directory that only its owner can change, whatever the umask is.
pub fn tempdir() -> std::io::Result<TempDir> {
    let mode = fs::Permissions::from_mode(0o755);
    tempfile::Builder::new()
        .prefix("busbar-loader-")
        .permissions(mode)
        .tempdir()
}

/// Makes a directory that only its owner can change, whatever the umask is.
pub fn folder(path: &Path) -> PathBuf {
    fs::create_dir(path).unwrap();
    chmod(path, 0o755);
    path.to_path_buf()
}

/// Writes a library into a directory, readable by all and writable by its owner.
pub fn put(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    chmod(&path, 0o644);
    path
}

/// Copies a library.
pub fn copy(dir: &Path, from: &Path) -> PathBuf {
    let name = from.file_name().unwrap().to_str().unwrap();
    put(dir, name, &fs::read(from).unwrap())
}

/// Sets permission bits.
pub fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// From now on this process, and all that it starts, is on a kernel that has neither Landlock nor seccomp.
pub fn poor_kernel() {
    let lacks = [libc::SYS_seccomp, libc::SYS_landlock_create_ruleset];
    let filter = SeccompFilter::new(
        lacks.map(|call| (call, vec![])).into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let filter: BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&filter).unwrap();
}
