//! Who one is and whom one trusts: certificates, keys and revocation lists, from the files in which operators have them.
//!
//! It may read files of certificates, keys and revocation lists, and wait for them to change, which no other room may. A file's form is found
//! by what is in it, not by its name: PEM, PKCS12, or Java's own keystore (JKS). [`contents`] reads bytes and touches nothing.

#![forbid(unsafe_code)]

mod der;
mod jks;
mod keystore;
mod renew;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use zeroize::Zeroizing;

pub use keystore::{Contents, FILE_MAX, Unreadable, contents, revocations};
pub use renew::{Asked, Seen, renew};

/// A password of a keystore. It is never shown, and wiped when it is not needed any more.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// A password as the operator wrote it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// A file of certificates or keys, and what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// PEM, PKCS12 or JKS.
    pub file: PathBuf,
    /// Of the keystore; a PEM file needs none.
    pub password: Password,
    /// Of the key in it, where JKS gives it one of its own.
    pub key_password: Option<Password>,
}

impl Source {
    /// A file without a password.
    #[must_use]
    pub fn plain(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), password: Password::default(), key_password: None }
    }

    /// A keystore with its password.
    #[must_use]
    pub fn keystore(file: impl Into<PathBuf>, password: Password) -> Self {
        Self { file: file.into(), password, key_password: None }
    }
}

/// Who one is, and whom one takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Certificate, followed by those between it and its authority.
    pub certificate: Source,
    /// Its private key; in a keystore the same file.
    pub key: Source,
    /// Authorities of the other side; `None`: it needs no certificate.
    pub ca: Option<Source>,
    /// Certificates that their authority took back: a list in PEM or DER form; `None`: none is taken back.
    pub crl: Option<PathBuf>,
}

impl Files {
    /// PEM files without passwords.
    #[must_use]
    pub fn plain(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>, ca: Option<PathBuf>) -> Self {
        Self { certificate: Source::plain(certificate), key: Source::plain(key), ca: ca.map(Source::plain), crl: None }
    }

    /// One keystore that holds certificate and key.
    #[must_use]
    pub fn of_keystore(source: Source, ca: Option<Source>) -> Self {
        Self { certificate: source.clone(), key: source, ca, crl: None }
    }
}

/// Why certificates cannot be used. No password is part of it.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    /// A file cannot be read or written.
    #[error("{}: {cause}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{}: {why}", file.display())]
    Contents {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: Unreadable,
    },
    /// They do not fit each other.
    #[error("the certificates cannot be used: {0}")]
    Unfit(String),
}

impl BadCertificate {
    /// What a person does about it; begins with a verb.
    #[must_use]
    pub fn correction(&self) -> String {
        match self {
            Self::File { file, .. } => format!("Make {} readable for this user; 'berth tls init' makes certificates.", file.display()),
            Self::Contents { why, .. } => why.correction().to_owned(),
            Self::Unfit(_) => "Give a certificate, the key that belongs to it, and its authority; 'berth tls init' makes them.".to_owned(),
        }
    }
}

fn bad(file: &Path, why: Unreadable) -> BadCertificate {
    BadCertificate::Contents { file: file.to_owned(), why }
}

fn unfit(error: &dyn std::fmt::Display) -> BadCertificate {
    BadCertificate::Unfit(error.to_string())
}

fn read(file: &Path) -> Result<Vec<u8>, BadCertificate> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file).and_then(|opened| opened.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|cause| BadCertificate::File { file: file.to_owned(), cause })?;
    Ok(bytes)
}

fn open(source: &Source) -> Result<Contents, BadCertificate> {
    let key_password = source.key_password.as_ref().unwrap_or(&source.password);
    contents(&read(&source.file)?, source.password.text(), key_password.text()).map_err(|why| bad(&source.file, why))
}

/// The certificates of a file, at least one; of a keystore those of its key.
///
/// # Errors
/// A file that cannot be read, or holds none.
pub fn certificates(source: &Source) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    let Contents { chain, trusted, .. } = open(source)?;
    let found = if chain.is_empty() { trusted } else { chain };
    if found.is_empty() { Err(bad(&source.file, Unreadable::NoCertificate)) } else { Ok(found) }
}

