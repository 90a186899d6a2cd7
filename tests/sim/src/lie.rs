//! Lies of the world: each breaks a promise that the product builds on, and shows that a checker notices what follows.
//!
//! A lie sits in the simulated world (store, disk, network, machine), never in the code under test.

/// A lying seam.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lie {
    /// The store acknowledges a commit before it is on disk, and loses it when the controller dies.
    StoreAcknowledgesEarly,
    /// The satellite's disk forgets the newest epoch when the satellite dies.
    SatelliteForgetsEpoch,
    /// The store hides the numbers that were given out last from a controller that starts.
    AllocatorSeesStaleNumbers,
    /// The store drops tombstones.
    DeletionWithoutTombstone,
    /// The store drops the records of jobs.
    JobsAreNotStored,
    /// The pools' disk says that changes are on disk that are not, and the power fails.
    PoolAcknowledgesEarly,
    /// The network delivers an old report once more, as a new one.
    OldReportAsNew,
    /// The pools' file system shows every object under the mark that is looked for: identity by name.
    MarksFollowNames,
    /// Replicas call themselves up to date whether or not a peer gave them the data.
    ReplicasClaimData,
    /// The store hands one controller's commits to the other: the compare-and-set does not compare.
    StoreTakesTwoWriters,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::StoreAcknowledgesEarly,
        Self::SatelliteForgetsEpoch,
        Self::AllocatorSeesStaleNumbers,
        Self::DeletionWithoutTombstone,
        Self::JobsAreNotStored,
        Self::PoolAcknowledgesEarly,
        Self::OldReportAsNew,
        Self::MarksFollowNames,
        Self::ReplicasClaimData,
        Self::StoreTakesTwoWriters,
    ];
}
