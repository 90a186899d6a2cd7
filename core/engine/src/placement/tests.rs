#[allow(clippy::cast_possible_truncation, clippy::indexing_slicing)] // Small numbers and lists of a test.
mod oracle;
#[allow(clippy::cast_possible_truncation, clippy::indexing_slicing)]
mod worlds;

use berth_model::change::Object;
use berth_model::layers::ProviderKind;
use proptest::prelude::*;

use super::*;
use crate::stack;
use crate::testkit::{World, kib, node};

/// Places `count` replicas of `size` by a filter; the nodes, or why each place fell out.
fn places(world: &World, count: usize, size: &str, edit: impl FnOnce(&mut SelectFilter)) -> Result<Vec<String>, Vec<String>> {
    let mut filter = SelectFilter::default();
    edit(&mut filter);
    let volumes = vec![VolumeWish { size: kib(size), gross: false }];
    let request = Request { volumes, ..Request::question(None, &filter, count, stack::PLAIN) };
    match place(&world.cluster, &world.observed, &request) {
        Ok(placement) => Ok(placement.chosen.iter().map(|chosen| format!("{}/{}", chosen.node, chosen.pool.name)).collect()),
        Err(PlaceError::TooFew { tried, .. }) => Err(tried.iter().map(|one| format!("{}: {}", one.node, one.why)).collect()),
        Err(other) => Err(vec![other.to_string()]),
    }
}

fn texts(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}

const RACKS: &str = "node n1 Aux/rack=a Aux/site=x; node n2 Aux/rack=a Aux/site=x; node n3 Aux/rack=b Aux/site=y; node n4 Aux/rack=c Aux/site=y; \
    node n5; node n6 offline; pool fat on n1 LVM 50G; pool fat on n2 LVM 40G; pool fat on n3 LVM 30G; pool fat on n4 LVM 20G; \
    pool fat on n5 LVM 10G";

#[test]
fn the_largest_free_space_first() {
    let world = World::of(RACKS);
    assert_eq!(places(&world, 2, "1G", |_| ()).unwrap(), ["n1/fat", "n2/fat"]);
    assert_eq!(places(&world, 0, "1G", |_| ()).unwrap(), [""; 0]);
    assert_eq!(places(&world, 1, "60G", |_| ()).unwrap_err()[0], "n1: 52428800 KiB free, 62914560 KiB needed");
    assert_eq!(places(&world, 6, "1G", |_| ()).unwrap_err()[5], "n6: not online (OFFLINE)");
}

#[test]
fn nodes_and_pools_that_were_named() {
    let world = World::of("node aa; node bb; pool one on aa LVM 5G; pool two on aa FILE_THIN 1G; pool one on bb FILE 9G");
    assert_eq!(places(&world, 1, "1M", |_| ()).unwrap(), ["aa/two"]);
    assert_eq!(places(&world, 1, "1M", |f| f.storage_pool_list = texts(&["ONE"])).unwrap(), ["bb/one"]);
    assert_eq!(places(&world, 1, "1M", |f| f.node_name_list = texts(&["BB"])).unwrap(), ["bb/one"]);
    assert_eq!(places(&world, 1, "1M", |f| f.provider_list = Some(vec![ProviderKind::Lvm])).unwrap(), ["aa/one"]);
    assert_eq!(places(&world, 1, "1M", |f| f.storage_pool_list = Some(Vec::new())).unwrap(), ["aa/two"]);
    assert_eq!(
        places(&world, 1, "1M", |f| f.storage_pool_list = texts(&["none"])).unwrap_err(),
        ["aa: not among the pools asked for", "aa: not among the pools asked for", "bb: not among the pools asked for"]
    );
    // LVM and FILE do not mix, so the thin pool is taken with the fat one.
    assert_eq!(places(&world, 2, "1M", |_| ()).unwrap(), ["aa/two", "bb/one"]);
}

