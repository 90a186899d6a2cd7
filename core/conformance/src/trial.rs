//! What every check uses: names, marks, the provider's calls with their findings, and tidying up.

use std::cell::Cell;

use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{
    BackingName, Device, Fault, FaultKind, Filled, Found, Kib, Known, Machine, Manifest, Mark, MarkKind, Marked, New, PoolAbilities,
    Provider,
};

use crate::Settings;
use crate::bench::{Bench, Inventory};
use crate::report::Finding;
use crate::watch::Watch;

/// Why a check does not go on.
#[derive(Debug)]
pub(crate) enum Stop {
    Failed(Finding),
    Skipped(String),
}

pub(crate) type Verdict<T = ()> = Result<T, Stop>;

/// A finding; the words are shown to the author of the provider.
pub(crate) fn failed<T>(expected: impl Into<String>, seen: impl Into<String>, advice: impl Into<String>) -> Verdict<T> {
    Err(Stop::Failed(Finding { expected: expected.into(), seen: seen.into(), advice: advice.into() }))
}

/// A finding unless `holds`.
pub(crate) fn hold(holds: bool, expected: impl Into<String>, seen: impl FnOnce() -> String, advice: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { failed(expected, seen(), advice) }
}

pub(crate) fn said(fault: &Fault) -> String {
    let more = |word: &str, text: &str| if text.is_empty() { String::new() } else { format!("; {word}: {text}") };
    format!(
        "{:?}: {}{}{}",
        fault.kind,
        fault.message,
        more("cause", &fault.cause),
        more("details", &fault.details.chars().take(400).collect::<String>())
    )
}

