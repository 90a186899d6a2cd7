//! Sizes as people type and read them.
//!
//! Rule: REST v1 counts KiB; the command line takes GiB when no unit is given and rounds up to whole KiB.

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSize {
    /// No number at the start, or nothing at all.
    #[error("'{0}' is no size; write a number and a unit, such as 10G or 200MiB")]
    Number(String),
    /// The letters after the number are no unit.
    #[error("'{text}': '{unit}' is no unit; use B, S, K, M, G, T or P, with iB for powers of 1024 and B for powers of 1000")]
    Unit {
        /// The whole text.
        text: String,
        /// The letters after the number.
        unit: String,
    },
    /// Zero, or more than 2^63 bytes can count.
    #[error("'{0}' is out of range; a size is at least 1 KiB and less than 8 EiB")]
    Range(String),
}

/// Reads a size and returns whole KiB, rounded up. Without a unit the number counts GiB.
///
/// `B` bytes, `S` sectors of 512 bytes, `K`, `KiB` … `P`, `PiB` powers of 1024, `KB` … `PB` powers of 1000; letters in any case.
pub fn parse_kib(text: &str) -> Result<u64, BadSize> {
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(end);
    let number: u128 = match digits.parse::<u64>() {
        Ok(number) => u128::from(number),
        Err(_) if digits.is_empty() => return Err(BadSize::Number(text.to_owned())),
        Err(_) => return Err(BadSize::Range(text.to_owned())),
    };
    let bytes_each: u128 = unit_bytes(unit.trim()).ok_or_else(|| BadSize::Unit { text: text.to_owned(), unit: unit.trim().to_owned() })?;
    let kib = number.checked_mul(bytes_each).ok_or_else(|| BadSize::Range(text.to_owned()))?.div_ceil(1024);
    // The API counts in signed 64-bit numbers of KiB; 2^53 KiB are 8 EiB, more than any block device can have.
    if kib == 0 || kib >= 1 << 53 {
        return Err(BadSize::Range(text.to_owned()));
    }
    u64::try_from(kib).map_err(|_| BadSize::Range(text.to_owned()))
}

/// Bytes in one of `unit`; the empty unit is GiB.
fn unit_bytes(unit: &str) -> Option<u128> {
    let lower = unit.to_ascii_lowercase();
    match lower.as_str() {
        "" => return Some(1 << 30),
        "b" => return Some(1),
        "s" => return Some(512),
        _ => {}
    }
    let mut letters = lower.chars();
    let power = "kmgtp".find(letters.next()?)? as u32 + 1;
    match letters.as_str() {
        "" | "ib" => Some(1024u128.pow(power)),
        "b" => Some(1000u128.pow(power)),
        _ => None,
    }
}

/// Writes KiB with one unit: `1 GiB`, `1.05 GiB`; exact values have no decimals, others two.
pub fn render_kib(kib: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    let mut each: u64 = 1;
    while unit + 1 < UNITS.len() && kib / 1024 >= each {
        each *= 1024;
        unit += 1;
    }
    if kib.is_multiple_of(each) {
        format!("{} {}", kib / each, UNITS[unit])
    } else {
        format!("{:.2} {}", kib as f64 / each as f64, UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::{BadSize, parse_kib, render_kib};

    #[test]
    fn sizes_are_read() {
        for (text, kib) in [
            ("10G", 10_485_760),
            ("10", 10_485_760),
            ("100GiB", 104_857_600),
            ("20M", 20_480),
            ("1KB", 1),
            ("1MB", 977),
            ("3S", 2),
            ("1B", 1),
            ("2 tib", 2_147_483_648),
            ("500gb", 488_281_250),
        ] {
            assert_eq!(parse_kib(text), Ok(kib), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(matches!(parse_kib("G"), Err(BadSize::Number(_))));
        assert!(matches!(parse_kib(""), Err(BadSize::Number(_))));
        assert!(matches!(parse_kib("-5G"), Err(BadSize::Number(_))));
        assert!(matches!(parse_kib("5Q"), Err(BadSize::Unit { .. })));
        assert!(matches!(parse_kib("5GiBx"), Err(BadSize::Unit { .. })));
        assert!(matches!(parse_kib("0"), Err(BadSize::Range(_))));
        assert!(matches!(parse_kib("99999999999999999999999"), Err(BadSize::Range(_))));
        assert!(matches!(parse_kib("18446744073709551615P"), Err(BadSize::Range(_))));
    }

    #[test]
    fn sizes_are_written() {
        assert_eq!(render_kib(1_048_576), "1 GiB");
        assert_eq!(render_kib(1_101_005), "1.05 GiB");
        assert_eq!(render_kib(0), "0 KiB");
        assert_eq!(render_kib(8192), "8 MiB");
        assert_eq!(render_kib(u64::MAX), "16384.00 EiB");
    }
}
