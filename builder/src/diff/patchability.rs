// SPDX-License-Identifier: GPL-2.0-or-later
//! Stage patchability: a [`ChangeSet`] in, the reasons out why it cannot become a live patch.

use super::correlate::Alias;
use super::view::{ItemId, ItemKind, Ref, View};
use super::{compare, names, ChangeSet};
use crate::elf::{Bind, SecId, SHT_NOTE};
use crate::error::Refusal;
use crate::special;
use crate::special::known::{self, Class};
use std::collections::{BTreeMap, BTreeSet};

/// Changes that can be live patched: only [`check`] makes one, and only of this `extract` takes code.
#[derive(Clone, Copy)]
pub struct Patchable<'a, 'o>(&'a ChangeSet<'o>);

impl<'a, 'o> Patchable<'a, 'o> {
    /// The changes.
    pub fn changes(&self) -> &'a ChangeSet<'o> {
        self.0
    }
}

/// Lets changes through that can be live patched; the reasons against it otherwise.
pub fn check<'a, 'o>(changes: &'a ChangeSet<'o>) -> Result<Patchable<'a, 'o>, Vec<Refusal>> {
    let found = refusals(changes);
    if found.is_empty() {
        Ok(Patchable(changes))
    } else {
        Err(found)
    }
}

/// Every reason against live patching these changes; empty when there is none.
pub fn refusals(changes: &ChangeSet<'_>) -> Vec<Refusal> {
    let mut found = Vec::new();
    // An entry size matters only where something changed.
    if !changes.functions.is_empty() {
        found.extend(changes.refusals.iter().cloned());
    }
    found.extend(changes.lost.iter().cloned());
    found.extend(changes.ignored.refusals.iter().cloned());
    found.extend(changes.misplaced.iter().cloned());
    found.extend(changes.twins.aliases.iter().map(alias));
    found.extend(super::storage::writes(changes));
    found.extend(doubts(changes));
    for function in &changes.functions {
        check_function(changes, function, &mut found);
    }
    let patched = &changes.patched;
    for datum in changes.data.iter().filter(|datum| !changes.goes_with_code(datum.item)) {
        let it = &patched.items[datum.item];
        let section = &patched.section(datum.item).name;
        let member = datum.member.as_ref().map_or(String::new(), |member| format!(", {member}"));
        let mut refusal = Refusal::new(
            "data-changed",
            &it.name,
            section,
            format!("the fix changes existing data: {}{member}", datum.difference.why),
            "the running kernel already uses this data; change it at run time instead, in code that the fix changes or in a callback",
        );
        refusal.member = datum.member.clone().map(Box::new);
        found.push(refusal);
    }
    for (section, why) in &changes.unnamed_code {
        found.push(Refusal::new(
            "unnamed-code",
            "",
            section,
            format!("the fix changes code that has no name, or no size: {why}"),
            "livepatch replaces functions by name; in assembler, name it with SYM_FUNC_START and SYM_FUNC_END; otherwise do not change it, and do not strip symbols",
        ));
    }
    for &item in changes.new_data.iter().filter(|&&item| !patched.items[item].is_own_copy(patched.object)) {
        let it = &patched.items[item];
        let section = &patched.section(item).name;
        if matches!(known::class_of(section), Some(Class::Start)) || section == "__param" {
            found.push(Refusal::new(
                "init-data",
                &it.name,
                section,
                "the fix adds data that the kernel reads only while it boots or loads the module".into(),
                "a live patch is loaded later; leave this part out",
            ));
        } else if section.contains("ro_after_init") {
            found.push(Refusal::new(
                "init-data",
                &it.name,
                section,
                "the fix adds a `__ro_after_init` variable".into(),
                "a live patch is loaded later; leave __ro_after_init out, or make the variable const",
            ));
        } else if let Some(Class::Table(record)) = known::class_of(section) {
            found.push(kernel_table(&it.name, section, record));
        } else if !is_plain(section) {
            found.push(Refusal::new(
                "unknown-section",
                &it.name,
                section,
                format!("the fix adds {} to a section that kmend does not know", it.name),
                "the kernel reads such tables only in its own image; leave this part of the fix out, or request support for the section",
            ));
        }
    }
    found.extend(exports(changes));
    found.extend(unknown_sections(changes));
    found.dedup();
    found
}