#[test]
fn replicas_on_nodes_with_the_same_value() {
    let world = World::of(RACKS);
    assert_eq!(places(&world, 2, "1G", |f| f.replicas_on_same = texts(&["Aux/site"])).unwrap(), ["n1/fat", "n2/fat"]);
    assert_eq!(places(&world, 2, "1G", |f| f.replicas_on_same = texts(&["Aux/site=y"])).unwrap(), ["n3/fat", "n4/fat"]);
    assert_eq!(
        places(&world, 2, "1G", |f| f.replicas_on_same = texts(&["Aux/rack=b"])).unwrap_err()[2],
        "n3: fits, but not with enough others"
    );
    assert!(places(&world, 3, "1G", |f| f.replicas_on_same = texts(&["Aux/site"])).is_err());
    assert_eq!(places(&world, 1, "1G", |f| f.replicas_on_same = texts(&["Aux/none"])).unwrap_err()[0], "n1: Aux/none is unset");
}

#[test]
fn replicas_on_nodes_with_different_values() {
    let world = World::of(RACKS);
    let different = |count, rule: &str| places(&world, count, "1G", |f| f.replicas_on_different = texts(&[rule]));
    assert_eq!(different(3, "Aux/rack").unwrap(), ["n1/fat", "n3/fat", "n4/fat"]);
    // A node without the property is free to take.
    assert_eq!(different(4, "Aux/rack").unwrap(), ["n1/fat", "n3/fat", "n4/fat", "n5/fat"]);
    assert!(different(5, "Aux/rack").is_err());
    assert_eq!(different(2, "Aux/rack=a").unwrap(), ["n3/fat", "n4/fat"]);
    let limited = |count, most| {
        places(&world, count, "1G", |f| f.x_replicas_on_different_map = Some([("Aux/site".to_owned(), most)].into_iter().collect()))
    };
    assert_eq!(limited(3, 2).unwrap(), ["n1/fat", "n2/fat", "n3/fat"]);
    // One each at two sites would leave both half full.
    assert_eq!(limited(2, 2).unwrap(), ["n1/fat", "n2/fat"]);
    assert_eq!(limited(3, 1).unwrap(), ["n1/fat", "n3/fat", "n5/fat"]);
}

#[test]
fn what_is_beside() {
    let mut world = World::of(&format!("{RACKS}; group one STORAGE 1"));
    for (name, on) in [("db1", "n1"), ("web1", "n2")] {
        let command = crate::command::Command::SpawnResource {
            group: "one".to_owned(),
            name: Some(name.to_owned()),
            external_name: None,
            volume_sizes: vec![4096],
            partial: false,
            definitions_only: false,
            filter: crate::command::FilterRequest {
                filter: SelectFilter { node_name_list: texts(&[on]), ..SelectFilter::default() },
                ..Default::default()
            },
            props: Default::default(),
            peer_slots: None,
            passphrases: Vec::new(),
        };
        assert!(world.give(&command).result.is_ok());
    }
    assert_eq!(places(&world, 1, "1G", |f| f.not_place_with_rsc = texts(&["DB1", "no such"])).unwrap(), ["n2/fat"]);
    assert_eq!(places(&world, 1, "1G", |f| f.not_place_with_rsc_regex = Some("WEB|db".to_owned())).unwrap(), ["n3/fat"]);
    assert!(places(&world, 1, "1G", |f| f.not_place_with_rsc_regex = Some("(".to_owned())).unwrap_err()[0].contains("regular expression"));
    assert_eq!(places(&world, 5, "1G", |f| f.not_place_with_rsc = texts(&["db1"])).unwrap_err()[0], "n1: has the resource 'db1'");
}

