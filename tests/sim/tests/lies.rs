//! Each checker bites: a world that lies in one way is caught, by the checker of the law that the lie breaks.

use berth_sim::{Law, Lie, Options, run};

/// Seeds within which a lie must be caught.
const SEEDS: u64 = 300;

/// The laws whose checkers may notice a lie first.
fn broken_by(lie: Lie) -> &'static [Law] {
    match lie {
        Lie::StoreAcknowledgesEarly | Lie::StoreTakesTwoWriters => &[Law::Log],
        Lie::SatelliteForgetsEpoch => &[Law::Newest],
        Lie::AllocatorSeesStaleNumbers => &[Law::Numbers],
        Lie::DeletionWithoutTombstone | Lie::JobsAreNotStored => &[Law::Jobs, Law::Rest],
        Lie::PoolAcknowledgesEarly => &[Law::Data, Law::Rest],
        Lie::OldReportAsNew => &[Law::Shown],
        Lie::ReplicasClaimData => &[Law::Replicas],
        Lie::MarksFollowNames => &[Law::Identity, Law::Data],
    }
}

fn caught(lie: Lie) {
    let laws = broken_by(lie);
    let mut others = Vec::new();
    for seed in 1..=SEEDS {
        let outcome = run(seed, &Options { lie: Some(lie), ..Options::default() });
        let Some(violation) = outcome.violation else { continue };
        if laws.contains(&violation.law) {
            println!("{lie:?} is caught by seed {seed}: {violation}");
            return;
        }
        // Another checker was faster; this test is about the one that the lie is made for.
        others.push(format!("seed {seed}: {violation}"));
    }
    panic!("{lie:?} is not caught by {laws:?} within {SEEDS} seeds; others: {}", others.join("; "));
}

macro_rules! lies {
    ($($name:ident: $lie:ident),* $(,)?) => {
        $(#[test] fn $name() { caught(Lie::$lie); })*
        #[test]
        fn every_lie_has_a_test() {
            let tested = [$(Lie::$lie),*];
            assert!(Lie::ALL.iter().all(|lie| tested.contains(lie)));
        }
    };
}

lies! {
    a_store_that_acknowledges_early_is_caught: StoreAcknowledgesEarly,
    a_satellite_that_forgets_the_epoch_is_caught: SatelliteForgetsEpoch,
    an_allocator_with_a_stale_view_is_caught: AllocatorSeesStaleNumbers,
    a_deletion_without_tombstone_is_caught: DeletionWithoutTombstone,
    jobs_that_are_not_stored_are_caught: JobsAreNotStored,
    a_pool_that_acknowledges_early_is_caught: PoolAcknowledgesEarly,
    an_old_report_as_a_new_one_is_caught: OldReportAsNew,
    marks_that_follow_names_are_caught: MarksFollowNames,
    replicas_that_claim_data_are_caught: ReplicasClaimData,
    a_store_that_takes_two_writers_is_caught: StoreTakesTwoWriters,
}
