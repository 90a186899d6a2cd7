//! As much of DER as keys in keystores need.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

pub const SEQUENCE: u8 = 0x30;
pub const OBJECT_ID: u8 = 0x06;
pub const OCTETS: u8 = 0x04;
const INTEGER: u8 = 0x02;
/// `[1]` of an elliptic key: its public half.
const PUBLIC: u8 = 0xa1;
const BITS: u8 = 0x03;
/// 1.2.840.10045.2.1: a key on an elliptic curve.
const ELLIPTIC: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// The contents of the part at the beginning, if it is of this kind, and what follows it.
pub fn part(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| (1..=4).contains(&digits.len()))?;
        (digits.iter().fold(0_usize, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    if found == kind { rest.split_at_checked(length) } else { None }
}

/// A part of this kind.
fn made(kind: u8, contents: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    let digits: Vec<u8> = contents.len().to_be_bytes().into_iter().skip_while(|digit| *digit == 0).collect();
    match digits[..] {
        [] => bytes.push(0),
        [digit] if digit < 0x80 => bytes.push(digit),
        // No length has more than eight digits.
        _ => {
            bytes.push(0x80 | digits.len() as u8);
            bytes.extend_from_slice(&digits);
        }
    }
    bytes.extend_from_slice(contents);
    bytes
}

/// An elliptic key with its public half, which Java leaves out and ring asks for; taken from the certificate. Any other key as it is.
pub fn with_public_key(key: PrivateKeyDer<'static>, certificate: &CertificateDer<'_>) -> PrivateKeyDer<'static> {
    let PrivateKeyDer::Pkcs8(pkcs8) = &key else { return key };
    match completed(pkcs8.secret_pkcs8_der(), certificate) {
        Some(bytes) => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(bytes)),
        None => key,
    }
}

/// `None`: it is not elliptic, is whole already, or cannot be read.
fn completed(key: &[u8], certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (outer, _) = part(key, SEQUENCE)?;
    let (version, rest) = part(outer, INTEGER)?;
    let (algorithm, rest) = part(rest, SEQUENCE)?;
    let (sealed, _) = part(rest, OCTETS)?;
    let (name, _) = part(algorithm, OBJECT_ID)?;
    let (elliptic, _) = part(sealed, SEQUENCE)?;
    let (one, rest) = part(elliptic, INTEGER)?;
    let (secret, mut rest) = part(rest, OCTETS)?;
    if name != ELLIPTIC {
        return None;
    }
    // Parameters may stand before the public half; ring knows the curve from the algorithm and wants none here.
    while let Some(&kind) = rest.first() {
        if kind == PUBLIC {
            return None;
        }
        rest = part(rest, kind)?.1;
    }
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let public = certificate.public_key().subject_public_key.data.as_ref();
    let bits = made(BITS, &[&[0], public].concat());
    let whole = made(SEQUENCE, &[made(INTEGER, one), made(OCTETS, secret), made(PUBLIC, &bits)].concat());
    Some(made(SEQUENCE, &[made(INTEGER, version), made(SEQUENCE, algorithm), made(OCTETS, &whole)].concat()))
}