#[test]
fn properties_keep_nodes_and_pools_out() {
    let mut world = World::of("node aa AutoplaceTarget=no; node bb; pool fat on aa LVM 50G; pool fat on bb LVM 5G; pool low on bb LVM 3G");
    assert_eq!(places(&world, 1, "1G", |_| ()).unwrap(), ["bb/fat"]);
    let mut pool = (**world.cluster.pool(&node("bb"), &StorPoolName::parse("fat").unwrap()).unwrap()).clone();
    pool.props.insert_internal("AutoplaceTarget", "False");
    world.put(Object::StorPool(pool));
    assert_eq!(places(&world, 1, "1G", |_| ()).unwrap(), ["bb/low"]);
    assert_eq!(places(&world, 2, "1G", |_| ()).unwrap_err()[0], "aa: AutoplaceTarget is off");
}

#[test]
fn thin_pools_promise_more_than_they_have() {
    let mut world = World::of("node aa; pool thin on aa FILE_THIN 10G/1G; pool fat on aa FILE 10G/1G");
    let estimate = |world: &World, name: &str| {
        let pool = world.cluster.pool(&node("aa"), &StorPoolName::parse(name).unwrap()).unwrap().clone();
        space(&world.cluster, &world.observed, &pool).unwrap().estimate
    };
    assert_eq!((estimate(&world, "thin"), estimate(&world, "fat")), (kib("20G"), kib("1G")));
    let mut definition = (**world.cluster.pool_definitions.get(&StorPoolName::parse("thin").unwrap()).unwrap()).clone();
    definition.props.insert_internal("MaxOversubscriptionRatio", "2.5");
    definition.props.insert_internal("MaxTotalCapacityOversubscriptionRatio", "0.2");
    world.put(Object::StorPoolDfn(definition));
    assert_eq!(estimate(&world, "thin"), kib("2G"));
    let pool = |name: &str| world.cluster.pool(&node("aa"), &StorPoolName::parse(name).unwrap()).unwrap().clone();
    let room = |name: &str, size| {
        room_for(&world.cluster, &world.observed, &pool(name), kib(size)).map_err(|refused| refused.replies[0].code.number())
    };
    assert_eq!((room("fat", "1G"), room("fat", "2G"), room("thin", "90G")), (Ok(()), Err(980), Ok(())));
}

#[test]
fn questions_about_space() {
    let world = World::of(
        "node aa; node bb; pool thin on aa FILE_THIN 10G/2G; pool thin on bb FILE_THIN 10G/1G; pool fat on aa FILE 10G/4G; group one STORAGE 2 thin",
    );
    let ask = |edit: &dyn Fn(&mut SelectFilter)| {
        let mut filter = SelectFilter { place_count: Some(1), ..SelectFilter::default() };
        edit(&mut filter);
        query_max_volume_size(&world.cluster, &world.observed, None, &filter)
            .map(|found| {
                found.iter().map(|one| format!("{} {} {:?} {}", one.pool, one.max_kib, one.nodes, one.all_thin)).collect::<Vec<_>>()
            })
            .map_err(|refused| refused.replies[0].code.number())
    };
    assert_eq!(ask(&|_| ()), Ok(vec!["fat 4194304 KiB [\"aa\"] false".to_owned(), "thin 41943040 KiB [\"aa\"] true".to_owned()]));
    assert_eq!(ask(&|filter| filter.place_count = Some(2)), Ok(vec!["thin 20971520 KiB [\"aa\", \"bb\"] true".to_owned()]));
    assert_eq!(ask(&|filter| filter.storage_pool_list = texts(&["none"])), Err(996));
    let group = world.cluster.groups.get(&berth_model::names::ResourceGroupName::parse("one").unwrap()).unwrap();
    let info = query_size_info(&world.cluster, &world.observed, group, &SelectFilter::default()).unwrap();
    assert_eq!((info.max_volume, info.available, info.capacity), (kib("20G"), kib("1G"), kib("10G")));
    assert_eq!(info.next_spawn.iter().map(|place| place.ratios.general).collect::<Vec<_>>(), [20.0, 20.0]);
    let three = SelectFilter { place_count: Some(3), ..SelectFilter::default() };
    assert_eq!(query_size_info(&world.cluster, &world.observed, group, &three).unwrap(), SizeInfo::default());
}

