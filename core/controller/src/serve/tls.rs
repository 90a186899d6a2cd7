//! Certificates of the REST API: the operator's, or made by the controller itself.

use std::path::Path;
use std::sync::Arc;

use berth_trust::{BadCertificate, Files};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::ServerConfig;

/// Certificate and key that the controller makes for itself, in its data folder.
const OWN_CERTIFICATE: &str = "autohttps.crt";
const OWN_KEY: &str = "autohttps.key";
/// What is spoken over HTTPS, the best first.
pub const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The server's side of TLS.
///
/// # Errors
/// Files that cannot be read, or do not fit each other.
pub fn server(files: &Files) -> Result<Arc<ServerConfig>, BadCertificate> {
    berth_trust::server(files, &PROTOCOLS).map(Arc::new)
}

/// The certificate that the controller makes for itself where HTTPS is wanted and none is given; kept in its data folder, so that clients
/// who remember it go on knowing it.
///
/// # Errors
/// A folder that cannot be written.
pub fn own(data: &Path) -> Result<Files, BadCertificate> {
    let (certificate, key) = (data.join(OWN_CERTIFICATE), data.join(OWN_KEY));
    let files = Files::plain(&certificate, &key, None);
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
    let signed = params.self_signed(&pair).map_err(unfit)?;
    write(&key, &pair.serialize_pem(), 0o600)?;
    write(&certificate, &signed.pem(), 0o644)?;
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
    written.map_err(|cause| BadCertificate::File { file: file.to_owned(), cause })
}
