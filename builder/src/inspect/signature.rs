// SPDX-License-Identifier: GPL-2.0-or-later
//! The signature that `sign-file` puts behind a module (kernel/module/signing.c): who signed it, by its own
//! word. Nothing is verified here; [`crate::sign`] does, against a certificate.

use anyhow::{ensure, Context, Result};
use serde::Serialize;

/// The mark at the end of a signed module.
pub const MAGIC: &[u8] = b"~Module signature appended~\n";
/// Bytes of `struct module_signature`: algo, hash, id_type, signer_len, key_id_len, three of padding, sig_len.
pub const INFO: usize = 12;
/// `PKEY_ID_PKCS7`.
pub const PKCS7: u8 = 2;

/// A signature behind a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// Its form: `PKCS#7`, or another id_type by number.
    pub kind: String,
    /// Bytes of the signature proper.
    pub size: u64,
    /// Common name in the signer's certificate.
    pub signer: Option<String>,
    /// Serial number of that certificate, or the key's identifier, hexadecimal.
    pub key: Option<String>,
    /// Hash that was signed: sha256, sha512 …
    pub hash: Option<String>,
    /// Whether it is that of the certificate that was given; None where none was.
    pub verified: Option<bool>,
}

/// A signed module in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The module, which was signed.
    pub content: &'a [u8],
    /// The signature.
    pub der: &'a [u8],
    /// Its form: [`PKCS7`], or what else the kernel once had.
    pub id_type: u8,
    /// Whether the bytes of `struct module_signature` that have to be zero are so (kernel/module_signature.c, mod_check_sig):
    /// algorithm, hash, both lengths, padding.
    pub is_plain: bool,
}

/// The signature behind a module; None where there is none.
///
/// # Errors
/// The mark of a signature without one in front of it.
pub fn of_module(ko: &[u8]) -> Result<Option<Signature>> {
    let Some(Parts { der, id_type, .. }) = split(ko)? else { return Ok(None) };
    let kind = match id_type {
        PKCS7 => "PKCS#7".to_string(),
        other => format!("type {other}"),
    };
    let size = der.len() as u64;
    let mut signature = Signature { kind, size, signer: None, key: None, hash: None, verified: None };
    if id_type == PKCS7 {
        describe(&mut signature, der);
    }
    Ok(Some(signature))
}

/// Takes a signed module apart; None where it is not signed.
///
/// # Errors
/// The mark of a signature without one in front of it.
pub fn split(ko: &[u8]) -> Result<Option<Parts<'_>>> {
    let Some(rest) = ko.strip_suffix(MAGIC) else { return Ok(None) };
    let info = rest.len().checked_sub(INFO).and_then(|at| rest.get(at..)).context("it is cut off")?;
    let size = u32::from_be_bytes([info[8], info[9], info[10], info[11]]) as usize;
    let end = rest.len() - INFO;
    ensure!(size > 0 && size < end, "it says that it has {size} bytes, but only {end} come before it");
    let is_plain = info[..2].iter().chain(&info[3..8]).all(|&b| b == 0);
    Ok(Some(Parts { content: &rest[..end - size], der: &rest[end - size..end], id_type: info[2], is_plain }))
}

/// Whether a PKCS#7 signature holds nothing that it signs: encapContentInfo is its type and no more.
pub fn is_detached(der: &[u8]) -> bool {
    let content = || {
        let (_, content) = values(inside(der, SEQUENCE)?).nth(1)?;
        // SignedData { version, digestAlgorithms, encapContentInfo, … }
        let (tag, info) = values(inside(content, SEQUENCE)?).nth(2)?;
        (tag == SEQUENCE).then(|| values(info).count())
    };
    content() == Some(1)
}

/// DER tags (ITU-T X.690) of what a SignedData (RFC 5652, section 5) is made of.
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const INTEGER: u8 = 0x02;
const KEY_ID: u8 = 0x80;

/// One DER value: tag, contents, what follows.
fn value(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = data.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |n, &b| n << 8 | usize::from(b)), rest)
        }
        _ => return None,
    };
    let (inside, after) = rest.split_at_checked(len)?;
    Some((tag, inside, after))
}

/// All values that are in a row.
fn values(mut data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, inside, after) = value(data)?;
        data = after;
        Some((tag, inside))
    })
}

fn inside(data: &[u8], tag: u8) -> Option<&[u8]> {
    value(data).filter(|v| v.0 == tag).map(|v| v.1)
}

