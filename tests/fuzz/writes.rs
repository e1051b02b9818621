//! The fuzz target: whatever comes in, no panic, and no word that an owner has not allowed.

#![no_main]
#![forbid(unsafe_code)]

mod oracle;
mod walk;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    walk::anything(input);
});
