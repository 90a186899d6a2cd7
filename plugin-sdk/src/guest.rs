//! A provider as a WebAssembly component: the exports of `wit/provider`, and the machine over its imports.

use std::cell::OnceCell;

use crate::{Device, Fault, FileError, FileSeen, Files, Fill, Kib, Known, Machine, New, Output, Over, Pool, Provider, Space};

wit_bindgen::generate!({
    path: "wit/provider",
    world: "provider",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "berth_plugin_sdk::guest",
    additional_derives: [],
});

use berth::provider::{files, machine};
use exports::berth::provider::calls;

mod convert {
    crate::wit_conversions!(types = super::berth::provider::types, files = super::berth::provider::files, sdk = crate);
}

/// The machine over the imports of the world; made anew for each call.
#[derive(Default)]
struct Host {
    pool: OnceCell<Pool>,
}

impl Machine for Host {
    fn pool(&self) -> &Pool {
        self.pool.get_or_init(|| machine::get_pool().into())
    }

    fn run(&self, argv: &[&str]) -> Result<Output, Fault> {
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        machine::run(&argv).map(Into::into).map_err(Into::into)
    }

    fn files(&self) -> Result<&dyn Files, Fault> {
        files::open()?;
        Ok(&HostFiles)
    }

    fn log(&self, line: &str) {
        machine::log(line);
    }
}

struct HostFiles;

impl Files for HostFiles {
    fn list(&self) -> Result<Vec<FileSeen>, FileError> {
        Ok(files::list_all()?.into_iter().map(Into::into).collect())
    }
    fn look(&self, name: &str) -> Result<Option<FileSeen>, FileError> {
        Ok(files::look(name)?.map(Into::into))
    }
    fn create(&self, name: &str, size: Kib, fill: Fill, mark: &str) -> Result<(), FileError> {
        Ok(files::create(name, size.0, fill.into(), mark)?)
    }
    fn mark(&self, name: &str, mark: &str) -> Result<(), FileError> {
        Ok(files::mark(name, mark)?)
    }
    fn grow(&self, name: &str, size: Kib, fill: Fill) -> Result<(), FileError> {
        Ok(files::grow(name, size.0, fill.into())?)
    }
    fn reflink(&self, from: &str, to: &str, mark: &str) -> Result<(), FileError> {
        Ok(files::reflink(from, to, mark)?)
    }
    fn rename(&self, from: &str, to: &str, over: Over) -> Result<(), FileError> {
        Ok(files::rename(from, to, over.into())?)
    }
    fn remove(&self, name: &str) -> Result<(), FileError> {
        Ok(files::remove(name)?)
    }
    fn sync(&self, name: &str) -> Result<(), FileError> {
        Ok(files::sync(name)?)
    }
    fn sync_all(&self) -> Result<(), FileError> {
        Ok(files::sync_all()?)
    }
    fn space(&self) -> Result<Space, FileError> {
        Ok(files::get_space()?.into())
    }
    fn device(&self, name: &str) -> Result<Option<Device>, FileError> {
        Ok(files::get_device(name)?.map(Into::into))
    }
    fn attach(&self, name: &str, fill: Fill) -> Result<Device, FileError> {
        Ok(files::attach(name, fill.into())?.into())
    }
    fn detach(&self, name: &str) -> Result<(), FileError> {
        Ok(files::detach(name)?)
    }
    fn resized(&self, name: &str) -> Result<(), FileError> {
        Ok(files::resized(name)?)
    }
}

/// The exports of a provider.
pub struct Exported<P>(std::marker::PhantomData<P>);

type Answer<T> = Result<T, calls::Fault>;

/// What a panic says goes to the host's log; there is no standard error here.
fn tell_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|info| machine::log(&format!("{}{info}", crate::PANICKED)))));
}

/// One call on a fresh machine.
fn call<P: Provider + Default, T>(work: impl FnOnce(&P, &Host) -> Result<T, Fault>) -> Answer<T> {
    tell_panics();
    work(&P::default(), &Host::default()).map_err(Into::into)
}

fn known(of: calls::Known) -> Result<Known, Fault> {
    of.try_into()
}

