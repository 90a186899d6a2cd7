//! `Autoplacer/MinThinFreeSpace`: the free space below which a thin pool is no candidate.

use berth_model::cluster::Cluster;
use berth_model::objects::{Node, ResourceDefinition, ResourceGroup, StorPool};
use berth_model::props::{Chain, Props, Source};
use berth_model::size::Kib;

use super::Refusal;
use super::score::decimal;
use super::space::Space;

const KEY: &str = "Autoplacer/MinThinFreeSpace";
/// Parts of a number of 1.
const ONE: u128 = 1_000_000_000;

/// A bound on free space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Least {
    /// A share of the whole space, in billionths of a percent.
    Percent(u128),
    /// A size in billionths of a byte.
    Size(u128),
}

impl Least {
    const DEFAULT: Self = Self::Percent(10 * ONE);

    /// A number with `%`, or with a unit: letters alone and with `iB` are powers of 1024, with `B` powers of 1000; `S`: sectors of 512 bytes;
    /// none: KiB.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(end)?;
        let number = decimal(number)?;
        let unit = unit.trim_start().to_ascii_lowercase();
        if unit == "%" {
            return Some(Self::Percent(number));
        }
        let power = |letter: char| "kmgt".find(letter).and_then(|at| u32::try_from(at + 1).ok());
        let mut letters = unit.chars();
        let bytes: u128 = match (letters.next(), letters.as_str()) {
            (None, _) => 1024,
            (Some('b'), "") => 1,
            (Some('s'), "") => 512,
            (Some(letter), "" | "ib") => 1024u128.checked_pow(power(letter)?)?,
            (Some(letter), "b") => 1000u128.checked_pow(power(letter)?)?,
            (Some(_), _) => return None,
        };
        Some(Self::Size(number.saturating_mul(bytes)))
    }

    /// Whether a pool has enough. More free space never makes it too little, nor does more space that is all free.
    fn holds(self, space: &Space) -> bool {
        let (free, total) = (u128::from(space.free.0), u128::from(space.total.0));
        match self {
            Self::Percent(parts) => free.saturating_mul(100 * ONE) >= total.saturating_mul(parts),
            Self::Size(parts) => free.saturating_mul(1024 * ONE) >= parts,
        }
    }

    /// The bound for a pool, rounded up.
    fn size(self, space: &Space) -> Kib {
        let kib = match self {
            Self::Percent(parts) => u128::from(space.total.0).saturating_mul(parts).div_ceil(100 * ONE),
            Self::Size(parts) => parts.div_ceil(1024 * ONE),
        };
        Kib(u64::try_from(kib).unwrap_or(u64::MAX))
    }
}

/// The bounds of one request.
pub(super) struct ThinFree<'c> {
    definition: Option<&'c Props>,
    group: Option<&'c Props>,
    controller: &'c Props,
    /// For a pool that says nothing, on a node that says nothing.
    usual: Least,
}

impl<'c> ThinFree<'c> {
    pub(super) fn new(
        cluster: &'c Cluster,
        definition: Option<&'c ResourceDefinition>,
        group: Option<&'c ResourceGroup>,
        notes: &mut Vec<String>,
    ) -> Self {
        let (definition, group) = (definition.map(|definition| &definition.props), group.map(|group| &group.props));
        let mut made = Self { definition, group, controller: &cluster.controller.props, usual: Least::DEFAULT };
        let empty = Props::default();
        match made.set(&empty, &empty) {
            Ok(least) => made.usual = least.unwrap_or(Least::DEFAULT),
            Err(text) => notes.push(format!("Property '{KEY}' is '{text}', which is no size: 10 % count.")),
        }
        made
    }

    /// What is set for a pool; a value that is none (from an old record) as an error.
    fn set(&self, pool: &Props, node: &Props) -> Result<Option<Least>, String> {
        let chain = Chain::new()
            .with(Source::StorPool, pool)
            .with_some(Source::ResourceDefinition, self.definition)
            .with_some(Source::ResourceGroup, self.group)
            .with(Source::Node, node)
            .with(Source::Controller, self.controller);
        let Some(text) = chain.get(KEY) else { return Ok(None) };
        Least::parse(text).map(Some).ok_or_else(|| text.chars().take(32).collect())
    }

    /// Refuses a thin pool with too little free space.
    pub(super) fn judge(&self, node: &Node, pool: &StorPool, space: &Space) -> Result<(), Refusal> {
        if !pool.provider.is_thin() {
            return Ok(());
        }
        let least = if pool.props.contains(KEY) || node.props.contains(KEY) {
            self.set(&pool.props, &node.props).ok().flatten().unwrap_or(Least::DEFAULT)
        } else {
            self.usual
        };
        if least.holds(space) { Ok(()) } else { Err(Refusal::LowOnSpace { free: space.free, least: least.size(space) }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_as_sizes_are() {
        let size = |bytes: u128| Some(Least::Size(bytes * ONE));
        for (text, expect) in [
            ("10%", Some(Least::DEFAULT)),
            ("2.5 %", Some(Least::Percent(2_500_000_000))),
            ("3", size(3 << 10)),
            ("50GB", size(50_000_000_000)),
            ("50 GiB", size(50 << 30)),
            ("50g", size(50 << 30)),
            ("1.5k", size(1536)),
            ("7B", size(7)),
            ("4s", size(2048)),
            ("1T", size(1 << 40)),
            ("", None),
            ("%", None),
            ("1x", None),
            ("1kk", None),
            ("-1", None),
            ("1.2.3", None),
        ] {
            assert_eq!(Least::parse(text), expect, "{text}");
        }
    }

    #[test]
    fn a_bound_is_kept_to_the_last_kibibyte() {
        let space = |free, total| Space { free: Kib(free), total: Kib(total), ..Space::default() };
        assert!(Least::DEFAULT.holds(&space(10, 100)) && !Least::DEFAULT.holds(&space(10, 101)));
        let least = Least::parse("1025B").unwrap();
        assert!(least.holds(&space(2, 9)) && !least.holds(&space(1, 9)));
        assert_eq!((least.size(&space(0, 0)), Least::DEFAULT.size(&space(0, 101))), (Kib(2), Kib(11)));
        let most = Least::parse("99999999999999999999999999999999999999999 T").unwrap();
        assert!(!most.holds(&space(u64::MAX, u64::MAX)));
    }
}
