//! `berth tls`: an authority of the cluster's own, and certificates of it (for connections between controller and satellites, and HTTPS).
//!
//! A satellite's certificate cannot be used to call other satellites: it is good for answering alone. Only the controller's is good for
//! calling, and a satellite takes no other. What is taken back stands in a list beside the authority, which both daemons read.

use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use x509_parser::prelude::{CertificateRevocationList, FromDer, ParsedExtension, X509Certificate};

/// Certificates last so many days unless told otherwise: two years, as browsers and proxies still take.
const DAYS: u32 = 730;
/// The authority lasts as many: twenty years.
const AUTHORITY_DAYS: u32 = 7300;
const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const CA_LIST: &str = "ca.crl";
/// A list holds until the next one, or so many days: nobody here asks for a newer one, other programs may.
const LIST_DAYS: i64 = 3650;

/// `berth tls`.
#[derive(Debug, Args)]
pub struct TlsWords {
    /// What to make.
    #[command(subcommand)]
    pub verb: TlsVerb,
}

/// What `berth tls` makes.
#[derive(Debug, Subcommand)]
pub enum TlsVerb {
    /// Make the authority, the controller's certificate, and those of satellites.
    #[command(after_help = "Example:\n  berth tls init --controller ctrl-1 --address 10.0.0.1 --satellite alpha --satellite bravo")]
    Init {
        /// Folder for all of it; made if it is missing.
        #[arg(long, value_name = "DIR", default_value = "/etc/berth/tls")]
        dir: PathBuf,
        /// Name of the controller's machine.
        #[arg(long, value_name = "NAME", default_value = "controller")]
        controller: String,
        /// Another address or name that clients call the controller by; may be repeated.
        #[arg(long, value_name = "ADDRESS")]
        address: Vec<String>,
        /// Name of a node, as in 'linstor node list'; may be repeated.
        #[arg(long, value_name = "NODE")]
        satellite: Vec<String>,
        /// How long the certificates last; 730 if not given.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: Option<u32>,
    },
    /// Make another certificate of the authority.
    #[command(after_help = "Examples:\n  berth tls issue satellite charlie\n  berth tls issue client alice")]
    Issue {
        /// Folder of the authority.
        #[arg(long, value_name = "DIR", default_value = "/etc/berth/tls")]
        dir: PathBuf,
        /// What it is good for.
        #[arg(value_name = "KIND", value_parser = ["controller", "satellite", "client"])]
        kind: String,
        /// Whose it is: a node's name, a machine's, a user's.
        #[arg(value_name = "NAME")]
        name: String,
        /// Another address or name; may be repeated.
        #[arg(long, value_name = "ADDRESS")]
        address: Vec<String>,
        /// How long it lasts; 730 if not given.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: Option<u32>,
    },
    /// Take certificates back: they stand in the list 'ca.crl' from then on.
    #[command(
        after_help = "Example:\n  berth tls revoke alice\nThe daemons read the list where 'https_crl', 'satellite_crl' and 'tls_crl' name it."
    )]
    Revoke {
        /// Folder of the authority.
        #[arg(long, value_name = "DIR", default_value = "/etc/berth/tls")]
        dir: PathBuf,
        /// Names of certificates in that folder, or their files.
        #[arg(value_name = "NAME", required = true)]
        name: Vec<String>,
    },
}

/// What a certificate is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Calls satellites, answers clients.
    Controller,
    /// Answers the controller.
    Satellite,
    /// Calls the controller's HTTPS.
    Client,
}

