//! What requests about resource groups and volume groups answer and change.

use std::collections::BTreeMap;

use berth_model::names::ResourceGroupName;
use berth_model::objects::{ResourceGroup, SelectFilter};
use berth_model::props::PropChange;

use crate::command::{Command, FilterRequest};
use crate::testkit::{World, told};

fn create(name: &str, filter: FilterRequest) -> Command {
    Command::CreateResourceGroup { name: name.to_owned(), description: None, filter, peer_slots: None, props: BTreeMap::new() }
}

fn modify(name: &str, filter: FilterRequest) -> Command {
    Command::ModifyResourceGroup { name: name.to_owned(), description: None, filter, peer_slots: None, props: PropChange::default() }
}

fn filter(edit: impl FnOnce(&mut SelectFilter)) -> FilterRequest {
    let mut request = FilterRequest::default();
    edit(&mut request.filter);
    request
}

fn count(place_count: i32) -> FilterRequest {
    filter(|filter| filter.place_count = Some(place_count))
}

fn group<'w>(world: &'w World, name: &str) -> &'w ResourceGroup {
    world.cluster.groups.get(&ResourceGroupName::parse(name).unwrap()).unwrap()
}

fn definition(name: &str, group: &str) -> Command {
    Command::CreateResourceDefinition {
        name: Some(name.to_owned()),
        external_name: None,
        group: Some(group.to_owned()),
        layers: vec!["STORAGE".to_owned()],
        props: BTreeMap::new(),
        drbd_port: None,
        drbd_secret: None,
        drbd_transport_type: None,
        drbd_peer_slots: None,
    }
}

#[test]
fn groups_place_two_replicas_unless_told_otherwise() {
    let mut world = World::of("");
    assert_eq!(told(&world.give(&create("rg_bare", FilterRequest::default()))), ["SUCCESS ResourceGroup 1 RscGrp=rg_bare"]);
    assert_eq!(group(&world, "rg_bare").filter, SelectFilter { place_count: Some(2), ..SelectFilter::default() });
    assert_eq!(told(&world.give(&create("RG_BARE", FilterRequest::default()))), ["ERROR ResourceGroup 522 RscGrp=RG_BARE"]);
    let _ = world.give(&modify("rg_bare", count(5)));
    let _ = world.give(&modify("rg_bare", count(0)));
    assert_eq!(group(&world, "rg_bare").filter.place_count, Some(2), "0 takes it back to the default");
    for bad in [-3, 0] {
        assert_eq!(told(&world.give(&create("rg_neg", count(bad)))), ["ERROR ResourceGroup 219 RscGrp=rg_neg"]);
    }
}

#[test]
fn filters_are_judged_and_tidied() {
    let mut world = World::of("node alpha; pool thin on alpha FILE_THIN 1G");
    let mut request = filter(|filter| {
        filter.storage_pool_list = Some(vec!["THIN".to_owned()]);
        filter.replicas_on_same = Some(Vec::new());
        filter.additional_place_count = Some(1);
    });
    request.layer_stack = Some(vec!["drbd".to_owned(), "storage".to_owned()]);
    request.provider_list = Some(vec!["lvmthin".to_owned(), "FILE_THIN".to_owned()]);
    assert_eq!(told(&world.give(&create("rg", request))), ["SUCCESS ResourceGroup 1 RscGrp=rg"]);
    let kept = &group(&world, "rg").filter;
    assert_eq!((kept.replicas_on_same.as_ref(), kept.additional_place_count), (None, None));
    assert_eq!(kept.provider_list.as_ref().map(Vec::len), Some(2));
    let _ = world.give(&modify("rg", filter(|filter| filter.storage_pool_list = Some(Vec::new()))));
    assert_eq!(group(&world, "rg").filter.storage_pool_list, None, "an empty list clears");
    assert_eq!(group(&world, "rg").filter.layer_stack.as_ref().map(Vec::len), Some(2), "what is not named stays");

    let unknown = filter(|filter| filter.storage_pool_list = Some(vec!["nosuch".to_owned()]));
    assert_eq!(told(&world.give(&create("rg_nopool", unknown))), ["WARNING - 3000", "SUCCESS ResourceGroup 1 RscGrp=rg_nopool"]);
    let words = |words: &[&str]| FilterRequest {
        provider_list: Some(words.iter().map(|word| (*word).to_owned()).collect()),
        ..FilterRequest::default()
    };
    assert_eq!(told(&world.give(&create("bad", words(&["TAPE"])))), ["ERROR - 224"]);
    let layers = |words: &[&str]| FilterRequest {
        layer_stack: Some(words.iter().map(|word| (*word).to_owned()).collect()),
        ..FilterRequest::default()
    };
    assert_eq!(told(&world.give(&create("bad", layers(&["LUKS", "DRBD", "STORAGE"])))), ["ERROR ResourceGroup 225 RscGrp=bad"]);
    for bad in [
        filter(|filter| filter.not_place_with_rsc_regex = Some("(".to_owned())),
        filter(|filter| filter.diskless_type = Some("CLAY_TABLET".to_owned())),
        filter(|filter| filter.x_replicas_on_different_map = Some([("Aux/row".to_owned(), 0)].into())),
    ] {
        assert_eq!(told(&world.give(&create("bad", bad))), ["ERROR ResourceGroup 234 RscGrp=bad"]);
    }
    let slots = Command::CreateResourceGroup {
        name: "bad".to_owned(),
        description: None,
        filter: FilterRequest::default(),
        peer_slots: Some(0),
        props: BTreeMap::new(),
    };
    assert_eq!(told(&world.give(&slots)), ["ERROR ResourceGroup 213 RscGrp=bad"]);
}