#[test]
fn pools_of_explicit_replicas() {
    let mut world = World::of(
        "node aa StorPoolName=slow; node bb; pool slow on aa FILE 9G; pool fast on aa FILE 9G; pool DfltStorPool on bb FILE 9G; group one STORAGE 1",
    );
    let command = crate::command::Command::SpawnResource {
        group: "one".to_owned(),
        name: Some("data".to_owned()),
        external_name: None,
        volume_sizes: vec![4096],
        partial: false,
        definitions_only: true,
        filter: Default::default(),
        props: Default::default(),
        peer_slots: None,
        passphrases: Vec::new(),
    };
    assert!(world.give(&command).result.is_ok());
    let definition = world.cluster.definitions.get(&crate::testkit::resource("data")).unwrap();
    let number = berth_model::names::VolumeNumber::new(0).unwrap();
    let resolve = |on: &str, named: Option<&str>| {
        let mut props = berth_model::props::Props::default();
        named.map(|name| props.insert_internal("StorPoolName", name));
        resolve_pool(&world.cluster, definition, number, &node(on), &props)
            .map(|pool| pool.name.to_string())
            .map_err(|refused| refused.replies[0].code.number())
    };
    assert_eq!(resolve("aa", None), Ok("slow".to_owned()));
    assert_eq!(resolve("aa", Some("FAST")), Ok("fast".to_owned()));
    assert_eq!(resolve("bb", None), Ok("DfltStorPool".to_owned()));
    assert_eq!(resolve("bb", Some("fast")), Err(310));
    assert_eq!(resolve("bb", Some("nowhere")), Err(309));
    assert_eq!(resolve("bb", Some("no good")), Err(208));
    assert_eq!(resolve("bb", Some("DfltDisklessStorPool")), Err(208));
    let world = World::of("node aa; node bb; pool slow on aa FILE 9G");
    assert_eq!(
        resolve_pool(&world.cluster, definition, number, &node("aa"), &Default::default()).unwrap_err().replies[0].code.number(),
        311
    );
}

proptest! {
    /// Whatever the world and the rules: as many nodes as asked for, all different, each with space, rules kept; or none at all.
    #[test]
    fn choices_are_sound(
        nodes in prop::collection::vec((0u64..8, 0u8..4, any::<bool>()), 1..9),
        count in 0usize..5,
        different: bool,
        same: bool,
    ) {
        let text: Vec<String> = nodes.iter().enumerate().map(|(at, (size, rack, online))| {
            let state = if *online { "" } else { "offline" };
            format!("node n{at} Aux/rack=r{rack} Aux/half=h{} {state}; pool fat on n{at} FILE {size}G", rack % 2)
        }).collect();
        let world = World::of(&text.join(";"));
        let chosen = places(&world, count, "2G", |filter| {
            if different { filter.replicas_on_different = texts(&["Aux/rack"]); }
            if same { filter.replicas_on_same = texts(&["Aux/half"]); }
        });
        let able: Vec<usize> = (0..nodes.len()).filter(|at| nodes[*at].2 && nodes[*at].0 >= 2).collect();
        match chosen {
            Ok(chosen) => {
                let at: Vec<usize> = chosen.iter().map(|one| one[1..].split('/').next().unwrap().parse().unwrap()).collect();
                let unique: std::collections::BTreeSet<_> = at.iter().collect();
                prop_assert_eq!(unique.len(), count);
                prop_assert!(at.iter().all(|at| able.contains(at)));
                let racks: std::collections::BTreeSet<u8> = at.iter().map(|at| nodes[*at].1).collect();
                let halves: std::collections::BTreeSet<u8> = at.iter().map(|at| nodes[*at].1 % 2).collect();
                prop_assert!(!different || racks.len() == count);
                prop_assert!(!same || halves.len() <= 1);
            }
            Err(_) => {
                let half = |wanted: Option<u8>| {
                    let racks: Vec<u8> = able.iter().map(|at| nodes[*at].1).filter(|rack| wanted.is_none_or(|half| rack % 2 == half)).collect();
                    if different { racks.into_iter().collect::<std::collections::BTreeSet<_>>().len() } else { racks.len() }
                };
                let most = if same { half(Some(0)).max(half(Some(1))) } else { half(None) };
                prop_assert!(most < count);
            }
        }
    }
}