/// `berth tls`.
///
/// # Errors
/// Files that are there already, folders that cannot be written, names that cannot stand in a certificate.
pub fn run(words: &TlsWords) -> anyhow::Result<()> {
    match &words.verb {
        TlsVerb::Init { dir, controller, address, satellite, days } => {
            init(dir, days.unwrap_or(DAYS))?;
            let made = issue(dir, Use::Controller, controller, address, days.unwrap_or(DAYS))?;
            crate::out(format_args!("authority      {}\ncontroller     {}\n", dir.join(CA_CERTIFICATE).display(), made.display()));
            for name in satellite {
                let made = issue(dir, Use::Satellite, name, &[], days.unwrap_or(DAYS))?;
                crate::out(format_args!("satellite      {}\n", made.display()));
            }
            crate::out(format_args!("\n{}", next_steps(dir, controller)));
            Ok(())
        }
        TlsVerb::Issue { dir, kind, name, address, days } => {
            let kind = match kind.as_str() {
                "controller" => Use::Controller,
                "satellite" => Use::Satellite,
                _ => Use::Client,
            };
            let made = issue(dir, kind, name, address, days.unwrap_or(DAYS))?;
            crate::out(format_args!("{}\n", made.display()));
            Ok(())
        }
        TlsVerb::Revoke { dir, name } => {
            let count = revoke(dir, name)?;
            let list = dir.join(CA_LIST);
            crate::out(format_args!(
                "{}: {count} certificates are taken back.\nCopy it to each daemon that names it as 'https_crl', 'satellite_crl' or 'tls_crl'; \
                 it is in use at once after 'kill -HUP', else within 15 seconds.\nConnections that are open stay so.\n",
                list.display()
            ));
            Ok(())
        }
    }
}

/// What to do with what was made.
fn next_steps(dir: &Path, controller: &str) -> String {
    let dir = dir.display();
    format!(
        "Controller, in /etc/berth/controller.toml:\n  satellite_cert = \"{dir}/{controller}.crt\"\n  satellite_key = \"{dir}/{controller}.key\"\n  \
         satellite_ca = \"{dir}/ca.crt\"\n\
         Each satellite, in its /etc/berth/satellite.toml, with its own files and ca.crt copied there (never ca.key):\n  \
         listen = \"[::]:3367\"\n  tls_cert = \"{dir}/NODE.crt\"\n  tls_key = \"{dir}/NODE.key\"\n  tls_ca = \"{dir}/ca.crt\"\n\
         Then: linstor node create NODE ADDRESS --communication-type SSL\n\
         Keep {dir}/ca.key where nobody else reads it: whoever has it can be anybody.\n"
    )
}

/// Makes the authority.
fn init(dir: &Path, days: u32) -> anyhow::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for name in [CA_CERTIFICATE, CA_KEY] {
        let file = dir.join(name);
        if file.exists() {
            bail!("{} is there already; 'berth tls issue' makes more certificates of it, another --dir another authority", file.display());
        }
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Berth cluster authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    lasting(&mut params, days.max(AUTHORITY_DAYS))?;
    let key = KeyPair::generate().context("no key could be drawn")?;
    let certificate = params.self_signed(&key).context("the authority cannot be made")?;
    write(&dir.join(CA_KEY), &key.serialize_pem(), 0o600)?;
    write(&dir.join(CA_CERTIFICATE), &certificate.pem(), 0o644)
}

/// Makes a certificate; answers its file. The key lies beside it.
fn issue(dir: &Path, kind: Use, name: &str, addresses: &[String], days: u32) -> anyhow::Result<PathBuf> {
    // A name becomes part of a path and of the certificate: node names and DNS names fit, nothing else does.
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if name.is_empty() || name.len() > 253 || !name.chars().all(fits) || name.starts_with('.') || name.eq_ignore_ascii_case("ca") {
        bail!("'{name}' cannot be the name of a certificate: letters, digits, '-', '_' and '.', as in names of nodes, and not 'ca'");
    }
    let authority = authority(dir)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match kind {
        Use::Controller => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        Use::Satellite => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Use::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
    };
    params.subject_alt_names = vec![dns(name)?];
    for text in addresses {
        params.subject_alt_names.push(match text.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => dns(text)?,
        });
    }
    if kind == Use::Controller {
        params.subject_alt_names.extend([dns("localhost")?, SanType::IpAddress(IpAddr::from([127, 0, 0, 1]))]);
    }
    lasting(&mut params, days)?;
    let key = KeyPair::generate().context("no key could be drawn")?;
    let certificate = params.signed_by(&key, &authority).context("the certificate cannot be made")?;
    let file = dir.join(format!("{name}.crt"));
    let key_file = dir.join(format!("{name}.key"));
    if file.exists() || key_file.exists() {
        bail!("{} is there already; move it away to make another one", file.display());
    }
    write(&key_file, &key.serialize_pem(), 0o600)?;
    write(&file, &certificate.pem(), 0o644)?;
    Ok(file)
}

