use super::*;
use crate::testkit::{World, resource, told};

fn filter(edit: impl FnOnce(&mut SelectFilter)) -> FilterRequest {
    let mut request = FilterRequest::default();
    edit(&mut request.filter);
    request
}

fn spawn_of(group: &str, name: &str, sizes: &[i64]) -> Command {
    Command::SpawnResource {
        group: group.to_owned(),
        name: Some(name.to_owned()),
        external_name: None,
        volume_sizes: sizes.to_vec(),
        partial: false,
        definitions_only: false,
        filter: FilterRequest::default(),
        props: BTreeMap::new(),
        peer_slots: None,
        passphrases: Vec::new(),
    }
}

fn autoplace_of(name: &str, request: FilterRequest) -> Command {
    Command::Autoplace { resource: name.to_owned(), filter: request, diskless_on_remaining: None, layers: None }
}

fn nodes_of(world: &World, name: &str) -> Vec<String> {
    world.cluster.replicas(&resource(name)).map(|replica| replica.node.to_string()).collect()
}

const ONE: &str = "node alpha; pool thin on alpha FILE_THIN 10G; pool thick on alpha FILE 10G; group one STORAGE 1 thin";
const THREE: &str = "node alpha; node bravo; node charlie; pool thin on alpha FILE_THIN 10G; pool thin on bravo FILE_THIN 30G; \
    pool thin on charlie FILE_THIN 20G; group one STORAGE 1; group free - 2";

#[test]
fn a_spawn_makes_definition_volume_and_replica_in_one_transaction() {
    let mut world = World::of(ONE);
    let decision = world.give(&spawn_of("one", "data", &[8192]));
    assert_eq!(
        told(&decision),
        [
            "SUCCESS VolumeDefinition 1 RscDfn=data RscGrp=one VlmNr=0",
            "SUCCESS ResourceDefinition 1 RscDfn=data RscGrp=one",
            "SUCCESS Resource 1 RscDfn=data RscGrp=one",
            "SUCCESS ResourceGroup 1 Node/0=alpha RscDfn=data RscGrp=one StoragePool/0/0=thin,FILE_THIN",
        ]
    );
    let applied = decision.result.unwrap();
    assert_eq!(applied.jobs.len(), 1);
    let replica = world.cluster.resource(&resource("data"), &crate::testkit::node("alpha")).unwrap();
    assert_eq!(replica.layers, stack::PLAIN);
    assert_eq!(replica.volumes.values().map(|volume| volume.backing_kib).collect::<Vec<_>>(), [Kib(8192)]);
}

#[test]
fn a_refused_spawn_leaves_nothing() {
    let mut world = World::of(ONE);
    for (command, expect) in [
        (spawn_of("one", "data", &[30 << 30]), "ERROR ResourceGroup 996 RscDfn=data RscGrp=one"),
        (spawn_of("one", "data", &[(1 << 40) + 1]), "ERROR ResourceGroup 996 RscDfn=data RscGrp=one"),
        (spawn_of("one", "data", &[0]), "ERROR VolumeDefinition 206 RscDfn=data RscGrp=one VlmNr=0"),
        (spawn_of("one", "data", &[8, -5]), "ERROR VolumeDefinition 206 RscDfn=data RscGrp=one VlmNr=1"),
        (spawn_of("one", "no good", &[8]), "ERROR ResourceGroup 202 RscDfn=no good RscGrp=one"),
        (spawn_of("none", "data", &[8]), "ERROR ResourceGroup 317 RscDfn=data RscGrp=none"),
    ] {
        assert_eq!(told(&world.give(&command)), [expect]);
        assert!(world.cluster.definitions.is_empty() && world.cluster.numbers.is_empty());
    }
}

#[test]
fn without_drbd_one_replica_is_plain_and_several_are_refused() {
    let mut world = World::of(THREE);
    assert_eq!(told(&world.give(&spawn_of("free", "two", &[8192]))), ["ERROR ResourceGroup 988 RscDfn=two RscGrp=free"]);
    let mut single = spawn_of("free", "single", &[8192]);
    if let Command::SpawnResource { filter: request, .. } = &mut single {
        *request = filter(|filter| filter.place_count = Some(1));
    }
    assert!(world.give(&single).result.is_ok());
    assert_eq!(nodes_of(&world, "single"), ["bravo"]);
    assert_eq!(told(&world.give(&autoplace_of("single", FilterRequest::default()))), ["ERROR Resource 988 RscDfn=single"]);
    // Too few places is another thing than no DRBD.
    let five = filter(|filter| filter.place_count = Some(5));
    assert_eq!(told(&world.give(&autoplace_of("single", five))), ["ERROR Resource 996 RscDfn=single"]);
}