/// So many cases, or a hundred times as many with `--long`.
fn cases(usual: u64) -> std::ops::Range<u64> {
    0..if std::env::var_os("BERTH_CASES_MANY").is_some() { usual * 100 } else { usual }
}

/// The choice and the reason for every other place are those of a second placer, which tries all sets.
#[test]
fn choices_and_reasons_are_those_of_an_exhaustive_search() {
    let mut seen = std::collections::BTreeMap::new();
    let range = cases(3000);
    let all = range.end;
    for seed in range {
        worlds::Case::new(seed).check(seed, &mut seen);
    }
    for (outcome, least) in [("chosen", all / 3), ("too few", all / 10), ("contradiction", all / 100), ("undecidable", 5)] {
        assert!(seen.get(outcome).is_some_and(|count| *count >= least), "{outcome} is too rare: {seen:?}");
    }
    let alone = "NotOnline Leaving NodeNotListed Excluded NotTarget Occupied Beside LacksLayer WrongValue NoValue ExcludedValue ValueTaken NoPool \
        PoolNotListed Provider Faulty UnknownSpace NoSpace LowOnSpace Mixes SharedSpace";
    let among = "Mixes SharedSpace WrongValue ValueTaken OtherPool NotTogether Outranked";
    let among: Vec<String> = among.split_whitespace().map(|word| format!("after all {word}")).collect();
    for reason in alone.split_whitespace().map(str::to_owned).chain(among) {
        assert!(seen.get(&reason).is_some_and(|count| *count >= 3), "{reason} is too rare: {seen:?}");
    }
}

/// Neither the order in which a cluster came to be nor a repetition changes an answer; more space never makes a placement fail.
#[test]
fn answers_depend_on_nothing_else_and_more_space_never_hurts() {
    for seed in cases(1500) {
        let case = worlds::Case::new(seed);
        let shown = |case: &worlds::Case| format!("{:?}", case.placed());
        assert_eq!(shown(&case), shown(&case.shuffled(seed)), "seed {seed}");
        let chosen = |case: &worlds::Case| case.placed().ok().map(|placement| placement.chosen.len());
        let (before, after) = (chosen(&case), chosen(&case.roomier(seed)));
        assert!(before <= after, "seed {seed}: {before:?} places, with more space {after:?}");
    }
}

#[test]
fn the_largest_volume_fits_and_a_larger_one_does_not() {
    let range = cases(400);
    let (all, fits) = (range.end, range.filter(|seed| worlds::Case::new(*seed).check_largest(*seed)).count() as u64);
    assert!(fits > all / 5, "{fits} of {all}");
}

#[test]
fn rules_that_contradict_each_other_are_told_apart() {
    let world = World::of(RACKS);
    let told = |count, edit: &dyn Fn(&mut SelectFilter)| places(&world, count, "1G", edit).map_err(|mut lines| lines.swap_remove(0));
    let both = |same: &'static str, different: &'static str| {
        move |f: &mut SelectFilter| {
            f.replicas_on_same = texts(&[same]);
            f.replicas_on_different = texts(&[different]);
        }
    };
    assert_eq!(
        told(2, &both("Aux/rack", "Aux/rack")),
        Err("2 replicas must be on nodes with the same Aux/rack, and with different Aux/rack.".to_owned())
    );
    // A single one is both.
    assert_eq!(told(1, &both("Aux/rack", "Aux/rack")), Ok(vec!["n1/fat".to_owned()]));
    assert_eq!(told(1, &both("Aux/rack=a", "Aux/rack=a")), Err("Aux/rack must be a, and must not be a.".to_owned()));
    assert_eq!(
        told(2, &|f| f.replicas_on_same = texts(&["Aux/rack=a", "Aux/rack=b"])),
        Err("Aux/rack must be a, and must be b.".to_owned())
    );
    let limit = |most| move |f: &mut SelectFilter| f.x_replicas_on_different_map = Some([("Aux/rack".to_owned(), most)].into());
    assert!(told(1, &limit(0)).unwrap_err().contains("leave no replica at all"));
    assert!(told(1, &limit(-3)).unwrap_err().contains("At most -3 replicas"));
    let tight = |f: &mut SelectFilter| {
        limit(2)(f);
        f.replicas_on_same = texts(&["Aux/rack"]);
    };
    assert!(told(3, &tight).unwrap_err().contains("at most 2 of them"));
    assert!(told(1, &|f| f.provider_list = Some(vec![ProviderKind::Diskless])).unwrap_err().contains("holds data"));
}

