//! Names of Docker's to names of resources. Never fails: what cannot be a resource's name is hashed, and the volume's property remembers it.

use sha2::{Digest, Sha256};

/// Longest name of a resource.
const MOST: usize = 48;

/// Words that no resource is called.
const RESERVED: [&str; 2] = ["all", "proxy"];

/// How a made-up name begins. Names that begin like this themselves are hashed, too.
const PREFIX: &str = "dv-";

/// The resource's name for a volume of Docker's: the same name where it is one that a resource can have, else `dv-STEM-HASH`.
/// Different names get different ones: resources are compared without case, so that a name with capitals is hashed.
#[must_use]
pub fn resource_name(docker: &str) -> String {
    if is_plain(docker) { docker.to_owned() } else { hashed(docker) }
}

/// Whether upstream's plugin could have made a resource of this very name: it takes names as they are.
#[must_use]
pub fn fits_upstream(docker: &str) -> bool {
    fits(docker, |c| c.is_ascii_alphanumeric())
}

fn is_plain(name: &str) -> bool {
    fits(name, |c| c.is_ascii_lowercase() || c.is_ascii_digit()) && !name.starts_with(PREFIX)
}

fn fits(name: &str, inner: impl Fn(char) -> bool) -> bool {
    (2..=MOST).contains(&name.len())
        && name.chars().all(|c| inner(c) || c == '_' || c == '-')
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().any(|c| c.is_ascii_alphabetic())
        && !RESERVED.iter().any(|word| name.eq_ignore_ascii_case(word))
}

fn hashed(name: &str) -> String {
    let stem: String =
        name.chars().map(|c| c.to_ascii_lowercase()).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(24).collect();
    let hash: String = Sha256::digest(name.as_bytes()).iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    let stem = stem.trim_matches('-');
    if stem.is_empty() { format!("{PREFIX}{hash}") } else { format!("{PREFIX}{stem}-{hash}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_names_stay_and_others_are_hashed() {
        for name in ["data", "shop_db", "a-b_c9", "_x"] {
            assert_eq!(resource_name(name), name);
        }
        let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0bae6ad5a4d3b2a8e2c1f0";
        for name in [hex, "Data", "my.volume", "a b", "a/b", "9lives", "all", "proxy", "x", "dv-data", "ü", "", &"y".repeat(300)] {
            let made = resource_name(name);
            assert!(made.starts_with("dv-") && fits_upstream(&made), "{name} -> {made}");
        }
        assert_ne!(resource_name("a.b"), resource_name("a b"));
        assert!(resource_name("shop.db").starts_with("dv-shop-db-"), "people recognise it");
    }

    proptest! {
        #[test]
        fn every_name_becomes_one_that_a_resource_can_have(name in "\\PC{0,300}") {
            let made = resource_name(&name);
            prop_assert!(fits(&made, |c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{made}");
        }

        #[test]
        fn different_names_stay_different_without_case(a in "[a-zA-Z0-9_. -]{1,60}", b in "[a-zA-Z0-9_. -]{1,60}") {
            prop_assert_eq!(a == b, resource_name(&a).eq_ignore_ascii_case(&resource_name(&b)));
        }
    }
}
