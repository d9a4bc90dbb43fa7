// SPDX-License-Identifier: GPL-2.0-or-later
//! The key that packages and repositories are signed with: an OpenPGP secret key in a file, as `gpg --export-secret-keys`
//! writes it, not locked by a passphrase. The machine's gpg reads it and signs.

use crate::gpg::{self, Home, Said};
use anyhow::{bail, ensure, Context, Result};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that is larger is no secret key.
const LARGEST: u64 = 4 << 20;
const REMEDY: &str =
    "what you can do: write the key down with `gpg --export-secret-keys --armor KEY`, without a passphrase";
/// libgpg-error's GPG_ERR_NO_PIN_ENTRY: a passphrase would have to be asked for.
const NO_PINENTRY: u32 = 85;
/// An error's code without its source.
const CODE: u32 = 0xffff;

/// A secret key. Its copies share one GnuPG home folder, which is removed with the last of them.
#[derive(Clone, Debug)]
pub struct Key {
    path: PathBuf,
    home: Arc<Home>,
    /// Fingerprint of the primary key, hexadecimal.
    fingerprint: String,
    signer: Part,
    /// When key and signing subkey were both there, seconds since 1970.
    created: u32,
}

/// What signs: the subkey that is made for it, else the key itself.
#[derive(Clone, Debug)]
struct Part {
    fingerprint: String,
    algorithm: Algorithm,
    created: u32,
    validity: char,
    can_sign: bool,
    is_here: bool,
}

/// OpenPGP's public key algorithms that rpm knows (RFC 9580, 9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rsa,
    EcdsaOrEddsa,
    Other,
}

impl Key {
    /// Reads the key from a file with one secret key, with ASCII armor or without. Of several it is the first.
    ///
    /// # Errors
    /// No such key, one that is locked by a passphrase, expired or revoked, or no gpg on this machine.
    pub fn read(path: &Path) -> Result<Key> {
        let shown = path.display();
        let bytes = read(path)?;
        let home = Home::new().with_context(|| format!("the key in {shown} cannot be used"))?;
        let file = gpg::lay(&home, &bytes)?;
        let import = home.run(["--import".as_ref(), file.path().as_os_str()])?;
        drop(file);
        let fingerprint =
            imported(&import).with_context(|| format!("{shown} holds no OpenPGP secret key\n  {REMEDY}"))?;
        let listed = home.run(["--with-colons", "--list-secret-keys", &fingerprint])?;
        let parts = parts(&String::from_utf8_lossy(&listed.out));
        let primary = parts.first().with_context(|| format!("gpg cannot list the key in {shown}:\n{}", listed.text))?;
        let signer = signer(&parts).with_context(|| format!("the key in {shown} cannot sign packages"))?;
        let created = primary.created.max(signer.created);
        let key = Key { path: path.into(), home: Arc::new(home), fingerprint, signer: signer.clone(), created };
        // gpg asks for a passphrase when it signs, and not before.
        key.detached(b"", 0)?;
        Ok(key)
    }

    /// Its fingerprint, hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    /// Which kind of signature it makes.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.signer.algorithm
    }

    /// `text` between the lines of a signed message, as InRelease has it.
    pub(crate) fn clear_sign(&self, text: &str, date: i64) -> Result<String> {
        self.text(&["--clear-sign"], text.as_bytes(), date)
    }

    /// A signature in a file of its own, as repomd.xml.asc.
    pub(crate) fn beside(&self, data: &[u8], date: i64) -> Result<String> {
        self.text(&["--armor", "--detach-sign"], data, date)
    }

    /// A signature without armor, as RPMs have it.
    pub(crate) fn detached(&self, data: &[u8], date: i64) -> Result<Vec<u8>> {
        self.sign(&["--detach-sign"], data, date)
    }

    fn text(&self, how: &[&str], data: &[u8], date: i64) -> Result<String> {
        String::from_utf8(self.sign(how, data, date)?).context("gpg's signature is no text")
    }

    /// A signature with SHA-256 by [`Self::signer`], dated `date` or as near to it as is believed. RSA, ECDSA and Ed25519 as gpg has
    /// them give the same signature each time.
    fn sign(&self, how: &[&str], data: &[u8], date: i64) -> Result<Vec<u8>> {
        let shown = self.path.display();
        let (time, signer) = (format!("{}!", when(date, self.created)?), format!("{}!", self.signer.fingerprint));
        let file = gpg::lay(&self.home, data)?;
        let options =
            ["--faked-system-time", &time, "--local-user", &signer, "--digest-algo", "SHA256", "--output", "-"];
        let args = options.iter().chain(how).map(AsRef::as_ref).chain([file.path().as_os_str()]);
        let said = self.home.run(args)?;
        if said.good && said.reported("SIG_CREATED").is_some() {
            return Ok(said.out);
        }
        ensure!(!is_locked(&said), "the key in {shown} is locked by a passphrase\n  {REMEDY}");
        bail!("gpg cannot sign with the key in {shown}:\n{}", said.text)
    }
}