fn new(of: calls::NewObject) -> Result<New, Fault> {
    of.try_into()
}

impl<P: Provider + Default> calls::Guest for Exported<P> {
    fn describe() -> calls::Manifest {
        tell_panics();
        P::default().manifest().into()
    }
    fn probe() -> Answer<calls::Abilities> {
        call::<P, _>(|p, on| Ok(p.probe(on)?.into()))
    }
    fn clean(cluster: calls::Id) -> Answer<Vec<String>> {
        call::<P, _>(|p, on| p.clean(on, cluster.into()))
    }
    fn get_space() -> Answer<calls::Space> {
        call::<P, _>(|p, on| Ok(p.space(on)?.into()))
    }
    fn list_all() -> Answer<Vec<calls::Found>> {
        call::<P, _>(|p, on| Ok(p.list(on)?.into_iter().map(Into::into).collect()))
    }
    fn look(name: String, of: Option<String>) -> Answer<Option<calls::Found>> {
        let bad = |error: crate::BadBackingName| Fault::new(crate::FaultKind::Bug, error.to_string());
        let named = |text: &str| crate::BackingName::parse(text).map_err(bad);
        call::<P, _>(|p, on| Ok(p.look(on, &named(&name)?, of.as_deref().map(named).transpose()?.as_ref())?.map(Into::into)))
    }
    fn create(of: calls::NewObject, size: u64) -> Answer<()> {
        call::<P, _>(|p, on| p.create(on, &new(of)?, Kib(size)))
    }
    fn grow(volume: calls::Known, size: u64) -> Answer<()> {
        call::<P, _>(|p, on| p.grow(on, &known(volume)?, Kib(size)))
    }
    fn delete(volume: calls::Known) -> Answer<()> {
        call::<P, _>(|p, on| p.delete(on, &known(volume)?))
    }
    fn snapshot(volume: calls::Known, of: calls::NewObject) -> Answer<()> {
        call::<P, _>(|p, on| p.snapshot(on, &known(volume)?, &new(of)?))
    }
    fn delete_snapshot(snapshot: calls::Known) -> Answer<()> {
        call::<P, _>(|p, on| p.delete_snapshot(on, &known(snapshot)?))
    }
    fn rollback(of: calls::NewObject, snapshot: calls::Known) -> Answer<()> {
        call::<P, _>(|p, on| p.rollback(on, &new(of)?, &known(snapshot)?))
    }
    fn restore(snapshot: calls::Known, of: calls::NewObject, size: u64) -> Answer<calls::Filled> {
        call::<P, _>(|p, on| Ok(p.restore(on, &known(snapshot)?, &new(of)?, Kib(size))?.into()))
    }
    fn clone_volume(volume: calls::Known, of: calls::NewObject, size: u64) -> Answer<calls::Filled> {
        call::<P, _>(|p, on| Ok(p.clone_volume(on, &known(volume)?, &new(of)?, Kib(size))?.into()))
    }
    fn send(snapshot: calls::Known, since: Option<calls::Known>) -> Answer<calls::DataStream> {
        call::<P, _>(|p, on| Ok(p.send(on, &known(snapshot)?, since.map(known).transpose()?.as_ref())?.into()))
    }
    fn receive(of: calls::NewObject, size: u64, since: Option<calls::Known>) -> Answer<calls::DataStream> {
        call::<P, _>(|p, on| Ok(p.receive(on, &new(of)?, Kib(size), since.map(known).transpose()?.as_ref())?.into()))
    }
    fn finish_copy(of: calls::NewObject) -> Answer<()> {
        call::<P, _>(|p, on| p.finish_copy(on, &new(of)?))
    }
    fn adopt(of: calls::NewObject, size: u64) -> Answer<()> {
        call::<P, _>(|p, on| p.adopt(on, &new(of)?, Kib(size)))
    }
    fn attach(volume: calls::Known) -> Answer<calls::Device> {
        call::<P, _>(|p, on| Ok(p.attach(on, &known(volume)?)?.into()))
    }
    fn detach(volume: calls::Known) -> Answer<()> {
        call::<P, _>(|p, on| p.detach(on, &known(volume)?))
    }
}
