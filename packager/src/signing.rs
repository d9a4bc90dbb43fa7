// SPDX-License-Identifier: GPL-2.0-or-later
//! The key that packages and repositories are signed with: an OpenPGP secret key in a file, as
//! `gpg --export-secret-keys --armor` writes it, not locked by a passphrase.

use crate::files;
use anyhow::{ensure, Context, Result};
use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, Deserializable, DetachedSignature, SignedSecretKey, SignedSecretSubKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{KeyDetails, Password, SigningKey, Timestamp};
use std::path::{Path, PathBuf};

/// A secret key.
#[derive(Clone)]
pub struct Key {
    path: PathBuf,
    rpm: rpm::signature::pgp::Signer,
    whole: SignedSecretKey,
}

impl Key {
    /// Reads the key from a file with one ASCII-armored secret key.
    pub fn read(path: &Path) -> Result<Key> {
        let shown = path.display();
        let remedy =
            "what you can do: write the key down with `gpg --export-secret-keys --armor KEY`, without a passphrase";
        let text = files::read_text(path)?;
        let (whole, _) = SignedSecretKey::from_string(&text)
            .with_context(|| format!("{shown} holds no ASCII-armored OpenPGP secret key\n  {remedy}"))?;
        let locked = whole.primary_key.secret_params().is_encrypted()
            || whole.secret_subkeys.iter().any(|sub| sub.key.secret_params().is_encrypted());
        ensure!(!locked, "the key in {shown} is locked by a passphrase\n  {remedy}");
        let rpm = rpm::signature::pgp::Signer::from_asc(&text)
            .with_context(|| format!("the key in {shown} is none that signs packages (RSA, ECDSA or Ed25519)"))?;
        Ok(Key { path: path.into(), rpm, whole })
    }

    /// Its fingerprint, hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.whole.primary_key.fingerprint().to_string().to_uppercase()
    }

    /// What the rpm crate signs with.
    pub(crate) fn rpm(&self) -> &rpm::signature::pgp::Signer {
        &self.rpm
    }

    /// When a signature of `date` is made, seconds since 1970.
    pub(crate) fn when(&self, date: i64) -> Result<u32> {
        let sub = self.signing_subkey().map(|sub| sub.key.created_at());
        when(date, sub.unwrap_or_else(|| self.whole.primary_key.created_at()).as_secs())
    }

    /// `text` between the lines of a signed message, as InRelease has it.
    pub(crate) fn clear_sign(&self, text: &str, date: i64) -> Result<String> {
        self.with_key(&Clear { text, date })
    }

    /// A signature in a file of its own, as repomd.xml.asc.
    pub(crate) fn detached(&self, data: &[u8], date: i64) -> Result<String> {
        self.with_key(&Beside { data, date })
    }

    fn signing_subkey(&self) -> Option<&SignedSecretSubKey> {
        self.whole.secret_subkeys.iter().find(|s| s.signatures.iter().any(|sig| sig.key_flags().sign()))
    }

    /// The subkey that is made for signing, else the key itself; as the rpm crate chooses.
    fn with_key(&self, job: &impl Job) -> Result<String> {
        let signed = match self.signing_subkey() {
            Some(sub) => job.run(&sub.key),
            None => job.run(&self.whole.primary_key),
        };
        signed.with_context(|| format!("cannot sign with the key in {}", self.path.display()))
    }
}

trait Job {
    fn run<K: SigningKey>(&self, key: &K) -> Result<String>;
}

struct Clear<'a> {
    text: &'a str,
    date: i64,
}

impl Job for Clear<'_> {
    fn run<K: SigningKey>(&self, key: &K) -> Result<String> {
        let config = config(key, SignatureType::Text, self.date)?;
        let message = CleartextSignedMessage::new(self.text, config, key, &Password::empty())?;
        Ok(message.to_armored_string(ArmorOptions::default())?)
    }
}

struct Beside<'a> {
    data: &'a [u8],
    date: i64,
}

impl Job for Beside<'_> {
    fn run<K: SigningKey>(&self, key: &K) -> Result<String> {
        let signature = config(key, SignatureType::Binary, self.date)?.sign(key, &Password::empty(), self.data)?;
        Ok(DetachedSignature::new(signature).to_armored_string(ArmorOptions::default())?)
    }
}

/// When a signature by a key that was made at `created` is made: at `date`, but not before the key, whose signature would not
/// be believed, and not in the future.
fn when(date: i64, created: u32) -> Result<u32> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).context("this machine's clock")?;
    let now = u32::try_from(now.as_secs()).context("this machine's clock")?;
    Ok(crate::date::rpm(date)?.max(created).min(now))
}

/// SHA-256, the signer's fingerprint and key id, and a date that is not in the future.
fn config<K: SigningKey>(key: &K, kind: SignatureType, date: i64) -> Result<SignatureConfig> {
    let date = when(date, key.created_at().as_secs())?;
    let mut config = SignatureConfig::v4(kind, key.algorithm(), HashAlgorithm::Sha256);
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(Timestamp::from_secs(date)))?,
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint()))?,
        Subpacket::regular(SubpacketData::IssuerKeyId(key.legacy_key_id()))?,
    ];
    Ok(config)
}
