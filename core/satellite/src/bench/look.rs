//! What of an item is there: looked at, never remembered.

use std::collections::BTreeMap;

use berth_model::layers::LayerKind;

use super::*;

impl Bench<'_> {
    pub(super) fn look(&mut self, item: &PlanItem) -> ItemFound {
        match item {
            PlanItem::Resource(plan) => {
                let missing_layers = missing_layers(self.capabilities, &plan.layers);
                ItemFound { missing_layers, volumes: plan.volumes.iter().map(|volume| self.look_volume(plan, volume)).collect() }
            }
            PlanItem::Snapshot(plan) => {
                let volumes = plan.volumes.iter().map(|volume| self.look_copy(volume)).collect();
                ItemFound { missing_layers: BTreeMap::new(), volumes }
            }
        }
    }

    /// Devices of the volumes of a replica that are served.
    #[must_use]
    pub fn devices(&mut self, plan: &ResourcePlan) -> Vec<(VolumeNumber, String)> {
        let look = |volume| self.look_volume(plan, volume);
        let found: Vec<VolumeFound> = plan.volumes.iter().map(look).collect();
        found.into_iter().filter_map(|volume| Some((volume.number, volume.device?.path))).collect()
    }

    fn look_volume(&mut self, plan: &ResourcePlan, volume: &VolumePlan) -> VolumeFound {
        let number = volume.number;
        let nothing =
            VolumeFound { number, pool_fault: None, backing: Backing::Missing, source: Backing::Missing, device: None, link: None };
        let opened = plan.layers.contains(&LayerKind::Drbd) && self.site.opened(&plan.resource, number);
        if plan.diskless {
            // All that there is of it is the device that DRBD offers.
            let path = || format!("/dev/drbd/by-res/{}/{number}", plan.resource);
            return VolumeFound { device: opened.then(|| DeviceFound { path: path(), size: Kib(0), in_use: true }), ..nothing };
        }
        let mut look = || -> Result<VolumeFound, sdk::Fault> {
            let (backing, device) = self.find(&volume.pool, &volume.backing, None, volume.id.uuid())?;
            let source = match &volume.content.source {
                ContentSource::Fresh | ContentSource::Peers | ContentSource::Kept => Backing::Missing,
                // Only looked at when it is needed: what is in place needs no source.
                ContentSource::Snapshot { .. } | ContentSource::Volume { .. } if holds(&backing, volume.content.id.uuid()) => {
                    Backing::Missing
                }
                ContentSource::Snapshot { id, backing: copy } => {
                    // A volume that is there is rolled back, to a snapshot of its own; of which one another was restored from nobody says.
                    let of = matches!(backing, Backing::Ours { .. }).then_some(volume.backing.as_str());
                    self.find(&volume.pool, copy, of, id.uuid())?.0
                }
                ContentSource::Volume { id, backing } => self.find(&volume.pool, backing, None, id.uuid())?.0,
            };
            let link = self.site.link(&plan.resource, number);
            let device = if self.site.attaches() { device } else { self.plain(volume, link.as_deref(), &backing)? };
            let device = device.map(|device| DeviceFound { in_use: device.in_use || opened, ..device });
            let wanted = wanted(plan, volume) != Wanted::Absent;
            // What is there no more has no device either: whatever the path points at then is not what is meant.
            let ours = matches!(backing, Backing::Ours { .. });
            // The path belongs to whoever has the name now: what goes takes it away only while it points at its own device, or while
            // nobody else has the name, wherever it points.
            let own = |link: &String| device.as_ref().is_some_and(|device| device.path == *link);
            let link = link.filter(|link| if wanted { ours } else { own(link) || !self.is_taken(&plan.resource, number) });
            Ok(VolumeFound { backing, source, device, link, ..nothing.clone() })
        };
        match look() {
            Ok(found) => found,
            Err(fault) => VolumeFound { pool_fault: Some(wire_fault(fault)), ..nothing },
        }
    }

    fn is_taken(&self, resource: &ResourceName, number: VolumeNumber) -> bool {
        self.taken.contains(&(resource.to_string(), number))
    }

    /// A file that serves as it is counts as attached while its stable path points at it.
    fn plain(&mut self, volume: &VolumePlan, link: Option<&str>, backing: &Backing) -> Result<Option<DeviceFound>, sdk::Fault> {
        let (Some(link), Backing::Ours { size, .. }) = (link, backing) else { return Ok(None) };
        let known = self.known(&volume.backing, None, volume.id.uuid())?;
        let (provider, machine) = self.pool(&volume.pool)?;
        let path = provider.attach(machine, &known)?.path;
        Ok((path == link).then_some(DeviceFound { path, size: *size, in_use: false }))
    }

    fn look_copy(&mut self, volume: &SnapshotVolumePlan) -> VolumeFound {
        let nothing = VolumeFound {
            number: volume.number,
            pool_fault: None,
            backing: Backing::Missing,
            source: Backing::Missing,
            device: None,
            link: None,
        };
        let mut look = || -> Result<VolumeFound, sdk::Fault> {
            let (backing, device) = self.find(&volume.pool, &volume.backing, Some(&volume.source_backing), volume.id.uuid())?;
            let source = match backing {
                Backing::Missing => self.find(&volume.pool, &volume.source_backing, None, volume.source.uuid())?.0,
                Backing::Ours { .. } | Backing::Unmarked { .. } | Backing::Foreign(_) => Backing::Missing,
            };
            Ok(VolumeFound { backing, source, device, ..nothing.clone() })
        };
        match look() {
            Ok(found) => found,
            Err(fault) => VolumeFound { pool_fault: Some(wire_fault(fault)), ..nothing },
        }
    }

    /// `of`: of a snapshot its volume, where that is known.
    pub(super) fn find(
        &mut self,
        pool: &StorPoolName,
        backing: &str,
        of: Option<&str>,
        id: Uuid,
    ) -> Result<(Backing, Option<DeviceFound>), sdk::Fault> {
        let (site, cluster) = (self.site, self.cluster);
        let (name, of) = (name(backing)?, of.map(name).transpose()?);
        let ended = self.ended.contains(&(pool.clone(), backing.to_owned()));
        let (provider, machine) = self.pool(pool)?;
        let Some(found) = provider.look(machine, &name, of.as_ref())? else { return Ok((Backing::Missing, None)) };
        let mark = match found.marked {
            Marked::Foreign(why) => return Ok((Backing::Foreign(why), None)),
            Marked::Unmarked => return Ok((Backing::Unmarked { size: Kib(found.size.0) }, None)),
            Marked::By(mark) if mark.cluster != cluster => {
                return Ok((Backing::Foreign(format!("it is marked as an object of another cluster, {}", mark.cluster)), None));
            }
            Marked::By(mark) if mark.generation != id => {
                return Ok((Backing::Foreign(format!("it is marked as another object, {} ({})", mark.generation, mark.name)), None));
            }
            Marked::By(mark) => mark,
        };
        let device = found.device.map(|device| {
            let in_use = site.in_use(&device.path);
            DeviceFound { path: device.path, size: Kib(device.size.0), in_use }
        });
        // What was detached and is still there is there as long as its volume, and nobody's to end.
        let device = device.filter(|device| device.in_use || !ended);
        let backing = Backing::Ours { content: mark.content, size: Kib(found.size.0), allocated: Kib(found.allocated.0) };
        Ok((backing, device))
    }

    /// `of`: of a snapshot its volume, where that is known.
    pub(super) fn known(&self, backing: &str, of: Option<&str>, id: Uuid) -> Result<Known, sdk::Fault> {
        Ok(Known { name: name(backing)?, of: of.map(name).transpose()?, cluster: self.cluster, generation: id })
    }
}

