//! Java's own keystore (JKS): what `keytool -storetype JKS` writes, and older Java wrote without being asked.
//!
//! Written from the description of the format alone. No library that is looked after reads it: those that there are end a process over a
//! damaged file. Everything is big-endian; a digest over password, a phrase and all that came before ends the file.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha1::{Digest, Sha1};

use crate::der;
use crate::keystore::{Contents, Unreadable};

/// Goes into the digest after the password.
const PHRASE: &[u8] = b"Mighty Aphrodite";
/// Length of SHA-1, of a key's salt and of its check value.
const DIGEST: usize = 20;
/// Entries that a keystore may have, and certificates that a key may have.
const ENTRIES_MAX: u32 = 10_000;
/// The protection of keys that Java's keystore uses: 1.3.6.1.4.1.42.2.17.1.1.
const PROTECTION: [u8; 10] = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01];

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (part, rest) = self.0.split_at_checked(length).ok_or_else(|| Unreadable::Broken("it is cut short".to_owned()))?;
        self.0 = rest;
        Ok(part)
    }

    fn number(&mut self, bytes: usize) -> Result<u64, Unreadable> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn count(&mut self) -> Result<u32, Unreadable> {
        u32::try_from(self.number(4)?)
            .ok()
            .filter(|count| *count <= ENTRIES_MAX)
            .ok_or_else(|| Unreadable::Broken("too many entries".to_owned()))
    }

    /// What is preceded by its length in so many bytes.
    fn text(&mut self, bytes: usize) -> Result<&'a [u8], Unreadable> {
        let length = usize::try_from(self.number(bytes)?).map_err(|_| Unreadable::TooLong)?;
        self.take(length)
    }

    fn certificate(&mut self, version: u64) -> Result<CertificateDer<'static>, Unreadable> {
        if version == 2 {
            self.text(2)?;
        }
        Ok(CertificateDer::from(self.text(4)?.to_vec()))
    }
}

/// A password as Java digests it: UTF-16, the larger byte first.
fn wide(password: &str) -> zeroize::Zeroizing<Vec<u8>> {
    zeroize::Zeroizing::new(password.encode_utf16().flat_map(u16::to_be_bytes).collect())
}

/// Reads a keystore.
///
/// # Errors
/// [`Unreadable`].
pub fn read(bytes: &[u8], password: &str, key_password: &str) -> Result<Contents, Unreadable> {
    let cut = || Unreadable::Broken("it is cut short".to_owned());
    let (body, check) = bytes.split_at_checked(bytes.len().saturating_sub(DIGEST)).ok_or_else(cut)?;
    let digest = Sha1::new().chain_update(&*wide(password)).chain_update(PHRASE).chain_update(body).finalize();
    if digest[..] != *check {
        return Err(Unreadable::WrongPassword);
    }
    let mut rest = Rest(body);
    rest.take(4)?;
    let version = rest.number(4)?;
    if !(1..=2).contains(&version) {
        return Err(Unreadable::Broken(format!("version {version} of the format is not known")));
    }
    let mut contents = Contents::default();
    for _ in 0..rest.count()? {
        let kind = rest.number(4)?;
        rest.text(2)?;
        rest.take(8)?;
        match kind {
            1 => {
                let key = rest.text(4)?;
                let mut chain = Vec::new();
                for _ in 0..rest.count()? {
                    chain.push(rest.certificate(version)?);
                }
                if contents.key.is_none() {
                    contents.key = Some(unprotect(key, key_password)?);
                    contents.chain = chain;
                } else {
                    contents.trusted.extend(chain);
                }
            }
            2 => contents.trusted.push(rest.certificate(version)?),
            other => return Err(Unreadable::Broken(format!("entries of the kind {other} are not known"))),
        }
    }
    Ok(contents)
}

/// The key in its protection: a stream of digests of password and salt, and a digest of password and key.
fn unprotect(protected: &[u8], password: &str) -> Result<PrivateKeyDer<'static>, Unreadable> {
    let broken = || Unreadable::Broken("the protection of its key is not known".to_owned());
    let (outer, _) = der::part(protected, der::SEQUENCE).ok_or_else(broken)?;
    let (algorithm, rest) = der::part(outer, der::SEQUENCE).ok_or_else(broken)?;
    let (name, _) = der::part(algorithm, der::OBJECT_ID).ok_or_else(broken)?;
    let (sealed, _) = der::part(rest, der::OCTETS).ok_or_else(broken)?;
    if name != PROTECTION {
        return Err(broken());
    }
    let (salt, sealed) = sealed.split_at_checked(DIGEST).ok_or_else(broken)?;
    let (sealed, check) = sealed.split_at_checked(sealed.len().saturating_sub(DIGEST)).ok_or_else(broken)?;
    let password = wide(password);
    let mut key = zeroize::Zeroizing::new(Vec::with_capacity(sealed.len()));
    let mut block: [u8; DIGEST] = Sha1::new().chain_update(&*password).chain_update(salt).finalize().into();
    for part in sealed.chunks(DIGEST) {
        key.extend(part.iter().zip(block).map(|(sealed, mask)| sealed ^ mask));
        block = Sha1::new().chain_update(&*password).chain_update(block).finalize().into();
    }
    let digest = Sha1::new().chain_update(&*password).chain_update(&*key).finalize();
    if digest[..] != *check {
        return Err(Unreadable::WrongKeyPassword);
    }
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec())))
}
