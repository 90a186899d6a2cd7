//! After all other tests: did each test named in `docs/claims.tsv` run and pass?

use xtask::{claims, root, verbs};

#[test]
fn every_claimed_test_ran_and_passed() {
    let log = std::env::var_os(verbs::TEST_LOG).expect("cargo xtask test names the file with the output of the tests");
    let log = String::from_utf8_lossy(&std::fs::read(log).expect("the output of the tests can be read")).into_owned();
    let table = std::fs::read_to_string(root().join(claims::CLAIMS)).expect("the table of claims can be read");
    let (claims, _) = claims::parse(&table);
    assert!(!claims.is_empty());
    let problems = claims::check_log(&claims, &log);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
