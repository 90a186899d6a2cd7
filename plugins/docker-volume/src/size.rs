//! Sizes as people write them.

use berth_plugin_sdk::Kib;

/// Smallest volume.
pub const LEAST: Kib = Kib(4096);

/// Units and how many bytes each is. `K` to `E` are powers of 1024, as upstream's plugin has them; `kB` to `EB` powers of 1000.
const UNITS: [(&[&str], u64); 13] = [
    (&["B"], 1),
    (&["K", "Ki", "KiB"], 1 << 10),
    (&["M", "Mi", "MiB"], 1 << 20),
    (&["G", "Gi", "GiB"], 1 << 30),
    (&["T", "Ti", "TiB"], 1 << 40),
    (&["P", "Pi", "PiB"], 1 << 50),
    (&["E", "Ei", "EiB"], 1 << 60),
    (&["kB", "KB"], 1_000),
    (&["MB"], 1_000_000),
    (&["GB"], 1_000_000_000),
    (&["TB"], 1_000_000_000_000),
    (&["PB"], 1_000_000_000_000_000),
    (&["EB"], 1_000_000_000_000_000_000),
];

/// Reads the size of a volume such as `10G`, `10GiB` (binary) or `10GB` (decimal), cut to KiB.
///
/// # Errors
/// What is wrong, as the end of a sentence.
pub fn parse(text: &str) -> Result<Kib, String> {
    let size = Kib(bytes(text)? / 1024);
    if size < LEAST {
        return Err(format!("'{}' is less than 4M, the smallest volume", text.trim()));
    }
    Ok(size)
}

/// Reads an amount of bytes such as `512K`, in the units of [`parse`].
///
/// # Errors
/// What is wrong, as the end of a sentence.
pub fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let Ok(number) = number.parse::<u64>() else {
        return Err(format!("'{text}' is no size; write it as 10G (1024 powers) or 10GB (1000 powers)"));
    };
    if unit.is_empty() {
        return Err(format!("'{text}' has no unit; write {number}M, {number}G or {number}GB"));
    }
    let Some((_, bytes)) = UNITS.iter().find(|(words, _)| words.contains(&unit)) else {
        let near = UNITS.iter().flat_map(|(words, _)| *words).find(|word| word.eq_ignore_ascii_case(unit));
        return Err(match near {
            Some(near) => format!("'{unit}' is no unit; did you mean '{near}'? Capitals matter"),
            None => format!("'{unit}' is no unit; use K, M, G, T (1024 powers) or kB, MB, GB, TB (1000 powers)"),
        });
    };
    number.checked_mul(*bytes).ok_or_else(|| format!("'{text}' is more than a volume can have"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_upstream_and_the_usual_binary_ones() {
        for (text, kib) in [
            ("100MB", 97_656),
            ("10G", 10 << 20),
            ("10GiB", 10 << 20),
            ("10 Gi", 10 << 20),
            ("4M", 4096),
            ("8192K", 8192),
            ("5000kB", 4882),
        ] {
            assert_eq!(parse(text), Ok(Kib(kib)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_told() {
        for (text, word) in [
            ("", "no size"),
            ("ten", "no size"),
            ("100", "100M"),
            ("1g", "'G'"),
            ("3M", "less than 4M"),
            ("99999999E", "more than"),
            ("1X", "no unit"),
            ("-1G", "no size"),
        ] {
            let said = parse(text).expect_err(text);
            assert!(said.contains(word), "{text}: {said}");
        }
    }
}