fn alias(alias: &Alias) -> Refusal {
    let Alias { name, of, split } = alias;
    let reason = match split {
        true => format!("in the running kernel it is an alias of {of}, and the fix gives it a separate body: replacing one would replace both"),
        false => format!("in the running kernel it is a separate function or variable, and the fix makes it an alias of {of}"),
    };
    Refusal::new("alias-changed", name, "", reason, "keep both names as they are, and add a new function")
}

/// True if changed code has references for which it took more than the layout to say which variable they count from.
pub fn has_borders(changes: &ChangeSet<'_>) -> bool {
    changes.settled.weighed.iter().any(|&user| is_carried(changes, user))
}

fn is_carried(changes: &ChangeSet<'_>, item: ItemId) -> bool {
    changes.functions.iter().any(|f| f.item == item)
        || changes.new_data.contains(&item)
        || changes.absent.contains(&item)
}

/// References of changed code, and of data that it carries, that may count from either of two variables.
fn doubts(changes: &ChangeSet<'_>) -> Vec<Refusal> {
    let doubts = changes.settled.doubts.iter().filter(|doubt| is_carried(changes, doubt.user));
    doubts
        .map(|doubt| {
            let [a, b] = &doubt.candidates;
            Refusal::new(
                "ambiguous-address",
                &changes.patched.items[doubt.user].name,
                &changes.patched.section(doubt.user).name,
                format!("it refers to the border between {a} and {b}: either the end of an array or the next variable, and in the running kernel these are not adjacent"),
                "remove the section attribute of the new variable (`__read_mostly` and similar), so that it is not adjacent to the array",
            )
        })
        .collect()
}

fn check_function(changes: &ChangeSet<'_>, function: &super::ChangedFunction, found: &mut Vec<Refusal>) {
    let patched = &changes.patched;
    let item = &patched.items[function.item];
    let section = &patched.object.sections[item.section].name;
    let name = &item.name;
    if section.starts_with(".init.")
        || section.starts_with(".exit.")
        || section.starts_with(".head.")
        || section.starts_with(".meminit.")
    {
        found.push(Refusal::new(
            "init-function",
            name,
            section,
            "the fix changes code that runs only while the kernel boots, or while the module is loaded or removed".into(),
            &format!("this code has already run or has been freed; leave this part of the fix out, {}, or repair its effect in a callback", ignoring(name)),
        ));
        return;
    }
    if item.stuck {
        found.push(Refusal::new(
            "shared-section",
            name,
            section,
            "it shares its section with other functions, and a jump between them cannot be relocated".into(),
            match section == ".text" {
                true => "compile both objects with -ffunction-sections",
                false => "do not change this function; change one of its callers instead",
            },
        ));
    }
    if section == ".noinstr.text" || section == ".entry.text" {
        found.push(Refusal::new(
            "no-ftrace-site",
            name,
            section,
            "ftrace must not trace it, so it cannot be redirected".into(),
            &format!(
                "change one of its callers instead; or, if the old code may stay there, leave it out {}",
                ignoring(name)
            ),
        ));
        return;
    }
    if let Some(o) = function.original {
        let original = &changes.original;
        let it = &original.items[o];
        let is_cold = names::cold_parent(&it.name).is_some();
        let s = original.section(o);
        if !is_cold
            && s.is_text()
            && !original.object.arch.has_ftrace_site(original.object, it.section, it.anchor, it.range.end)
        {
            found.push(Refusal::new(
                "no-ftrace-site",
                name,
                section,
                "the running function has no ftrace entry (it is notrace, or its file is compiled without ftrace), so it cannot be redirected".into(),
                &match name.starts_with("__do_sys_") {
                    // The body of a system call: include/linux/syscalls.h.
                    true => "include \"kpatch-syscall.h\", and write KPATCH_SYSCALL_DEFINEn in the place of SYSCALL_DEFINEn".into(),
                    false => format!(
                        "change its callers instead, for example so that they call a copy of it under another name; or, if the old code may \
                         stay there, leave it out {}",
                        ignoring(name)
                    ),
                },
            ));
        }
    }
    sites(changes, function.item, found);
    let mut ambiguous: Vec<&String> = patched
        .references(function.item)
        .iter()
        .filter_map(|(_, r)| match patched.through_toc(*r) {
            Ref::Item { item, .. } => {
                changes.twins.ambiguous.get(&item).filter(|_| patched.section(item).is_writable())
            }
            _ => None,
        })
        .collect();
    ambiguous.sort();
    ambiguous.dedup();
    for base in ambiguous {
        found.push(Refusal::new(
            "ambiguous-static-local",
            base,
            section,
            format!("{name} uses one of several static variables called {base}, and kmend cannot tell which one in the running kernel that is"),
            "keep the order and number of uses of these variables in the function, or rename the new one",
        ));
    }
}

