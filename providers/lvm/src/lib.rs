//! The provider of `LVM` and `LVM_THIN`: each volume is a logical volume, and its mark is a tag of it.
//!
//! The pool's place is `VG` or `VG/THINPOOL`. Everything is one command at a time; `lvcreate` makes a volume and its tag in one commit of
//! LVM's metadata, so what has a name has its mark.
//!
//! A rollback of a thin volume takes three steps that LVM cannot do in one: a new volume is made from the snapshot under a temporary
//! name, the old one gets another temporary name, the new one its name. Until the last step the old one is the volume, whatever its
//! name, and the next call gives it back.

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod call;
mod name;
mod rows;

use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{
    BackingName, Device, Fault, FaultKind, Filled, Found, Kib, Known, Machine, Manifest, Marked, New, PoolAbilities, Provider, Space,
};

use crate::call::{COLUMNS, Call, GROUP_COLUMNS};
use crate::name::{BEGUN, OLD};

/// Property of LINSTOR: options for `lvcreate`.
const OPTIONS: &str = "StorDriver/LvcreateOptions";

/// The provider.
#[derive(Debug, Default, Clone, Copy)]
pub struct LvmProvider;

fn no_snapshots(on: &dyn Machine) -> Fault {
    Fault::new(FaultKind::Unsupported, format!("Storage pool '{}' takes no snapshots", on.pool().name))
        .cause("A snapshot of a thick logical volume has a size of its own, and is lost when it is full")
        .correction("Use a storage pool of kind LVM_THIN")
}

impl Provider for LvmProvider {
    fn manifest(&self) -> Manifest {
        let report = "--reportformat json --units b --nosuffix -o";
        let mut commands = vec![
            format!("lvs {report} {COLUMNS} {{group}}"),
            format!("lvs {report} {COLUMNS} -S lv_name={{name}} {{group}}"),
            format!("vgs {report} {GROUP_COLUMNS} {{group}}"),
        ];
        // Volumes have names that LVM makes of backing objects, which are such names themselves; tags are marks.
        let changes = [
            "lvcreate {words:StorDriver/LvcreateOptions} --yes --wipesignatures y --zero y --addtag berth1:{text} --size {number}k --name {name} {group}",
            "lvcreate {words:StorDriver/LvcreateOptions} --yes --addtag berth1:{text} --virtualsize {number}k --thinpool {name} --name {name} {group}",
            "lvcreate --yes --setactivationskip y --permission r --addtag berth1:{text} --snapshot --name {name} {group}/{name}",
            "lvcreate --yes --setactivationskip n --permission rw --addtag berth1:{text} --snapshot --name {name} {group}/{name}",
            "lvchange --yes --activate y --ignoreactivationskip {group}/{name}",
            "lvchange --yes --activate n {group}/{name}",
            "lvchange --yes --addtag berth1:{text} {group}/{name}",
            "lvextend --yes --size {number}k {group}/{name}",
            "lvrename {group} {name} {name}",
            "lvremove --yes --force {group}/{name}",
        ];
        commands.extend(changes.map(str::to_owned));
        Manifest {
            commands,
            devices: vec!["/dev/{group}/".to_owned()],
            ..Manifest::new("lvm", env!("CARGO_PKG_VERSION"), &["LVM", "LVM_THIN"])
        }
    }

    fn probe(&self, on: &dyn Machine) -> Result<PoolAbilities, Fault> {
        let call = Call::new(on);
        let group = call.group_row()?;
        if !name::has_room(call.group) {
            return Err(Fault::new(FaultKind::Pool, format!("The volume group of storage pool '{}' has too long a name", on.pool().name))
                .cause(format!("'{}' leaves too little room in the names of devices", call.group))
                .correction("Give the group a shorter name ('vgrename')"));
        }
        if call.thin.is_some() {
            call.thin_pool()?;
        }
        // A thin pool gives out chunks of zeroes; a thick volume lies where others lay, and only its begin is zeroed.
        let zeroes = call.thin.is_some();
        Ok(PoolAbilities { extent: group.extent, no_snapshots: call.thin.is_none().then(|| no_snapshots(on)), zeroes })
    }

    fn clean(&self, on: &dyn Machine, cluster: Uuid) -> Result<Vec<String>, Fault> {
        let call = Call::new(on);
        let mut done = Vec::new();
        let all = call.all()?;
        // First what has lost its place to a rollback that did not end: it gets its name back, unless the new one has it.
        for old in all.iter().filter(|lv| lv.name.ends_with(OLD) && call.is_of(lv, cluster)) {
            let Some(plain) = old.name.strip_suffix(OLD) else { continue };
            if all.iter().any(|lv| lv.name == plain) {
                call.remove(&old.name)?;
            } else {
                call.rename(&old.name, plain)?;
            }
            done.push(old.name.clone());
        }
        for begun in all.iter().filter(|lv| lv.name.ends_with(BEGUN) && call.is_of(lv, cluster)) {
            call.remove(&begun.name)?;
            done.push(begun.name.clone());
        }
        Ok(done)
    }

    fn space(&self, on: &dyn Machine) -> Result<Space, Fault> {
        let call = Call::new(on);
        match &call.thin {
            None => {
                let group = call.group_row()?;
                Ok(Space { total: group.size, free: group.free })
            }
            Some(_) => {
                let pool = call.thin_pool()?;
                let used = pool.used();
                Ok(Space { total: pool.size, free: Kib(pool.size.0.saturating_sub(used.0)) })
            }
        }
    }

