//! [`Storage`] as an object with a fixed layout. Its functions are laid out; its records go as JSON, which can get members without a new layout:
//! a call here waits for a controller, so that a text costs nothing that could be noticed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use abi_stable::sabi_trait;
use abi_stable::std_types::{RBox, ROption, RResult, RStr, RString};
use abi_stable::type_level::downcasting::TD_Opaque;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::types::RawFault;
use crate::storage::{Active, Events, NewVolume, PoolSpace, Preview, Snapshot, Storage, Volume};
use crate::{Fault, FaultKind, Kib};

pub(super) type Answer<T> = RResult<T, RawFault>;

/// [`Storage`] with a fixed layout. Functions are only ever added, behind the last one.
#[sabi_trait]
pub trait RawStorage: Send + Sync {
    fn node(&self) -> Answer<RString>;
    fn preview(&self, new: RStr<'_>) -> Answer<RString>;
    fn create(&self, new: RStr<'_>) -> Answer<RString>;
    fn get(&self, name: RStr<'_>) -> Answer<RString>;
    fn list(&self, props: RStr<'_>) -> Answer<RString>;
    fn delete(&self, name: RStr<'_>, snapshots: bool) -> Answer<()>;
    fn set_props(&self, name: RStr<'_>, set: RStr<'_>, remove: RStr<'_>) -> Answer<()>;
    fn activate(&self, name: RStr<'_>, node: RStr<'_>) -> Answer<RString>;
    fn deactivate(&self, name: RStr<'_>, node: RStr<'_>) -> Answer<()>;
    fn snapshot(&self, name: RStr<'_>, snapshot: RStr<'_>) -> Answer<RString>;
    fn snapshots(&self, name: RStr<'_>) -> Answer<RString>;
    fn delete_snapshot(&self, name: RStr<'_>, snapshot: RStr<'_>) -> Answer<()>;
    fn rollback(&self, name: RStr<'_>, snapshot: RStr<'_>) -> Answer<()>;
    fn resize(&self, name: RStr<'_>, size: u64) -> Answer<RString>;
    fn rename(&self, name: RStr<'_>, to: RStr<'_>) -> Answer<()>;
    fn capacity(&self) -> Answer<RString>;
    fn events(&self, after: ROption<u64>, wait_ms: u32) -> Answer<RString>;
    fn read(&self, store: RStr<'_>, key: RStr<'_>) -> Answer<ROption<RString>>;
    #[sabi(last_prefix_field)]
    fn write(&self, store: RStr<'_>, key: RStr<'_>, expected: ROption<RStr<'_>>, value: ROption<RStr<'_>>) -> Answer<bool>;
}

/// The storage as it is handed to a library.
pub type StorageBox = RawStorage_TO<'static, RBox<()>>;

/// The host's side.
struct Lent(Arc<dyn Storage>);

/// The storage for a library.
pub(super) fn lend(storage: Arc<dyn Storage>) -> StorageBox {
    RawStorage_TO::from_value(Lent(storage), TD_Opaque)
}

/// The storage that a library was handed.
pub(super) fn take(raw: StorageBox) -> Arc<dyn Storage> {
    Arc::new(Borrowed(raw))
}

pub(super) fn text<T: Serialize>(of: &T) -> Result<RString, Fault> {
    let failed = |error: serde_json::Error| Fault::new(FaultKind::Bug, "A record cannot be written").cause(error.to_string());
    serde_json::to_string(of).map(RString::from).map_err(failed)
}

pub(super) fn own<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    let failed = |error: serde_json::Error| {
        Fault::new(FaultKind::Bug, "A record of the other side of the edge cannot be read").cause(error.to_string())
    };
    serde_json::from_str(text).map_err(failed)
}

/// A panic does not cross the edge.
pub(super) fn guarded<T>(who: &str, work: impl FnOnce() -> Result<T, Fault>) -> Answer<T> {
    let ended = catch_unwind(AssertUnwindSafe(work));
    let ended = ended.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Fault::new(FaultKind::Bug, format!("The {who} panicked"))
            .cause(said.unwrap_or_else(|| "it did not say why".into()))
            .correction(format!("Report this to the author of the {who}")))
    });
    ended.map_err(RawFault::from).into()
}

fn host<T>(work: impl FnOnce() -> Result<T, Fault>) -> Answer<T> {
    guarded("host", work)
}

impl RawStorage for Lent {
    fn node(&self) -> Answer<RString> {
        host(|| self.0.node().map(Into::into))
    }
    fn preview(&self, new: RStr<'_>) -> Answer<RString> {
        host(|| text(&self.0.preview(&own(new.as_str())?)?))
    }
    fn create(&self, new: RStr<'_>) -> Answer<RString> {
        host(|| text(&self.0.create(&own(new.as_str())?)?))
    }
    fn get(&self, name: RStr<'_>) -> Answer<RString> {
        host(|| text(&self.0.get(name.as_str())?))
    }
    fn list(&self, props: RStr<'_>) -> Answer<RString> {
        host(|| text(&self.0.list(&own(props.as_str())?)?))
    }
    fn delete(&self, name: RStr<'_>, snapshots: bool) -> Answer<()> {
        host(|| self.0.delete(name.as_str(), snapshots))
    }
    fn set_props(&self, name: RStr<'_>, set: RStr<'_>, remove: RStr<'_>) -> Answer<()> {
        host(|| self.0.set_props(name.as_str(), &own(set.as_str())?, &own::<Vec<String>>(remove.as_str())?))
    }
    fn activate(&self, name: RStr<'_>, node: RStr<'_>) -> Answer<RString> {
        host(|| text(&self.0.activate(name.as_str(), node.as_str())?))
    }
    fn deactivate(&self, name: RStr<'_>, node: RStr<'_>) -> Answer<()> {
        host(|| self.0.deactivate(name.as_str(), node.as_str()))
    }
    fn snapshot(&self, name: RStr<'_>, snapshot: RStr<'_>) -> Answer<RString> {
        host(|| text(&self.0.snapshot(name.as_str(), snapshot.as_str())?))
    }
    fn snapshots(&self, name: RStr<'_>) -> Answer<RString> {
        host(|| text(&self.0.snapshots(name.as_str())?))
    }
    fn delete_snapshot(&self, name: RStr<'_>, snapshot: RStr<'_>) -> Answer<()> {
        host(|| self.0.delete_snapshot(name.as_str(), snapshot.as_str()))
    }
    fn rollback(&self, name: RStr<'_>, snapshot: RStr<'_>) -> Answer<()> {
        host(|| self.0.rollback(name.as_str(), snapshot.as_str()))
    }
    fn resize(&self, name: RStr<'_>, size: u64) -> Answer<RString> {
        host(|| text(&self.0.resize(name.as_str(), Kib(size))?))
    }
    fn rename(&self, name: RStr<'_>, to: RStr<'_>) -> Answer<()> {
        host(|| self.0.rename(name.as_str(), to.as_str()))
    }
    fn capacity(&self) -> Answer<RString> {
        host(|| text(&self.0.capacity()?))
    }
    fn events(&self, after: ROption<u64>, wait_ms: u32) -> Answer<RString> {
        host(|| text(&self.0.events(after.into_option(), wait_ms)?))
    }
    fn read(&self, store: RStr<'_>, key: RStr<'_>) -> Answer<ROption<RString>> {
        host(|| Ok(self.0.read(store.as_str(), key.as_str())?.map(RString::from).into()))
    }
    fn write(&self, store: RStr<'_>, key: RStr<'_>, expected: ROption<RStr<'_>>, value: ROption<RStr<'_>>) -> Answer<bool> {
        let word = |of: ROption<RStr<'_>>| of.into_option().map(|text| text.as_str().to_owned());
        host(|| self.0.write(store.as_str(), key.as_str(), word(expected).as_deref(), word(value).as_deref()))
    }
}

/// The library's side.
struct Borrowed(StorageBox);

fn back<T: DeserializeOwned>(answer: Answer<RString>) -> Result<T, Fault> {
    own(answer.into_result()?.as_str())
}

impl Storage for Borrowed {
    fn node(&self) -> Result<String, Fault> {
        Ok(self.0.node().into_result()?.into())
    }
    fn preview(&self, new: &NewVolume) -> Result<Preview, Fault> {
        back(self.0.preview(text(new)?.as_rstr()))
    }
    fn create(&self, new: &NewVolume) -> Result<Volume, Fault> {
        back(self.0.create(text(new)?.as_rstr()))
    }
    fn get(&self, name: &str) -> Result<Option<Volume>, Fault> {
        back(self.0.get(name.into()))
    }
    fn list(&self, props: &BTreeMap<String, String>) -> Result<Vec<Volume>, Fault> {
        back(self.0.list(text(props)?.as_rstr()))
    }
    fn delete(&self, name: &str, snapshots: bool) -> Result<(), Fault> {
        Ok(self.0.delete(name.into(), snapshots).into_result()?)
    }
    fn set_props(&self, name: &str, set: &BTreeMap<String, String>, remove: &[String]) -> Result<(), Fault> {
        Ok(self.0.set_props(name.into(), text(set)?.as_rstr(), text(&remove)?.as_rstr()).into_result()?)
    }
    fn activate(&self, name: &str, node: &str) -> Result<Active, Fault> {
        back(self.0.activate(name.into(), node.into()))
    }
    fn deactivate(&self, name: &str, node: &str) -> Result<(), Fault> {
        Ok(self.0.deactivate(name.into(), node.into()).into_result()?)
    }
    fn snapshot(&self, name: &str, snapshot: &str) -> Result<Snapshot, Fault> {
        back(self.0.snapshot(name.into(), snapshot.into()))
    }
    fn snapshots(&self, name: &str) -> Result<Vec<Snapshot>, Fault> {
        back(self.0.snapshots(name.into()))
    }
    fn delete_snapshot(&self, name: &str, snapshot: &str) -> Result<(), Fault> {
        Ok(self.0.delete_snapshot(name.into(), snapshot.into()).into_result()?)
    }
    fn rollback(&self, name: &str, snapshot: &str) -> Result<(), Fault> {
        Ok(self.0.rollback(name.into(), snapshot.into()).into_result()?)
    }
    fn resize(&self, name: &str, size: Kib) -> Result<Volume, Fault> {
        back(self.0.resize(name.into(), size.0))
    }
    fn rename(&self, name: &str, to: &str) -> Result<(), Fault> {
        Ok(self.0.rename(name.into(), to.into()).into_result()?)
    }
    fn capacity(&self) -> Result<Vec<PoolSpace>, Fault> {
        back(self.0.capacity())
    }
    fn events(&self, after: Option<u64>, wait_ms: u32) -> Result<Events, Fault> {
        back(self.0.events(after.into(), wait_ms))
    }
    fn read(&self, store: &str, key: &str) -> Result<Option<String>, Fault> {
        Ok(self.0.read(store.into(), key.into()).into_result()?.into_option().map(Into::into))
    }
    fn write(&self, store: &str, key: &str, expected: Option<&str>, value: Option<&str>) -> Result<bool, Fault> {
        fn word(of: Option<&str>) -> ROption<RStr<'_>> {
            of.map(RStr::from_str).into()
        }
        Ok(self.0.write(store.into(), key.into(), word(expected), word(value)).into_result()?)
    }
}
