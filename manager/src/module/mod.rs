// SPDX-License-Identifier: GPL-2.0-or-later
//! A module's file: bytes of a .ko in, what kmend has to know of it out.

pub mod claims;
pub mod cve;
pub mod elf;
pub mod manifest;
pub mod named;
pub mod note;
pub mod preflight;
#[cfg(test)]
#[path = "../../tests/host/ko.rs"]
pub(crate) mod sample;
pub mod shared;
pub mod signature;
pub mod stream;
#[cfg(test)]
mod tests;

use manifest::Manifest;

/// A fault of a file: which part of it, and why. The file itself is named by who reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The part: `section .modinfo`.
    pub place: String,
    /// What is wrong there.
    pub reason: String,
}

impl Fault {
    fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into() }
    }
}

/// How compressed modules begin, how their files' names end, and the program that unpacks them. Kernels unpack modules at boot,
/// but a live patch is read before it is loaded.
const COMPRESSED: [(&[u8], &str, &str); 3] =
    [(b"\x1f\x8b", ".ko.gz", "gzip"), (b"\xfd7zXZ\0", ".ko.xz", "xz"), (b"\x28\xb5\x2f\xfd", ".ko.zst", "zstd")];

/// The program that unpacks a module, by how its file begins; None where it is not compressed.
pub fn compressed(bytes: &[u8]) -> Option<&'static str> {
    COMPRESSED.iter().find(|(magic, ..)| bytes.starts_with(magic)).map(|(.., program)| *program)
}

/// The same by the name of the file.
pub fn compressed_by_name(name: &str) -> Option<&'static str> {
    COMPRESSED.iter().find(|(_, ending, _)| name.ends_with(ending)).map(|(.., program)| *program)
}

/// Refuses a file, as it is shown, whose name says that it is compressed.
///
/// # Errors
/// It does; what can be done is said.
pub fn refuse_compressed(shown: &str) -> anyhow::Result<()> {
    match compressed_by_name(shown) {
        Some(program) => {
            let advice = unpacked(program, shown);
            anyhow::bail!("{shown}: it is compressed ({program})\n  what you can do: {advice}")
        }
        None => Ok(()),
    }
}

/// What is done with a module in the file `name` that `program` compressed.
pub fn unpacked(program: &str, name: &str) -> String {
    let endings = COMPRESSED.iter().map(|(_, ending, _)| *ending).chain([".ko"]);
    let stem = endings.into_iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    format!("`{program} -dc {name} >{stem}-unpacked.ko`, then give that file instead")
}

/// A module as its file has it.
#[derive(Clone, Debug)]
pub struct Module {
    /// `e_machine` of the ELF header.
    pub machine: u16,
    /// The name that the kernel knows it by.
    pub name: String,
    /// .modinfo: names and values, in file order.
    pub modinfo: Vec<(String, String)>,
    /// Its own GNU build id, hexadecimal.
    pub build_id: Option<String>,
    /// kmend's manifest; None where it has none.
    pub manifest: Option<Manifest>,
    /// A signature is appended to it; whether it is good only the kernel can say.
    pub signed: bool,
}

impl Module {
    /// Reads one.
    ///
    /// # Errors
    /// Bytes that are no module, or a damaged one.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let file = elf::File::parse(bytes)?;
        let modinfo = elf::modinfo(file.section(".modinfo").ok_or_else(|| {
            Fault::new("sections", "there is no section .modinfo: this is an object file, but no kernel module")
        })?);
        let named = modinfo.iter().find(|(key, _)| key == "name").map(|(_, value)| value.clone());
        // Kernels before 4.12 have no name= there; struct module has it.
        let named = named.or_else(|| elf::first_text(file.section(".gnu.linkonce.this_module")?));
        let name = named.ok_or_else(|| Fault::new("section .modinfo", "it does not say the module's name"))?;
        if !crate::order::is_module_name(&name) {
            return Err(Fault::new("section .modinfo", format!("{name:?} is no name of a module")));
        }
        let build_id = file.sections().filter(|s| s.is_note()).find_map(|s| note::build_id(s.data));
        let manifest = match file.section(manifest::SECTION) {
            Some(data) => Some(manifest::of_section(data)?),
            None => None,
        };
        let signed = signature::is_signed(bytes)?;
        Ok(Self { machine: file.machine, name, modinfo, build_id, manifest, signed })
    }

    /// The first value of `key` in .modinfo.
    pub fn info(&self, key: &str) -> Option<&str> {
        self.modinfo.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// `uname -r` of the kernel that it is for: the first word of its vermagic.
    pub fn release(&self) -> Option<&str> {
        self.info("vermagic")?.split(' ').next().filter(|release| !release.is_empty())
    }
}
