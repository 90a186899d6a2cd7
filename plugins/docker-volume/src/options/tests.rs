use super::*;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn ok(pairs: &[(&str, &str)]) -> Wanted {
    read(&BTreeMap::new(), &map(pairs)).unwrap_or_else(|error| panic!("{pairs:?}: {error}"))
}

fn bad(pairs: &[(&str, &str)]) -> String {
    read(&BTreeMap::new(), &map(pairs)).expect_err("it cannot be").to_string()
}

#[test]
fn upstreams_spellings_mean_the_same() {
    let ours = ok(&[
        ("storage-pool", "a,b"),
        ("diskless-pool", "d"),
        ("diskless-on-remaining", "true"),
        ("replicas-on-same", "Aux/x Aux/y"),
        ("do-not-place-with-regex", "db.*"),
    ]);
    let theirs = ok(&[
        ("StoragePool", "a b"),
        ("DisklessStoragePool", "d"),
        ("disklessonremaining", "yes"),
        ("replicasonsame", "Aux/x,Aux/y"),
        ("donotplacewithregex", "db.*"),
    ]);
    assert_eq!(ours, theirs);
    assert_eq!(ours.new.pools, ["a", "b"]);
    assert!(!ours.sized);
    assert_eq!(ours.new.size, Kib(97_656));
    assert_eq!(ours.fs.fs, "ext4");
}

#[test]
fn an_option_holds_before_the_configuration() {
    let configured = map(&[("size", "1G"), ("replicas", "3"), ("fs", "xfs")]);
    let wanted = read(&configured, &map(&[("size", "2G"), ("nodes", "a b")])).unwrap();
    assert_eq!(wanted.new.size, Kib(2 << 20));
    assert_eq!((wanted.new.replicas, wanted.new.nodes.len()), (None, 2), "a list of nodes is the whole placement");
    assert_eq!(wanted.fs.fs, "xfs");
}

#[test]
fn values_become_rules_and_properties() {
    let wanted = ok(&[
        ("encryption", "true"),
        ("protocol", "c"),
        ("quorum", "majority"),
        ("property.Aux/who", "me"),
        ("io-limits", "read-bps:8M write-iops:100"),
        ("x-replicas-on-different", "Aux/site:2"),
        ("uid", "1000"),
        ("mode", "2770"),
        ("mountopts", "noatime discard"),
    ]);
    assert_eq!(wanted.new.layers, ["DRBD", "LUKS", "STORAGE"]);
    assert_eq!(wanted.new.props["DrbdOptions/Net/protocol"], "C");
    assert_eq!(wanted.new.props["Aux/who"], "me");
    assert_eq!(wanted.new.props["sys/fs/blkio_throttle_read"], (8 << 20).to_string());
    assert_eq!(wanted.new.x_on_different["Aux/site"], 2);
    assert_eq!((wanted.fs.uid, wanted.fs.mode), (Some(1000), Some(0o2770)));
    assert_eq!(wanted.fs.mount, ["noatime", "discard"]);
    let from = ok(&[("from-snapshot", "shop/db/monday")]).new;
    assert_eq!(from.from, Source::Snapshot { volume: "shop/db".into(), snapshot: "monday".into() });
    assert_eq!(from.size, Kib(0));
}

#[test]
fn what_is_not_known_names_the_nearest() {
    assert_eq!(bad(&[("repliacs", "2")]), "option 'repliacs' is not known; did you mean 'replicas'?");
    assert_eq!(bad(&[("zzzzzzzz", "2")]), "option 'zzzzzzzz' is not known");
    assert_eq!(bad(&[("fs", "ext5")]), "option 'fs': 'ext5' is not one of ext4, xfs, btrfs; did you mean 'ext4'?");
}