#[test]
fn with_drbd_replicas_replicate() {
    let mut world = World::of(
        "node alpha +DRBD; node bravo +DRBD; node charlie; pool thin on alpha FILE_THIN 10G; pool thin on bravo FILE_THIN 10G; \
         pool thin on charlie FILE_THIN 90G; group free - 2",
    );
    assert!(world.give(&spawn_of("free", "data", &[1 << 20])).result.is_ok());
    assert_eq!(nodes_of(&world, "data"), ["alpha", "bravo"]);
    let replicas: Vec<_> = world.cluster.replicas(&resource("data")).cloned().collect();
    assert!(replicas.iter().all(|replica| replica.layers == stack::REPLICATED));
    let numbers: Vec<_> =
        replicas.iter().filter_map(|replica| replica.drbd.as_ref()).map(|drbd| (drbd.node_id, drbd.ports.clone())).collect();
    assert_eq!(numbers, [(0, vec![7000]), (1, vec![7000])]);
    assert_eq!(replicas[0].volumes.values().next().unwrap().backing_kib, Kib(1_048_840));
}

#[test]
fn the_most_free_space_wins_and_names_break_ties() {
    let mut world = World::of(THREE);
    assert!(world.give(&spawn_of("one", "data", &[8192])).result.is_ok());
    assert_eq!(nodes_of(&world, "data"), ["bravo"]);
    let more = |count| filter(|filter| filter.additional_place_count = Some(count));
    let decision = world.give(&autoplace_of("data", more(2)));
    assert_eq!(
        told(&decision).last().map(String::as_str),
        Some("SUCCESS Resource 1 Node/0=alpha Node/1=charlie RscDfn=data StoragePool/0/0=thin,FILE_THIN StoragePool/1/0=thin,FILE_THIN")
    );
    let replies = decision.result.unwrap().replies;
    assert!(replies.last().unwrap().details.contains("do not replicate"));
    assert_eq!(told(&world.give(&autoplace_of("data", more(1)))), ["ERROR Resource 996 RscDfn=data"]);
}

#[test]
fn enough_replicas_are_no_error() {
    let mut world = World::of(ONE);
    world.give(&spawn_of("one", "data", &[8192]));
    for count in [Some(1), Some(0), Some(-1), None] {
        let request = filter(|filter| filter.place_count = count);
        assert_eq!(told(&world.give(&autoplace_of("data", request))), ["WARNING Resource 1006 RscDfn=data"], "{count:?}");
    }
}

#[test]
fn diskless_replicas_need_a_layer_that_brings_them_data() {
    let mut world = World::of(THREE);
    world.give(&spawn_of("one", "data", &[8192]));
    let command = Command::Autoplace {
        resource: "data".to_owned(),
        filter: filter(|filter| filter.place_count = Some(2)),
        diskless_on_remaining: Some(true),
        layers: None,
    };
    assert_eq!(told(&world.give(&command)), ["ERROR Resource 225 RscDfn=data"]);
    assert_eq!(nodes_of(&world, "data").len(), 1);
}

