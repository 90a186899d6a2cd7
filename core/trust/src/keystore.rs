//! What a file of certificates holds, whatever its form.

use p12_keystore::Pkcs12Archive;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::jks;

/// Longest file that is read, in bytes: authorities of a whole machine are some 250 KiB.
pub const FILE_MAX: usize = 4 << 20;
/// Beginning of Java's other keystore, which keeps secret keys too and encrypts in a way of its own.
const JCEKS: [u8; 4] = [0xce, 0xce, 0xce, 0xce];
/// Where a part of a PEM file begins.
const PEM: &[u8] = b"-----BEGIN ";

/// What a file holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// The private key; the first one where there are several.
    pub key: Option<PrivateKeyDer<'static>>,
    /// Its certificate, followed by those between it and its authority. In a PEM file: all certificates, in their order.
    pub chain: Vec<CertificateDer<'static>>,
    /// Certificates that stand for themselves: authorities.
    pub trusted: Vec<CertificateDer<'static>>,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Longer than [`FILE_MAX`].
    #[error("it is longer than 4 MiB")]
    TooLong,
    /// None of the forms that are known.
    #[error("it is neither PEM nor a keystore (PKCS12 or JKS)")]
    UnknownForm,
    /// Java's keystore for secret keys.
    #[error("it is a keystore of the kind JCEKS, which is not read")]
    Jceks,
    /// The keystore does not open with this password.
    #[error("the password of the keystore is wrong")]
    WrongPassword,
    /// The keystore opens, its key does not.
    #[error("the password of the key in the keystore is wrong")]
    WrongKeyPassword,
    /// There is no certificate in it.
    #[error("it holds no certificate")]
    NoCertificate,
    /// There is no private key in it.
    #[error("it holds no private key that can be read without a password")]
    NoKey,
    /// There is no list of revoked certificates in it.
    #[error("it holds no list of revoked certificates")]
    NoList,
    /// It is damaged, or uses what is not known.
    #[error("it cannot be read: {0}")]
    Broken(String),
}

impl Unreadable {
    /// What a person does about it; begins with a verb.
    #[must_use]
    pub fn correction(&self) -> &'static str {
        match self {
            Self::WrongPassword => "Give the keystore's password.",
            Self::WrongKeyPassword => "Give the password of the key, or give the key that of its keystore with 'keytool -keypasswd'.",
            Self::Jceks => "Write it anew with 'keytool -importkeystore -deststoretype pkcs12'.",
            Self::NoKey => "Give a file with the private key, unencrypted in PEM form or in a keystore.",
            Self::NoList => "Give a list in PEM or DER form; 'berth tls revoke' makes one.",
            Self::TooLong | Self::UnknownForm | Self::NoCertificate | Self::Broken(_) => {
                "Give a PEM file or a keystore (PKCS12 or JKS) with the certificate and its key; 'berth tls init' makes them."
            }
        }
    }
}

/// Reads a file's bytes: PEM, PKCS12 or JKS, whichever it is. Its certificates are not judged here.
///
/// # Errors
/// [`Unreadable`]; which certificates and keys there must be is the caller's to say.
pub fn contents(bytes: &[u8], password: &str, key_password: &str) -> Result<Contents, Unreadable> {
    if bytes.len() > FILE_MAX {
        return Err(Unreadable::TooLong);
    }
    match bytes {
        [0xfe, 0xed, 0xfe, 0xed, ..] => jks::read(bytes, password, key_password),
        _ if bytes.starts_with(&JCEKS) => Err(Unreadable::Jceks),
        // A DER sequence with a length of several bytes: no text begins like this.
        [0x30, 0x80..=0x84, ..] => pkcs12(bytes, password),
        _ if bytes.windows(PEM.len()).any(|part| part == PEM) => pem(bytes),
        _ => Err(Unreadable::UnknownForm),
    }
}

fn pem(bytes: &[u8]) -> Result<Contents, Unreadable> {
    let broken = |error: rustls::pki_types::pem::Error| Unreadable::Broken(error.to_string());
    let chain = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>().map_err(broken)?;
    let key = match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(key) => Some(key),
        Err(rustls::pki_types::pem::Error::NoItemsFound) => None,
        Err(error) => return Err(broken(error)),
    };
    Ok(Contents { key, chain, trusted: Vec::new() })
}

fn pkcs12(bytes: &[u8], password: &str) -> Result<Contents, Unreadable> {
    use p12_keystore::error::Error;
    let archive = Pkcs12Archive::from_pkcs12(bytes, password).map_err(|error| match error {
        Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) => Unreadable::WrongPassword,
        other => Unreadable::Broken(other.to_string()),
    })?;
    let der = |certificate: &p12_keystore::Certificate| CertificateDer::from(certificate.as_der().to_vec());
    let own = archive.keys.first();
    let mut contents =
        Contents { key: own.map(|bag| PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(bag.key.as_der().to_vec()))), ..Contents::default() };
    // The key's certificate is the one of its id; what vouches for it follows, in the order of who vouches for whom.
    let id = own.and_then(|bag| bag.local_key_id.as_ref());
    let leaf = own.and_then(|_| {
        let of_key = archive.certs.iter().find(|bag| id.is_some_and(|id| bag.local_key_id.as_deref() == Some(id.0.as_slice())));
        of_key.or_else(|| archive.certs.iter().find(|bag| !bag.trusted))
    });
    let mut last = leaf;
    let mut taken: Vec<&p12_keystore::Certificate> = Vec::new();
    while let Some(bag) = last {
        contents.chain.push(der(&bag.cert));
        taken.push(&bag.cert);
        last = archive.certs.iter().find(|other| other.cert.subject() == bag.cert.issuer() && !taken.contains(&&other.cert));
    }
    // Where there is no key, every certificate stands for itself, marked by Java as trusted or not.
    contents.trusted = archive.certs.iter().filter(|bag| !taken.contains(&&bag.cert)).map(|bag| der(&bag.cert)).collect();
    Ok(contents)
}

/// Lists of revoked certificates: PEM, or one in DER form.
///
/// # Errors
/// [`Unreadable`].
pub fn revocations(bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, Unreadable> {
    if bytes.len() > FILE_MAX {
        return Err(Unreadable::TooLong);
    }
    if bytes.first() == Some(&0x30) {
        return Ok(vec![CertificateRevocationListDer::from(bytes.to_vec())]);
    }
    let found = CertificateRevocationListDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| Unreadable::Broken(error.to_string()))?;
    if found.is_empty() { Err(Unreadable::NoList) } else { Ok(found) }
}