/// How an author leaves a function out of a fix that changes it, as a fix to an inline function does with each that it is inlined into.
fn ignoring(name: &str) -> String {
    let name = name.split('.').next().unwrap_or(name);
    format!("with KPATCH_IGNORE_FUNCTION({name}) of \"kpatch-macros.h\" at the end of its file")
}

/// The name by which the running kernel knows an item of the original: its name, but for a weak one beside another, since
/// another file's definition may have taken that.
pub fn running_name<'v>(original: &'v View<'_>, id: ItemId) -> &'v str {
    let item = &original.items[id];
    let symbols = item.symbols.iter().map(|&s| &original.object.symbols[s]);
    let mut own = symbols.filter(|s| !names::is_module_entry(&s.name));
    match own.clone().find(|s| s.name == item.name) {
        Some(symbol) if symbol.bind == Bind::Weak => {
            own.find(|s| s.bind != Bind::Weak).map_or(&item.name, |other| &other.name)
        }
        _ => &item.name,
    }
}

/// True where the kernel changes the code of a function that the fix changes while it starts, in its own image alone.
pub fn is_changed_at_boot(changes: &ChangeSet<'_>) -> bool {
    let sites = changes.functions.iter().filter_map(|f| changes.sites.get(&f.item)).flatten();
    let mut names = sites.map(|site| changes.patched.object.sections[site.section].name.as_str());
    names.any(|name| matches!(known::class_of(name), Some(Class::AtBoot(_))))
}

/// True where a function that the fix changes jumps to another one of its section, without room for a greater distance.
pub fn has_short_jumps(changes: &ChangeSet<'_>) -> bool {
    changes.functions.iter().any(|f| changes.patched.items[f.item].stuck)
}

/// kpatch's macros that need something that kmend does not have: the diff ignores them, a build must not.
pub fn kpatch_macros(changes: &ChangeSet<'_>) -> Vec<Refusal> {
    let sections = changes.patched.object.sections.iter().filter(|s| s.size > 0);
    sections.filter_map(|s| kpatch_macro(&s.name)).collect()
}

/// The refusal for a section that a macro of kpatch fills; None for those that are carried, and for other sections. Macros that
/// kmend refuses leave a section with their name (kmod/include/kpatch/kpatch.h).
fn kpatch_macro(section: &str) -> Option<Refusal> {
    let rest = section.strip_prefix(".kpatch.")?;
    let is_carried = rest.starts_with("ignore.") || super::callbacks::kpatch_kind(section).is_some();
    let shadow =
        "use klp_shadow_alloc(), klp_shadow_get() and klp_shadow_free() of <linux/livepatch.h>, with a number in the \
                  place of the name";
    let (name, reason, hint) = match rest {
        _ if is_carried => return None,
        "force" => (
            "KPATCH_FORCE_UNSAFE",
            "livepatch has no way to replace a function while tasks are in it: the macro has had no effect since Linux 4.16",
            "remove the macro; while a task is in the function the transition waits, and `kmend transition` names that task",
        ),
        "hooks.load" | "unsupported.KPATCH_LOAD_HOOK" => (
            "KPATCH_LOAD_HOOK",
            "kpatch replaced load hooks by callbacks",
            "use KPATCH_PRE_PATCH_CALLBACK or KPATCH_POST_PATCH_CALLBACK",
        ),
        "hooks.unload" | "unsupported.KPATCH_UNLOAD_HOOK" => (
            "KPATCH_UNLOAD_HOOK",
            "kpatch replaced unload hooks by callbacks",
            "use KPATCH_PRE_UNPATCH_CALLBACK or KPATCH_POST_UNPATCH_CALLBACK",
        ),
        _ => match rest.strip_prefix("unsupported.") {
            Some(name) => (name, "it belongs to kpatch's own module, which a kernel with livepatch does not have", shadow),
            None => ("", "the fix uses a kpatch macro that kmend does not support", "leave it out"),
        },
    };
    Some(Refusal::new("kpatch-macro", name, section, reason.into(), hint))
}