/// What is absurd is refused in bounded time, and costs nothing that depends on its size.
#[test]
fn absurd_requests_are_refused() {
    let mut world = World::of(RACKS);
    world.add_group(&["one", "STORAGE", "1"]);
    let command = crate::command::Command::SpawnResource {
        group: "one".to_owned(),
        name: Some("a".repeat(48)),
        external_name: None,
        volume_sizes: vec![4096],
        partial: false,
        definitions_only: false,
        filter: Default::default(),
        props: Default::default(),
        peer_slots: None,
        passphrases: Vec::new(),
    };
    assert!(world.give(&command).result.is_ok());
    let long = "x".repeat(10_000);
    let first = |count, edit: &dyn Fn(&mut SelectFilter)| places(&world, count, "1G", edit).map_err(|mut lines| lines.swap_remove(0));
    assert_eq!(first(1_000_000_000, &|_| ()), Err("n1: fits, but not with enough others".to_owned()));
    assert!(first(1_000_000_000, &|f| f.replicas_on_different = texts(&["Aux/rack"])).is_err());
    assert_eq!(first(1, &|f| f.node_name_list = texts(&[&long])), Err("n1: not among the nodes asked for".to_owned()));
    assert_eq!(first(1, &|f| f.storage_pool_list = texts(&[&long])), Err("n1: not among the pools asked for".to_owned()));
    assert_eq!(first(1, &|f| f.replicas_on_same = texts(&[&long])).unwrap_err(), format!("n1: {long} is unset"));
    assert!(first(1, &|f| f.not_place_with_rsc = texts(&[&long])).is_ok());
    for (regex, why) in [
        (long.as_str(), "at most 1000"),
        ("(a{1000}){1000}", "too large"),
        (r"(\w{100}){3}", "too large"),
        ("(?:a|aa)*[", "not a regular expression"),
    ] {
        let told = first(1, &|f| f.not_place_with_rsc_regex = Some(regex.to_owned())).unwrap_err();
        assert!(told.contains("not a regular expression") && told.contains(why), "{told}");
        assert!(told.len() < 400, "{}", told.len());
    }
    // What makes other engines explode is searched in linear time.
    assert!(first(1, &|f| f.not_place_with_rsc_regex = Some("^(a|a)*(a+)+(a|aa)*b$".to_owned())).is_ok());
}

