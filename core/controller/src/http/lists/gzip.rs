//! One gzip stream (RFC 1952) of parts that were compressed by themselves, so that each part is compressed once and sent to many.
//!
//! Every part ends on a byte boundary (a full flush: RFC 1951, 3.2.4, an empty stored block) and refers to nothing before it, so parts
//! stand in any order. The checksum of the whole is put together from those of the parts.

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use flate2::{Compress, CompressError, Compression, Crc, FlushCompress, Status};

/// Head of a stream: deflate, no name, no time, made with the fastest level, on no system in particular.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];
/// The last block: empty, with the fixed codes.
const LAST: [u8; 2] = [3, 0];
/// A stored block with nothing but a comma.
const COMMA: [u8; 6] = [0, 1, 0, 0xfe, 0xff, b','];
/// Room for what a part takes beyond its text if it cannot be compressed at all: five bytes for each stored block, and the flush.
const SPARE: usize = 256;

/// Whether a client takes gzip (RFC 9110, 12.5.3): named, or everything is, and not with weight 0.
pub fn wanted(headers: &HeaderMap) -> bool {
    let (mut named, mut any) = (None, None);
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for coding in values.flat_map(|value| value.split(',')) {
        let mut words = coding.split(';').map(str::trim);
        let name = words.next().unwrap_or_default();
        let weight = words.find_map(|word| word.strip_prefix("q=").or_else(|| word.strip_prefix("Q=")));
        let takes = weight.is_none_or(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight > 0.0));
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            named = Some(takes);
        } else if name == "*" {
            any = Some(takes);
        }
    }
    named.or(any).unwrap_or(false)
}

/// A part of a stream.
#[derive(Debug)]
pub struct Zipped {
    bytes: Bytes,
    crc: Crc,
    /// Whether it begins with a comma that can be left out.
    comma: bool,
}

impl Zipped {
    /// Bytes that it takes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no text in it.
    pub fn is_empty(&self) -> bool {
        self.crc.amount() == 0
    }
}

/// Compresses parts, one after the other.
#[derive(Debug)]
pub struct Zipper(Compress);

impl Zipper {
    pub fn new() -> Self {
        Self(Compress::new(Compression::fast(), false))
    }

    /// Compresses a text. A comma at its beginning is set apart, so that the text can also stand without it.
    ///
    /// # Errors
    /// A defect of the library.
    pub fn zip(&mut self, text: &[u8]) -> Result<Zipped, CompressError> {
        let rest = text.strip_prefix(b",");
        let comma = rest.is_some();
        let text = rest.unwrap_or(text);
        let mut bytes = Vec::with_capacity(text.len() / 4 + SPARE);
        if comma {
            bytes.extend(COMMA);
        }
        self.0.reset();
        loop {
            let taken = usize::try_from(self.0.total_in()).unwrap_or(usize::MAX);
            let status = self.0.compress_vec(text.get(taken..).unwrap_or_default(), &mut bytes, FlushCompress::Full)?;
            // A full buffer may hide more; one with room left has everything.
            if status != Status::BufError && bytes.len() < bytes.capacity() && self.0.total_in() == text.len() as u64 {
                break;
            }
            bytes.reserve(text.len() / 4 + SPARE);
        }
        let mut crc = Crc::new();
        crc.update(text);
        Ok(Zipped { bytes: Bytes::copy_from_slice(&bytes), crc, comma })
    }
}

/// A stream in the making.
#[derive(Debug)]
pub struct Stream(Crc);

impl Stream {
    pub fn new() -> Self {
        Self(Crc::new())
    }

    /// What stands before the parts.
    pub fn head() -> Bytes {
        Bytes::from_static(&HEAD)
    }

    /// A part, with its comma or without.
    pub fn add(&mut self, part: &Zipped, with_comma: bool) -> Bytes {
        if with_comma && part.comma {
            let mut comma = Crc::new();
            comma.update(b",");
            self.0.combine(&comma);
        }
        self.0.combine(&part.crc);
        if with_comma || !part.comma { part.bytes.clone() } else { part.bytes.slice(COMMA.len()..) }
    }

    /// What stands after the parts: the last block, the checksum and the length of the text modulo 2^32.
    pub fn end(self) -> Bytes {
        let numbers = [self.0.sum().to_le_bytes(), self.0.amount().to_le_bytes()];
        Bytes::from([LAST.as_slice(), numbers.as_flattened()].concat())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn joined(parts: &[Vec<u8>], comma_first: bool) -> Vec<u8> {
        let (mut zipper, mut stream) = (Zipper::new(), Stream::new());
        let mut bytes = Stream::head().to_vec();
        for (at, part) in parts.iter().enumerate() {
            bytes.extend(stream.add(&zipper.zip(part).unwrap(), comma_first || at > 0));
        }
        bytes.extend(stream.end());
        bytes
    }

    fn unzipped(bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).expect("a gzip stream with a true checksum");
        text
    }

    #[test]
    fn parts_make_one_stream() {
        let mut dice = fastrand::Rng::with_seed(7);
        for parts in 0..40 {
            let parts: Vec<Vec<u8>> = (0..parts)
                .map(|_| {
                    let length = [0, 1, 2, 40, 70_000][dice.usize(..5)];
                    // From text that repeats to noise that cannot be compressed.
                    let range = [1, 4, 255][dice.usize(..3)];
                    let mut text = if dice.bool() { b",".to_vec() } else { Vec::new() };
                    text.extend((0..length).map(|_| b'a'.wrapping_add(dice.u8(..=range))));
                    text
                })
                .collect();
            let whole = parts.concat();
            assert_eq!(unzipped(&joined(&parts, true)), whole);
            let bare = whole.strip_prefix(if parts.first().is_some_and(|part| part.starts_with(b",")) { b",".as_slice() } else { b"" });
            assert_eq!(unzipped(&joined(&parts, false)), bare.unwrap());
        }
    }

    #[test]
    fn who_takes_gzip() {
        for (values, takes) in [
            (vec![], false),
            (vec!["gzip"], true),
            (vec!["identity"], false),
            (vec!["gzip, deflate, br"], true),
            (vec!["br;q=1.0, GZIP;q=0.2"], true),
            (vec!["br", "x-gzip"], true),
            (vec!["*"], true),
            (vec!["*;q=0"], false),
            (vec!["gzip;q=0, *"], false),
            (vec!["gzip; q=0.000"], false),
            (vec!["gzip;q=much"], false),
            (vec!["notgzip"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(header::ACCEPT_ENCODING, value.parse().unwrap());
            }
            assert_eq!(wanted(&headers), takes, "{values:?}");
        }
    }
}
