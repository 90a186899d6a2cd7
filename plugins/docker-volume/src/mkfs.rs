//! Which words a user of Docker may add to mkfs.
//!
//! mkfs runs as root: a word could name another disk, copy a folder of the host into the volume, or make nothing. So the switches are named that
//! are about the file system itself, and all others are refused. Sources: `mke2fs(8)`, `mkfs.xfs(8)`, `mkfs.btrfs(8)`.

/// A file system's switches.
struct Switches {
    /// Those that take a value, in the next word or behind them.
    valued: &'static [&'static str],
    /// Those that stand alone.
    plain: &'static [&'static str],
    /// Of the values that are lists of `NAME[=VALUE]`: for these switches only these names.
    named: &'static [(&'static str, &'static [&'static str])],
}

const EXT4: Switches = Switches {
    valued: &["-b", "-C", "-E", "-g", "-G", "-i", "-I", "-m", "-N", "-O", "-T", "-L"],
    plain: &[],
    named: &[(
        "-E",
        &[
            "stride",
            "stripe_width",
            "stripe-width",
            "lazy_itable_init",
            "lazy_journal_init",
            "nodiscard",
            "discard",
            "num_backup_sb",
            "packed_meta_blocks",
            "hash_seed",
            "resize",
        ],
    )],
};

const XFS: Switches = Switches {
    valued: &["-b", "-d", "-i", "-l", "-L", "-m", "-n", "-s"],
    plain: &["-K"],
    named: &[
        ("-d", &["agcount", "agsize", "su", "sw", "sunit", "swidth", "cowextsize", "extszinherit"]),
        ("-l", &["size", "sunit", "su", "lazy-count", "version"]),
        ("-m", &["crc", "finobt", "reflink", "rmapbt", "inobtcount", "bigtime", "metadir"]),
        ("-b", &["size", "log"]),
        ("-s", &["size", "log"]),
    ],
};

const BTRFS: Switches = Switches {
    valued: &["-d", "-m", "-n", "-s", "-L", "-O", "-R", "--csum", "--checksum", "--nodesize", "--sectorsize", "--label", "--features"],
    plain: &["-K", "-M", "--mixed", "--nodiscard"],
    named: &[],
};

/// Judges the words of option `fsopts` for a file system.
///
/// # Errors
/// Why they may not be, as the end of a sentence.
pub fn judge(fs: &str, words: &[String]) -> Result<(), String> {
    let known = match fs {
        "xfs" => &XFS,
        "btrfs" => &BTRFS,
        _ => &EXT4,
    };
    let mut rest = words.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        if known.plain.contains(&word) {
            continue;
        }
        let (switch, value) = match split(known, word) {
            Some((switch, Some(value))) => (switch, value),
            Some((switch, None)) => (switch, rest.next().ok_or_else(|| format!("'{switch}' has no value"))?),
            None => {
                let all: Vec<&str> = known.valued.iter().chain(known.plain).copied().collect();
                return Err(format!("'{word}' is not among the words that are passed on: {}", all.join(" ")));
            }
        };
        if value.is_empty() || value.starts_with('-') || value.contains('/') {
            return Err(format!("'{value}' is no value of '{switch}'"));
        }
        let Some((_, names)) = known.named.iter().find(|(other, _)| *other == switch) else { continue };
        let stranger = value.split(',').find(|part| !names.contains(&part.split('=').next().unwrap_or_default()));
        if let Some(stranger) = stranger {
            return Err(format!("'{stranger}' is not passed on behind '{switch}'; these are: {}", names.join(" ")));
        }
    }
    Ok(())
}

/// A switch that takes a value, and the value if it stands in the same word.
fn split<'w>(known: &Switches, word: &'w str) -> Option<(&'static str, Option<&'w str>)> {
    let is = |switch: &&&'static str| match word.strip_prefix(**switch) {
        Some("") => true,
        Some(behind) => {
            if switch.starts_with("--") {
                behind.starts_with('=')
            } else {
                !behind.is_empty()
            }
        }
        None => false,
    };
    let switch = known.valued.iter().find(is)?;
    let behind = word.strip_prefix(*switch).filter(|behind| !behind.is_empty());
    Some((switch, behind.map(|behind| behind.strip_prefix('=').filter(|_| switch.starts_with("--")).unwrap_or(behind))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(fs: &str, text: &str) -> Result<(), String> {
        judge(fs, &text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_about_the_file_system_are_passed_on() {
        for (fs, text) in [
            ("ext4", ""),
            ("ext4", "-m 0 -i 65536 -E lazy_itable_init=0,discard -O ^has_journal -L data"),
            ("ext4", "-m0 -b4096"),
            ("xfs", "-K -d agcount=4 -m reflink=1,crc=1 -i size=512 -n size=8192"),
            ("btrfs", "-M -n 16k --csum=xxhash --features no-holes -d single -m dup"),
        ] {
            assert_eq!(judged(fs, text), Ok(()), "{fs} {text}");
        }
    }

    #[test]
    fn words_that_reach_beyond_it_are_refused() {
        for (fs, text) in [
            ("btrfs", "-f /dev/loop7"),
            ("btrfs", "-f"),
            ("btrfs", "/dev/loop7"),
            ("btrfs", "loop7"),
            ("btrfs", "-r /etc"),
            ("btrfs", "--rootdir=/etc"),
            ("btrfs", "--csumx"),
            ("btrfs", "-V"),
            ("btrfs", "-U 0"),
            ("ext4", "-d /etc"),
            ("ext4", "-d/etc"),
            ("ext4", "-J device=/dev/sda"),
            ("ext4", "-n"),
            ("ext4", "-V"),
            ("ext4", "-S"),
            ("ext4", "-F"),
            ("ext4", "-qF"),
            ("ext4", "-U random"),
            ("ext4", "-E offset=4096"),
            ("ext4", "-E discard,root_owner=1:1"),
            ("ext4", "-m"),
            ("ext4", "-m -F"),
            ("ext4", "4096"),
            ("ext4", "-L /x"),
            ("xfs", "-N"),
            ("xfs", "-f"),
            ("xfs", "-p protofile"),
            ("xfs", "-l logdev=/dev/sda"),
            ("xfs", "-l logdev=sda"),
            ("xfs", "-d file,name=x"),
            ("xfs", "-r rtdev=x"),
            ("xfs", "-m uuid=1"),
        ] {
            assert!(judged(fs, text).is_err(), "{fs} {text}");
        }
    }
}