/// One run of the kit.
pub(crate) struct Trial<'a> {
    pub(crate) provider: &'a dyn Provider,
    pub(crate) bench: &'a dyn Bench,
    pub(crate) watch: &'a Watch<'a>,
    pub(crate) settings: &'a Settings,
    pub(crate) manifest: Manifest,
    /// As the first check finds them.
    pub(crate) abilities: PoolAbilities,
    /// The other cluster, whose objects are strangers to the first.
    pub(crate) other: Uuid,
    count: Cell<u64>,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(
        provider: &'a dyn Provider,
        bench: &'a dyn Bench,
        watch: &'a Watch<'a>,
        settings: &'a Settings,
        manifest: Manifest,
    ) -> Self {
        let abilities = PoolAbilities { extent: Kib(1), no_snapshots: None, zeroes: true };
        let other = Uuid::from_u128(settings.cluster.as_u128() ^ 0xffff_0000);
        Self { provider, bench, watch, settings, manifest, abilities, other, count: Cell::new(0) }
    }

    pub(crate) fn on(&self) -> &dyn Machine {
        self.watch
    }

    fn next(&self) -> u64 {
        self.count.set(self.count.get().saturating_add(1));
        self.count.get()
    }

    /// An id that this run has not used.
    pub(crate) fn id(&self) -> Uuid {
        Uuid::from_u128(self.settings.cluster.as_u128() ^ (u128::from(self.next()) << 32))
    }

    /// The usual size: a multiple of the extent.
    pub(crate) fn size(&self) -> Kib {
        self.round(self.settings.size)
    }

    /// Up to a multiple of the extent.
    pub(crate) fn round(&self, size: Kib) -> Kib {
        let extent = self.abilities.extent.0.max(1);
        Kib(size.0.div_ceil(extent).saturating_mul(extent).max(extent))
    }

    /// A new object of exactly this name.
    pub(crate) fn named(&self, text: &str, kind: MarkKind, cluster: Uuid) -> Verdict<New> {
        let name = BackingName::parse(text).map_err(|bad| Stop::Skipped(format!("the kit's settings give a bad name: {bad}")))?;
        let mark = Mark { kind, cluster, generation: self.id(), content: self.id(), name: "conformance".into() };
        Ok(New { name, suffix: String::new(), of: None, mark })
    }

    /// A new volume with a name of its own.
    pub(crate) fn volume(&self, label: &str) -> Verdict<New> {
        self.named(&format!("{}{}_{label}_00000", self.settings.prefix, self.next()), MarkKind::Volume, self.settings.cluster)
    }

    /// A new snapshot of a volume.
    pub(crate) fn snapshot_of(&self, volume: &New, label: &str) -> Verdict<New> {
        let snapshot = self.named(&format!("{}_{label}", volume.name), MarkKind::Snapshot, self.settings.cluster)?;
        Ok(New { of: Some(volume.name.clone()), ..snapshot })
    }

    /// The same volume with other data, as a rollback makes it.
    pub(crate) fn recontent(&self, volume: &New) -> New {
        New { mark: Mark { content: self.id(), ..volume.mark.clone() }, ..volume.clone() }
    }

    /// What a call answered; a fault is a finding.
    pub(crate) fn ok<T>(&self, what: &str, answer: Result<T, Fault>) -> Verdict<T> {
        answer.or_else(|fault| {
            failed(format!("{what} succeeds"), said(&fault), "Find out why this call fails; the kit did nothing forbidden")
        })
    }

    /// What the bench answered; a fault is the bench's, and the check cannot go on.
    pub(crate) fn host<T>(&self, what: &str, answer: Result<T, Fault>) -> Verdict<T> {
        answer.or_else(|fault| failed(format!("the host can {what}"), said(&fault), "See whether what the provider handed back is right"))
    }

    pub(crate) fn inventory(&self) -> Verdict<Inventory> {
        self.host("look into the pool", self.bench.inventory())
    }

    /// That a call was refused with one of these kinds, and says why and what to do.
    pub(crate) fn refused<T>(&self, what: &str, answer: Result<T, Fault>, kinds: &[FaultKind]) -> Verdict {
        let expected = format!("{what} is refused: {kinds:?}");
        let Err(fault) = answer else {
            return failed(expected, "it succeeded", "Look at the mark of the object before doing anything");
        };
        hold(kinds.contains(&fault.kind), expected, || said(&fault), "Answer with the fault kind that the contract names")?;
        let speaks = !fault.message.is_empty() && !fault.cause.is_empty() && fault.correction.starts_with(|c: char| c.is_uppercase());
        hold(
            speaks,
            format!("the refusal of {what} says what, why, and what to do"),
            || format!("message '{}', cause '{}', correction '{}'", fault.message, fault.cause, fault.correction),
            "Fill in message, cause and correction; the correction begins with a verb",
        )
    }

    pub(crate) fn create(&self, new: &New, size: Kib) -> Verdict {
        self.ok(&format!("create of '{}' with {size}", new.name), self.provider.create(self.on(), new, size))
    }

    pub(crate) fn delete(&self, what: &Known) -> Verdict {
        self.ok(&format!("delete of '{}'", what.name), self.provider.delete(self.on(), what))
    }

    pub(crate) fn snapshot(&self, volume: &New, new: &New) -> Verdict {
        let what = format!("snapshot '{}' of '{}'", new.name, volume.name);
        self.ok(&what, self.provider.snapshot(self.on(), &volume.known(), new))
    }

    pub(crate) fn look(&self, name: &BackingName) -> Verdict<Option<Found>> {
        self.ok(&format!("look at '{name}'"), self.provider.look(self.on(), name, None))
    }

    /// The same of a snapshot, of which the host may know the volume, or not: both see the same.
    fn look_at(&self, new: &New) -> Verdict<Option<Found>> {
        let found = self.look(&new.name)?;
        if new.of.is_some() {
            let again =
                self.ok(&format!("look at '{}' of its volume", new.name), self.provider.look(self.on(), &new.name, new.of.as_ref()))?;
            let advice = "The volume's name says where to look first, and nothing else";
            hold(
                again == found,
                format!("with its volume's name, '{}' is seen as without it", new.name),
                || format!("{found:?}, then {again:?}"),
                advice,
            )?;
        }
        Ok(found)
    }

    /// The object, which must be there with its mark.
    pub(crate) fn found(&self, new: &New) -> Verdict<Found> {
        match self.look_at(new)? {
            Some(found) if found.marked == Marked::By(new.mark.clone()) && found.name == new.name => Ok(found),
            Some(found) => failed(
                format!("'{}' is seen with its mark {}", new.name, new.mark.render()),
                format!("'{}', {:?}", found.name, found.marked),
                "Keep the whole mark with the object, and hand it back",
            ),
            None => failed(format!("'{}' is there", new.name), "look sees nothing", "An operation that succeeded must have done it"),
        }
    }

    /// That nothing of this name is there.
    pub(crate) fn gone(&self, name: &BackingName) -> Verdict {
        let found = self.look(name)?;
        hold(found.is_none(), format!("'{name}' is gone"), || format!("{found:?}"), "Remove the object before answering")
    }

    pub(crate) fn attach(&self, what: &New) -> Verdict<Device> {
        self.ok(&format!("attach of '{}'", what.name), self.provider.attach(self.on(), &what.known()))
    }

    pub(crate) fn detach(&self, what: &New) -> Verdict {
        self.ok(&format!("detach of '{}'", what.name), self.provider.detach(self.on(), &what.known()))
    }

    /// Writes to the volume by its device.
    pub(crate) fn write(&self, what: &New, stamp: u64) -> Verdict {
        let device = self.attach(what)?;
        self.host(&format!("write to {}", device.path), self.bench.write(&device, stamp))?;
        self.detach(what)
    }

    /// What is written in the volume.
    pub(crate) fn read(&self, what: &New) -> Verdict<u64> {
        let device = self.attach(what)?;
        let stamp = self.host(&format!("read {}", device.path), self.bench.read(&device))?;
        self.detach(what)?;
        Ok(stamp)
    }

    /// That the volume has this data.
    pub(crate) fn reads(&self, what: &New, stamp: u64, when: &str) -> Verdict {
        let seen = self.read(what)?;
        let advice = "Data may come only from where the operation takes it, and must be whole when it answers";
        hold(seen == stamp, format!("{when}, '{}' has data {stamp}", what.name), || format!("it has data {seen}"), advice)
    }

    /// A volume with data.
    pub(crate) fn stamped(&self, label: &str, stamp: u64) -> Verdict<New> {
        let volume = self.volume(label)?;
        self.create(&volume, self.size())?;
        self.write(&volume, stamp)?;
        Ok(volume)
    }

    /// Carries out what the provider said, as a host does.
    pub(crate) fn carry_out(&self, on: &dyn Machine, new: &New, filled: Filled) -> Result<(), Fault> {
        match filled {
            Filled::Done => return Ok(()),
            Filled::Copy { from, to } => self.bench.copy(&from, &to)?,
            Filled::Pipe { sender, receiver } => self.bench.pipe(&sender, &receiver)?,
        }
        self.provider.finish_copy(on, new)
    }

    pub(crate) fn restore(&self, on: &dyn Machine, snapshot: &New, new: &New, size: Kib) -> Result<(), Fault> {
        let filled = self.provider.restore(on, &snapshot.known(), new, size)?;
        self.carry_out(on, new, filled)
    }

    pub(crate) fn clone(&self, on: &dyn Machine, volume: &New, new: &New, size: Kib) -> Result<(), Fault> {
        let filled = self.provider.clone_volume(on, &volume.known(), new, size)?;
        self.carry_out(on, new, filled)
    }

    /// What is in the pool and was not before.
    pub(crate) fn came(&self, before: &Inventory) -> Verdict<Vec<String>> {
        Ok(self.inventory()?.into_keys().filter(|key| !before.contains_key(key)).collect())
    }

    /// Deletes all that the kit made, through the provider, and looks whether the pool is as it was.
    pub(crate) fn tidy(&self, before: &Inventory) -> Verdict {
        let ours = |found: &Found| match &found.marked {
            Marked::By(mark) => [self.settings.cluster, self.other].contains(&mark.cluster).then(|| mark.clone()),
            Marked::Unmarked | Marked::Foreign(_) => None,
        };
        for cluster in [self.settings.cluster, self.other] {
            self.ok("clean", self.provider.clean(self.on(), cluster))?;
        }
        let all = self.ok("list", self.provider.list(self.on()))?;
        let mine = || all.iter().filter_map(|found| Some((found, ours(found)?)));
        // Snapshots first: what cannot delete a volume that has some still can be tried.
        for (found, mark) in mine().filter(|(_, mark)| mark.kind == MarkKind::Snapshot) {
            let known = Known { name: found.name.clone(), of: None, cluster: mark.cluster, generation: mark.generation };
            self.ok(&format!("delete of snapshot '{}'", found.name), self.provider.delete_snapshot(self.on(), &known))?;
        }
        for (found, mark) in mine().filter(|(_, mark)| mark.kind == MarkKind::Volume) {
            self.delete(&Known { name: found.name.clone(), of: None, cluster: mark.cluster, generation: mark.generation })?;
        }
        self.same(before, "after everything was deleted, and clean has run,")
    }

    /// That the pool is as it was.
    pub(crate) fn same(&self, before: &Inventory, when: &str) -> Verdict {
        let now = self.inventory()?;
        let lines = |from: &Inventory, to: &Inventory| -> Vec<String> {
            from.iter().filter(|(key, seen)| to.get(*key) != Some(*seen)).map(|(key, seen)| format!("{key} ({seen})")).collect()
        };
        let (lost, added) = (lines(before, &now), lines(&now, before));
        let head = |lines: &[String]| match lines.len() {
            0 => "nothing".to_owned(),
            1..=4 => lines.join(", "),
            many => format!("{} and {} more", lines.get(..4).unwrap_or_default().join(", "), many.saturating_sub(4)),
        };
        hold(
            lost.is_empty() && added.is_empty(),
            format!("{when} the pool is as it was"),
            || format!("there now: {}; no longer: {}", head(&added), head(&lost)),
            "An operation takes back or names what it made, ends the devices of what it deletes, and leaves strangers alone",
        )
    }

    /// Puts a volume of a stranger into the pool, with no mark; `None`: the bench cannot. Its key in the inventory comes back, too.
    pub(crate) fn unmarked(&self, name: &str, size: Kib) -> Verdict<Option<(New, String)>> {
        let before = self.inventory()?;
        let new = self.named(name, MarkKind::Volume, self.settings.cluster)?;
        self.create(&new, size)?;
        for key in self.came(&before)? {
            if self.host("take a mark off", self.bench.disown(&key))? {
                return Ok(Some((new, key)));
            }
        }
        Ok(None)
    }
}