fn describe(signature: &mut Signature, der: &[u8]) -> Option<()> {
    // ContentInfo { OID, [0] SignedData { version, …, signerInfos } }
    let (_, content) = values(inside(der, SEQUENCE)?).nth(1)?;
    let infos = values(inside(content, SEQUENCE)?).filter(|v| v.0 == SET).last()?.1;
    // SignerInfo { version, issuer and serial number or key identifier, digest algorithm, … }
    let mut fields = values(inside(infos, SEQUENCE)?).skip(1);
    let (tag, id) = fields.next()?;
    if tag == KEY_ID {
        signature.key = Some(crate::files::hex(id));
    } else {
        let mut parts = values(id);
        signature.signer = common_name(parts.next()?.1);
        signature.key = parts.next().filter(|v| v.0 == INTEGER).map(|v| crate::files::hex(v.1));
    }
    signature.hash = hash_name(inside(fields.next()?.1, OID)?).map(str::to_string);
    Some(())
}

fn common_name(name: &[u8]) -> Option<String> {
    let attributes = values(name).filter_map(|(_, set)| inside(set, SEQUENCE));
    for attribute in attributes {
        let mut parts = values(attribute);
        // id-at-commonName, 2.5.4.3
        if parts.next()?.1 == [0x55, 4, 3] {
            return Some(String::from_utf8_lossy(parts.next()?.1).chars().filter(|c| !c.is_control()).collect());
        }
    }
    None
}

/// NIST's hash algorithms, 2.16.840.1.101.3.4.2.*, and SHA-1, 1.3.14.3.2.26.
fn hash_name(oid: &[u8]) -> Option<&'static str> {
    if oid == [0x2b, 14, 3, 2, 26] {
        return Some("sha1");
    }
    match oid.strip_prefix(&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2])? {
        [1] => Some("sha256"),
        [2] => Some("sha384"),
        [3] => Some("sha512"),
        [4] => Some("sha224"),
        [8] => Some("sha3-256"),
        [9] => Some("sha3-384"),
        [10] => Some("sha3-512"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let data = parts.concat();
        let mut out = vec![tag];
        match data.len() {
            n @ 0..=127 => out.push(n as u8),
            n => out.extend([0x82, (n >> 8) as u8, n as u8]),
        }
        out.extend(data);
        out
    }

    fn signed(pkcs7: &[u8]) -> Vec<u8> {
        let mut ko = b"a module".to_vec();
        ko.extend(pkcs7);
        ko.extend([0, 0, PKCS7, 0, 0, 0, 0, 0]);
        ko.extend((pkcs7.len() as u32).to_be_bytes());
        ko.extend(MAGIC);
        ko
    }

    fn example() -> Vec<u8> {
        let text = |oid: u8, s: &str| {
            der(SET, &[&der(SEQUENCE, &[&der(OID, &[&[0x55, 4, oid]]), &der(0x0c, &[s.as_bytes()])])])
        };
        let name = der(SEQUENCE, &[&text(10, "An organisation"), &text(3, "A signer")]);
        let sha512 = der(SEQUENCE, &[&der(OID, &[&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3]])]);
        let sid = der(SEQUENCE, &[&name, &der(INTEGER, &[&[0x12, 0x34]])]);
        let info = der(SEQUENCE, &[&der(INTEGER, &[&[1]]), &sid, &sha512, &der(4, &[&[7; 256]])]);
        let data =
            der(SEQUENCE, &[&der(INTEGER, &[&[1]]), &der(SET, &[&sha512]), &der(SEQUENCE, &[]), &der(SET, &[&info])]);
        der(SEQUENCE, &[&der(OID, &[&[1, 2, 3]]), &der(0xa0, &[&data])])
    }

    #[test]
    fn names_the_signer() {
        let found = of_module(&signed(&example())).unwrap().unwrap();
        assert_eq!(found.kind, "PKCS#7");
        assert_eq!(found.signer.as_deref(), Some("A signer"));
        assert_eq!(found.key.as_deref(), Some("1234"));
        assert_eq!(found.hash.as_deref(), Some("sha512"));
        assert_eq!(of_module(b"a module").unwrap(), None);
    }

    #[test]
    fn what_is_malformed_is_no_panic() {
        assert!(of_module(MAGIC).is_err());
        let good = signed(&example());
        let tail = good.len() - MAGIC.len();
        for at in 0..tail {
            for bit in [1, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= bit;
                let _ = of_module(&bad);
            }
            let cut = [&good[at..tail], MAGIC].concat();
            let _ = of_module(&cut);
        }
    }
}
