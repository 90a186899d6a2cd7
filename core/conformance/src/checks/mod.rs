//! The checks, in their order.

mod basics;
mod cuts;
mod foreign;
mod many;
mod names;
mod snapshots;
mod space;
mod streams;

use crate::trial::{Trial, Verdict};

/// What a check needs of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing, and without it nothing else makes sense.
    First,
    Nothing,
    /// Snapshots.
    Snapshots,
    /// Nothing; it looks back at what the others did, however they ended.
    Always,
}

/// A check.
pub(crate) struct Item {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) need: Need,
    pub(crate) run: fn(&mut Trial<'_>) -> Verdict,
}

const fn item(id: &'static str, title: &'static str, need: Need, run: fn(&mut Trial<'_>) -> Verdict) -> Item {
    Item { id, title, need, run }
}

/// All of them.
pub(crate) fn all() -> Vec<Item> {
    use Need::{Always, First, Nothing, Snapshots};
    vec![
        item("manifest", "The manifest can be used, stays the same, and serves the kind of the pool", First, basics::manifest),
        item("probe", "A probe tells the extent and leaves nothing", First, basics::probe),
        item("create", "A volume is made with its size and its mark, once", First, basics::create),
        item("zeroes", "A new volume begins with zeroes, and holds no others where the provider says so", Nothing, basics::zeroes),
        item("delete", "A volume is deleted, with its device; a missing one is success", Nothing, basics::delete),
        item("attach", "A device appears once with the volume's size, and goes, or stays as long as the volume", Nothing, basics::attach),
        item("grow", "A volume grows with its device, keeps its data and never shrinks", Nothing, basics::grow),
        item("grow-missing", "What is missing is lost, not made anew", Nothing, basics::missing),
        item("suffix", "Volumes of a layer's suffix are volumes of their own", Nothing, basics::suffix),
        item("list", "List and look say the same", Nothing, basics::list),
        item("sizes", "Sizes at the borders of extents are never below what was asked", Nothing, basics::sizes),
        item("names", "Every character of names works, and upper case differs from lower case", Nothing, names::characters),
        item("names-odd", "'@' and '+' in names work, or are refused before anything is made", Nothing, names::odd),
        item(
            "names-longest",
            "Names of 48 characters work, and the longest do or are refused before anything is made",
            Nothing,
            names::longest,
        ),
        item("no-snapshots", "A pool without snapshots refuses them, and says why", Nothing, snapshots::refused),
        item("snapshot", "A snapshot keeps the data of its moment", Snapshots, snapshots::keeps),
        item("rollback", "Any snapshot can be rolled back to, again and again; all stay", Snapshots, snapshots::rollback),
        item("restore", "A volume is made from a snapshot, also a larger one", Snapshots, snapshots::restore),
        item("restored-stays", "What was made from a snapshot outlives it, and a snapshot its volume", Snapshots, snapshots::outlive),
        item("clone", "A volume is made from another, and both go their own ways", Nothing, snapshots::clone),
        item("streams", "A snapshot is sent and received whole, or that is refused with the reason", Snapshots, streams::round_trip),
        item("generation", "An object of another generation is never touched", Nothing, foreign::generation),
        item("cluster", "An object of another cluster is never touched", Nothing, foreign::cluster),
        item("unmarked", "An object without a mark is never touched", Nothing, foreign::unmarked),
        item("adopt", "An object without a mark is adopted on the word of an administrator, as it is", Nothing, foreign::adopt),
        item("clean", "Clean leaves volumes and what others left alone", Nothing, foreign::clean),
        item("space", "Free space is honest", Nothing, space::honest),
        item("too-large", "A volume that cannot fit is refused, and leaves nothing", Nothing, space::too_large),
        item("full", "A full pool refuses, loses nothing, and comes back", Nothing, space::full),
        item("many", "Many volumes are listed whole, and a look costs as with a few", Nothing, many::many),
        item("cut-probe", "A probe that was cut short leaves nothing that clean does not find", Nothing, cuts::probe),
        item("cut-create", "A create that was cut short can be repeated or cleaned", Nothing, cuts::create),
        item("cut-grow", "A grow that was cut short can be repeated", Nothing, cuts::grow),
        item("cut-attach", "An attach that was cut short can be repeated or undone", Nothing, cuts::attach),
        item("cut-detach", "A detach that was cut short can be repeated", Nothing, cuts::detach),
        item("cut-delete", "A delete that was cut short can be repeated", Nothing, cuts::delete),
        item("cut-clone", "A clone that was cut short can be repeated or cleaned", Nothing, cuts::clone),
        item("cut-adopt", "An adoption that was cut short can be repeated", Nothing, cuts::adopt),
        item("cut-snapshot", "A snapshot that was cut short can be repeated or cleaned", Snapshots, cuts::snapshot),
        item("cut-delete-snapshot", "A deletion of a snapshot that was cut short can be repeated", Snapshots, cuts::delete_snapshot),
        item("cut-rollback", "A rollback that was cut short leaves old data or new, and can be repeated", Snapshots, cuts::rollback),
        item("cut-restore", "A restore that was cut short can be repeated or cleaned", Snapshots, cuts::restore),
        item("asks", "It ran and requested nothing that its manifest does not ask for", Always, basics::asks),
    ]
}