/// The authority of a folder.
fn authority(dir: &Path) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let read = |file: &str| {
        let path = dir.join(file);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}; 'berth tls init' makes the authority", path.display()))
    };
    let key = KeyPair::from_pem(&read(CA_KEY)?).with_context(|| format!("{CA_KEY} is no key in PEM form"))?;
    Issuer::from_ca_cert_pem(&read(CA_CERTIFICATE)?, key).with_context(|| format!("{CA_CERTIFICATE} is no authority"))
}

/// Takes certificates back; answers how many are, in all.
fn revoke(dir: &Path, names: &[String]) -> anyhow::Result<usize> {
    let authority = authority(dir)?;
    let own = berth_trust::certificates(&berth_trust::Source::plain(dir.join(CA_CERTIFICATE)))?;
    let own = own.first().and_then(|own| X509Certificate::from_der(own).ok()).context("the authority cannot be read")?.1;
    let list = dir.join(CA_LIST);
    let mut number = 1_u64;
    let mut gone: Vec<(Vec<u8>, i64)> = Vec::new();
    if list.exists() {
        for old in berth_trust::revoked(&list)? {
            let (_, old) = CertificateRevocationList::from_der(&old).ok().with_context(|| format!("{} cannot be read", list.display()))?;
            number = old.crl_number().and_then(|number| u64::try_from(number.clone()).ok()).unwrap_or(0).saturating_add(1);
            gone.extend(old.iter_revoked_certificates().map(|one| (one.raw_serial().to_vec(), one.revocation_date.timestamp())));
        }
    }
    for name in names {
        let file = if name.contains('/') { PathBuf::from(name) } else { dir.join(format!("{name}.crt")) };
        let certificates = berth_trust::certificates(&berth_trust::Source::plain(&file))?;
        let certificate = certificates.first().with_context(|| format!("{} holds no certificate", file.display()))?;
        let (_, certificate) = X509Certificate::from_der(certificate).ok().with_context(|| format!("{} cannot be read", file.display()))?;
        if !vouches(&own, &certificate) {
            bail!("{} is of another authority, which alone can take it back", file.display());
        }
        let serial = certificate.raw_serial().to_vec();
        if !gone.iter().any(|(other, _)| *other == serial) {
            gone.push((serial, jiff::Timestamp::now().as_second()));
        }
    }
    let count = gone.len();
    let ((y, m, d), (last_y, last_m, last_d)) = (day(0)?, day(LIST_DAYS)?);
    let params = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(y, m, d),
        next_update: rcgen::date_time_ymd(last_y, last_m, last_d),
        crl_number: rcgen::SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: gone.into_iter().map(|(serial, at)| revoked(serial, at)).collect::<anyhow::Result<_>>()?,
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let text = params.signed_by(&authority).context("the list cannot be made")?.pem().context("the list cannot be written down")?;
    // Appears whole: the daemons look for it at any time.
    let new = dir.join(format!("{CA_LIST}.new"));
    drop(std::fs::remove_file(&new));
    write(&new, &text, 0o644)?;
    std::fs::rename(&new, &list).with_context(|| format!("cannot write {}", list.display()))?;
    Ok(count)
}

/// Whether an authority has made a certificate: its name stands in it, and its key's mark. All authorities of Berth's have one name.
fn vouches(authority: &X509Certificate<'_>, certificate: &X509Certificate<'_>) -> bool {
    let own = authority.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(key) => Some(key.0),
        _ => None,
    });
    let named = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref().map(|key| key.0),
        _ => None,
    });
    certificate.issuer() == authority.subject() && (own.is_none() || named == own)
}

fn revoked(serial: Vec<u8>, at: i64) -> anyhow::Result<rcgen::RevokedCertParams> {
    let at = jiff::Timestamp::from_second(at).context("the list holds a moment that cannot be")?;
    let (y, m, d) = parts(at.to_zoned(jiff::tz::TimeZone::UTC).date())?;
    let revocation_time = rcgen::date_time_ymd(y, m, d);
    Ok(rcgen::RevokedCertParams { serial_number: serial.into(), revocation_time, reason_code: None, invalidity_date: None })
}

