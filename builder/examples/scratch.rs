//! x
use kmend_builder::*;
fn main() -> anyhow::Result<()> {
    let i = image::Image::load(std::path::Path::new("/tmp/x/vmlinux"))?;
    for f in std::env::args().skip(1) {
        let o = elf::read::read(&std::fs::read(&f)?, elf::read::Take::NoDebug)?;
        let t = std::time::Instant::now();
        let p = prove::prove(&o, &i, 16);
        let ok = p.functions.values().filter(|v| matches!(v, prove::Verdict::Proven(_))).count();
        println!("{f}: {ok}/{} {:?}", p.functions.len(), t.elapsed());
        for (n, v) in &p.functions {
            if !matches!(v, prove::Verdict::Proven(_)) {
                println!("  {n} {v:?}");
            }
        }
        for (s, at) in &p.sections {
            println!("  {} @ {:x}", o.sections[*s].name, at.at);
        }
    }
    Ok(())
}
