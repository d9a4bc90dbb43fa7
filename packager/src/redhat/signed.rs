// SPDX-License-Identifier: GPL-2.0-or-later
//! Signatures of RPMs that are made already: a package file's bytes in; whether it is signed, and the same package with
//! another signature, out. Everything but the signature stays as it is.

use crate::signing::{Algorithm, Key};
use anyhow::{Context, Result};
use base64::prelude::{Engine, BASE64_STANDARD};
use rpm::{Header, HeaderEntry, IndexData, IndexSignatureTag, Package};

/// Whether somebody has signed the RPM `bytes`; who, and whether the signature is good, is not asked.
///
/// # Errors
/// It is no RPM.
pub fn is_signed(bytes: &[u8]) -> Result<bool> {
    Ok(!parse(bytes)?.raw_signatures().context("its signatures")?.is_empty())
}

/// The same RPM, signed only by `key`: what [`super::live_patch`] makes with that key.
///
/// # Errors
/// It is no RPM; the key cannot sign.
pub fn sign(bytes: &[u8], key: &Key) -> Result<Vec<u8>> {
    let mut package = parse(bytes)?;
    let built = package.metadata.get_build_time().context("when it was built")?;
    let header = package.header_bytes().context("its header")?;
    let signature = key.detached(&header, i64::try_from(built)?).context("it cannot be signed")?;
    package.metadata.signature =
        with(&package.metadata.signature, signature, key.algorithm()).context("its signatures")?;
    let mut bytes = Vec::new();
    package.write(&mut bytes).context("it cannot be written")?;
    Ok(bytes)
}

/// Tags of signatures that older packages have: of the header and the payload as one.
const OF_BOTH: [IndexSignatureTag; 2] = [IndexSignatureTag::RPMSIGTAG_PGP, IndexSignatureTag::RPMSIGTAG_GPG];

/// A signature header as rpm 6 and older ones read it: the signature twice, under OPENPGP and under the older tag of its kind. Sums
/// and sizes stay. The rpm crate writes signatures only where it is compiled with a library of OpenPGP.
fn with(
    header: &Header<IndexSignatureTag>,
    signature: Vec<u8>,
    algorithm: Algorithm,
) -> Result<Header<IndexSignatureTag>> {
    use IndexSignatureTag as Tag;
    let own = [Tag::HEADER_SIGNATURES, Tag::RPMSIGTAG_OPENPGP, Tag::RPMSIGTAG_RSA, Tag::RPMSIGTAG_DSA];
    let replaced = |tag: u32| own.iter().chain(&OF_BOTH).any(|own| *own as u32 == tag);
    let kept = header.get_all_entries()?.into_iter().filter(|(tag, _)| !replaced(*tag));
    let mut entries: Vec<_> = kept.map(|(tag, data)| HeaderEntry::new(tag, data)).collect();
    let older = match algorithm {
        Algorithm::Rsa => Tag::RPMSIGTAG_RSA,
        _ => Tag::RPMSIGTAG_DSA,
    };
    let text = IndexData::StringArray(vec![BASE64_STANDARD.encode(&signature)]);
    entries.push(HeaderEntry::new(Tag::RPMSIGTAG_OPENPGP as u32, text));
    entries.push(HeaderEntry::new(older as u32, IndexData::Bin(signature)));
    Ok(Header::from_entries(entries, Tag::HEADER_SIGNATURES))
}

fn parse(bytes: &[u8]) -> Result<Package> {
    Package::parse(&mut std::io::Cursor::new(bytes)).context("it is no RPM")
}
