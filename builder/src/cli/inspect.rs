// SPDX-License-Identifier: GPL-2.0-or-later
//! kmend-build inspect: what a finished live patch holds.

use crate::error::Ended;
use crate::inspect::fit::{fit, Fit};
use crate::inspect::{inspect, Report};
use crate::manifest::Manifest;
use crate::target::modules;
use crate::{sign, target};
use anyhow::{Context, Result};
use clap::Args;
use std::path::PathBuf;

/// Show what a finished live patch contains, and whether it fits a kernel.
///
/// Reads kmend's own live patches best, and those of kpatch-build, klp-build and C sources as far as they
/// can be read from the module. docs/inspect.md has the fields of --json. Exit code 0: said, it fits, the signature
/// holds; 1: unusable input; 2: it does not fit the target, or the signature is not verified.
#[derive(Args)]
pub struct InspectArgs {
    /// The live patch, also compressed (.ko, .ko.xz, .ko.zst, .ko.gz)
    #[arg(value_name = "FILE.ko")]
    module: PathBuf,
    /// Check whether it fits this kernel, as listed by `target list`
    #[arg(short, long)]
    target: Option<String>,
    /// Check that it is signed with the key of this certificate (PEM or DER)
    #[arg(long, value_name = "CERT")]
    verify_cert: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &InspectArgs) -> Result<()> {
    let target = args.target.as_deref().map(target::store::load).transpose()?;
    let bytes = modules::bytes(&args.module)?;
    let mut report = inspect(&bytes).with_context(|| args.module.display().to_string())?;
    if let Some(target) = target {
        report.fit = Some(fit(&bytes, &report, &target)?);
    }
    let verified = args.verify_cert.as_ref().map(|cert| sign::verify(&bytes, &args.module.display().to_string(), cert));
    // A certificate that cannot be read says nothing of the module.
    let verified = match verified {
        Some(Err(error)) => Some(Err(error.downcast::<Ended>()?)),
        Some(Ok(())) => Some(Ok(())),
        None => None,
    };
    if let Some(signature) = &mut report.signature {
        signature.verified = verified.as_ref().map(Result::is_ok);
    }
    if args.json {
        print_json!(serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", text(&report));
    }
    if let Some(Err(error)) = verified {
        return Err(error.into());
    }
    match report.fit {
        Some(Fit { target, fits: false, reasons, .. }) => {
            let name = report.name.unwrap_or_else(|| args.module.display().to_string());
            Err(Ended::does_not_fit(&name, &target, &reasons).into())
        }
        _ => Ok(()),
    }
}

/// The report for a person.
fn text(report: &Report) -> String {
    let mut out = String::new();
    let name = report.name.as_deref().unwrap_or("a module without a name");
    let release = report.release().unwrap_or("a kernel that it does not name");
    let what = if report.livepatch { "live patch" } else { "a module, but no live patch," };
    let mut line = |s: String| {
        out.push_str(&s);
        out.push('\n');
    };
    line(format!("{name}: {what} for {release} ({})", report.arch));
    let field = |key: &str, value: &str| format!("  {key:<12} {value}");
    let first = |key: &str| report.modinfo.get(key).and_then(|v| v.first());
    for key in ["description", "version", "author", "license", "depends", "vermagic"] {
        if let Some(value) = first(key).filter(|v| !v.is_empty()) {
            line(field(key, value.trim_end()));
        }
    }
    line(field("build id", report.build_id.as_deref().unwrap_or("none")));
    line(field("file", &format!("{} bytes, sha256 {}", report.size, report.sha256)));
    line(field("signature", &signature(report)));
    if let Some(replace) = report.replace {
        let said =
            if replace { "all older live patches (atomic replace)" } else { "none: older live patches stay active" };
        line(field("replaces", said));
    }
    line(field("made by", &maker(report)));
    if let Some(manifest) = &report.manifest {
        let t = &manifest.target;
        let version = if t.version.is_empty() { String::new() } else { format!(" {}", t.version) };
        line(field("made for", &format!("{}{version}, build id {}", t.name, t.build_id)));
        if let Some(stream) = &manifest.stream {
            line(field("stream", &format!("{} {} of {}", stream.name, stream.version, stream.date)));
            if let Some(until) = &stream.supported_until {
                line(field("supported", &format!("until {until}")));
            }
            if let Some(level) = &stream.level {
                line(field("level", level));
            }
        }
        if let Some(audit) = &manifest.audit {
            line(field("references", &audit.to_string()));
        }
        line("fixes".into());
        for fix in &manifest.fixes {
            line(format!("  {} ({})", fix.title, fix.file));
            let since = fix.since.as_ref().map(|since| format!("since {since}"));
            let told: Vec<String> =
                fix.severity.iter().chain(&fix.cves).chain(&fix.tickets).cloned().chain(since).collect();
            if !told.is_empty() {
                line(format!("    {}", told.join(", ")));
            }
            fix.missing().into_iter().for_each(|missing| line(format!("    {missing}")));
        }
        let not_carried = manifest.stream.iter().flat_map(|s| &s.not_carried);
        not_carried.for_each(|n| line(format!("not carried: {}: {}", n.cve, n.reason)));
        if !manifest.allowed_unproven.is_empty() {
            line("NOT PROVEN, accepted by --allow-unproven".into());
        }
        manifest.allowed_unproven.iter().for_each(|unproven| line(format!("  {unproven}")));
    }
    for object in report.objects.iter().flatten() {
        line(format!("replaces in {}", object.name));
        for f in &object.functions {
            let position = if f.sympos > 0 { format!(", number {} of this name", f.sympos) } else { String::new() };
            let source = report.manifest.as_ref().and_then(|m| source_of(m, &object.name, &f.name));
            let source = source.map_or(String::new(), |s| format!(" ({s})"));
            line(format!("  {}{position}{source}", f.name));
        }
    }
    if let Some(manifest) = report.manifest.as_ref().filter(|m| !m.callbacks.is_empty()) {
        line("callbacks".into());
        for c in &manifest.callbacks {
            line(format!("  {} of {}: {} ({})", c.kind.name(), c.object, c.function, c.source));
        }
    }
    if let Some(manifest) = report.manifest.as_ref().filter(|m| !m.states.is_empty()) {
        line("states".into());
        manifest.states.iter().for_each(|s| line(format!("  {:#x} in version {}", s.id, s.version)));
    }
    if !report.livepatch_sections.is_empty() {
        line("livepatch relocations".into());
    }
    for s in &report.livepatch_sections {
        line(format!("  {} in {}, applied with {}", s.relocations, s.applies_to, s.needs));
    }
    for s in &report.livepatch_symbols {
        let position = if s.sympos > 0 { format!(", number {} of this name", s.sympos) } else { String::new() };
        line(format!("  {}:{}{position}, {}", s.object, s.name, times(s.relocations)));
    }
    let (rust, plain): (Vec<&String>, Vec<&String>) = report.symbols_used.iter().partition(|s| s.starts_with("_R"));
    if !report.symbols_used.is_empty() {
        line("uses of the kernel".into());
        wrapped(&plain).into_iter().for_each(|l| line(format!("  {l}")));
    }
    if !rust.is_empty() {
        line(format!("  and {} symbols of its Rust crates", rust.len()));
    }
    report.remarks.iter().for_each(|remark| line(format!("note: {remark}")));
    if let Some(fit) = &report.fit {
        fit.unchecked.iter().for_each(|what| line(format!("not checked: {what}")));
        line(format!("fits {}: {}", fit.target, if fit.fits { "yes" } else { "no" }));
    }
    out
}

fn signature(report: &Report) -> String {
    let Some(s) = &report.signature else { return "none".into() };
    let mut parts = vec![s.kind.clone()];
    parts.extend(s.hash.clone());
    parts.extend(s.signer.as_ref().map(|signer| format!("by {signer:?}")));
    parts.extend(s.key.as_ref().map(|key| format!("key {key}")));
    let verified = match s.verified {
        Some(true) => "verified",
        Some(false) => "NOT THAT OF THE CERTIFICATE",
        None => "not verified",
    };
    format!("{} ({verified})", parts.join(", "))
}

fn maker(report: &Report) -> String {
    use crate::klp::Maker;
    let tool = |name: &str| report.manifest.as_ref().and_then(|m| m.tools.get(name)).cloned();
    match report.made_by {
        Some(Maker::Kmend) => {
            let version = tool("kmend-build").unwrap_or_default();
            let with: Vec<String> = [tool("cc"), tool("rustc")].into_iter().flatten().collect();
            let arch = report.manifest.as_ref().map(|m| m.target.arch.clone());
            let crossed = tool("machine").filter(|machine| Some(machine) != arch.as_ref());
            let on = crossed.map_or(String::new(), |machine| format!(" on {machine}, cross-compiling,"));
            format!("kmend-build {version}{on} with {}", with.join(" and "))
        }
        Some(Maker::Kpatch) => "kpatch-build".into(),
        Some(Maker::KlpBuild) => "klp-build".into(),
        Some(Maker::CSource) => "a C source that registers the functions itself".into(),
        None => "unknown".into(),
    }
}

fn source_of<'a>(manifest: &'a Manifest, object: &str, function: &str) -> Option<&'a str> {
    let units = manifest.units.iter().filter(|u| u.object == object);
    units.filter(|u| u.functions.iter().any(|f| f.name == function)).map(|u| u.source.as_str()).next()
}

fn times(n: usize) -> String {
    if n == 1 {
        "once".into()
    } else {
        format!("{n} times")
    }
}

/// Names in lines of at most 100 characters.
fn wrapped(names: &[&String]) -> Vec<String> {
    let mut lines = vec![String::new()];
    for name in names {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + name.len() > 100 {
            lines.push((*name).clone());
        } else {
            let blank = if lines[last].is_empty() { "" } else { " " };
            lines[last] += &format!("{blank}{name}");
        }
    }
    lines.retain(|l| !l.is_empty());
    lines
}
