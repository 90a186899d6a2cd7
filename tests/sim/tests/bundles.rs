//! A support bundle of one world is the start of another.

use berth_sim::{Options, run};

#[test]
fn a_bundle_is_replayed_and_goes_on() {
    for seed in [7, 8, 9] {
        let first = run(seed, &Options::default());
        let bundle = first.bundle.unwrap();
        let steps = bundle.log.len();
        assert!(steps > 10 && bundle.log_begins == 1, "the log is whole: {steps} steps from {}", bundle.log_begins);
        // Through its text, as it comes from somebody else.
        let text = serde_json::to_vec(&*bundle).unwrap();
        let read = berth_store::Bundle::parse(text.as_slice()).unwrap();
        let again = run(seed + 100, &Options { bundle: Some(read.into()), ..Options::default() });
        assert!(again.violation.is_none(), "from the bundle of seed {seed}: {}", again.violation.unwrap());
        assert!(again.serial > bundle.serial, "it went on from {}", bundle.serial);
    }
}

#[test]
fn a_bundle_that_begins_late_is_replayed_from_there() {
    let first = run(7, &Options::default());
    let mut bundle = (*first.bundle.unwrap()).clone();
    // A log that was trimmed: what it began with is the state before its first entry.
    let whole = bundle.state();
    bundle.log.clear();
    bundle.before.clear();
    bundle.log_begins = bundle.serial + 1;
    assert_eq!(bundle.start().records, whole.records);
    let again = run(208, &Options { bundle: Some(bundle.into()), ..Options::default() });
    assert!(again.violation.is_none(), "{}", again.violation.unwrap());
}

#[test]
fn a_broken_step_is_named() {
    // A number is used in the log that somebody else holds.
    let numbers = |entry: &berth_store::BundleEntry| entry.writes.iter().any(|write| write.kind == "number" && write.body.is_some());
    let bundles = (1..50).filter_map(|seed| run(seed, &Options::default()).bundle);
    let found = bundles.map(|bundle| (*bundle).clone()).find_map(|bundle| Some((bundle.log.iter().position(numbers)?, bundle)));
    let (at, mut bundle) = found.unwrap();
    for write in bundle.log[at].writes.iter_mut().filter(|write| write.kind == "number") {
        let mut claim: serde_json::Value = serde_json::from_str(write.body.as_ref().unwrap().get()).unwrap();
        claim["holder"] = "00000000-0000-7000-8000-000000000001".into();
        write.body = Some(serde_json::value::to_raw_value(&claim).unwrap());
    }
    let serial = bundle.log[at].serial;
    let violation = run(1, &Options { bundle: Some(bundle.into()), ..Options::default() }).violation.unwrap();
    assert_eq!(violation.law, berth_sim::Law::Numbers, "{violation}");
    assert!(violation.tail.iter().any(|line| line.contains(&format!("step {serial}:"))), "{violation}");
}
