// SPDX-License-Identifier: GPL-2.0-or-later
//! Writes an initramfs: files in, a newc cpio archive out (the kernel's Documentation/driver-api/early-userspace/
//! buffer-format.rst has the layout).

/// An archive under construction.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a folder; its parents have to be there.
    pub fn dir(&mut self, path: &str) {
        self.entry(path, 0o040_755, &[]);
    }

    /// Adds a file that may be run.
    pub fn program(&mut self, path: &str, data: &[u8]) {
        self.entry(path, 0o100_755, data);
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, data: &[u8]) {
        self.entry(path, 0o100_644, data);
    }

    /// Adds a symbolic link at `path` that leads to `to`.
    pub fn link(&mut self, path: &str, to: &str) {
        self.entry(path, 0o120_777, to.as_bytes());
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, data: &[u8]) {
        let path = path.trim_start_matches('/');
        self.entries += 1;
        let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
        // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
        let fields = [self.entries, mode, 0, 0, links, 0, data.len() as u32, 0, 0, 0, 0, path.len() as u32 + 1, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        let padded = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(padded, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_names_and_data_are_aligned() {
        let mut a = Archive::default();
        a.dir("/bin");
        a.file("/bin/x", b"hello");
        let bytes = a.finish();
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[110..114], b"bin\0");
        assert_eq!(bytes.len() % 4, 0);
        let second = 116;
        assert_eq!(&bytes[second..second + 6], b"070701");
        assert_eq!(&bytes[second + 6 + 8..second + 6 + 16], b"000081a4");
        assert_eq!(&bytes[second + 6 + 48..second + 6 + 56], b"00000005");
        assert_eq!(&bytes[second + 110..second + 116], b"bin/x\0");
        assert_eq!(&bytes[second + 116..second + 121], b"hello");
    }
}
