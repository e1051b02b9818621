//! Finds a plugin's record in an ELF file without loading it.

use busbar_plugin_sdk::abi::{ENTRY_SYMBOL, RECORD_SECTION};
use object::read::elf::{ElfFile, FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{Endianness, SectionIndex, elf};

use crate::LoaderError;
use crate::record::RECORD_SIZE;

#[cfg(target_pointer_width = "64")]
type Header = elf::FileHeader64<Endianness>;
#[cfg(target_pointer_width = "32")]
type Header = elf::FileHeader32<Endianness>;

/// What a library for this program looks like: the first four from `e_ident`, and the machine.
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = elf::EM_X86_64.0;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = elf::EM_AARCH64.0;
#[cfg(target_arch = "arm")]
const MACHINE: u16 = elf::EM_ARM.0;

/// More sections than any library has.
const MAX_SECTIONS: usize = 4096;

/// The record's bytes, once the file is known to be a library for this machine whose tables lie inside the file.
pub(crate) fn find_record(file: &[u8]) -> Result<[u8; RECORD_SIZE], LoaderError> {
    check_header(file)?;
    let damaged = |error: object::Error| LoaderError::Damaged(error.to_string());
    let parsed = ElfFile::<Header>::parse(file).map_err(damaged)?;
    let endian = parsed.endian();
    // The fields have 32 bits where pointers have.
    #[allow(clippy::useless_conversion, reason = "only on 64-bit targets")]
    for segment in parsed.elf_program_headers() {
        let end = u64::from(segment.p_offset(endian)).checked_add(u64::from(segment.p_filesz(endian)));
        if end.is_none_or(|end| end > file.len() as u64) {
            return Err(LoaderError::Damaged("a segment lies outside of the file".into()));
        }
    }
    // Names are compared where they begin, and their ends are not looked for: in a table without an end, each search would
    // go through the whole file.
    let sections = parsed.elf_section_table();
    if sections.len() > MAX_SECTIONS {
        return Err(LoaderError::Damaged(format!(
            "it has {} sections; a library has at most {MAX_SECTIONS}",
            sections.len()
        )));
    }
    let named = |index: SectionIndex| -> Result<&[u8], LoaderError> {
        let section = sections.section(index).map_err(damaged)?;
        section.data(endian, file).map_err(damaged)
    };
    let index = parsed.elf_header().shstrndx(endian, file).map_err(damaged)?;
    let names = named(SectionIndex(index as usize))?;
    let section = sections
        .iter()
        .find(|section| begins(names, section.sh_name(endian), RECORD_SECTION))
        .ok_or(LoaderError::NoRecord)?;
    let record = section
        .data(endian, file)
        .map_err(damaged)?
        .first_chunk()
        .copied()
        .ok_or_else(|| LoaderError::Damaged("its plugin record is cut short".into()))?;
    let symbols = parsed.elf_dynamic_symbol_table();
    let names = match symbols.string_section() {
        SectionIndex(0) => &[],
        index => named(index)?,
    };
    let entry = symbols.iter().any(|symbol| {
        symbol.st_shndx(endian) != elf::SHN_UNDEF && begins(names, symbol.st_name(endian), ENTRY_SYMBOL)
    });
    if entry {
        Ok(record)
    } else {
        Err(LoaderError::NoEntry)
    }
}

/// Whether a table of names has this one at this place.
fn begins(names: &[u8], at: u32, name: &str) -> bool {
    let rest = names
        .get(at as usize..)
        .and_then(|rest| rest.strip_prefix(name.as_bytes()));
    rest.is_some_and(|rest| rest.first() == Some(&0))
}

/// What can be said from the first 20 bytes, which are alike in every ELF file.
fn check_header(file: &[u8]) -> Result<(), LoaderError> {
    let Some(head) = file.first_chunk::<20>().filter(|head| head[..4] == elf::ELFMAG) else {
        return Err(LoaderError::NotElf);
    };
    let little = head[5] == elf::ELFDATA2LSB.0;
    let half = |at: usize| {
        let bytes = [head[at], head[at + 1]];
        if little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        }
    };
    let bits = if head[4] == elf::ELFCLASS64.0 { 64 } else { 32 };
    let theirs = (half(18), bits, little);
    let ours = (MACHINE, usize::BITS, cfg!(target_endian = "little"));
    if theirs != ours {
        return Err(LoaderError::Machine {
            theirs: machine(theirs),
            ours: machine(ours),
        });
    }
    match half(16) {
        kind if kind == elf::ET_DYN.0 => Ok(()),
        kind => Err(LoaderError::NotALibrary(kind)),
    }
}

fn machine((code, bits, little): (u16, u32, bool)) -> String {
    let name = match code {
        3 => "x86",
        40 => "ARM",
        62 => "x86-64",
        183 => "ARM64",
        243 => "RISC-V",
        _ => return format!("machine {code} ({bits}-bit)"),
    };
    if little {
        format!("{name} ({bits}-bit)")
    } else {
        format!("{name} ({bits}-bit, big-endian)")
    }
}