/// What an object exports: name → the list it is in, and what else the export says (licence, namespace).
fn exported(view: &View<'_>) -> BTreeMap<String, (String, Vec<u8>)> {
    // include/linux/export-internal.h and, before 6.4, include/linux/export.h.
    let is_table =
        |name: &str| name == ".export_symbol" || name.starts_with("__ksymtab") || name.starts_with("___ksymtab");
    let mut all = BTreeMap::new();
    for (id, section) in view.object.sections.iter().enumerate().filter(|(_, s)| is_table(&s.name)) {
        let mut before = 0;
        for r in &section.relocs {
            let said_from = std::mem::replace(&mut before, r.offset);
            let name = match view.reference(id, r.offset..r.offset + 1, r) {
                Ref::Item { item, .. } if view.items[item].kind != ItemKind::Anonymous => view.items[item].name.clone(),
                Ref::External { symbol, .. } => view.object.symbols[symbol].name.clone(),
                _ => continue,
            };
            let list = section.name.split('+').next().unwrap_or_default().to_string();
            // From 6.4 on licence and namespace are before the address; before that behind it, as addresses of strings.
            let mut said = section.bytes(said_from..r.offset).to_vec();
            said.drain(..said.iter().position(|&b| b != 0).unwrap_or(said.len()));
            said.truncate(said.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1));
            for after in section.relocs_in(r.offset + 1..section.size).iter().take(2) {
                if let Ref::String { section: home, start, .. } =
                    view.reference(id, after.offset..after.offset + 1, after)
                {
                    said.extend_from_slice(crate::elf::strings::string_at(&view.object.sections[home], start));
                }
            }
            all.entry(name).or_insert((list, said));
        }
    }
    all
}

/// Names that the original exports: what other modules may use.
pub fn exports_of(view: &View<'_>) -> BTreeSet<String> {
    exported(view).into_keys().collect()
}

/// Functions of the original that are called by their prototype from outside of the kernel's own files: what it exports, and what BPF
/// programs know by its BTF id (kfuncs among them; include/linux/btf_ids.h).
pub fn called_from_outside(view: &View<'_>) -> BTreeSet<String> {
    const FUNCTION: &str = "__BTF_ID__func__";
    let ids = view.object.symbols.iter().filter_map(|s| names::without_btf_counter(&s.name)?.strip_prefix(FUNCTION));
    ids.map(str::to_string).chain(exports_of(view)).collect()
}

/// Names that the fix exports and the original does not. A live patch leaves the exports out: no module that needs one of
/// them could be loaded before, so that only what the fix itself changes can use it.
pub fn new_exports(changes: &ChangeSet<'_>) -> BTreeSet<String> {
    &exports_of(&changes.patched) - &exports_of(&changes.original)
}

/// Symbols that the fix exports under another licence or namespace.
fn exports(changes: &ChangeSet<'_>) -> Vec<Refusal> {
    let (old, new) = (exported(&changes.original), exported(&changes.patched));
    let differing = new.iter().filter(|(name, now)| old.get(*name).is_some_and(|before| before != *now));
    differing
        .map(|(name, (section, _))| {
            Refusal::new(
                "export-changed",
                name,
                section,
                "the fix changes the licence or namespace of an export".into(),
                "a live patch cannot change exports; leave this part of the fix out",
            )
        })
        .collect()
}

