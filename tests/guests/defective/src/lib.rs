//! The provider of files with a defect that the property `StorDriver/Defective/Defect` of its pool names, for the tests of the conformance
//! kit: a file that is loaded must be found wrong as one that is linked is. Without the property it is right.

#![deny(unsafe_code)]

// The source itself: a crate that is linked would export its provider, too.
#[path = "../../../../providers/file/src/provider.rs"]
mod provider;

use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{
    BackingName, Device, Fault, FaultKind, Filled, Found, Kib, Known, Machine, Manifest, New, PoolAbilities, Property, Provider, Rule,
    Space,
};
use provider::FileProvider;

/// The property that names the defect.
const DEFECT: &str = "StorDriver/Defective/Defect";
/// A volume is deleted, and its loop device stays.
const LEAKS_DEVICE: &str = "leaks-device";
/// Free space is made up.
const LIES_ABOUT_SPACE: &str = "lies-about-space";
/// A create that was done before fails.
const NOT_IDEMPOTENT: &str = "not-idempotent";

const FILES: FileProvider = FileProvider;

/// The provider.
#[derive(Debug, Default, Clone, Copy)]
pub struct Defective;

fn has(on: &dyn Machine, defect: &str) -> bool {
    on.pool().props.get(DEFECT).is_some_and(|named| named == defect)
}

impl Provider for Defective {
    fn manifest(&self) -> Manifest {
        let defects = [LEAKS_DEVICE, LIES_ABOUT_SPACE, NOT_IDEMPOTENT].map(str::to_owned).to_vec();
        Manifest {
            files: true,
            props: vec![Property { key: DEFECT.into(), help: "What is wrong with it.".into(), rule: Rule::OneOf(defects) }],
            ..Manifest::new("defective", "1.0.0", &["FILE"])
        }
    }
    fn probe(&self, on: &dyn Machine) -> Result<PoolAbilities, Fault> {
        FILES.probe(on)
    }
    fn clean(&self, on: &dyn Machine, cluster: Uuid) -> Result<Vec<String>, Fault> {
        FILES.clean(on, cluster)
    }
    fn space(&self, on: &dyn Machine) -> Result<Space, Fault> {
        if has(on, LIES_ABOUT_SPACE) {
            return Ok(Space { total: Kib(1 << 30), free: Kib(1 << 29) });
        }
        FILES.space(on)
    }
    fn list(&self, on: &dyn Machine) -> Result<Vec<Found>, Fault> {
        FILES.list(on)
    }
    fn look(&self, on: &dyn Machine, name: &BackingName, of: Option<&BackingName>) -> Result<Option<Found>, Fault> {
        FILES.look(on, name, of)
    }
    fn create(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        if has(on, NOT_IDEMPOTENT) && FILES.look(on, &new.name, None)?.is_some() {
            return Err(Fault::new(FaultKind::Tool, format!("'{}' is there already", new.name)).cause("It was made").correction("Look"));
        }
        FILES.create(on, new, size)
    }
    fn grow(&self, on: &dyn Machine, volume: &Known, size: Kib) -> Result<(), Fault> {
        FILES.grow(on, volume, size)
    }
    fn delete(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        if has(on, LEAKS_DEVICE) && FILES.look(on, &volume.name, None)?.is_some_and(|found| found.device.is_some()) {
            return on.files()?.remove(&format!("{}.img", volume.name)).map_err(|error| error.fault(on.pool()));
        }
        FILES.delete(on, volume)
    }
    fn snapshot(&self, on: &dyn Machine, volume: &Known, new: &New) -> Result<(), Fault> {
        FILES.snapshot(on, volume, new)
    }
    fn delete_snapshot(&self, on: &dyn Machine, snapshot: &Known) -> Result<(), Fault> {
        FILES.delete_snapshot(on, snapshot)
    }
    fn rollback(&self, on: &dyn Machine, new: &New, snapshot: &Known) -> Result<(), Fault> {
        FILES.rollback(on, new, snapshot)
    }
    fn restore(&self, on: &dyn Machine, snapshot: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        FILES.restore(on, snapshot, new, size)
    }
    fn clone_volume(&self, on: &dyn Machine, volume: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        FILES.clone_volume(on, volume, new, size)
    }
    fn finish_copy(&self, on: &dyn Machine, new: &New) -> Result<(), Fault> {
        FILES.finish_copy(on, new)
    }
    fn adopt(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        FILES.adopt(on, new, size)
    }
    fn attach(&self, on: &dyn Machine, volume: &Known) -> Result<Device, Fault> {
        FILES.attach(on, volume)
    }
    fn detach(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        FILES.detach(on, volume)
    }
}

berth_plugin_sdk::export_provider!(Defective);