    fn list(&self, on: &dyn Machine) -> Result<Vec<Found>, Fault> {
        let call = Call::new(on);
        let all = call.all()?;
        let stands = |lv: &&call::Lv| lv.name.strip_suffix(OLD).is_none_or(|plain| !all.iter().any(|other| other.name == plain));
        Ok(all.iter().filter(stands).filter_map(|lv| call.found(lv)).collect())
    }

    fn look(&self, on: &dyn Machine, name: &BackingName, _of: Option<&BackingName>) -> Result<Option<Found>, Fault> {
        let call = Call::new(on);
        Ok(call.volume(&name::lv(name))?.and_then(|lv| call.found(&lv)))
    }

    fn create(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        let call = Call::new(on);
        if call.find(&new.known())?.is_none() {
            call.make(&name::lv_in(&new.name, call.group)?, new, size)?;
        }
        call.at_least(&new.known(), size)
    }

    fn grow(&self, on: &dyn Machine, volume: &Known, size: Kib) -> Result<(), Fault> {
        Call::new(on).at_least(volume, size)
    }

    fn delete(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        let call = Call::new(on);
        match call.find(volume)? {
            Some(lv) => call.remove(&lv.name),
            None => Ok(()),
        }
    }

    fn snapshot(&self, on: &dyn Machine, volume: &Known, new: &New) -> Result<(), Fault> {
        let call = Call::new(on);
        if call.thin.is_none() {
            return Err(no_snapshots(on));
        }
        if call.find(&new.known())?.is_some() {
            return Ok(());
        }
        let source = call.need(volume)?;
        call.copy(&source, &name::lv_in(&new.name, call.group)?, new, true)
    }

    fn delete_snapshot(&self, on: &dyn Machine, snapshot: &Known) -> Result<(), Fault> {
        self.delete(on, snapshot)
    }

    fn rollback(&self, on: &dyn Machine, new: &New, snapshot: &Known) -> Result<(), Fault> {
        let call = Call::new(on);
        if call.thin.is_none() {
            return Err(no_snapshots(on));
        }
        let plain = name::lv(&new.name);
        let (begun, old) = (format!("{plain}{BEGUN}"), format!("{plain}{OLD}"));
        let present = call.need(&new.known())?;
        if matches!(call.marked(&present), Marked::By(mark) if mark.content == new.mark.content) {
            return call.drop_leftover(&old, new);
        }
        let source = call.need(snapshot)?;
        call.drop_leftover(&begun, new)?;
        call.drop_leftover(&old, new)?;
        call.copy(&source, &begun, new, false)?;
        call.deactivate(&present)?;
        call.rename(&plain, &old)?;
        call.rename(&begun, &plain)?;
        call.remove(&old)
    }

    fn restore(&self, on: &dyn Machine, snapshot: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        let call = Call::new(on);
        if call.thin.is_none() {
            return Err(no_snapshots(on));
        }
        if call.find(&new.known())?.is_none() {
            let source = call.need(snapshot)?;
            call.copy(&source, &name::lv_in(&new.name, call.group)?, new, false)?;
        }
        call.at_least(&new.known(), size)?;
        Ok(Filled::Done)
    }

    fn clone_volume(&self, on: &dyn Machine, volume: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        let call = Call::new(on);
        if call.find(&new.known())?.is_some() {
            call.at_least(&new.known(), size)?;
            return Ok(Filled::Done);
        }
        let source = call.need(volume)?;
        let plain = name::lv_in(&new.name, call.group)?;
        if call.thin.is_some() {
            call.copy(&source, &plain, new, false)?;
            call.at_least(&new.known(), size)?;
            return Ok(Filled::Done);
        }
        let begun = format!("{plain}{BEGUN}");
        call.drop_leftover(&begun, new)?;
        call.make(&begun, new, size.max(source.size))?;
        call.activate(&begun)?;
        call.activate(&source.name)?;
        Ok(call.copy_order(&source.name, &begun))
    }

    fn finish_copy(&self, on: &dyn Machine, new: &New) -> Result<(), Fault> {
        let call = Call::new(on);
        if call.find(&new.known())?.is_some() {
            return Ok(());
        }
        let plain = name::lv(&new.name);
        let begun = format!("{plain}{BEGUN}");
        match call.one(&begun)? {
            Some(lv) if call.marked(&lv) == Marked::By(new.mark.clone()) => {
                call.deactivate(&lv)?;
                call.rename(&begun, &plain)
            }
            Some(lv) => Err(call.foreign(&lv, "it is not the copy that was begun")),
            None => Err(call.lost(&begun)),
        }
    }

    fn adopt(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        let call = Call::new(on);
        let plain = name::lv(&new.name);
        let lv = call.one(&plain)?.ok_or_else(|| call.lost(&plain))?;
        match call.marked(&lv) {
            Marked::By(mark) if mark == new.mark => return Ok(()),
            Marked::Unmarked => {}
            Marked::By(_) | Marked::Foreign(_) => return Err(call.foreign(&lv, "it carries the mark of something else")),
        }
        if lv.size < size {
            return Err(call.foreign(&lv, &format!("it has {}, and {size} are needed", lv.size)));
        }
        if lv.open {
            return Err(call.in_use(&lv));
        }
        call.tag(&lv, new)
    }

    fn attach(&self, on: &dyn Machine, volume: &Known) -> Result<Device, Fault> {
        let call = Call::new(on);
        let lv = call.need(volume)?;
        if !lv.active {
            call.activate(&lv.name)?;
        }
        Ok(call.device(&lv))
    }

    fn detach(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        let call = Call::new(on);
        match call.find(volume)? {
            Some(lv) => call.deactivate(&lv),
            None => Ok(()),
        }
    }
}

berth_plugin_sdk::export_provider!(LvmProvider);

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