/// The bytes of the file, which may be a pipe.
fn read(path: &Path) -> Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    File::open(path).with_context(cannot)?.take(LARGEST + 1).read_to_end(&mut bytes).with_context(cannot)?;
    let fits = u64::try_from(bytes.len()).is_ok_and(|size| size <= LARGEST);
    ensure!(fits, "{} has more than {LARGEST} bytes: that is no secret key\n  {REMEDY}", path.display());
    Ok(bytes)
}

/// The fingerprint of the first key whose secret part was read.
fn imported(import: &Said) -> Option<String> {
    const SECRET: u32 = 16;
    let all = import.all_reported("IMPORT_OK").collect::<Vec<_>>();
    all.iter().find_map(|values| match values[..] {
        [flags, fingerprint] if flags.parse::<u32>().is_ok_and(|f| f & SECRET != 0) => Some(fingerprint.to_owned()),
        _ => None,
    })
}

/// Key and subkeys of a listing of one key (GnuPG's doc/DETAILS), the key first.
fn parts(listing: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for line in listing.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let field = |number: usize| fields.get(number - 1).copied().unwrap_or_default();
        match field(1) {
            "sec" | "ssb" => parts.push(Part {
                fingerprint: String::new(),
                algorithm: match field(4) {
                    "1" => Algorithm::Rsa,
                    "19" | "22" => Algorithm::EcdsaOrEddsa,
                    _ => Algorithm::Other,
                },
                created: field(6).parse().unwrap_or(0),
                validity: field(2).chars().next().unwrap_or('-'),
                can_sign: field(12).contains('s'),
                is_here: !field(15).starts_with('#'),
            }),
            "fpr" => parts.last_mut().into_iter().for_each(|part| part.fingerprint = field(10).into()),
            _ => {}
        }
    }
    parts
}

/// The first subkey that can sign, else the key itself.
fn signer(parts: &[Part]) -> Result<&Part> {
    let (primary, subkeys) = parts.split_first().context("no key")?;
    let made_for_it: Vec<&Part> = subkeys.iter().chain([primary]).filter(|part| part.can_sign).collect();
    // Keys of OpenPGP's version 5, which rpm cannot read, have longer fingerprints.
    let known = |part: &&Part| part.algorithm != Algorithm::Other && part.fingerprint.len() == 40;
    let valid = |part: &&Part| !matches!(part.validity, 'e' | 'r' | 'i' | 'd' | 'n');
    if let Some(part) = made_for_it.iter().find(|part| known(part) && valid(part) && part.is_here) {
        return Ok(part);
    }
    let why = match made_for_it.first() {
        _ if primary.validity == 'r' => "it is revoked",
        _ if primary.validity == 'e' => "it has expired: hosts would reject its signatures",
        None => "it is not made for signing",
        Some(part) if !known(part) => "it is neither RSA, ECDSA nor Ed25519",
        Some(part) if !part.is_here => "the file has no secret part of it",
        Some(part) if part.validity == 'e' => "its signing key has expired: hosts would reject the signatures",
        Some(_) => "its signing key is revoked or not valid",
    };
    bail!("{why}\n  {REMEDY}")
}

fn is_locked(said: &Said) -> bool {
    let code = said.reported("FAILURE").and_then(|values| values.get(1)?.parse::<u32>().ok());
    code.is_some_and(|code| code & CODE == NO_PINENTRY)
}

/// When a signature by a key that was made at `created` is made: at `date`, but not before the key, whose signature would not
/// be believed, and not in the future.
fn when(date: i64, created: u32) -> Result<u32> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).context("this machine's clock")?;
    let now = u32::try_from(now.as_secs()).context("this machine's clock")?;
    Ok(crate::date::rpm(date)?.max(created).min(now))
}
