//! The built-in table of properties against the facts of REST API v1, where their files are at hand.
//!
//! The files are not part of the project: their folder is named by `BERTH_SHARED`, or stands beside the clone as `shared`.
//! Without them the tests say so and pass.
#![allow(clippy::unwrap_used)] // A test may fail loudly.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use berth_model::props::{INFO_SECTIONS, Owner, PropInfo, infos};
use serde_json::Value;

fn facts(file: &str) -> Option<Value> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("BERTH_SHARED").map_or_else(beside, PathBuf::from);
    let path = folder.join("linstor").join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(error) => {
            println!("skipped: {} cannot be read ({error})", path.display());
            None
        }
    }
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn keys(owner: Owner) -> BTreeSet<String> {
    infos(owner).map(|info| info.key.to_owned()).collect()
}

#[test]
fn each_object_takes_the_keys_of_the_facts() {
    let (Some(general), Some(drbd), Some(names)) = (facts("properties.json"), facts("drbdoptions.json"), facts("consts.json")) else {
        return;
    };
    let names: BTreeMap<&str, &str> =
        names.as_array().unwrap().iter().filter_map(|one| Some((one["name"].as_str()?, one["value"].as_str()?))).collect();
    let key = |rule: &Value| match &rule["key"] {
        Value::String(key) => key.clone(),
        parts => texts(parts).into_iter().map(|part| *names.get(part).unwrap_or(&part)).collect::<Vec<_>>().join("/"),
    };
    let listed = |source: &Value, object: &str| -> Vec<String> {
        texts(&source["objects"][object]).into_iter().map(|id| key(&source["properties"][id])).collect()
    };
    let objects = [
        (Owner::Controller, "controller", "controller"),
        (Owner::Node, "node", ""),
        (Owner::StorPoolDfn, "storagepool-definition", ""),
        (Owner::StorPool, "storagepool", ""),
        (Owner::ResourceGroup, "resource-definition", "resource-definition"),
        (Owner::VolumeGroup, "volume-definition", "volume-definition"),
        (Owner::ResourceDefinition, "resource-definition", "resource-definition"),
        (Owner::VolumeDefinition, "volume-definition", "volume-definition"),
        (Owner::Resource, "resource", ""),
        (Owner::Volume, "volume", "volume"),
        (Owner::NodeConnection, "", "node-conn"),
        (Owner::ResourceConnection, "", "rsc-conn"),
        (Owner::DrbdProxy, "drbd-proxy", ""),
        (Owner::DrbdProxyZlib, "drbd-proxy-zlib", ""),
        (Owner::DrbdProxyLzma, "drbd-proxy-lzma", ""),
        (Owner::DrbdProxyZstd, "drbd-proxy-zstd", ""),
    ];
    for (owner, in_general, in_drbd) in objects {
        let wanted: BTreeSet<String> = listed(&general, in_general).into_iter().chain(listed(&drbd, in_drbd)).collect();
        assert!(!wanted.is_empty(), "no facts for a {}", owner.label());
        assert_eq!(keys(owner), wanted, "{}", owner.label());
    }
}

#[test]
fn lists_of_properties_answer_what_was_recorded() {
    let Some(recorded) = facts("wire/recorded/controller.json") else { return };
    let all =
        recorded["exchanges"].as_array().unwrap().iter().find(|one| one["body"]["CTRL"].is_object()).unwrap()["body"].as_object().unwrap();
    assert_eq!(all.keys().map(String::as_str).collect::<BTreeSet<_>>(), INFO_SECTIONS.iter().map(|(name, _)| *name).collect());
    for (section, owner) in INFO_SECTIONS {
        let ours: BTreeMap<&str, &PropInfo> = owner.into_iter().flat_map(infos).map(|info| (info.key, info)).collect();
        let theirs = all[section].as_object().unwrap();
        assert_eq!(ours.keys().copied().collect::<BTreeSet<_>>(), theirs.keys().map(String::as_str).collect(), "{section}");
        for (key, wanted) in theirs {
            let mut wanted = wanted.clone();
            let mut found = serde_json::to_value(ours[key.as_str()]).unwrap();
            // Prose is ours; only whether there is some is compared.
            for field in ["info", "dflt"] {
                if wanted[field] == "<text>" {
                    assert!(found[field].as_str().is_some_and(|text| !text.is_empty()), "{section} {key} {field}");
                    wanted[field] = Value::Null;
                    found[field] = Value::Null;
                }
            }
            assert_eq!(found, wanted, "{section} {key}");
        }
    }
}