/// A thousand nodes with rules that are hard to keep together: an answer comes, with a note or as an error that names the rules.
#[test]
fn hard_rules_end_in_an_answer() {
    let mut world = World::of("");
    for at in 0..300 {
        let text = format!(
            "node n{at:03} Aux/rack=r{} Aux/site=s{} Aux/row=w{}; pool fat on n{at:03} LVM {}G",
            at % 40,
            (at * 7) % 37,
            (at * 13) % 31,
            10 + (at * 29) % 50
        );
        let one = World::of(&text);
        one.cluster.objects().for_each(|object| world.put(object));
        one.observed.nodes.iter().for_each(|(name, seen)| {
            world.observed.nodes.insert(name.clone(), seen.clone());
        });
    }
    let filter = SelectFilter {
        replicas_on_different: texts(&["Aux/rack", "Aux/site"]),
        x_replicas_on_different_map: Some([("Aux/row".to_owned(), 2)].into()),
        ..SelectFilter::default()
    };
    let ask = |count| place(&world.cluster, &world.observed, &Request::question(None, &filter, count, stack::PLAIN));
    for count in [1, 3, 8, 20, 30, ALL] {
        match ask(count) {
            Ok(placement) => {
                assert!(placement.chosen.len() == count || count == ALL);
                let values =
                    |key| placement.chosen.iter().map(|one| world.cluster.nodes[&one.node].props.get(key).unwrap()).collect::<Vec<_>>();
                for key in ["Aux/rack", "Aux/site"] {
                    assert_eq!(values(key).iter().collect::<std::collections::BTreeSet<_>>().len(), placement.chosen.len());
                }
            }
            Err(error) => {
                assert!(count > 8 && matches!(&error, PlaceError::TooHard { rules, .. } if rules.contains("Aux/site")), "{count}: {error}")
            }
        }
    }
    assert!(matches!(ask(38), Err(PlaceError::TooFew { .. })), "there are 37 sites");
}

/// How long one placement among a thousand nodes takes: `cargo test --release -p berth-engine -- --ignored thousand --nocapture`.
#[test]
#[ignore = "a measurement"]
fn one_placement_among_a_thousand_nodes() {
    let mut world = World::of("group one STORAGE 1");
    for at in 0..1000 {
        let text = format!(
            "node node-{at:04} Aux/rack=r{} Aux/site=s{} Aux/tier=gold +DRBD; pool fat on node-{at:04} LVM {}G; pool thin on node-{at:04} LVM_THIN {}G",
            at / 20,
            at / 250,
            10 + (at * 29) % 50,
            10 + (at * 31) % 50
        );
        let one = World::of(&text);
        one.cluster.objects().for_each(|object| world.put(object));
        one.observed.nodes.iter().for_each(|(name, seen)| {
            world.observed.nodes.insert(name.clone(), seen.clone());
        });
    }
    let time = |what: &str, filter: &SelectFilter, count| {
        let volumes = vec![VolumeWish { size: kib("1G"), gross: false }];
        let request = Request { volumes, ..Request::question(None, filter, count, stack::REPLICATED) };
        let mut times: Vec<_> = (0..50)
            .map(|_| {
                let begin = std::time::Instant::now();
                let placed = place(&world.cluster, &world.observed, &request);
                (begin.elapsed(), placed.is_ok_and(|placed| placed.notes.is_empty()))
            })
            .collect();
        times.sort();
        println!("{what}: best {:?}, median {:?}, worst {:?}, found and proven {}", times[0].0, times[25].0, times[49].0, times[0].1);
    };
    time("no filter, 3 replicas", &SelectFilter::default(), 3);
    time("no filter, all", &SelectFilter::default(), ALL);
    let mut filter = SelectFilter {
        node_name_list: Some((0..1000).map(|at| format!("node-{at:04}")).collect()),
        storage_pool_list: texts(&["fat", "thin"]),
        not_place_with_rsc: texts(&["db1", "db2"]),
        not_place_with_rsc_regex: Some("^web".to_owned()),
        replicas_on_same: texts(&["Aux/site", "Aux/tier=gold"]),
        replicas_on_different: texts(&["Aux/rack", "Aux/rack=r7"]),
        provider_list: Some(vec![ProviderKind::Lvm, ProviderKind::LvmThin]),
        layer_stack: Some(stack::REPLICATED.to_vec()),
        ..SelectFilter::default()
    };
    time("all filters but the map, 3 replicas", &filter, 3);
    filter.x_replicas_on_different_map = Some([("Aux/site".to_owned(), 3)].into());
    time("all filters, 3 replicas", &filter, 3);
    filter.replicas_on_same = None;
    filter.x_replicas_on_different_map = Some([("Aux/site".to_owned(), 2)].into());
    time("all filters, two at each site, 4 replicas", &filter, 4);
}