fn holds(backing: &Backing, content: Uuid) -> bool {
    match backing {
        Backing::Ours { content: has, .. } => *has == content,
        Backing::Missing | Backing::Unmarked { .. } | Backing::Foreign(_) => false,
    }
}

pub(super) fn seen_volumes(item: &PlanItem, found: &ItemFound, site: &dyn Site) -> Vec<VolumeSeen> {
    let PlanItem::Resource(plan) = item else { return Vec::new() };
    let planned = plan.volumes.iter().map(|volume| (volume.number, volume)).collect::<BTreeMap<_, _>>();
    let replicates = plan.layers.contains(&LayerKind::Drbd);
    if plan.diskless {
        return found.volumes.iter().filter_map(used_without_disk).collect();
    }
    let replicated = |number| if replicates { planned.get(number).copied() } else { None };
    found.volumes.iter().filter_map(|volume| seen_volume(volume, replicated(&volume.number), site)).collect()
}

/// A volume without a disk is only told of while somebody uses the device that DRBD offers for it.
fn used_without_disk(found: &VolumeFound) -> Option<VolumeSeen> {
    let device = found.device.as_ref().filter(|device| device.in_use)?;
    Some(VolumeSeen {
        number: found.number,
        device_path: Some(device.path.clone()),
        backing_kib: Kib(0),
        allocated_kib: Kib(0),
        in_use: true,
        content: None,
        up_to_date: None,
    })
}

/// `replicated`: its plan, if a layer above replicates it.
fn seen_volume(found: &VolumeFound, replicated: Option<&VolumePlan>, site: &dyn Site) -> Option<VolumeSeen> {
    let Backing::Ours { content, size, allocated } = &found.backing else { return None };
    let up_to_date = match replicated {
        Some(plan) if plan.content.id.uuid() == *content => site.up_to_date(plan),
        Some(_) | None => None,
    };
    Some(VolumeSeen {
        number: found.number,
        device_path: found.device.as_ref().map(|device| device.path.clone()),
        backing_kib: *size,
        allocated_kib: *allocated,
        in_use: found.device.as_ref().is_some_and(|device| device.in_use),
        content: Some(*content),
        up_to_date,
    })
}