/// The private key of a file.
///
/// # Errors
/// A file that cannot be read, or holds none.
pub fn key(source: &Source) -> Result<PrivateKeyDer<'static>, BadCertificate> {
    open(source)?.key.ok_or_else(|| bad(&source.file, Unreadable::NoKey))
}

/// Every certificate of a file as an authority.
///
/// # Errors
/// A file that cannot be read, or holds none that could be one.
pub fn authorities(source: &Source) -> Result<RootCertStore, BadCertificate> {
    let Contents { chain, trusted, .. } = open(source)?;
    let mut roots = RootCertStore::empty();
    for certificate in trusted.into_iter().chain(chain) {
        roots.add(certificate).map_err(|error| bad(&source.file, Unreadable::Broken(error.to_string())))?;
    }
    if roots.is_empty() { Err(bad(&source.file, Unreadable::NoCertificate)) } else { Ok(roots) }
}

/// The lists of certificates that were taken back.
///
/// # Errors
/// A file that cannot be read, or holds none.
pub fn revoked(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, BadCertificate> {
    revocations(&read(file)?).map_err(|why| bad(file, why))
}

/// Certificate and key that fit each other.
fn identity(files: &Files) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), BadCertificate> {
    let chain = certificates(&files.certificate)?;
    let key = key(&files.key)?;
    let key = match chain.first() {
        Some(certificate) => der::with_public_key(key, certificate),
        None => key,
    };
    Ok((chain, key))
}

/// The side of TLS that answers. Where authorities are given, whoever calls needs a certificate of theirs that was not taken back.
/// `protocols`: names of the protocols that are spoken (ALPN), the best first.
///
/// # Errors
/// Files that cannot be read, or do not fit each other.
pub fn server(files: &Files, protocols: &[&[u8]]) -> Result<ServerConfig, BadCertificate> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().map_err(|e| unfit(&e))?;
    let builder = match &files.ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(ca)?), provider);
            if let Some(file) = &files.crl {
                // The authority's own list speaks of whom it vouched for; of others nothing is known, and they are taken.
                verifier = verifier.with_crls(revoked(file)?).only_check_end_entity_revocation().allow_unknown_revocation_status();
            }
            builder.with_client_cert_verifier(verifier.build().map_err(|e| unfit(&e))?)
        }
    };
    let (chain, key) = identity(files)?;
    let mut config = builder.with_single_cert(chain, key).map_err(|e| unfit(&e))?;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

/// The side of TLS that calls, and shows its own certificate.
///
/// # Errors
/// Files that cannot be read, or do not fit each other; [`BadCertificate::Unfit`] where no authority is given.
pub fn client(files: &Files, protocols: &[&[u8]]) -> Result<ClientConfig, BadCertificate> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let ca = files.ca.as_ref().ok_or_else(|| unfit(&"nobody is named who vouches for the other side"))?;
    let mut verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities(ca)?), Arc::clone(&provider));
    if let Some(file) = &files.crl {
        verifier = verifier.with_crls(revoked(file)?).only_check_end_entity_revocation().allow_unknown_revocation_status();
    }
    let verifier = verifier.build().map_err(|e| unfit(&e))?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|e| unfit(&e))?;
    let (chain, key) = identity(files)?;
    let mut config = builder.with_webpki_verifier(verifier).with_client_auth_cert(chain, key).map_err(|e| unfit(&e))?;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

/// When the files were written last, and how long they are: what changes, is read again. A file that is not there has no moment.
#[must_use]
pub fn written(files: &Files) -> Seen {
    let all = [Some(&files.certificate.file), Some(&files.key.file), files.ca.as_ref().map(|ca| &ca.file), files.crl.as_ref()];
    let moment = |file: &PathBuf| std::fs::metadata(file).and_then(|meta| Ok((meta.modified()?, meta.len()))).ok();
    all.into_iter().map(|file| file.and_then(moment)).collect()
}

/// The common name in a certificate; `None`: it has none, or is none.
#[must_use]
pub fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
