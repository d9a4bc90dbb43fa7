// SPDX-License-Identifier: GPL-2.0-or-later
//! The signature that is appended to a module's file: bytes of the file in, whether there is a whole one out. Whether it
//! is good and its key known only the kernel can say.

use super::Fault;

/// The end of a signed module (include/linux/module_signature.h, MODULE_SIG_STRING).
const MARK: &[u8] = b"~Module signature appended~\n";
/// Bytes of `struct module_signature`, which is before the mark.
const HEADER: usize = 12;
/// Its field `id_type`: PKEY_ID_PKCS7.
const PKCS7: u8 = 2;

/// A signed module, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// What is signed.
    pub content: &'a [u8],
    /// The signature: PKCS#7 in DER.
    pub der: &'a [u8],
}

/// Whether the file carries a signature.
///
/// # Errors
/// As of [`parts`].
pub fn is_signed(bytes: &[u8]) -> Result<bool, Fault> {
    Ok(parts(bytes)?.is_some())
}

/// The content and the signature of a signed module; None where it has no signature.
///
/// # Errors
/// The mark is there, and before it no signature that the kernel would read (kernel/module_signature.c, mod_check_sig).
pub fn parts(bytes: &[u8]) -> Result<Option<Parts<'_>>, Fault> {
    let Some(rest) = bytes.strip_suffix(MARK) else { return Ok(None) };
    let damaged = |reason: &str| Fault::new("appended signature", format!("{reason}: it is damaged"));
    let (rest, header) =
        rest.split_last_chunk::<HEADER>().ok_or_else(|| damaged("there is no header before the marker"))?;
    let length = u32::from_be_bytes([header[8], header[9], header[10], header[11]]) as usize;
    if header[2] != PKCS7 {
        return Err(damaged("it is not of the kind PKCS#7"));
    }
    if [0, 1, 3, 4, 5, 6, 7].iter().any(|at| header[*at] != 0) {
        return Err(damaged("bytes before its length are not zero"));
    }
    if length == 0 || length > rest.len() {
        return Err(damaged(&format!("it should be {length} bytes, and there are {} before it", rest.len())));
    }
    let (content, der) = rest.split_at(rest.len() - length);
    Ok(Some(Parts { content, der }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_told_from_their_absence_and_from_damage() {
        let signed = |kind: u8, length: u32| {
            let mut bytes = vec![0x7f; 40];
            bytes.extend([0, 0, kind, 0, 0, 0, 0, 0]);
            bytes.extend(length.to_be_bytes());
            bytes.extend(MARK);
            bytes
        };
        assert!(!is_signed(b"").unwrap() && !is_signed(&[0; 100]).unwrap());
        assert!(is_signed(&signed(2, 40)).unwrap());
        for bad in [signed(2, 41), signed(2, 0), signed(2, u32::MAX), signed(1, 40), MARK.to_vec()] {
            assert!(is_signed(&bad).unwrap_err().reason.ends_with("it is damaged"));
        }
        let other = signed(2, 12);
        assert_eq!(parts(&other).unwrap(), Some(Parts { content: &[0x7f; 28], der: &[0x7f; 12] }));
        for at in [0, 1, 3, 4, 5, 6, 7] {
            let mut bad = signed(2, 40);
            bad[40 + at] = 1;
            assert!(is_signed(&bad).unwrap_err().reason.contains("not zero"), "byte {at}");
        }
        let whole = signed(2, 40);
        for end in 0..whole.len() {
            assert!(!is_signed(&whole[..end]).unwrap(), "cut to {end}");
        }
    }
}
