// SPDX-License-Identifier: GPL-2.0-or-later
//! The shipped image with one byte of a special section changed: what the proof says of the function that it is about.

use super::kernel::Kernel;
use super::tool::{collect, command};
use super::Test;
use kmend_builder::image::Image;
use object::{Object as _, ObjectSegment as _};
use std::fs;

pub const TESTS: &[Test] = &[("tables_of_another_kernel", tables_of_another_kernel)];

/// A table.
struct Table {
    name: &'static str,
    bounds: [&'static str; 2],
    /// Bytes of an entry.
    entry: u64,
    /// Which of them is changed.
    byte: u64,
    /// A function that has entries, and its file.
    about: [&'static str; 2],
}

/// Sizes as in 7.2: include/asm-generic/bug.h, arch/x86/include/asm/{alternative,extable}.h, include/linux/jump_label.h.
const TABLES: [Table; 5] = [
    Table {
        name: "__ex_table",
        bounds: ["__start___ex_table", "__stop___ex_table"],
        entry: 12,
        byte: 8,
        about: ["copy_from_kernel_nofault", "mm/maccess.c"],
    },
    Table {
        name: ".altinstructions",
        bounds: ["__alt_instructions", "__alt_instructions_end"],
        entry: 14,
        byte: 8,
        about: ["copy_from_user_nofault", "mm/maccess.c"],
    },
    Table {
        name: "__bug_table",
        bounds: ["__start___bug_table", "__stop___bug_table"],
        entry: 16,
        byte: 14,
        about: ["__copy_overflow", "mm/maccess.c"],
    },
    Table {
        name: "__jump_table",
        bounds: ["__start___jump_table", "__stop___jump_table"],
        entry: 16,
        byte: 8,
        about: ["do_exit", "kernel/exit.c"],
    },
    Table {
        name: ".smp_locks",
        bounds: ["__smp_locks", "__smp_locks_end"],
        entry: 4,
        byte: 0,
        about: ["do_exit", "kernel/exit.c"],
    },
];

fn tables_of_another_kernel() {
    let kernel = Kernel::new().with_shared_objects();
    let image = Image::load(&kernel.target.vmlinux).unwrap();
    let whole = fs::read(&kernel.target.vmlinux).unwrap();
    let file = object::File::parse(whole.as_slice()).unwrap();
    let mut other = kernel.target.clone();
    other.vmlinux = kernel.dir.path().join("vmlinux");
    kernel.store(&other);
    for table in TABLES {
        let [function, unit] = table.about;
        let at = entry_about(&image, &table) + table.byte;
        let within = file
            .segments()
            .find_map(|s| Some(at.checked_sub(s.address())?).filter(|o| *o < s.size()).map(|o| s.file_range().0 + o));
        let mut changed = whole.clone();
        changed[within.expect("it is loaded") as usize] ^= 1;
        fs::write(&other.vmlinux, &changed).unwrap();
        let said = collect(command(&kernel.cache()).args(["prove", "-t", &kernel.target.name, unit]));
        said.fails(2, &["debian:"]);
        assert!(said.out.contains(&format!("  {function}+0x")) && said.out.contains(table.name), "{}", said.out);
    }
}

/// The first entry about the function.
fn entry_about(image: &Image, table: &Table) -> u64 {
    let at = |name: &str| image.kallsyms.named(name).next().map(|s| s.address);
    let symbols = image.kallsyms.symbols();
    let start = at(table.about[0]).expect("the function is there");
    let end = symbols[symbols.partition_point(|s| s.address <= start)].address;
    let [first, behind] = table.bounds.map(|name| at(name).expect("the table has its bounds"));
    let code = |entry: &u64| {
        let field = image.bytes(*entry, 4).expect("the entry is there");
        entry.wrapping_add_signed(i64::from(i32::from_le_bytes(field.try_into().unwrap())))
    };
    let mut entries = (first..behind).step_by(table.entry as usize);
    entries
        .find(|entry| (start..end).contains(&code(entry)))
        .unwrap_or_else(|| panic!("{} has none of {}", table.name, table.about[0]))
}
