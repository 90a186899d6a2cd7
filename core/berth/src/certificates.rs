//! The settings that name certificates, from texts to values: PEM files, or keystores with their passwords.

use std::path::PathBuf;

use anyhow::bail;
use berth_trust::{Files, Password, Source};

use crate::settings::{Known, Settings};

/// Names of one set of settings.
#[derive(Debug)]
pub struct Names {
    pub certificate: &'static str,
    pub key: &'static str,
    pub ca: &'static str,
    pub keystore: &'static str,
    pub keystore_password: &'static str,
    pub key_password: &'static str,
    pub truststore: &'static str,
    pub truststore_password: &'static str,
    pub crl: &'static str,
    /// Whether the other side must have a certificate.
    pub both: bool,
}

/// HTTPS of the controller.
pub const HTTPS: Names = Names {
    certificate: "https_cert",
    key: "https_key",
    ca: "https_client_ca",
    keystore: "https_keystore",
    keystore_password: "https_keystore_password",
    key_password: "https_key_password",
    truststore: "https_truststore",
    truststore_password: "https_truststore_password",
    crl: "https_crl",
    both: false,
};

/// The controller's calls to satellites.
pub const CALLS: Names = Names {
    certificate: "satellite_cert",
    key: "satellite_key",
    ca: "satellite_ca",
    keystore: "satellite_keystore",
    keystore_password: "satellite_keystore_password",
    key_password: "satellite_key_password",
    truststore: "satellite_truststore",
    truststore_password: "satellite_truststore_password",
    crl: "satellite_crl",
    both: true,
};

/// The satellite's answers.
pub const ANSWERS: Names = Names {
    certificate: "tls_cert",
    key: "tls_key",
    ca: "tls_ca",
    keystore: "tls_keystore",
    keystore_password: "tls_keystore_password",
    key_password: "tls_key_password",
    truststore: "tls_truststore",
    truststore_password: "tls_truststore_password",
    crl: "tls_crl",
    both: true,
};

const fn known(name: &'static str, variable: &'static str) -> Known {
    Known { name, variable, default: None }
}

/// What a controller knows beside PEM files.
pub const OF_CONTROLLER: [Known; 12] = [
    known("https_keystore", "BERTH_HTTPS_KEYSTORE"),
    known("https_keystore_password", "BERTH_HTTPS_KEYSTORE_PASSWORD"),
    known("https_key_password", "BERTH_HTTPS_KEY_PASSWORD"),
    known("https_truststore", "BERTH_HTTPS_TRUSTSTORE"),
    known("https_truststore_password", "BERTH_HTTPS_TRUSTSTORE_PASSWORD"),
    known("https_crl", "BERTH_HTTPS_CRL"),
    known("satellite_keystore", "BERTH_SATELLITE_KEYSTORE"),
    known("satellite_keystore_password", "BERTH_SATELLITE_KEYSTORE_PASSWORD"),
    known("satellite_key_password", "BERTH_SATELLITE_KEY_PASSWORD"),
    known("satellite_truststore", "BERTH_SATELLITE_TRUSTSTORE"),
    known("satellite_truststore_password", "BERTH_SATELLITE_TRUSTSTORE_PASSWORD"),
    known("satellite_crl", "BERTH_SATELLITE_CRL"),
];

/// What a satellite knows beside PEM files.
pub const OF_SATELLITE: [Known; 6] = [
    known("tls_keystore", "BERTH_SATELLITE_TLS_KEYSTORE"),
    known("tls_keystore_password", "BERTH_SATELLITE_TLS_KEYSTORE_PASSWORD"),
    known("tls_key_password", "BERTH_SATELLITE_TLS_KEY_PASSWORD"),
    known("tls_truststore", "BERTH_SATELLITE_TLS_TRUSTSTORE"),
    known("tls_truststore_password", "BERTH_SATELLITE_TLS_TRUSTSTORE_PASSWORD"),
    known("tls_crl", "BERTH_SATELLITE_TLS_CRL"),
];

/// The certificates that the settings name; `None`: they name none.
///
/// # Errors
/// Half of what is needed, or both forms of the same.
pub fn files(settings: &Settings, names: &Names) -> anyhow::Result<Option<Files>> {
    let text = |name: &str| settings.get(name).filter(|text| !text.is_empty());
    let password = |name: &str| Password::new(text(name).unwrap_or_default());
    let own = match (text(names.keystore), text(names.certificate), text(names.key)) {
        (Some(_), None, None) | (None, Some(_), Some(_)) | (None, None, None) => text(names.keystore),
        (Some(_), _, _) => {
            bail!("'{}' holds certificate and key; '{}' and '{}' are not given beside it", names.keystore, names.certificate, names.key)
        }
        (None, Some(_), None) => bail!("'{}' needs '{}'", names.certificate, names.key),
        (None, None, Some(_)) => bail!("'{}' needs '{}'", names.key, names.certificate),
    };
    let ca = match (text(names.truststore), text(names.ca)) {
        (Some(_), Some(_)) => bail!("'{}' and '{}' say the same: give one of them", names.truststore, names.ca),
        (Some(store), None) => Some(Source::keystore(store, password(names.truststore_password))),
        (None, Some(file)) => Some(Source::plain(file)),
        (None, None) => None,
    };
    let crl = text(names.crl).map(PathBuf::from);
    let mut files = match (own, text(names.certificate), text(names.key)) {
        (Some(store), _, _) => {
            let key_password = text(names.key_password).map(Password::new);
            Files::of_keystore(Source { key_password, ..Source::keystore(store, password(names.keystore_password)) }, ca)
        }
        (None, Some(certificate), Some(key)) => Files { ca, ..Files::plain(certificate, key, None) },
        _ => match ca.is_some() || crl.is_some() {
            true => bail!("'{}' needs '{}' and '{}', or '{}'", names.ca, names.certificate, names.key, names.keystore),
            false => return Ok(None),
        },
    };
    if files.ca.is_none() {
        if names.both {
            bail!(
                "'{}' (or '{}') says who vouches for the other side, and is missing; 'berth tls init' makes all files",
                names.ca,
                names.truststore
            );
        }
        if crl.is_some() {
            bail!("'{}' needs '{}' or '{}': it takes back what they vouch for", names.crl, names.ca, names.truststore);
        }
    }
    files.crl = crl;
    Ok(Some(files))
}
