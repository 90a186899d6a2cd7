//! The trait that an author implements.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{BackingName, Device, Fault, FaultKind, Kib, Machine, Manifest, Mark, Pool, Space};

/// What a pool can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolAbilities {
    /// Unit of volume sizes.
    pub extent: Kib,
    /// Why snapshots, rollback and restore do not work here; `None`: they do.
    pub no_snapshots: Option<Fault>,
    /// Whether a new volume reads as zeroes from its begin to its end, and so does what [`Provider::grow`] adds, whatever lay there before.
    /// `false`: it does so in its first 4 KiB only (thick logical volumes). Two new volumes are then not equal before one was copied to the
    /// other, and a copy onto a new volume leaves no block out.
    pub zeroes: bool,
}

/// A new object: its name and the mark that it gets.
///
/// A provider that cannot keep an object under its name (it is too long for it, beside the pool's place) refuses it with `Unsupported`
/// before it makes anything. Names of at most [`BackingName::LENGTH_SURE`] letters, digits, `_` and `.` it must take; a pool whose
/// place leaves no room for these is refused by its [probe](Provider::probe). What the storage keeps for itself (`snapshot1`, `x_tmeta`
/// of LVM) or does not know (`@`, `+`) the provider writes otherwise, and hands back as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct New {
    /// Name in the pool, complete: with the suffix, if there is one.
    pub name: BackingName,
    /// Which part of a volume's stack it is: empty for the data, else a suffix as in the name, e.g. `.meta` (DRBD's metadata), `.cache`.
    /// A provider that places them differently looks at it; others leave it alone.
    pub suffix: String,
    /// Of a snapshot: the volume that it is taken of; see [`Known::of`].
    pub of: Option<BackingName>,
    /// Its mark.
    pub mark: Mark,
}

impl New {
    /// The object, once it is there.
    #[must_use]
    pub fn known(&self) -> Known {
        Known { name: self.name.clone(), of: self.of.clone(), cluster: self.mark.cluster, generation: self.mark.generation }
    }
}

/// An object that is there: touched only if its mark says this cluster and generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Name in the pool.
    pub name: BackingName,
    /// Of a snapshot: the name of the volume that it was taken of, where the host knows it; `None` of a volume. It says where to look
    /// first (ZFS keeps a snapshot as `VOLUME@SNAPSHOT`), and nothing else: the volume may be gone, and its name be another's by now.
    pub of: Option<BackingName>,
    /// Cluster that it belongs to.
    pub cluster: Uuid,
    /// Its generation id.
    pub generation: Uuid,
}

/// Whose an object is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Marked {
    /// It carries a mark of Berth; compare cluster and generation before touching it.
    By(Mark),
    /// It carries none, and is an object as those of the pool are: [`Provider::adopt`] can mark it.
    Unmarked,
    /// It carries none that this version understands, or is no object as those of the pool are (why).
    Foreign(String),
}

/// A backing object as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Name in the pool.
    pub name: BackingName,
    /// Whose it is.
    pub marked: Marked,
    /// Usable size.
    pub size: Kib,
    /// Space that it really takes.
    pub allocated: Kib,
    /// The device that serves it; `None`: not attached.
    pub device: Option<Device>,
}

/// Where data is that the host shall read or write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Data {
    /// A file of the pool's folder, by its name.
    File(String),
    /// A block device, in one of the granted folders.
    Device(String),
}

/// How far a filling operation came. A provider never moves bulk data: it says how, and the host does it, watches it, cancels it and
/// resumes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filled {
    /// The object is there with its data, and marked.
    Done,
    /// The host shall copy the data as it sees fit, and then call [`Provider::finish_copy`]. Copied while somebody writes to the source,
    /// it is not a point in time: the host refuses that.
    Copy {
        /// Where the data is.
        from: Data,
        /// Where it shall be; there already, with its size.
        to: Data,
    },
    /// The host shall run both commands, the output of the first being the input of the second, and then call
    /// [`Provider::finish_copy`]. Both must be granted. If one fails, both are ended, and the operation is asked for again later.
    Pipe {
        /// Argument vector that writes the data to its standard output.
        sender: Vec<String>,
        /// Argument vector that reads it from its standard input.
        receiver: Vec<String>,
    },
}