/// Loaded sections that are neither code, data nor in the special section table, and that differ.
fn unknown_sections(changes: &ChangeSet<'_>) -> Vec<Refusal> {
    let mut found = Vec::new();
    let (o, p) = (&changes.original, &changes.patched);
    for (id, section) in p.object.sections.iter().enumerate() {
        if !section.is_alloc()
            || section.kind == SHT_NOTE
            || section.is_strings()
            || changes.ignored.section(&section.name).is_some()
            || special::row_of(&section.name).is_some()
            || p.object.arch.is_toc(&section.name)
        {
            continue;
        }
        if super::ignore::is_macro_section(&section.name)
            || section.is_text()
            || section.is_constants()
            || is_plain(&section.name)
        {
            continue;
        }
        // What refers to places in the code was compared with the code.
        let class = known::class_of(&section.name);
        let records = unnamed(p, id);
        if records.is_empty() || matches!(class, Some(Class::AtBoot(_))) {
            continue;
        }
        let twin = o.object.sections.iter().position(|s| s.name == section.name);
        if twin.is_some_and(|twin| unnamed(o, twin) == records) {
            continue;
        }
        found.push(match class {
            Some(Class::Table(record)) => kernel_table("", &section.name, record),
            _ => Refusal::new(
                "unknown-section",
                "",
                &section.name,
                "the fix changes a section that kmend does not know".into(),
                "leave out the part of the fix that adds to this section, or request support for the section",
            ),
        });
    }
    found
}

/// What a section holds that was not compared by its name: bytes, and the references in words.
fn unnamed(view: &View<'_>, section: SecId) -> Vec<(Vec<u8>, Vec<String>)> {
    let pieces = view.items.iter().enumerate().filter(|(_, i)| i.section == section && i.is_own_copy(view.object));
    pieces
        .map(|(id, _)| {
            let references = view.references(id).into_iter();
            let words = references.map(|(r, to)| format!("{} {}", r.kind, compare::describe(view, &to)));
            (view.bytes(id).to_vec(), words.collect())
        })
        .collect()
}

fn kernel_table(name: &str, section: &str, record: &str) -> Refusal {
    Refusal::new(
        "kernel-table",
        name,
        section,
        format!("the fix adds or changes {record}: the kernel reads these only from its own image, or when it loads the module"),
        "a live patch is loaded later; leave this part of the fix out",
    )
}

/// References to places inside a replaced function, which would still mean the old function.
fn sites(changes: &ChangeSet<'_>, function: ItemId, found: &mut Vec<Refusal>) {
    let patched = &changes.patched;
    let name = &patched.items[function].name;
    for site in changes.sites.get(&function).into_iter().flatten() {
        let section = &patched.object.sections[site.section].name;
        found.push(match (known::class_of(section), site.datum) {
            (Some(Class::Data | Class::Start), Some(datum)) => {
                let new = changes.twins.of_patched[datum].is_none();
                if new || changes.goes_with_code(datum) {
                    continue;
                }
                Refusal::new(
                    "points-into-code",
                    &patched.items[datum].name,
                    section,
                    format!("it contains addresses inside {name}(), which the fix changes, and they would still point into the old code"),
                    "make the table const, or do not change the function",
                )
            }
            (Some(Class::AtBoot(what)), _) => Refusal::new(
                "changed-at-boot",
                name,
                section,
                format!("while it boots, the kernel writes {what} into this code, and only in its own image"),
                "make the change in a function that uses no such value",
            ),
            _ => Refusal::new(
                "unknown-section",
                name,
                section,
                "this section refers to addresses inside the function, and kmend does not know what it is for".into(),
                "do not change the function, or request support for the section",
            ),
        });
    }
}

/// Sections whose contents are compared by name, or belong to the code that refers to them.
fn is_plain(name: &str) -> bool {
    matches!(known::class_of(name), Some(Class::Data | Class::Start | Class::File))
}
