// SPDX-License-Identifier: GPL-2.0-or-later
//! A live patch's file as far as a host looks at it: sections .modinfo, the manifest's note, the build id's.

/// What goes into one.
#[derive(Clone)]
pub struct Ko {
    /// `e_machine`: 62 is x86_64, 21 ppc64le, 183 aarch64.
    pub machine: u16,
    /// Texts of .modinfo.
    pub modinfo: Vec<String>,
    /// The manifest as JSON.
    pub manifest: Option<String>,
    /// Its own build id.
    pub build_id: Vec<u8>,
}

impl Ko {
    /// A sound one without a manifest.
    pub fn new(name: &str, release: &str) -> Self {
        Self {
            machine: 62,
            modinfo: vec![
                format!("name={name}"),
                "license=GPL".into(),
                "livepatch=Y".into(),
                format!("vermagic={release} SMP preempt mod_unload modversions "),
            ],
            manifest: None,
            build_id: name.as_bytes().to_vec(),
        }
    }

    /// One as kmend-build makes it, with these fixes.
    pub fn with_manifest(name: &str, release: &str, titles: &[&str]) -> Self {
        let fixes: Vec<String> =
            titles.iter().map(|t| format!(r#"{{"file":"a.patch","title":"{t}","sha256":"00"}}"#)).collect();
        let manifest = format!(
            r#"{{"schema":1,"name":"{name}","replace":true,"target":{{"name":"t","arch":"x86_64","release":"{release}","version":"","build_id":"abcd0102"}},"fixes":[{}],"units":[],"unknown":7}}"#,
            fixes.join(",")
        );
        Self { manifest: Some(manifest), ..Self::new(name, release) }
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let modinfo: Vec<u8> = self.modinfo.iter().flat_map(|t| [t.as_bytes(), b"\0"].concat()).collect();
        let mut sections = vec![
            (".modinfo", 1, modinfo),
            (".note.gnu.build-id", 7, note(b"GNU\0", 3, &self.build_id)),
            (".text", 1, vec![0xc3; 16]),
        ];
        if let Some(manifest) = &self.manifest {
            sections.push((".note.kmend", 7, note(b"kmend\0", 1, manifest.as_bytes())));
        }
        elf(self.machine, sections)
    }
}

/// One ELF note.
pub fn note(owner: &[u8], kind: u32, desc: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((owner.len() as u32).to_le_bytes());
    out.extend((desc.len() as u32).to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend(owner);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(desc);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// A 64-bit little-endian relocatable file of these sections: name, type, bytes.
pub fn elf(machine: u16, mut sections: Vec<(&str, u32, Vec<u8>)>) -> Vec<u8> {
    let mut names = vec![0];
    let mut offsets = Vec::new();
    sections.push((".shstrtab", 3, Vec::new()));
    for (name, _, _) in &sections {
        offsets.push(names.len() as u32);
        names.extend(name.as_bytes());
        names.push(0);
    }
    sections.last_mut().expect("one was pushed").2 = names;
    let mut data = vec![0u8; 64];
    let mut table = vec![0u8; 64];
    for ((_, kind, bytes), name) in sections.iter().zip(offsets) {
        table.extend(name.to_le_bytes());
        table.extend(kind.to_le_bytes());
        table.extend(2u64.to_le_bytes());
        table.extend(0u64.to_le_bytes());
        table.extend((data.len() as u64).to_le_bytes());
        table.extend((bytes.len() as u64).to_le_bytes());
        table.extend([0; 8]);
        table.extend(4u64.to_le_bytes());
        table.extend(0u64.to_le_bytes());
        data.extend(bytes);
        data.resize(data.len().next_multiple_of(8), 0);
    }
    let at = data.len() as u64;
    data.extend(table);
    data[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    data[16..18].copy_from_slice(&1u16.to_le_bytes());
    data[18..20].copy_from_slice(&machine.to_le_bytes());
    data[20..24].copy_from_slice(&1u32.to_le_bytes());
    data[40..48].copy_from_slice(&at.to_le_bytes());
    data[52..54].copy_from_slice(&64u16.to_le_bytes());
    data[58..60].copy_from_slice(&64u16.to_le_bytes());
    data[60..62].copy_from_slice(&(sections.len() as u16 + 1).to_le_bytes());
    data[62..64].copy_from_slice(&(sections.len() as u16).to_le_bytes());
    data
}
