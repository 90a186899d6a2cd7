//! Tests of the property rules.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::rule::Rule;
use super::table::table;
use super::*;
use crate::codes::Code;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn props(pairs: &[(&str, &str)]) -> Props {
    map(pairs).into_iter().collect()
}

fn set(pairs: &[(&str, &str)]) -> PropChange {
    PropChange::set(map(pairs))
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn value(owner: Owner, key: &str, value: &str) -> Option<String> {
    check(owner, key, value).ok().map(|checked| checked.value)
}

#[test]
fn built_in_table_is_sound() {
    let mut seen = BTreeSet::new();
    for row in &table().rows {
        assert!(check::normal_key(row.info.key).is_ok(), "{}", row.info.key);
        // Compiles each pattern.
        let _ = row.rule.normalise("x");
    }
    for owner in Owner::ALL {
        for info in infos(owner) {
            assert!(seen.insert((owner, info.key)), "{} twice on {}", info.key, owner.label());
            assert!(check_delete(owner, info.key).is_ok());
        }
    }
}

/// Type and rule as in the table; values that fit with their spelling; values that do not.
type RuleCase<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn rules_take_and_refuse() {
    let cases: &[RuleCase<'static>] = &[
        ("string", "-", &[("", ""), ("any / text", "any / text")], &[]),
        ("long", "-", &[("-7", "-7"), ("9223372036854775807", "9223372036854775807")], &["", "x", "+1", "1.5", "9223372036854775808"]),
        ("boolean", "-", &[("yes", "yes"), ("No", "no")], &["true", "", "on"]),
        ("boolean_true_false", "-", &[("True", "true"), ("YES", "true"), ("no", "false"), ("false", "false")], &["", "1", "on"]),
        ("range", "1..31", &[("1", "1"), ("31", "31")], &["0", "32", "-1", "", "1k"]),
        ("range-float", "0.0..1000.0", &[("0", "0"), ("2.5", "2.5"), ("1000", "1000")], &["-1", "1000.1", "NaN", "inf", ""]),
        ("symbol", "A|B", &[("A", "A")], &["a", "A|B", ""]),
        ("numeric-or-symbol", "1..32|all|off", &[("1", "1"), ("32", "32"), ("all", "all")], &["0", "33", "All", ""]),
        ("regex", "[0-9]+", &[("12", "12")], &["12x", "x12", "", "1\n"]),
        ("regex", "^|.internal|[a-z]{3}$", &[("", ""), (".internal", ".internal"), ("abc", "abc")], &["abcd", "ab"]),
        (
            "pool-path",
            "x",
            &[("vg/thin", "vg/thin"), ("/srv/a.b", "/srv/a.b"), ("..a", "..a")],
            &["", " ", "/srv/../etc", "..", "a\nb", "a\0"],
        ),
        ("port-range", "x", &[("7000-7999", "7000-7999"), ("1-1", "1-1")], &["7200-7100", "0-5", "1-65536", "x", "1", "-", "1-2-3"]),
        ("minor-range", "x", &[("0-1048575", "0-1048575")], &["5-4", "0-1048576", "a-b", "0-99999999999"]),
        ("port-list", "x", &[("7000", "7000"), ("7000,7010-7019 8000", "7000,7010-7019 8000")], &["", ",", "0", "70000", "9-5", "a"]),
    ];
    for (kind, text, good, bad) in cases {
        let rule = Rule::parse(kind, text).unwrap();
        for (given, stored) in *good {
            assert_eq!(rule.normalise(given).as_deref(), Ok(*stored), "{kind} {given:?}");
        }
        for given in *bad {
            assert!(rule.normalise(given).is_err(), "{kind} {given:?}");
        }
    }
    assert!(Rule::parse("range", "1-2").is_err());
    assert!(Rule::parse("colour", "red").is_err());
}

#[test]
fn errors_have_the_code_and_say_what_is_allowed() {
    let bad = check(Owner::Controller, TCP_PORT_RANGE, "7200-7100").unwrap_err();
    assert_eq!(bad.code(), Code::FAIL_INVLD_TCP_PORT);
    assert_eq!(check(Owner::Controller, MINOR_RANGE, "9-8").unwrap_err().code(), Code::FAIL_INVLD_MINOR_NR);
    // Not even the form of a range: an ordinary bad value.
    let bad = check(Owner::Controller, MINOR_RANGE, "x").unwrap_err();
    assert_eq!(bad.code(), Code::FAIL_INVLD_PROP);
    assert!(bad.to_string().contains(MINOR_RANGE) && bad.to_string().contains("'x'"));
    let bad = check(Owner::VolumeDefinition, "DrbdOptions/Disk/on-io-error", "cry").unwrap_err();
    assert!(bad.cause().contains("detach"), "{}", bad.cause());
    let unknown = check(Owner::Node, "Bogus", "1").unwrap_err();
    assert_eq!(unknown, PropError::Unknown { key: "Bogus".into(), owner: Owner::Node });
    assert!(unknown.cause().contains("whitelisted"));
    assert_eq!(check_delete(Owner::Node, "Bogus").unwrap_err(), unknown);
}

#[test]
fn keys_are_taken_where_they_belong() {
    let taken: &[(Owner, &str, &str)] = &[
        (Owner::Snapshot, "Aux/kept", "yes"),
        (Owner::Node, "/Aux/zz/a", ""),
        (Owner::Node, AUTOPLACE_TARGET, "no"),
        (Owner::Node, TCP_PORTS_BLOCKED, "7000,7010-7019"),
        (Owner::Node, "PrefNic", "10G_nic"),
        (Owner::ResourceGroup, "DrbdOptions/Net/protocol", "C"),
        (Owner::VolumeGroup, "DrbdOptions/Disk/on-io-error", "detach"),
        (Owner::ResourceDefinition, EXACT_SIZE, "True"),
        (Owner::ResourceDefinition, "FileSystem/MkfsParams", ""),
        (Owner::ResourceDefinition, "SnapshotShipping/Keep", "5"),
        (Owner::VolumeDefinition, "AllowLargerVolumeSize", "true"),
        (Owner::Controller, "EBS/Tags/team", "x"),
        (Owner::StorPool, "StorDriver/SED/vg/drive", "x"),
        (Owner::StorPool, DRIVER_POOL, "/srv/pool.d/a"),
        (Owner::ResourceConnection, "Paths/p1/alpha", "default"),
        (Owner::NodeConnection, "DrbdOptions/Net/max-buffers", "8000"),
        (Owner::DrbdProxyZlib, "DrbdOptions/ProxyCompression/level", "9"),
        (Owner::KeyValueStore, "__updated__", "now"),
        (Owner::KeyValueStore, "Internal/x", ""),
    ];
    for (owner, key, value) in taken {
        assert!(check(*owner, key, value).is_ok(), "{key} on {}", owner.label());
        assert!(check_delete(*owner, key).is_ok(), "{key} on {}", owner.label());
    }
    let refused: &[(Owner, &str, &str)] = &[
        (Owner::StorPool, AUTOPLACE_TARGET, "false"),
        (Owner::ResourceGroup, EXACT_SIZE, "True"),
        (Owner::Controller, "Cluster/LocalID", "x"),
        (Owner::Node, "NodeUname", "x"),
        (Owner::ResourceDefinition, QUORUM_SET_BY, "user"),
        (Owner::Resource, "EBS/Tags/team", "x"),
        (Owner::Node, "Paths/p1/alpha", "default"),
        (Owner::NodeConnection, "Paths/p1", "default"),
        (Owner::NodeConnection, "Paths/p1/alpha", "no interface"),
        (Owner::NodeConnection, "Paths/p1/al_pha", "default"),
        (Owner::Node, "Aux", "x"),
        (Owner::Node, "Aux/", "x"),
        (Owner::Node, "//Aux/x", "x"),
        (Owner::Node, "Aux//x", "x"),
        (Owner::Node, "", "x"),
        (Owner::Node, "Aux/a\nb", "x"),
        (Owner::Node, "Aux/zero", "a\0b"),
        (Owner::ResourceDefinition, "DrbdOptions/Net/shared-secret", "a\";\ninclude \"x"),
        (Owner::DrbdProxyZlib, "DrbdOptions/ProxyCompression/level", "10"),
        (Owner::KeyValueStore, "a//b", ""),
    ];
    for (owner, key, value) in refused {
        assert!(check(*owner, key, value).is_err(), "{key} on {}", owner.label());
    }
    let long = format!("Aux/{}", "ä".repeat(252));
    assert!(check(Owner::Node, &long, "").is_ok());
    assert!(matches!(check(Owner::Node, &format!("{long}x"), ""), Err(PropError::BadKey { .. })));
    assert!(matches!(check(Owner::Node, "NodeUname", "x"), Err(PropError::ReadOnly { .. })));
}

#[test]
fn values_get_their_one_spelling() {
    assert_eq!(value(Owner::Controller, AUTO_TIEBREAKER, "False").as_deref(), Some("false"));
    assert_eq!(value(Owner::Node, AUTOPLACE_TARGET, "no").as_deref(), Some("false"));
    assert_eq!(value(Owner::ResourceDefinition, "DrbdOptions/Net/allow-two-primaries", "YES").as_deref(), Some("yes"));
    assert_eq!(value(Owner::Resource, SKIP_DISK, "True").as_deref(), Some("True"));
    assert_eq!(value(Owner::Resource, SKIP_DISK, "true"), None);
    assert_eq!(value(Owner::ResourceDefinition, "StorPoolNameDrbdMeta", ".internal").as_deref(), Some(".internal"));
    assert_eq!(value(Owner::Controller, "Autoplacer/MinThinFreeSpace", "50 GB").as_deref(), Some("50 GB"));
    assert_eq!(parse_range("7000-7999"), Some(7000..=7999));
    assert_eq!(parse_range("8-7"), None);
    assert_eq!(parse_ranges("7000, 7010-7019"), Some(vec![7000..=7000, 7010..=7019]));
}

#[test]
fn json_values_become_texts() {
    let text = |json: &str| value_text("k", &serde_json::from_str(json).unwrap());
    assert_eq!(text("7").as_deref(), Ok("7"));
    assert_eq!(text("2.5").as_deref(), Ok("2.5"));
    assert_eq!(text("true").as_deref(), Ok("true"));
    assert_eq!(text("\"\"").as_deref(), Ok(""));
    assert_eq!(text("null"), Err(PropError::NullValue { key: "k".into() }));
    assert!(text("[]").is_err());
}

#[test]
fn change_sets_then_removes_keys_then_namespaces() {
    let before = props(&[("Aux/a", "1"), ("Aux/n/x", "1"), ("Aux/n2", "1"), ("StorPoolName", "thin")]);
    let asked = PropChange {
        override_props: map(&[("/Aux/a", "2"), ("Aux/n/y", "3"), ("PrefNic", "default")]),
        delete_props: texts(&["StorPoolName", "Aux/never"]),
        delete_namespaces: texts(&["/Aux/n/"]),
    };
    let done = change(Owner::Node, &before, &asked).unwrap();
    assert_eq!(done.props, props(&[("Aux/a", "2"), ("Aux/n2", "1"), ("PrefNic", "default")]));
    assert_eq!(done.set[0], SetProp { key: "Aux/a".into(), old: Some("1".into()), new: "2".into() });
    assert_eq!(done.set.len(), 3);
    assert_eq!(done.removed, texts(&["StorPoolName"]));
    assert_eq!(done.not_set, texts(&["Aux/never"]));
    assert_eq!(done.swept, texts(&["Aux/n/x", "Aux/n/y"]));
    assert_eq!(done.without_effect, texts(&["PrefNic"]));
    assert_eq!(done.deprecated, []);
}

#[test]
fn namespaces_with_a_key_of_the_controller_stay() {
    let before = props(&[("Aux/a", "1"), ("NodeUname", "alpha")]);
    let all = PropChange { delete_namespaces: texts(&["/"]), ..PropChange::default() };
    assert!(matches!(change(Owner::Node, &before, &all), Err(PropError::ReadOnly { .. })));
    assert_eq!(change(Owner::KeyValueStore, &before, &all).unwrap().props, Props::default());
    let other = PropChange { delete_namespaces: texts(&["NoSuch"]), ..PropChange::default() };
    assert_eq!(change(Owner::Node, &before, &other).unwrap().props, before);
}

#[test]
fn old_names_are_translated() {
    let pool = |pairs: &[(&str, &str)]| change(Owner::StorPool, &Props::default(), &set(pairs)).map(|done| done.props);
    let stored = |path: &str| Ok(props(&[(DRIVER_POOL, path)]));
    assert_eq!(pool(&[("StorDriver/FileDir", "/srv/a.b")]), stored("/srv/a.b"));
    assert_eq!(pool(&[("StorDriver/ZPoolThin", "tank")]), stored("tank"));
    assert_eq!(pool(&[("StorDriver/LvmVg", "vg"), ("StorDriver/ThinPool", "thin")]), stored("vg/thin"));
    assert_eq!(pool(&[("StorDriver/FileDir", "/old"), (DRIVER_POOL, "/new")]), stored("/new"));
    assert!(pool(&[("StorDriver/FileDir", "")]).is_err());

    let done = change(Owner::Controller, &Props::default(), &set(&[("ExtCmdWaitTimeout", "30000")])).unwrap();
    assert_eq!(done.props, props(&[("ExtCmd/WaitTimeout", "30000")]));
    assert_eq!(done.deprecated, [Deprecated { key: "ExtCmdWaitTimeout", now: &["ExtCmd/WaitTimeout"] }]);
    let asked = PropChange { delete_props: texts(&["ExtCmdWaitTimeout", "ExtCmd/WaitTimeout"]), ..PropChange::default() };
    let done = change(Owner::Controller, &done.props, &asked).unwrap();
    assert!(done.props.is_empty());
    assert_eq!(done.removed, texts(&["ExtCmdWaitTimeout"]));
    // A key-value store takes such names as they are.
    let kept = change(Owner::KeyValueStore, &Props::default(), &set(&[("ExtCmdWaitTimeout", "x")])).unwrap();
    assert_eq!(kept.props, props(&[("ExtCmdWaitTimeout", "x")]));
}

#[test]
fn chosen_quorum_is_marked() {
    let user = |quorum: &str| props(&[(QUORUM, quorum), (QUORUM_SET_BY, QUORUM_BY_USER)]);
    let marked = change(Owner::ResourceDefinition, &Props::default(), &set(&[(QUORUM, "majority")])).unwrap().props;
    assert_eq!(marked, user("majority"));
    let unset = PropChange { delete_props: texts(&[QUORUM]), ..PropChange::default() };
    assert!(change(Owner::ResourceDefinition, &marked, &unset).unwrap().props.is_empty());
    let swept = PropChange { delete_namespaces: texts(&["DrbdOptions"]), ..PropChange::default() };
    assert!(change(Owner::ResourceGroup, &marked, &swept).unwrap().props.is_empty());

    // The automatic choice carries no mark, and another key brings none.
    let chosen = props(&[(QUORUM, "off")]);
    assert!(!change(Owner::ResourceDefinition, &chosen, &set(&[("Aux/a", "1")])).unwrap().props.contains(QUORUM_SET_BY));

    let auto = |value: &str| change(Owner::ResourceGroup, &marked, &set(&[("DrbdOptions/auto-quorum", value)])).unwrap();
    assert_eq!(auto("disabled").props, user("off"));
    assert_eq!(auto("suspend-io").props, props(&[(ON_NO_QUORUM, "suspend-io")]));
    assert_eq!(auto("io-error").deprecated[0].key, "DrbdOptions/auto-quorum");
    assert!(change(Owner::ResourceGroup, &marked, &set(&[("DrbdOptions/auto-quorum", "off")])).is_err());
}

/// Rows of the inheritance table in REST API v1: a key, and the sources in their order.
#[test]
fn inheritance_keeps_each_row_of_the_table() {
    use Source::*;
    let definition: &[Source] = &[ResourceDefinition, ResourceGroup, Controller];
    let luks: &[Source] = &[Volume, Resource, StorPool, Node, VolumeDefinition, ResourceDefinition, VolumeGroup, ResourceGroup, Controller];
    let rows: &[(&str, &[Source])] = &[
        ("StorPoolName", &[Volume, Resource, VolumeDefinition, ResourceDefinition, ResourceGroup, Node]),
        ("DrbdOptions/Net/protocol", &[ResourceConnection, Resource, ResourceDefinition, ResourceGroup, Controller]),
        ("DrbdOptions/Resource/auto-promote", &[ResourceConnection, Resource, ResourceDefinition, ResourceGroup, Controller]),
        ("DrbdOptions/Disk/al-extents", &[VolumeDefinition, VolumeGroup, ResourceDefinition, ResourceGroup, Controller]),
        (QUORUM, definition),
        (AUTO_TIEBREAKER, definition),
        ("DrbdOptions/auto-verify-algo-disable", definition),
        ("BalanceResourcesEnabled", definition),
        ("BalanceResourcesSkipDiskLimit", definition),
        ("AutoSnapshot/RunEvery", definition),
        ("StorDriver/Zfs/RollbackStrategy", definition),
        ("StorDriver/Zfs/DeleteStrategy", definition),
        ("DrbdOptions/AutoEvictMinReplicaCount", definition),
        ("DrbdOptions/auto-diskful", &[Resource, Node, ResourceDefinition, ResourceGroup, Controller]),
        ("DrbdOptions/AutoEvictAfterTime", &[Node, Controller]),
        ("DrbdOptions/AutoEvictAllowEviction", &[Node, Controller]),
        ("DrbdOptions/AutoEvictMaxDisconnectedNodes", &[Node, Controller]),
        ("CopyAllSnapsOnEvacuate", &[Node, Controller]),
        ("BackupShipping/MaxConcurrentBackupsPerNode", &[Node, Controller]),
        (AUTOPLACE_TARGET, &[Node, Controller]),
        (SKIP_DISK, &[Resource, StorPool, Node, ResourceDefinition, Controller]),
        ("StorPoolNameDrbdMeta", &[VolumeDefinition, VolumeGroup, Resource, ResourceDefinition, ResourceGroup, Node]),
        (PEER_SLOTS, definition),
        ("FileSystem/Type", &[Resource, VolumeDefinition, VolumeGroup, ResourceDefinition, ResourceGroup]),
        ("DrbdOptions/Disk/discard-zeroes-if-aligned", &[VolumeDefinition, ResourceDefinition, VolumeGroup, ResourceGroup]),
        ("Linstor/Drbd/auto-block-size", &[VolumeDefinition, ResourceDefinition, VolumeGroup, ResourceGroup, Controller]),
        ("StorDriver/LvcreateOptions", &[VolumeDefinition, VolumeGroup, Resource, ResourceDefinition, ResourceGroup, Node, Controller]),
        ("StorDriver/LuksFormatOptions", luks),
        ("StorDriver/LuksOpenOptions", luks),
        ("Luks/AllowDiscards", luks),
        (MAX_OVERSUBSCRIPTION, &[StorPool, StorPoolDfn, Controller]),
        ("Autoplacer/MinThinFreeSpace", &[StorPool, ResourceDefinition, ResourceGroup, Node, Controller]),
        ("PrefNic", &[StorPool, Node]),
        ("UseZFSClone", definition),
    ];
    for (key, wanted) in rows {
        let found: Vec<Source> = order(key).iter().copied().filter(|source| wanted.contains(source)).collect();
        assert_eq!(&found, wanted, "{key}");
    }
}

fn source_of(owner: Owner) -> Option<Source> {
    match owner {
        Owner::Controller => Some(Source::Controller),
        Owner::Node => Some(Source::Node),
        Owner::StorPoolDfn => Some(Source::StorPoolDfn),
        Owner::StorPool => Some(Source::StorPool),
        Owner::ResourceGroup => Some(Source::ResourceGroup),
        Owner::VolumeGroup => Some(Source::VolumeGroup),
        Owner::ResourceDefinition => Some(Source::ResourceDefinition),
        Owner::VolumeDefinition => Some(Source::VolumeDefinition),
        Owner::Resource => Some(Source::Resource),
        Owner::Volume => Some(Source::Volume),
        Owner::NodeConnection => Some(Source::NodeConnection),
        Owner::ResourceConnection => Some(Source::ResourceConnection),
        Owner::Snapshot | Owner::DrbdProxy | Owner::DrbdProxyZlib | Owner::DrbdProxyLzma | Owner::DrbdProxyZstd | Owner::KeyValueStore => {
            None
        }
    }
}

#[test]
fn what_can_be_set_can_be_found() {
    for owner in Owner::ALL {
        let Some(source) = source_of(owner) else { continue };
        for info in infos(owner) {
            assert!(order(info.key).contains(&source), "{} on a {} is never read", info.key, owner.label());
        }
    }
    for row in &table().rows {
        let mut seen = BTreeSet::new();
        assert!(order(row.info.key).iter().all(|source| seen.insert(*source)), "{}", row.info.key);
    }
}

#[test]
fn chain_answers_value_origin_and_what_is_hidden() {
    let (cluster, node) = (props(&[(SKIP_DISK, "True"), ("Aux/a", "c")]), props(&[(SKIP_DISK, "True")]));
    let (fast, slow) = (props(&[(SKIP_DISK, "fast")]), props(&[(SKIP_DISK, "slow")]));
    let chain = Chain::new()
        .with(Source::Controller, &cluster)
        .with_some(Source::ResourceGroup, None)
        .with(Source::Node, &node)
        .with(Source::StorPool, &fast)
        .with(Source::StorPool, &slow);
    let found = chain.effective(SKIP_DISK).unwrap();
    assert_eq!((found.value, found.from), ("fast", Source::StorPool));
    assert_eq!(found.others, [(Source::StorPool, "slow"), (Source::Node, "True"), (Source::Controller, "True")]);
    assert_eq!(chain.get("Aux/a"), Some("c"));
    assert_eq!(chain.get("Aux/b"), None);
    assert_eq!(Chain::new().with(Source::Node, &node).get_bool(SKIP_DISK), Some(true));
    assert_eq!(chain.below("Aux").into_keys().collect::<Vec<_>>(), ["Aux/a"]);
    assert_eq!(chain.below("").len(), 2);
}

#[test]
fn props_list_their_namespaces() {
    let some = props(&[("Aux/a", "1"), ("Aux/n/b", "2"), ("AuxX", "3"), ("StorDriver/StorPoolName", "4")]);
    assert_eq!(some.namespaces(), BTreeSet::from(["Aux", "StorDriver"]));
    assert_eq!(some.below("Aux").collect::<Vec<_>>(), [("Aux/a", "1"), ("Aux/n/b", "2")]);
    assert_eq!(serde_json::to_string(&some).unwrap(), r#"{"Aux/a":"1","Aux/n/b":"2","AuxX":"3","StorDriver/StorPoolName":"4"}"#);
}

fn any_owner() -> impl Strategy<Value = Owner> {
    prop::sample::select(Owner::ALL.to_vec())
}

/// Known keys, malformed ones, and keys that belong elsewhere.
fn any_key() -> impl Strategy<Value = String> {
    let known: Vec<String> = table().rows.iter().map(|row| row.info.key.to_owned()).collect();
    prop_oneof![4 => prop::sample::select(known), 4 => "Aux/[a-c](/[a-c])?", 1 => "/?[A-Za-z/]{0,8}", 1 => Just("Internal/x".to_owned())]
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,4}",
        "-?[0-9]{1,6}",
        "(?i)(true|false|yes|no)",
        "[0-9]{1,5}-[0-9]{1,5}",
        Just("disabled".to_owned()),
        any::<String>()
    ]
}

