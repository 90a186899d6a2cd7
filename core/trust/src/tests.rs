use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/keystores").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap()
}

fn store(name: &str, password: &str) -> Source {
    Source::keystore(file(name), Password::new(password))
}

#[test]
fn keystores_of_java_and_openssl_serve_as_they_are() {
    for name in ["server.jks", "server.p12", "openssl.p12", "openssl-legacy.p12"] {
        let files = Files::of_keystore(store(name, "linstor"), None);
        let config = server(&files, &[b"h2"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(config.alpn_protocols, [b"h2"], "{name}");
        let name_in_it = common_name(&certificates(&files.certificate).unwrap()[0]);
        assert_eq!(name_in_it.as_deref(), Some(if name.starts_with("openssl") { "openssl" } else { "controller" }), "{name}");
    }
    let mut two = store("server-two-passwords.jks", "linstor");
    two.key_password = Some(Password::new("another"));
    server(&Files::of_keystore(two, None), &[]).unwrap();
    for (name, store_name) in [("trust.jks", "server.jks"), ("trust.p12", "server.p12")] {
        assert_eq!(authorities(&store(name, "linstor")).unwrap().len(), 1, "{name}");
        // Also the certificates of a keystore with a key vouch for themselves.
        let files = Files::of_keystore(store(store_name, "linstor"), Some(store(name, "linstor")));
        server(&files, &[]).unwrap();
        client(&files, &[]).unwrap();
    }
}

#[test]
fn what_is_wrong_with_a_keystore_is_said_with_the_way_out() {
    let why = |source: &Source| match key(source) {
        Err(BadCertificate::Contents { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    for name in ["server.jks", "server.p12", "openssl.p12", "openssl-legacy.p12"] {
        for password in ["", "linsto", "linstor ", "Linstor"] {
            assert_eq!(why(&store(name, password)), Unreadable::WrongPassword, "{name}, '{password}'");
        }
    }
    assert_eq!(why(&store("server-two-passwords.jks", "linstor")), Unreadable::WrongKeyPassword);
    assert_eq!(why(&store("server.jceks", "linstor")), Unreadable::Jceks);
    assert_eq!(why(&store("trust.jks", "linstor")), Unreadable::NoKey);
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    for (text, expected) in [("", Unreadable::UnknownForm), ("hello", Unreadable::UnknownForm), ("-----BEGIN X-----\n", Unreadable::NoKey)]
    {
        std::fs::write(&other, text).unwrap();
        let found = why(&Source::plain(&other));
        assert!(found == expected || matches!(found, Unreadable::Broken(_)), "{text}: {found}");
    }
    std::fs::write(&other, vec![b' '; FILE_MAX + 1]).unwrap();
    assert_eq!(why(&Source::plain(&other)), Unreadable::TooLong);
    let missing = key(&Source::plain(folder.path().join("none"))).unwrap_err();
    assert!(matches!(missing, BadCertificate::File { .. }) && missing.correction().starts_with("Make "), "{missing}");
    let shown = format!("{:?}", store("server.jks", "hush"));
    assert!(!shown.contains("hush"), "{shown}");
    // A key of somebody else's.
    let files = Files { key: store("openssl.p12", "linstor"), ..Files::of_keystore(store("server.p12", "linstor"), None) };
    assert!(matches!(server(&files, &[]), Err(BadCertificate::Unfit(_))));
}

#[test]
fn a_damaged_keystore_is_refused_and_no_more() {
    for name in ["server.jks", "server.p12", "openssl-legacy.p12", "trust.jks"] {
        let whole = bytes(name);
        for cut in 0..whole.len().min(200) {
            assert!(contents(&whole[..cut], "linstor", "linstor").is_err(), "{name} cut at {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_read_or_refused(start in 0_usize..6, rest in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..2000, byte: u8) {
        let starts: [&[u8]; 6] =
            [b"", &[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2], &[0x30, 0x82, 1], b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN X509 CRL-----\n", &[0xce; 4]];
        let made = [starts[start], &rest].concat();
        let _ = contents(&made, "linstor", "linstor");
        let _ = revocations(&made);
        let _ = der::part(&made, der::SEQUENCE);
        for name in ["server.jks", "openssl.p12"] {
            let mut changed = bytes(name);
            let at = at % changed.len();
            changed[at] = byte;
            let _ = contents(&changed, "linstor", "linstor");
        }
    }
}

/// A certificate of an authority, and a list of the authority's that takes back what `gone` says.
fn authority(folder: &Path, gone: &[u64]) -> PathBuf {
    use rcgen::*;
    let key_file = folder.join("ca.key");
    let key = match std::fs::read_to_string(&key_file) {
        Ok(text) => KeyPair::from_pem(&text).unwrap(),
        Err(_) => {
            let key = KeyPair::generate().unwrap();
            std::fs::write(&key_file, key.serialize_pem()).unwrap();
            key
        }
    };
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let own = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.crt"), own.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    for serial in 1..=2_u64 {
        let file = folder.join(format!("{serial}.crt"));
        if file.exists() {
            continue;
        }
        let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        leaf.serial_number = Some(SerialNumber::from(serial));
        leaf.distinguished_name.push(DnType::CommonName, format!("number {serial}"));
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        std::fs::write(&file, leaf.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        std::fs::write(folder.join(format!("{serial}.key")), key.serialize_pem()).unwrap();
    }
    let revoked_certs = gone
        .iter()
        .map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2025, 1, 1),
            reason_code: None,
            invalidity_date: None,
        })
        .collect();
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 1, 1),
        next_update: date_time_ymd(2099, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs,
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let file = folder.join("ca.crl");
    std::fs::write(&file, list.signed_by(&issuer).unwrap().pem().unwrap()).unwrap();
    file
}

/// Whether two sides agree, without a network.
fn shake(server: &Arc<ServerConfig>, client: ClientConfig) -> Result<(), rustls::Error> {
    let mut caller = rustls::ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap())?;
    let mut answerer = rustls::ServerConnection::new(Arc::clone(server))?;
    for _ in 0..10 {
        let mut wire = Vec::new();
        caller.write_tls(&mut wire).unwrap();
        if !wire.is_empty() {
            answerer.read_tls(&mut wire.as_slice()).unwrap();
            answerer.process_new_packets()?;
        }
        let mut wire = Vec::new();
        answerer.write_tls(&mut wire).unwrap();
        if !wire.is_empty() {
            caller.read_tls(&mut wire.as_slice()).unwrap();
            caller.process_new_packets()?;
        }
    }
    Ok(())
}

fn files(folder: &Path, number: u64) -> Files {
    let of = |end: &str| folder.join(format!("{number}.{end}"));
    Files { crl: Some(folder.join("ca.crl")), ..Files::plain(of("crt"), of("key"), Some(folder.join("ca.crt"))) }
}

#[test]
fn a_certificate_that_was_taken_back_opens_nothing_on_either_side() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    authority(folder, &[]);
    let one = || Arc::new(server(&files(folder, 1), &[]).unwrap());
    let two = || client(&files(folder, 2), &[]).unwrap();
    shake(&one(), two()).unwrap();
    authority(folder, &[2]);
    assert!(shake(&one(), two()).is_err(), "whoever calls was taken back");
    authority(folder, &[1]);
    assert!(shake(&one(), two()).is_err(), "whoever answers was taken back");
    std::fs::write(folder.join("ca.crl"), "no list").unwrap();
    assert!(matches!(server(&files(folder, 1), &[]), Err(BadCertificate::Contents { why: Unreadable::NoList, .. })));
}

#[tokio::test(start_paused = true)]
async fn certificates_are_read_again_when_they_change_or_somebody_asks() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_owned();
    authority(&folder, &[]);
    let files = files(&folder, 1);
    let (newest, mut seen) = watch_channel(&files);
    let asked = Asked::default();
    let (own, by) = (files.clone(), asked.clone());
    let known = written(&files);
    let task = tokio::spawn(async move { renew(&own, &[], known, &by, &newest).await });
    let two = || client(&self::files(&folder, 2), &[]).unwrap();
    assert!(shake(&seen.borrow_and_update().clone(), two()).is_ok());
    authority(&folder, &[2, 77]);
    tokio::time::timeout(Duration::from_secs(60), seen.changed()).await.unwrap().unwrap();
    assert!(shake(&seen.borrow_and_update().clone(), two()).is_err());
    // What cannot be used changes nothing.
    std::fs::write(&files.key.file, "half").unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(60), seen.changed()).await.is_err());
    std::fs::copy(folder.join("2.key"), &files.key.file).unwrap();
    std::fs::copy(folder.join("2.crt"), &files.certificate.file).unwrap();
    asked.ask();
    tokio::time::timeout(Duration::from_secs(1), seen.changed()).await.unwrap().unwrap();
    drop(seen);
    tokio::time::timeout(Duration::from_secs(60), task).await.unwrap().unwrap();
}

fn watch_channel(files: &Files) -> (tokio::sync::watch::Sender<Arc<ServerConfig>>, tokio::sync::watch::Receiver<Arc<ServerConfig>>) {
    tokio::sync::watch::channel(Arc::new(server(files, &[]).unwrap()))
}