fn dns(name: &str) -> anyhow::Result<SanType> {
    Ok(SanType::DnsName(name.try_into().with_context(|| format!("'{name}' is neither an address nor a name"))?))
}

fn named(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// From yesterday on (clocks differ) for so many days.
fn lasting(params: &mut CertificateParams, days: u32) -> anyhow::Result<()> {
    let ((y, m, d), (last_y, last_m, last_d)) = (day(-1)?, day(i64::from(days))?);
    params.not_before = rcgen::date_time_ymd(y, m, d);
    params.not_after = rcgen::date_time_ymd(last_y, last_m, last_d);
    Ok(())
}

/// Year, month and day so many days from today.
fn day(offset: i64) -> anyhow::Result<(i32, u8, u8)> {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    parts(today.checked_add(jiff::Span::new().days(offset)).context("it would last too long")?)
}

fn parts(date: jiff::civil::Date) -> anyhow::Result<(i32, u8, u8)> {
    Ok((i32::from(date.year()), u8::try_from(date.month())?, u8::try_from(date.day())?))
}

/// Writes a file that was not there, with its mode from the first moment.
fn write(file: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(file)
        .and_then(|mut out| out.write_all(text.as_bytes()).and_then(|()| out.sync_all()));
    written.with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(file: &Path) -> u32 {
        std::fs::metadata(file).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn keys_are_for_their_owner_alone_and_nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("tls");
        init(&dir, DAYS).unwrap();
        let made = issue(&dir, Use::Satellite, "alpha", &["10.0.0.1".to_owned()], DAYS).unwrap();
        assert_eq!(made, dir.join("alpha.crt"));
        assert_eq!([mode(&dir.join("ca.key")), mode(&dir.join("alpha.key")), mode(&dir.join("ca.crt"))], [0o600, 0o600, 0o644]);
        let before = std::fs::read(dir.join("ca.key")).unwrap();
        assert!(init(&dir, DAYS).unwrap_err().to_string().contains("there already"));
        assert!(issue(&dir, Use::Client, "alpha", &[], DAYS).unwrap_err().to_string().contains("there already"));
        assert_eq!(std::fs::read(dir.join("ca.key")).unwrap(), before);
    }

    #[test]
    fn what_is_taken_back_stays_in_the_list() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for dir in [folder.path(), other.path()] {
            init(dir, DAYS).unwrap();
            issue(dir, Use::Client, "alice", &[], DAYS).unwrap();
        }
        let dir = folder.path();
        issue(dir, Use::Client, "bob", &[], DAYS).unwrap();
        let list = dir.join(CA_LIST);
        assert_eq!(revoke(dir, &["alice".to_owned()]).unwrap(), 1);
        let first = std::fs::read(&list).unwrap();
        assert_eq!((revoke(dir, &["bob".to_owned(), "alice".to_owned()]).unwrap(), mode(&list)), (2, 0o644));
        for (name, word) in [("carol", "carol.crt"), (other.path().join("alice.crt").to_str().unwrap(), "another authority")] {
            let error = format!("{:#}", revoke(dir, &[name.to_owned()]).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
        let now = std::fs::read(&list).unwrap();
        assert!(now != first && now.starts_with(b"-----BEGIN X509 CRL-----"));
        assert!(berth_trust::revoked(&list).is_ok_and(|lists| lists.len() == 1));
        // What nobody can read is not written over: it may hold what was taken back.
        std::fs::write(&list, "-----BEGIN").unwrap();
        assert!(revoke(dir, &["alice".to_owned()]).is_err());
        assert_eq!(std::fs::read(&list).unwrap(), b"-----BEGIN");
    }

    #[test]
    fn names_that_are_no_names_make_no_files() {
        let folder = tempfile::tempdir().unwrap();
        init(folder.path(), DAYS).unwrap();
        for name in ["", "../x", "a/b", "ca", "CA", ".x", "a b", "ä"] {
            assert!(issue(folder.path(), Use::Satellite, name, &[], DAYS).is_err(), "{name}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        let none = tempfile::tempdir().unwrap();
        assert!(issue(none.path(), Use::Client, "a", &[], DAYS).unwrap_err().to_string().contains("tls init"));
    }
}