fn any_change() -> impl Strategy<Value = PropChange> {
    let keys = || prop::collection::vec(any_key(), 0..3);
    (prop::collection::btree_map(any_key(), any_value(), 0..4), keys(), keys())
        .prop_map(|(override_props, delete_props, delete_namespaces)| PropChange { override_props, delete_props, delete_namespaces })
}

proptest! {
    #[test]
    fn normalising_twice_is_normalising_once(owner in any_owner(), key in any_key(), value in any_value()) {
        if let Ok(once) = check(owner, &key, &value) {
            prop_assert_eq!(&check(owner, &once.key, &once.value).unwrap(), &once);
        }
    }

    #[test]
    fn change_is_all_or_nothing(owner in any_owner(), old in prop::collection::btree_map("Aux/[a-c](/[a-c])?", "[a-z]{0,3}", 0..4), asked in any_change()) {
        let before: Props = old.into_iter().collect();
        let all_fit = asked.override_props.iter().all(|(key, value)| check(owner, key, value).is_ok())
            && asked.delete_props.iter().all(|key| check_delete(owner, key).is_ok());
        match change(owner, &before, &asked) {
            Err(_) => {}
            Ok(done) => {
                prop_assert!(all_fit);
                // Whatever is there now was there before, or was set by this change, or is the mark of a chosen quorum.
                for (key, value) in done.props.iter() {
                    let is_set = done.set.iter().any(|one| one.key == key && one.new == value);
                    prop_assert!(is_set || before.get(key) == Some(value) || key == QUORUM_SET_BY, "{}", key);
                    prop_assert!(check::normal_key(key).is_ok());
                }
                // Whatever is gone is accounted for.
                for (key, _) in before.iter() {
                    let listed = done.removed.iter().chain(&done.swept).any(|one| one == key);
                    prop_assert!(done.props.contains(key) || listed, "{}", key);
                }
                // Done again, it changes nothing more.
                prop_assert_eq!(change(owner, &done.props, &asked).unwrap().props, done.props);
            }
        }
    }
}
