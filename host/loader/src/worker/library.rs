//! Loads a library into this process. The one that was inspected, or none.
#![allow(
    unsafe_code,
    reason = "loading a library runs its constructors, and its symbol is read as what its record says"
)]

use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;

use busbar_plugin_sdk::abi::{ENTRY_SYMBOL, Entry, Vtable};
use libloading::os::unix::{Library as Handle, RTLD_LOCAL, RTLD_NOW};
use sha2::{Digest, Sha256};

use crate::protocol::Load;
use crate::record::RECORD_SIZE;

/// A loaded plugin. It is never unloaded: once its thread-local destructors are registered there is no sound way to.
pub(crate) struct Library {
    /// Its functions; those that it does not have are none.
    pub(crate) vtable: Vtable,
}

impl Library {
    /// Loads the sealed copy. Where that fails (some systems forbid to execute memory files) the file itself, if it still
    /// is what was inspected.
    pub(crate) fn load(load: &Load) -> Result<Library, String> {
        let handle = match load.sealed.map(open) {
            Some(Ok(handle)) => handle,
            Some(Err(sealed)) if !is_unchanged(load) => return Err(sealed),
            None if !is_unchanged(load) => return Err("the file was changed after it was inspected".into()),
            Some(Err(_)) | None => open(load.file)?,
        };
        // SAFETY: a data symbol; it is read as bytes first, and as an entry only once these are the record that was
        // inspected, which says that this ABI laid it out.
        let entry: *const Entry = unsafe { handle.get::<*const Entry>(ENTRY_SYMBOL) }
            .map_err(|_| format!("does not export {ENTRY_SYMBOL}"))?
            .as_raw_ptr()
            .cast();
        std::mem::forget(handle);
        if entry.is_null() || !entry.is_aligned() {
            return Err(format!("{ENTRY_SYMBOL} is not where it should be"));
        }
        // SAFETY: as above; an entry begins with its record.
        let record = unsafe { entry.cast::<[u8; RECORD_SIZE]>().read() };
        if record[..] != load.record[..] {
            return Err("the record in its memory differs from the one in its file".into());
        }
        // SAFETY: the record is one of this ABI.
        let theirs = unsafe { (*entry).vtable };
        if theirs.is_null() || !theirs.is_aligned() {
            return Err("has no function table".into());
        }
        // What the plugin's table is too short for stays none; what it has beyond ours is not known here.
        let mut vtable = Vtable::default();
        let size = size_of::<Vtable>().min(load.vtable_size as usize);
        // SAFETY: both tables have at least `size` bytes, ours is plain data in which all zeros mean none.
        unsafe { std::ptr::copy_nonoverlapping(theirs.cast::<u8>(), (&raw mut vtable).cast::<u8>(), size) };
        Ok(Library { vtable })
    }
}

/// The descriptor stays open for the life of the process: glibc knows loaded libraries by their path, and a number that
/// is used again would lead to the first one.
fn open(descriptor: i32) -> Result<Handle, String> {
    // SAFETY: its constructors run here, which is what this process and its limits are for.
    unsafe { Handle::open(Some(format!("/proc/self/fd/{descriptor}")), RTLD_NOW | RTLD_LOCAL) }
        .map_err(|error| format!("cannot be loaded: {error}"))
}

fn is_unchanged(load: &Load) -> bool {
    // SAFETY: the host passed this descriptor on, and nothing closes it.
    let file = unsafe { BorrowedFd::borrow_raw(load.file) };
    let Ok(file) = file.try_clone_to_owned().map(File::from) else {
        return false;
    };
    let mut bytes = Vec::new();
    let mut from_start = FromStart { file: &file, at: 0 };
    let read = (&mut from_start)
        .take(crate::inspect::MAX_SIZE + 1)
        .read_to_end(&mut bytes);
    read.is_ok() && <[u8; 32]>::from(Sha256::digest(&bytes)) == load.hash
}

/// Reads without the shared file position, which the inspection left at the end.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = std::os::unix::fs::FileExt::read_at(self.file, buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