#[test]
fn what_cannot_be_names_the_option() {
    for (pairs, word) in [
        (vec![("size", "10")], "'size'"),
        (vec![("replicas", "0")], "'replicas'"),
        (vec![("nodes", "a a")], "'nodes'"),
        (vec![("mode", "rwx")], "'mode'"),
        (vec![("readonly", "maybe")], "'readonly'"),
        (vec![("from-snapshot", "x")], "VOLUME/SNAPSHOT"),
        (vec![("mountopts", "-o rw")], "'mountopts'"),
        (vec![("io-limits", "fast")], "'io-limits'"),
        (vec![("shared", "rw")], "cluster file system"),
        (vec![("size", "1G"), ("Size", "2G")], "given twice"),
        (vec![("mountopts", "ro,rw")], "'mountopts'"),
        (vec![("fsopts", "-L x /dev/sda")], "'/dev/sda' is not among the words"),
        (vec![("fsopts", "-J device=/dev/sda")], "'-J' is not among the words"),
        (vec![("quorum", "0")], "'quorum'"),
        (vec![("quorum", "majority"), ("property.DrbdOptions/Resource/quorum", "off")], "'quorum': it sets"),
        (vec![("property.aux/docker-volume/content", "fresh")], "keeps it for itself"),
        (vec![("property.Aux/docker-volume/client/one", "true")], "keeps it for itself"),
        (vec![("io-limits", "read-bps:1M read-bps:2M")], "'read-bps' is there twice"),
        (vec![("io-limits", "read-bps:0K")], "nothing through"),
        (vec![("io-limits", "read-iops:-1")], "not a number"),
        (vec![("x-replicas-on-different", "Aux/a:1 Aux/a:2")], "two counts"),
    ] {
        let said = bad(&pairs);
        assert!(said.contains(word), "{pairs:?}: {said}");
    }
}

#[test]
fn contradictions_name_both() {
    for (pairs, one, other) in [
        (vec![("nodes", "a b"), ("replicas", "3")], "nodes", "replicas"),
        (vec![("nodes", "a"), ("exclude-nodes", "a")], "nodes", "exclude-nodes"),
        (vec![("from-volume", "a"), ("from-snapshot", "a/b")], "from-volume", "from-snapshot"),
        (vec![("from-volume", "a"), ("fs", "xfs")], "from-volume", "fs"),
        (vec![("layers", "storage"), ("replicas", "2")], "layers", "replicas"),
        (vec![("layers", "storage"), ("quorum", "off")], "layers", "quorum"),
        (vec![("shared", "ro"), ("readonly", "false")], "shared", "readonly"),
        (vec![("readonly", "true"), ("mountopts", "rw")], "readonly", "mountopts"),
        (vec![("readonly", "false"), ("mountopts", "noatime,ro")], "readonly", "mountopts"),
        (vec![("shared", "ro"), ("mountopts", "rw")], "shared", "mountopts"),
        (vec![("layers", "drbd,luks,storage"), ("encryption", "false")], "layers", "encryption"),
        (vec![("from-volume", "a"), ("fsopts", "-L x")], "from-volume", "fsopts"),
        (vec![("from-volume", "a"), ("replicas", "2")], "from-volume", "replicas"),
        (vec![("from-volume", "a"), ("nodes", "b")], "from-volume", "nodes"),
        (vec![("from-snapshot", "a/b"), ("storage-pool", "p")], "from-snapshot", "storage-pool"),
        (vec![("from-snapshot", "a/b"), ("encryption", "true")], "from-snapshot", "encryption"),
    ] {
        let said = bad(&pairs);
        assert!(said.contains(&format!("'{one}' and '{other}' contradict")), "{pairs:?}: {said}");
    }
}

#[test]
fn what_is_configured_gives_way_to_where_a_copy_lies() {
    let configured = map(&[("fs", "xfs"), ("replicas", "3"), ("storage-pool", "p"), ("nodes", "a b c"), ("uid", "7"), ("size", "1G")]);
    let of_volume = read(&configured, &map(&[("from-volume", "a")])).unwrap();
    assert_eq!((of_volume.new.replicas, of_volume.new.pools.len(), of_volume.new.nodes.len()), (None, 0, 0));
    assert_eq!((of_volume.fs.uid, of_volume.sized), (Some(7), false));
    let of_snapshot = read(&configured, &map(&[("from-snapshot", "a/b"), ("nodes", "c")])).unwrap();
    assert_eq!(of_snapshot.new.nodes, ["c"]);
}

#[test]
fn a_mount_option_ro_is_readonly() {
    let wanted = ok(&[("mountopts", "noatime,ro")]);
    assert!(wanted.fs.readonly);
    assert_eq!(wanted.fs.mount, ["noatime"]);
    assert!(!ok(&[("mountopts", "rw,noatime")]).fs.readonly);
}

#[test]
fn limits_may_be_smaller_than_a_volume() {
    let props = ok(&[("io-limits", "read-bps:1M,write-bps:512B"), ("quorum", "Majority")]).new.props;
    assert_eq!((props["sys/fs/blkio_throttle_read"].as_str(), props["sys/fs/blkio_throttle_write"].as_str()), ("1048576", "512"));
    assert_eq!(props["DrbdOptions/Resource/quorum"], "majority");
}