/// A command that writes a snapshot to its standard output, or reads one from its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// What the bytes are, e.g. `zfs`, `thin`, `raw`: a receiver takes what a sender of the same word sends.
    pub format: String,
    /// Its argument vector; must be granted.
    pub argv: Vec<String>,
}

/// Makes volumes in one pool; each call is bound to the pool of the [`Machine`] that it is handed.
///
/// Rules for every operation:
/// - Repeating it is harmless: what is there already as wanted is success, so is a missing object of a delete.
/// - Cut short at any point it leaves the old state, the new one, or something that the repeated call or [`clean`](Provider::clean)
///   recognises and finishes or removes.
/// - An object gets its mark before it gets its name, or with it. One that is unmarked, or marked with another cluster or generation, is never
///   touched: `Foreign`, with the name and a correction.
///   The one exception is [`adopt`](Provider::adopt), the explicit word of an administrator, and it only adds the mark.
/// - Sizes are multiples of the pool's extent.
/// - A provider keeps nothing between calls and does not move bulk data.
///
/// A provider crate exports a type that implements this and `Default`, by [`export_provider!`](crate::export_provider).
pub trait Provider: Send + Sync + 'static {
    /// What it is and what it asks for.
    fn manifest(&self) -> Manifest;

    /// Finds out what the pool can do; tries what cannot be known otherwise.
    ///
    /// # Errors
    /// `Pool` if its place is missing or unusable.
    fn probe(&self, on: &dyn Machine) -> Result<PoolAbilities, Fault>;

    /// Removes what operations of `cluster` that were cut short left behind; returns the names. What it cannot tell from a stranger's
    /// stays. Called at start, while no other operation runs.
    ///
    /// # Errors
    /// Any fault of the machine.
    fn clean(&self, on: &dyn Machine, cluster: Uuid) -> Result<Vec<String>, Fault>;

    /// Space of the pool.
    ///
    /// # Errors
    /// `Pool`, or any fault of the machine.
    fn space(&self, on: &dyn Machine) -> Result<Space, Fault>;

    /// Every object of the pool, its own and foreign ones whose names could be its own.
    ///
    /// # Errors
    /// `Pool`, or any fault of the machine.
    fn list(&self, on: &dyn Machine) -> Result<Vec<Found>, Fault>;

    /// One object; `None`: nothing of that name. `of`: as [`Known::of`].
    ///
    /// # Errors
    /// `Pool`, or any fault of the machine.
    fn look(&self, on: &dyn Machine, name: &BackingName, of: Option<&BackingName>) -> Result<Option<Found>, Fault>;

    /// Makes a volume. It reads as zeroes as far as [`PoolAbilities::zeroes`] says, and in its first 4 KiB in any case: no program may take
    /// what lay there before for a file system.
    ///
    /// # Errors
    /// `Foreign`, `NoSpace`, `Unsupported` for a name that cannot be kept, or any fault of the machine.
    fn create(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault>;

    /// Makes a volume at least so large, also its device if it has one. Never shrinks.
    ///
    /// # Errors
    /// `Foreign`, `Lost`, `NoSpace`, or any fault of the machine.
    fn grow(&self, on: &dyn Machine, volume: &Known, size: Kib) -> Result<(), Fault>;

    /// Removes a volume with its data. The host has made sure that nobody uses it.
    ///
    /// # Errors
    /// `Foreign`, `InUse`, or any fault of the machine.
    fn delete(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault>;

    /// Takes a snapshot: a copy at one moment, that stays as it is.
    ///
    /// # Errors
    /// `Unsupported` where the pool cannot; `Foreign`, `Lost`, `NoSpace`, or any fault of the machine.
    fn snapshot(&self, on: &dyn Machine, volume: &Known, new: &New) -> Result<(), Fault>;

    /// Removes a snapshot. Volumes made from it stay.
    ///
    /// # Errors
    /// `Foreign`, or any fault of the machine.
    fn delete_snapshot(&self, on: &dyn Machine, snapshot: &Known) -> Result<(), Fault>;

    /// Gives a volume the data and size of a snapshot, any of its snapshots; all snapshots stay.
    /// Afterwards the volume's mark is `new`'s, which has the same generation and another content. The host has made sure that nobody uses it.
    ///
    /// It may take several steps. Wherever it was cut short, [`look`](Provider::look) and [`list`](Provider::list) still find the volume under
    /// its name: with its old mark, and then every call that follows works on its old data; or with `new`'s, and then on the snapshot's.
    /// What the storage cannot replace in one step is hidden from them: the next call on the volume finishes or takes back what was begun,
    /// and so does [`clean`](Provider::clean).
    ///
    /// # Errors
    /// `Foreign`, `Lost`, `InUse`, `NoSpace`, or any fault of the machine.
    fn rollback(&self, on: &dyn Machine, new: &New, snapshot: &Known) -> Result<(), Fault>;

    /// Makes a volume from a snapshot, at least `size` large.
    ///
    /// # Errors
    /// `Foreign`, `Lost`, `NoSpace`, or any fault of the machine.
    fn restore(&self, on: &dyn Machine, snapshot: &Known, new: &New, size: Kib) -> Result<Filled, Fault>;

    /// Makes a volume from another one as it is at one moment, at least `size` large.
    ///
    /// # Errors
    /// `Foreign`, `Lost`, `NoSpace`, or any fault of the machine.
    fn clone_volume(&self, on: &dyn Machine, volume: &Known, new: &New, size: Kib) -> Result<Filled, Fault>;

    /// The command that sends a snapshot, whole or (`since`) what changed since an older one that the receiver has.
    ///
    /// # Errors
    /// `Unsupported` where the provider cannot; `Foreign`, `Lost`, or any fault of the machine.
    fn send(&self, on: &dyn Machine, snapshot: &Known, since: Option<&Known>) -> Result<Stream, Fault> {
        let _ = (snapshot, since);
        Err(no_streams(on.pool(), "sent"))
    }

    /// The command that receives a snapshot or volume which [`send`](Self::send) of another pool sends; when it has ended well,
    /// [`finish_copy`](Self::finish_copy) is called. `since`: what of it is here already.
    ///
    /// # Errors
    /// `Unsupported` where the provider cannot; `Foreign`, `NoSpace`, or any fault of the machine.
    fn receive(&self, on: &dyn Machine, new: &New, size: Kib, since: Option<&Known>) -> Result<Stream, Fault> {
        let _ = (new, size, since);
        Err(no_streams(on.pool(), "received"))
    }

    /// Makes the target of a finished [`Filled::Copy`], [`Filled::Pipe`] or [`receive`](Self::receive) a volume.
    ///
    /// # Errors
    /// `Foreign`, `Lost`, or any fault of the machine.
    fn finish_copy(&self, on: &dyn Machine, new: &New) -> Result<(), Fault>;

    /// Marks an object that somebody else made and that carries no mark yet, because an administrator said that it is the volume or
    /// snapshot `new`. Its data and its size stay as they are. It must be at least `size` large, and nobody may use it.
    ///
    /// # Errors
    /// `Lost` if there is nothing of that name; `Foreign` if it is smaller, no object as those of the pool are, or marked otherwise; `InUse`
    /// if a device serves it that could be ended (it is somebody's); `Unsupported` where the provider cannot; or any fault of the machine.
    fn adopt(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        let (pool, _) = (on.pool(), size);
        Err(Fault::new(FaultKind::Unsupported, format!("What lies in storage pool '{}' unmarked cannot be taken in", pool.name))
            .cause(format!("The provider of {} does not mark '{}' afterwards", pool.kind, new.name))
            .correction("Copy the data into a new volume"))
    }

    /// Serves a volume as a block device. It lies in a folder that [`Manifest::devices`] asks for, or is one that the host answered with
    /// in the same call ([`Files::attach`](crate::Files::attach), [`Files::device`](crate::Files::device)); the host refuses any other.
    ///
    /// # Errors
    /// `Foreign`, `Lost`, or any fault of the machine.
    fn attach(&self, on: &dyn Machine, volume: &Known) -> Result<Device, Fault>;

    /// Ends the device of a volume; its data stays. The host has made sure that nobody uses it.
    ///
    /// Where the storage serves each volume as long as it is there (ZFS), nothing is to be done: it is success, and the device stays. The
    /// host does not count it then.
    ///
    /// # Errors
    /// `Foreign`, `InUse`, or any fault of the machine.
    fn detach(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault>;
}

fn no_streams(pool: &Pool, what: &str) -> Fault {
    Fault::new(FaultKind::Unsupported, format!("Snapshots of storage pool '{}' cannot be {what} as streams", pool.name))
        .cause(format!("The provider of {} does not do it", pool.kind))
        .correction("Choose a storage pool of another kind")
}
