//! What the last looks at items say, found without going through all of them: who was not looked at yet, and whose device is whose.

use std::collections::{BTreeMap, BTreeSet};

use berth_model::observed::ItemSeen;
use uuid::Uuid;

/// Indices over what was last seen of each item.
#[derive(Debug, Default)]
pub(super) struct Looks {
    unseen: BTreeSet<Uuid>,
    by_device: BTreeMap<String, BTreeSet<Uuid>>,
}

fn devices(seen: Option<&ItemSeen>) -> impl Iterator<Item = &String> {
    seen.into_iter().flat_map(|seen| &seen.volumes).filter_map(|volume| volume.device_path.as_ref())
}

impl Looks {
    /// An item is known, or known otherwise: what was seen of it before, and what is seen of it now.
    pub fn turned(&mut self, id: Uuid, before: Option<&ItemSeen>, now: Option<&ItemSeen>) {
        self.left(id, before);
        for device in devices(now) {
            self.by_device.entry(device.clone()).or_default().insert(id);
        }
        if now.is_none() {
            self.unseen.insert(id);
        }
    }

    /// An item is no more.
    pub fn left(&mut self, id: Uuid, before: Option<&ItemSeen>) {
        self.unseen.remove(&id);
        for device in devices(before) {
            if let Some(items) = self.by_device.get_mut(device) {
                items.remove(&id);
                if items.is_empty() {
                    self.by_device.remove(device);
                }
            }
        }
    }

    /// Whether every item was looked at.
    pub fn complete(&self) -> bool {
        self.unseen.is_empty()
    }

    /// The items that were last seen with this device.
    pub fn with_device(&self, device: &str) -> impl Iterator<Item = Uuid> + '_ {
        self.by_device.get(device).into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use berth_model::names::VolumeNumber;
    use berth_model::observed::{Standing, VolumeSeen};
    use berth_model::size::Kib;

    use super::*;

    fn seen(id: Uuid, devices: &[&str]) -> ItemSeen {
        let volume = |(at, device): (usize, &&str)| VolumeSeen {
            number: VolumeNumber::new(at as i64).unwrap(),
            device_path: Some((*device).to_owned()),
            backing_kib: Kib(4),
            allocated_kib: Kib(0),
            in_use: false,
            content: None,
            up_to_date: None,
        };
        let volumes = devices.iter().enumerate().map(volume).collect();
        ItemSeen { id, generation: 1, standing: Standing::Settled, volumes, fault: None }
    }

    #[test]
    fn an_item_is_found_by_the_devices_that_it_has_now() {
        let (mut looks, a, b) = (Looks::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        looks.turned(a, None, None);
        looks.turned(b, None, None);
        assert!(!looks.complete());
        let (first, second) = (seen(a, &["/dev/loop1", "/dev/loop2"]), seen(a, &["/dev/loop2"]));
        looks.turned(a, None, Some(&first));
        looks.turned(b, None, Some(&seen(b, &["/dev/loop2"])));
        assert!(looks.complete());
        let with = |looks: &Looks, device: &str| looks.with_device(device).collect::<Vec<_>>();
        assert_eq!((with(&looks, "/dev/loop1"), with(&looks, "/dev/loop2")), (vec![a], vec![a, b]));
        looks.turned(a, Some(&first), Some(&second));
        assert_eq!((with(&looks, "/dev/loop1"), with(&looks, "/dev/loop2")), (vec![], vec![a, b]));
        looks.turned(a, Some(&second), None);
        assert!(!looks.complete());
        looks.left(a, None);
        assert!(looks.complete());
        assert_eq!(with(&looks, "/dev/loop2"), [b]);
        looks.left(b, Some(&seen(b, &["/dev/loop2"])));
        assert!(looks.by_device.is_empty());
    }
}