#[test]
fn adjust_tells_of_each_definition_and_one_failure_holds_up_no_other() {
    let mut world = World::of(ONE);
    let definitions_only = |name: &str| {
        let mut command = spawn_of("one", name, &[8192]);
        if let Command::SpawnResource { definitions_only, .. } = &mut command {
            *definitions_only = true;
        }
        command
    };
    assert_eq!(
        told(&world.give(&definitions_only("aa"))).last().map(String::as_str),
        Some("INFO ResourceGroup 10000 RscDfn=aa RscGrp=one")
    );
    world.give(&spawn_of("one", "bb", &[8192]));
    world.give(&definitions_only("cc"));
    let mut huge = (**world.cluster.definitions.get(&resource("cc")).unwrap()).clone();
    huge.volumes.values_mut().for_each(|volume| volume.size_kib = Kib::VOLUME_MAX);
    world.put(Object::ResourceDefinition(huge));
    world.give(&definitions_only("dd"));
    let adjust = Command::AdjustResourceGroup { group: Some("one".to_owned()), filter: FilterRequest::default() };
    assert_eq!(
        told(&world.give(&adjust)),
        [
            "SUCCESS Resource 1 RscGrp=one",
            "SUCCESS ResourceGroup 1 Node/0=alpha RscGrp=one StoragePool/0/0=thin,FILE_THIN",
            "WARNING ResourceGroup 1006 RscGrp=one",
            "ERROR Resource 996 RscDfn=cc RscGrp=one",
            "SUCCESS Resource 1 RscGrp=one",
            "SUCCESS ResourceGroup 1 Node/0=alpha RscGrp=one StoragePool/0/0=thin,FILE_THIN",
        ]
    );
    assert_eq!(nodes_of(&world, "cc").len(), 0);
    assert_eq!(world.cluster.jobs.len(), 3);
}

#[test]
fn a_raised_count_places_what_is_missing() {
    let mut world = World::of(THREE);
    world.give(&spawn_of("one", "data", &[8192]));
    let raise = |count| Command::ModifyResourceGroup {
        name: "one".to_owned(),
        description: None,
        filter: filter(|filter| filter.place_count = Some(count)),
        peer_slots: None,
        props: berth_model::props::PropChange::default(),
    };
    assert_eq!(
        told(&world.give(&raise(2))),
        [
            "SUCCESS ResourceGroup 3 RscGrp=one",
            "SUCCESS Resource 1 RscDfn=data RscGrp=one",
            "SUCCESS Resource 1 Node/0=charlie RscDfn=data RscGrp=one StoragePool/0/0=thin,FILE_THIN",
        ]
    );
    assert_eq!(told(&world.give(&raise(4))), ["SUCCESS ResourceGroup 3 RscGrp=one", "ERROR Resource 996 RscDfn=data RscGrp=one"]);
    assert_eq!(nodes_of(&world, "data"), ["bravo", "charlie"]);
}

#[test]
fn sizes_meet_volume_groups() {
    let mut world = World::of(ONE);
    let template = Command::CreateVolumeGroup {
        group: "one".to_owned(),
        number: Some(3),
        flags: vec!["GROSS_SIZE".to_owned()],
        props: BTreeMap::new(),
    };
    assert!(world.give(&template).result.is_ok());
    let spawn = |name: &str, sizes: &[i64], in_part: bool| {
        let mut command = spawn_of("one", name, sizes);
        if let Command::SpawnResource { partial, .. } = &mut command {
            *partial = in_part;
        }
        command
    };
    assert_eq!(told(&world.give(&spawn("data", &[8192, 8192], false))), ["ERROR ResourceGroup 228 RscDfn=data RscGrp=one"]);
    assert!(world.give(&spawn("data", &[8192, 4096], true)).result.is_ok());
    let definition = world.cluster.definitions.get(&resource("data")).unwrap();
    let volumes: Vec<_> =
        definition.volumes.iter().map(|(number, volume)| (number.get(), volume.size_kib.0, volume.flags.shown())).collect();
    assert_eq!(volumes, [(0, 4096, vec![]), (3, 8192, vec!["GROSS_SIZE"])]);
    let empty = told(&world.give(&spawn("none", &[], true)));
    assert_eq!(empty.last().map(String::as_str), Some("WARNING ResourceGroup 3000 RscDfn=none RscGrp=one"));
}

#[test]
fn an_external_name_makes_the_name() {
    let mut world = World::of(ONE);
    let mut command = spawn_of("one", "", &[8192]);
    if let Command::SpawnResource { external_name, .. } = &mut command {
        *external_name = Some("spawned: disk #1".to_owned());
    }
    assert_eq!(told(&world.give(&command))[1], "SUCCESS ResourceDefinition 1 RscDfn= RscGrp=one");
    assert_eq!(world.cluster.definitions.keys().map(ToString::to_string).collect::<Vec<_>>(), ["spawned__disk__1"]);
}
