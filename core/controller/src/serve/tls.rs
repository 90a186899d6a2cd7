//! Certificates of the REST API: read from files, or made by the controller itself, and read again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::config::Https;

/// Certificate and key that the controller makes for itself, in its data folder.
const OWN_CERTIFICATE: &str = "autohttps.crt";
const OWN_KEY: &str = "autohttps.key";

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    /// A file cannot be read or written, or holds something else.
    #[error("{}: {why}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// They do not fit each other.
    #[error("the certificates cannot be used: {0}")]
    Unfit(String),
}

fn bad(file: &Path, why: impl std::fmt::Display) -> BadCertificate {
    BadCertificate::File { file: file.to_owned(), why: why.to_string() }
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// A file that cannot be read, or holds none.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .map_err(|error| bad(file, error))?
        .collect::<Result<_, _>>()
        .map_err(|error| bad(file, error))?;
    if found.is_empty() { Err(bad(file, "it holds no certificate in PEM form")) } else { Ok(found) }
}

/// The private key of a PEM file.
///
/// # Errors
/// A file that cannot be read, or holds none.
pub fn key(file: &Path) -> Result<PrivateKeyDer<'static>, BadCertificate> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| bad(file, error))
}

/// The server's side of TLS with the operator's certificates.
///
/// # Errors
/// Files that cannot be read, or do not fit each other.
pub fn server(files: &Https) -> Result<ServerConfig, BadCertificate> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unfit = |error: &dyn std::fmt::Display| BadCertificate::Unfit(error.to_string());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().map_err(|e| unfit(&e))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(ca)? {
                roots.add(certificate).map_err(|error| bad(ca, error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(|e| unfit(&e))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(certificates(&files.certificate)?, key(&files.key)?).map_err(|e| unfit(&e))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// When the files were written last: what changes, is read again. A file that is not there has no moment.
pub fn written(files: &Https) -> [Option<SystemTime>; 3] {
    let moment = |file: &Path| std::fs::metadata(file).and_then(|meta| meta.modified()).ok();
    [moment(&files.certificate), moment(&files.key), files.client_ca.as_deref().and_then(moment)]
}

/// The certificate that the controller makes for itself where HTTPS is wanted and none is given; kept in its data folder, so that clients
/// who remember it go on knowing it.
///
/// # Errors
/// A folder that cannot be written.
pub fn own(data: &Path) -> Result<Https, BadCertificate> {
    let files = Https { certificate: data.join(OWN_CERTIFICATE), key: data.join(OWN_KEY), client_ca: None };
    if server(&files).is_ok() {
        return Ok(files);
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").map(|text| text.trim().to_owned()).unwrap_or_default();
    let names: Vec<String> =
        [name.as_str(), "localhost", "127.0.0.1", "::1"].into_iter().filter(|name| !name.is_empty()).map(Into::into).collect();
    let unfit = |error: rcgen::Error| BadCertificate::Unfit(error.to_string());
    let mut params = CertificateParams::new(names).map_err(unfit)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "berth-controller");
    params.distinguished_name = subject;
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2099, 12, 31);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let pair = KeyPair::generate().map_err(unfit)?;
    let certificate = params.self_signed(&pair).map_err(unfit)?;
    write(&files.key, &pair.serialize_pem(), 0o600)?;
    write(&files.certificate, &certificate.pem(), 0o644)?;
    Ok(files)
}

/// Writes a file that appears whole, with its mode from the first moment.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), BadCertificate> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let new = file.with_extension("new");
    let written = (|| {
        drop(std::fs::remove_file(&new));
        let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        std::fs::rename(&new, file)
    })();
    written.map_err(|error| bad(file, error))
}

/// The common name in a client's certificate; `None`: it has none.
pub fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).map(str::to_owned)
}
