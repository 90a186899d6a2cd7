//! The provider of `ZFS` and `ZFS_THIN`: each volume is a zvol of the pool's dataset, and its mark is the user property `berth:mark`.
//!
//! `zfs create`, `zfs snapshot` and `zfs clone` set properties in the same transaction, so what has a name has its mark.
//! A snapshot named `N` of volume `V` is `PLACE/V@N`.
//!
//! ZFS does not let go of what others were made from, and rolls back to the newest snapshot only. So a volume that is deleted while it has
//! snapshots, a snapshot that is deleted while volumes were made from it, and the old state of a volume that is rolled back are renamed
//! out of the way (`_gone-…`) and kept without a mark of a volume; whatever takes the last of its dependents away destroys it.

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod call;
mod name;

use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{
    BackingName, Device, Fault, FaultKind, Filled, Found, Kib, Known, Machine, Manifest, Marked, New, PoolAbilities, Provider, Space,
};

use crate::call::{COLUMNS, Call, GONE, MARK};
use crate::name::BEGUN;

/// Property of LINSTOR: options for `zfs create`.
const OPTIONS: &str = "StorDriver/ZfscreateOptions";

/// The provider.
#[derive(Debug, Default, Clone, Copy)]
pub struct ZfsProvider;

impl Provider for ZfsProvider {
    fn manifest(&self) -> Manifest {
        let mut commands = vec![
            format!("zfs list -H -p -o {COLUMNS} -t volume,snapshot -r {{place}}"),
            format!("zfs list -H -p -o {COLUMNS} -t volume,snapshot -d 1 {{place}}/{{text}}"),
            format!("zfs list -H -p -o {COLUMNS} -t snapshot -r {{place}}"),
        ];
        // What lies below the pool's dataset is the provider's; a name there holds ':' and '@', which no narrower placeholder takes.
        let more = [
            "zfs get -H -p -o value available {place}",
            "zfs get -H -p -o value used {place}",
            "zfs create -n -P -V 1B {place}/probe",
            "zfs create [ -s ] {words:StorDriver/ZfscreateOptions} -o berth:mark=berth1:{text} -V {number}K {place}/{text}",
            "zfs snapshot -o berth:mark=berth1:{text} {place}/{text}",
            "zfs snapshot -o berth:gone={text} {place}/{text}",
            "zfs clone -o berth:mark=berth1:{text} {place}/{text} {place}/{text}",
            "zfs set berth:mark=berth1:{text} {place}/{text}",
            "zfs set berth:gone=replaces {place}/{text}",
            "zfs set berth:gone=- {place}/{text}",
            "zfs set volsize={number}K {place}/{text}",
            "zfs rename {place}/{text} {place}/{text}",
            "zfs destroy {place}/{text}",
        ];
        commands.extend(more.map(str::to_owned));
        Manifest {
            commands,
            devices: vec!["/dev/zvol/{place}/".to_owned()],
            ..Manifest::new("zfs", env!("CARGO_PKG_VERSION"), &["ZFS", "ZFS_THIN"])
        }
    }

    fn probe(&self, on: &dyn Machine) -> Result<PoolAbilities, Fault> {
        let call = Call::new(on);
        if !name::has_room(&on.pool().place) {
            return Err(Fault::new(FaultKind::Pool, format!("The dataset of storage pool '{}' has too long a path", on.pool().name))
                .cause(format!("'{}' leaves too little room for the names of volumes and snapshots below it", on.pool().place))
                .correction("Make a dataset with a shorter path, or rename it ('zfs rename')"));
        }
        Ok(PoolAbilities { extent: call.block()?, no_snapshots: None, zeroes: true })
    }

    fn clean(&self, on: &dyn Machine, cluster: Uuid) -> Result<Vec<String>, Fault> {
        let call = Call::new(on);
        let mut done = Vec::new();
        let all = call.all()?;
        for begun in all.iter().filter(|one| one.path.ends_with(BEGUN) && call.is_of(one, cluster)) {
            let plain = begun.path.strip_suffix(BEGUN).unwrap_or_default().to_owned();
            if all.iter().any(|one| one.path == plain) || !call.replaces(begun) {
                call.discard(begun)?;
            } else {
                // A rollback was cut short after the old volume was renamed away.
                call.finish_rollback(&begun.path, &plain)?;
            }
            done.push(begun.path.clone());
        }
        done.extend(call.sweep(Some(cluster))?);
        Ok(done)
    }

    fn space(&self, on: &dyn Machine) -> Result<Space, Fault> {
        let call = Call::new(on);
        let (free, used) = (call.number("available")?, call.number("used")?);
        Ok(Space { total: Kib(free.0.saturating_add(used.0)), free })
    }

    fn list(&self, on: &dyn Machine) -> Result<Vec<Found>, Fault> {
        let call = Call::new(on);
        let all = call.all()?;
        let stands = |one: &&call::One| {
            one.path.strip_suffix(BEGUN).is_none_or(|plain| call.replaces(one) && !all.iter().any(|other| other.path == plain))
        };
        Ok(all.iter().filter(stands).filter_map(|one| call.found(one)).collect())
    }

