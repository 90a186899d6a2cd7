//! The root module of a provider's library, both sides.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use abi_stable::StableAbi;
use abi_stable::library::{RootModule, RootModuleResult};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_types::{RRef, VersionStrings};
use abi_stable::std_types::{ROption, RResult, RStr, RString, RVec};
use abi_stable::type_level::downcasting::TD_Opaque;
use uuid::Uuid;

use super::machine::{Borrowed, Lent, MachineRef, RawMachine_TO};
use super::types::{
    Raw, RawAbilities, RawDevice, RawFault, RawFilled, RawFound, RawId, RawKnown, RawManifest, RawNew, RawSpace, RawStream,
};
use crate::{
    BackingName, Device, Fault, FaultKind, Filled, Found, Kib, Known, Machine, Manifest, New, PoolAbilities, Provider, Space, Stream,
};

type Answer<T> = RResult<T, RawFault>;
type Ref<'a> = MachineRef<'a>;

/// What a provider's library exports. Fields are only ever added, behind the last one.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = ProviderModuleRef, prefix_fields = ProviderModulePrefix)))]
#[sabi(missing_field(panic))]
#[allow(missing_docs)]
pub struct ProviderModule {
    pub describe: extern "C" fn() -> Answer<RawManifest>,
    pub probe: extern "C" fn(on: Ref<'_>) -> Answer<RawAbilities>,
    pub clean: extern "C" fn(on: Ref<'_>, cluster: RawId) -> Answer<RVec<RString>>,
    pub space: extern "C" fn(on: Ref<'_>) -> Answer<RawSpace>,
    pub list: extern "C" fn(on: Ref<'_>) -> Answer<RVec<RawFound>>,
    pub look: extern "C" fn(on: Ref<'_>, name: RStr<'_>, of: ROption<RStr<'_>>) -> Answer<ROption<RawFound>>,
    pub create: extern "C" fn(on: Ref<'_>, new: RawNew, size: u64) -> Answer<()>,
    pub grow: extern "C" fn(on: Ref<'_>, volume: RawKnown, size: u64) -> Answer<()>,
    pub delete: extern "C" fn(on: Ref<'_>, volume: RawKnown) -> Answer<()>,
    pub snapshot: extern "C" fn(on: Ref<'_>, volume: RawKnown, new: RawNew) -> Answer<()>,
    pub delete_snapshot: extern "C" fn(on: Ref<'_>, snapshot: RawKnown) -> Answer<()>,
    pub rollback: extern "C" fn(on: Ref<'_>, new: RawNew, snapshot: RawKnown) -> Answer<()>,
    pub restore: extern "C" fn(on: Ref<'_>, snapshot: RawKnown, new: RawNew, size: u64) -> Answer<RawFilled>,
    pub clone_volume: extern "C" fn(on: Ref<'_>, volume: RawKnown, new: RawNew, size: u64) -> Answer<RawFilled>,
    pub send: extern "C" fn(on: Ref<'_>, snapshot: RawKnown, since: ROption<RawKnown>) -> Answer<RawStream>,
    pub receive: extern "C" fn(on: Ref<'_>, new: RawNew, size: u64, since: ROption<RawKnown>) -> Answer<RawStream>,
    pub finish_copy: extern "C" fn(on: Ref<'_>, new: RawNew) -> Answer<()>,
    pub adopt: extern "C" fn(on: Ref<'_>, new: RawNew, size: u64) -> Answer<()>,
    pub attach: extern "C" fn(on: Ref<'_>, volume: RawKnown) -> Answer<RawDevice>,
    #[sabi(last_prefix_field)]
    pub detach: extern "C" fn(on: Ref<'_>, volume: RawKnown) -> Answer<()>,
}

impl RootModule for ProviderModuleRef {
    abi_stable::declare_root_module_statics! {ProviderModuleRef}
    const BASE_NAME: &'static str = "berth_provider";
    const NAME: &'static str = "berth_provider";
    // The contract's, not the crate's: a library of a later patch of the SDK is the same at the edge.
    const VERSION_STRINGS: VersionStrings = VersionStrings::new("0.1.0");
}

/// The author's side: no panic leaves the library, and none is printed to the host's standard error.
fn call<P: Provider + Default, T, R>(
    on: Ref<'_>,
    work: impl FnOnce(&P, &dyn Machine) -> Result<T, Fault>,
    raw: impl FnOnce(T) -> R,
) -> Answer<R> {
    guarded(|| work(&P::default(), &Borrowed::new(on)).map(raw))
}

fn guarded<R>(work: impl FnOnce() -> Result<R, Fault>) -> Answer<R> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let ended = catch_unwind(AssertUnwindSafe(work));
    ended.unwrap_or_else(|panic| Err(panicked(&*panic))).map_err(RawFault::from).into()
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Fault {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    Fault::new(FaultKind::Bug, "The provider panicked")
        .cause(text.unwrap_or_else(|| "it did not say why".into()))
        .correction("Report this to the author of the provider")
}

mod exports {
    use super::*;

    pub(super) extern "C" fn describe<P: Provider + Default>() -> Answer<RawManifest> {
        guarded(|| Ok(P::default().manifest().into()))
    }
    pub(super) extern "C" fn probe<P: Provider + Default>(on: Ref<'_>) -> Answer<RawAbilities> {
        call::<P, _, _>(on, |p, on| p.probe(on), Into::into)
    }
    pub(super) extern "C" fn clean<P: Provider + Default>(on: Ref<'_>, cluster: RawId) -> Answer<RVec<RString>> {
        call::<P, _, _>(on, |p, on| p.clean(on, Raw::own(cluster)), Raw::raw)
    }
    pub(super) extern "C" fn space<P: Provider + Default>(on: Ref<'_>) -> Answer<RawSpace> {
        call::<P, _, _>(on, |p, on| p.space(on), Into::into)
    }
    pub(super) extern "C" fn list<P: Provider + Default>(on: Ref<'_>) -> Answer<RVec<RawFound>> {
        call::<P, _, _>(on, |p, on| p.list(on), |all| all.into_iter().map(Into::into).collect())
    }
    pub(super) extern "C" fn look<P: Provider + Default>(on: Ref<'_>, name: RStr<'_>, of: ROption<RStr<'_>>) -> Answer<ROption<RawFound>> {
        let bad = |error: crate::BadBackingName| Fault::new(FaultKind::Bug, error.to_string());
        let named = |text: RStr<'_>| BackingName::parse(text.as_str()).map_err(bad);
        let of = || of.into_option().map(named).transpose();
        call::<P, _, _>(on, |p, on| p.look(on, &named(name)?, of()?.as_ref()), |found| found.map(Into::into).into())
    }
    pub(super) extern "C" fn create<P: Provider + Default>(on: Ref<'_>, new: RawNew, size: u64) -> Answer<()> {
        call::<P, _, _>(on, |p, on| p.create(on, &new.try_into()?, Kib(size)), |()| ())
    }
    pub(super) extern "C" fn grow<P: Provider + Default>(on: Ref<'_>, volume: RawKnown, size: u64) -> Answer<()> {
        call::<P, _, _>(on, |p, on| p.grow(on, &volume.try_into()?, Kib(size)), |()| ())
    }
    pub(super) extern "C" fn delete<P: Provider + Default>(on: Ref<'_>, volume: RawKnown) -> Answer<()> {
        call::<P, _, _>(on, |p, on| p.delete(on, &volume.try_into()?), |()| ())
    }
    pub(super) extern "C" fn snapshot<P: Provider + Default>(on: Ref<'_>, volume: RawKnown, new: RawNew) -> Answer<()> {
        call::<P, _, _>(on, |p, on| p.snapshot(on, &volume.try_into()?, &new.try_into()?), |()| ())
    }
    pub(super) extern "C" fn delete_snapshot<P: Provider + Default>(on: Ref<'_>, snapshot: RawKnown) -> Answer<()> {
        call::<P, _, _>(on, |p, on| p.delete_snapshot(on, &snapshot.try_into()?), |()| ())
    }
    pub(super) extern "C" fn rollback<P: Provider + Default>(on: Ref<'_>, new: RawNew, snapshot: RawKnown) -> Answer<()> {
        call::<P, _, _>(on, |p, on| p.rollback(on, &new.try_into()?, &snapshot.try_into()?), |()| ())
    }
    pub(super) extern "C" fn restore<P: Provider + Default>(on: Ref<'_>, of: RawKnown, new: RawNew, size: u64) -> Answer<RawFilled> {
        call::<P, _, _>(on, |p, on| p.restore(on, &of.try_into()?, &new.try_into()?, Kib(size)), Into::into)
    }
    pub(super) extern "C" fn clone_volume<P: Provider + Default>(on: Ref<'_>, of: RawKnown, new: RawNew, size: u64) -> Answer<RawFilled> {
        call::<P, _, _>(on, |p, on| p.clone_volume(on, &of.try_into()?, &new.try_into()?, Kib(size)), Into::into)
    }
    pub(super) extern "C" fn send<P: Provider + Default>(on: Ref<'_>, of: RawKnown, since: ROption<RawKnown>) -> Answer<RawStream> {
        let since = || since.into_option().map(Known::try_from).transpose();
        call::<P, _, _>(on, |p, on| p.send(on, &of.try_into()?, since()?.as_ref()), Into::into)
    }
    pub(super) extern "C" fn receive<P: Provider + Default>(
        on: Ref<'_>,
        new: RawNew,
        size: u64,
        since: ROption<RawKnown>,
    ) -> Answer<RawStream> {
        let since = || since.into_option().map(Known::try_from).transpose();
        call::<P, _, _>(on, |p, on| p.receive(on, &new.try_into()?, Kib(size), since()?.as_ref()), Into::into)
    }
    pub(super) extern "C" fn finish_copy<P: Provider + Default>(on: Ref<'_>, new: RawNew) -> Answer<()> {
        call::<P, _, _>(on, |p, on| p.finish_copy(on, &new.try_into()?), |()| ())
    }
    pub(super) extern "C" fn adopt<P: Provider + Default>(on: Ref<'_>, new: RawNew, size: u64) -> Answer<()> {
        call::<P, _, _>(on, |p, on| p.adopt(on, &new.try_into()?, Kib(size)), |()| ())
    }
    pub(super) extern "C" fn attach<P: Provider + Default>(on: Ref<'_>, volume: RawKnown) -> Answer<RawDevice> {
        call::<P, _, _>(on, |p, on| p.attach(on, &volume.try_into()?), Into::into)
    }
    pub(super) extern "C" fn detach<P: Provider + Default>(on: Ref<'_>, volume: RawKnown) -> Answer<()> {
        call::<P, _, _>(on, |p, on| p.detach(on, &volume.try_into()?), |()| ())
    }
}

fn module<P: Provider + Default>() -> ProviderModuleRef {
    ProviderModule {
        describe: exports::describe::<P>,
        probe: exports::probe::<P>,
        clean: exports::clean::<P>,
        space: exports::space::<P>,
        list: exports::list::<P>,
        look: exports::look::<P>,
        create: exports::create::<P>,
        grow: exports::grow::<P>,
        delete: exports::delete::<P>,
        snapshot: exports::snapshot::<P>,
        delete_snapshot: exports::delete_snapshot::<P>,
        rollback: exports::rollback::<P>,
        restore: exports::restore::<P>,
        clone_volume: exports::clone_volume::<P>,
        send: exports::send::<P>,
        receive: exports::receive::<P>,
        finish_copy: exports::finish_copy::<P>,
        adopt: exports::adopt::<P>,
        attach: exports::attach::<P>,
        detach: exports::detach::<P>,
    }
    .leak_into_prefix()
}

/// The root module of provider `P`, for the static that `export_provider!` makes.
#[doc(hidden)]
pub fn erased<P: Provider + Default>() -> RootModuleResult {
    abi_stable::library::__call_root_module_loader(module::<P>)
}

/// The provider of a library, on the host's side.
#[derive(Clone, Copy)]
pub struct Library {
    module: ProviderModuleRef,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Library")
    }
}

impl Library {
    /// The provider of a root module, and what it says of itself.
    ///
    /// # Errors
    /// `Bug`: it panicked when it was asked.
    pub fn new(module: ProviderModuleRef) -> Result<(Self, Manifest), Fault> {
        let manifest = module.describe()().into_result()?;
        Ok((Self { module }, manifest.into()))
    }

    fn with<T, R>(on: &dyn Machine, work: impl FnOnce(Ref<'_>) -> Answer<T>, own: impl FnOnce(T) -> R) -> Result<R, Fault> {
        let lent = Lent(on);
        let machine = RawMachine_TO::from_ptr(RRef::new(&lent), TD_Opaque);
        Ok(own(work(machine).into_result()?))
    }
}

impl Provider for Library {
    fn manifest(&self) -> Manifest {
        match Self::new(self.module) {
            Ok((_, manifest)) => manifest,
            // It was asked before it was loaded, and answered: one that answers otherwise now is given nothing.
            Err(_) => Manifest::new("silent", "", &["NONE"]),
        }
    }
    fn probe(&self, on: &dyn Machine) -> Result<PoolAbilities, Fault> {
        Self::with(on, |on| self.module.probe()(on), Into::into)
    }
    fn clean(&self, on: &dyn Machine, cluster: Uuid) -> Result<Vec<String>, Fault> {
        Self::with(on, |on| self.module.clean()(on, cluster.raw()), Raw::own)
    }
    fn space(&self, on: &dyn Machine) -> Result<Space, Fault> {
        Self::with(on, |on| self.module.space()(on), Into::into)
    }
    fn list(&self, on: &dyn Machine) -> Result<Vec<Found>, Fault> {
        let all = Self::with(on, |on| self.module.list()(on), |all| all)?;
        all.into_iter().map(TryInto::try_into).collect()
    }
    fn look(&self, on: &dyn Machine, name: &BackingName, of: Option<&BackingName>) -> Result<Option<Found>, Fault> {
        let of = of.map(|name| RStr::from(name.as_str()));
        let found = Self::with(on, |on| self.module.look()(on, name.as_str().into(), of.into()), |found| found)?;
        found.into_option().map(TryInto::try_into).transpose()
    }
    fn create(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        Self::with(on, |on| self.module.create()(on, new.into(), size.0), |()| ())
    }
    fn grow(&self, on: &dyn Machine, volume: &Known, size: Kib) -> Result<(), Fault> {
        Self::with(on, |on| self.module.grow()(on, volume.into(), size.0), |()| ())
    }
    fn delete(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        Self::with(on, |on| self.module.delete()(on, volume.into()), |()| ())
    }
    fn snapshot(&self, on: &dyn Machine, volume: &Known, new: &New) -> Result<(), Fault> {
        Self::with(on, |on| self.module.snapshot()(on, volume.into(), new.into()), |()| ())
    }
    fn delete_snapshot(&self, on: &dyn Machine, snapshot: &Known) -> Result<(), Fault> {
        Self::with(on, |on| self.module.delete_snapshot()(on, snapshot.into()), |()| ())
    }
    fn rollback(&self, on: &dyn Machine, new: &New, snapshot: &Known) -> Result<(), Fault> {
        Self::with(on, |on| self.module.rollback()(on, new.into(), snapshot.into()), |()| ())
    }
    fn restore(&self, on: &dyn Machine, snapshot: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        Self::with(on, |on| self.module.restore()(on, snapshot.into(), new.into(), size.0), Into::into)
    }
    fn clone_volume(&self, on: &dyn Machine, volume: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        Self::with(on, |on| self.module.clone_volume()(on, volume.into(), new.into(), size.0), Into::into)
    }
    fn send(&self, on: &dyn Machine, snapshot: &Known, since: Option<&Known>) -> Result<Stream, Fault> {
        Self::with(on, |on| self.module.send()(on, snapshot.into(), since.map(Into::into).into()), Into::into)
    }
    fn receive(&self, on: &dyn Machine, new: &New, size: Kib, since: Option<&Known>) -> Result<Stream, Fault> {
        Self::with(on, |on| self.module.receive()(on, new.into(), size.0, since.map(Into::into).into()), Into::into)
    }
    fn finish_copy(&self, on: &dyn Machine, new: &New) -> Result<(), Fault> {
        Self::with(on, |on| self.module.finish_copy()(on, new.into()), |()| ())
    }
    fn adopt(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        Self::with(on, |on| self.module.adopt()(on, new.into(), size.0), |()| ())
    }
    fn attach(&self, on: &dyn Machine, volume: &Known) -> Result<Device, Fault> {
        Self::with(on, |on| self.module.attach()(on, volume.into()), Into::into)
    }
    fn detach(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        Self::with(on, |on| self.module.detach()(on, volume.into()), |()| ())
    }
}