#[test]
fn properties_of_groups_are_those_of_definitions() {
    let mut world = World::of("group fast STORAGE 1");
    let props = PropChange::set([("DrbdOptions/auto-quorum".to_owned(), "suspend-io".to_owned())].into());
    let command = Command::ModifyResourceGroup {
        name: "fast".to_owned(),
        description: Some("x".to_owned()),
        filter: FilterRequest::default(),
        peer_slots: Some(9),
        props,
    };
    assert_eq!(
        told(&world.give(&command)),
        ["WARNING ResourceGroup 4000 RscGrp=fast", "SUCCESS ResourceDefinition 1 RscGrp=fast", "SUCCESS ResourceGroup 3 RscGrp=fast"]
    );
    assert_eq!((group(&world, "fast").description.as_str(), group(&world, "fast").peer_slots), ("x", Some(9)));
    assert_eq!(told(&world.give(&modify("nosuch", FilterRequest::default()))), ["ERROR ResourceGroup 317 RscGrp=nosuch"]);
}

#[test]
fn more_replicas_are_placed_or_told_for_each_definition() {
    let mut world = World::of("group fast STORAGE 1");
    let _ = world.give(&definition("one", "fast"));
    let _ = world.give(&definition("two", "fast"));
    let missing = |name: &str| format!("ERROR Resource 996 RscDfn={name} RscGrp=fast");
    assert_eq!(
        told(&world.give(&modify("fast", count(2)))),
        ["SUCCESS ResourceGroup 3 RscGrp=fast".to_owned(), missing("one"), missing("two")]
    );
    assert_eq!(group(&world, "fast").filter.place_count, Some(2), "the change stands");
    assert_eq!(told(&world.give(&modify("fast", count(2)))), ["SUCCESS ResourceGroup 3 RscGrp=fast"]);
}

#[test]
fn only_unused_groups_are_deleted() {
    let mut world = World::of("group fast STORAGE 1; group slow STORAGE 1");
    let _ = world.give(&definition("one", "fast"));
    let delete = |name: &str| Command::DeleteResourceGroup { name: name.to_owned() };
    assert_eq!(told(&world.give(&delete("fast"))), ["ERROR ResourceGroup 501 RscGrp=fast"]);
    assert_eq!(told(&world.give(&delete("slow"))), ["SUCCESS ResourceGroup 2 RscGrp=slow"]);
    assert_eq!(told(&world.give(&delete("slow"))), ["WARNING ResourceGroup 3000 RscGrp=slow"]);
    assert_eq!(told(&world.give(&delete("DfltRscGrp"))), ["ERROR ResourceGroup 997 RscGrp=DfltRscGrp"]);
}

#[test]
fn volume_groups_are_numbered() {
    let mut world = World::of("group fast STORAGE 1");
    let create = |number: Option<i64>, flags: &[&str], props: &[(&str, &str)]| Command::CreateVolumeGroup {
        group: "fast".to_owned(),
        number,
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        props: props.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    let made = |number: i64| format!("SUCCESS VolumeGroup 1 RscGrp=fast VlmGrp=fast VlmNr={number}");
    assert_eq!(told(&world.give(&create(None, &[], &[]))), [made(0)]);
    assert_eq!(told(&world.give(&create(Some(4), &["GROSS_SIZE"], &[("Aux/v", "4")]))), ["SUCCESS VolumeDefinition 1".to_owned(), made(4)]);
    assert_eq!(told(&world.give(&create(None, &[], &[]))), [made(1)]);
    assert_eq!(told(&world.give(&create(Some(1), &[], &[]))), ["ERROR VolumeGroup 523 VlmGrp=fast"]);
    assert_eq!(told(&world.give(&create(Some(65_535), &[], &[]))), ["ERROR VolumeGroup 205 VlmGrp=fast"]);
    assert_eq!(told(&world.give(&create(Some(9), &["ENCRYPTED"], &[]))), ["ERROR - 998"]);
    let modify = |number: i64| Command::ModifyVolumeGroup {
        group: "fast".to_owned(),
        number,
        flags: vec!["-GROSS_SIZE".to_owned()],
        props: PropChange {
            override_props: [("Aux/w".to_owned(), "5".to_owned())].into(),
            delete_props: vec!["Aux/v".to_owned()],
            delete_namespaces: Vec::new(),
        },
    };
    assert_eq!(
        told(&world.give(&modify(4))),
        [
            "SUCCESS VolumeDefinition 1 RscGrp=fast VlmNr=4",
            "SUCCESS VolumeDefinition 2 RscGrp=fast VlmNr=4",
            "SUCCESS VolumeGroup 3 RscGrp=fast VlmGrp=fast VlmNr=4"
        ]
    );
    assert_eq!(told(&world.give(&modify(99))), ["ERROR VolumeGroup 318 RscGrp=fast VlmGrp=fast VlmNr=99"]);
    let delete = |number: i64| Command::DeleteVolumeGroup { group: "fast".to_owned(), number };
    assert_eq!(told(&world.give(&delete(4))), ["SUCCESS VolumeGroup 2 VlmGrp=fast"]);
    assert_eq!(told(&world.give(&delete(4))), ["ERROR VolumeGroup 318 VlmGrp=fast"]);
    let _ = world.give(&definition("one", "fast"));
    assert_eq!(told(&world.give(&create(None, &[], &[]))), ["ERROR VolumeGroup 501 VlmGrp=fast"]);
}