    fn look(&self, on: &dyn Machine, name: &BackingName, of: Option<&BackingName>) -> Result<Option<Found>, Fault> {
        let call = Call::new(on);
        Ok(call.one(name, of)?.and_then(|one| call.found(&one)))
    }

    fn create(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        let call = Call::new(on);
        if call.find(&new.known())?.is_none() {
            call.make(&name::volume(&new.name, call.place)?, new, size)?;
        }
        call.at_least(&new.known(), size)
    }

    fn grow(&self, on: &dyn Machine, volume: &Known, size: Kib) -> Result<(), Fault> {
        Call::new(on).at_least(volume, size)
    }

    fn delete(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        let call = Call::new(on);
        if let Some(one) = call.find(volume)? {
            call.discard(&one)?;
        }
        Ok(())
    }

    fn snapshot(&self, on: &dyn Machine, volume: &Known, new: &New) -> Result<(), Fault> {
        let call = Call::new(on);
        if call.find(&new.known())?.is_some() {
            return Ok(());
        }
        let source = call.need(volume)?;
        call.must(&[
            "zfs",
            "snapshot",
            "-o",
            &format!("{MARK}={}", new.mark.render()),
            &format!("{}@{}", source.path, name::snapshot(&new.name, source.last(), call.place)?),
        ])
    }

    fn delete_snapshot(&self, on: &dyn Machine, snapshot: &Known) -> Result<(), Fault> {
        self.delete(on, snapshot)
    }

    fn rollback(&self, on: &dyn Machine, new: &New, snapshot: &Known) -> Result<(), Fault> {
        let call = Call::new(on);
        let plain = call.path(&name::object(&new.name));
        let begun = format!("{plain}{BEGUN}");
        let present = call.need(&new.known())?;
        if !matches!(call.marked(&present), Marked::By(mark) if mark.content == new.mark.content) {
            let source = call.need(snapshot)?;
            call.drop_leftover(&begun, new)?;
            call.copy(&source, &begun, new)?;
            call.set(&begun, &format!("{GONE}=replaces"))?;
            call.rename(&plain, &call.hidden(&present))?;
            call.finish_rollback(&begun, &plain)?;
        }
        call.sweep(Some(new.mark.cluster)).map(|_| ())
    }

    fn restore(&self, on: &dyn Machine, snapshot: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        let call = Call::new(on);
        if call.find(&new.known())?.is_none() {
            let source = call.need(snapshot)?;
            call.copy(&source, &call.path(&name::volume(&new.name, call.place)?), new)?;
        }
        call.at_least(&new.known(), size)?;
        Ok(Filled::Done)
    }

    fn clone_volume(&self, on: &dyn Machine, volume: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        let call = Call::new(on);
        if call.find(&new.known())?.is_none() {
            let source = call.need(volume)?;
            let path = call.path(&name::volume(&new.name, call.place)?);
            // The moment of the clone; nobody is told of it, and it goes with the last that needs it.
            let moment = format!("{}@{}", source.path, call.hidden_name(&new.mark.generation.simple().to_string()));
            if call.at(&moment)?.is_none() {
                call.must(&["zfs", "snapshot", "-o", &format!("{GONE}={}", new.mark.cluster), &moment])?;
            }
            let Some(moment) = call.at(&moment)? else { return Err(call.lost(&moment)) };
            call.copy(&moment, &path, new)?;
        }
        call.at_least(&new.known(), size)?;
        Ok(Filled::Done)
    }

    fn finish_copy(&self, on: &dyn Machine, new: &New) -> Result<(), Fault> {
        let call = Call::new(on);
        // Nothing is ever copied by the host, so there is nothing to finish.
        call.need(&new.known()).map(|_| ())
    }

    fn adopt(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        let call = Call::new(on);
        let object = name::object(&new.name);
        let path = match &new.of {
            Some(volume) => format!("{}@{object}", call.path(&name::object(volume))),
            None => call.path(&object),
        };
        let one = call.at(&path)?.ok_or_else(|| call.lost(&path))?;
        match call.marked(&one) {
            Marked::By(mark) if mark == new.mark => return Ok(()),
            Marked::Unmarked => {}
            Marked::By(_) | Marked::Foreign(_) => return Err(call.foreign(&one, "it carries the mark of something else")),
        }
        if one.size < size {
            return Err(call.foreign(&one, &format!("it has {}, and {size} are needed", one.size)));
        }
        call.set(&path, &format!("{MARK}={}", new.mark.render()))
    }

    fn attach(&self, on: &dyn Machine, volume: &Known) -> Result<Device, Fault> {
        let call = Call::new(on);
        Ok(call.device(&call.need(volume)?))
    }

    fn detach(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        // A zvol always has its device.
        Call::new(on).find(volume).map(|_| ())
    }
}

berth_plugin_sdk::export_provider!(ZfsProvider);

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
