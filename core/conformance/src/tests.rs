//! The file provider passes, and each seeded defect is found, by the check that is there for it.

use berth_plugin_sdk::{
    BackingName, Device, Fault, FaultKind, Filled, Found, Known, Machine, Manifest, Mark, New, Over, PoolAbilities, Provider, Space, Stream,
};
use berth_provider_file::FileProvider;

use super::*;

fn few() -> Settings {
    Settings { volumes: 30, ..Settings::default() }
}

fn run(provider: &dyn Provider, kind: &str) -> Report {
    check(provider, &MemoryBench::new(kind), &few(), &mut |_| {})
}

#[test]
fn the_file_provider_passes_with_a_thousand_volumes() {
    for kind in ["FILE", "FILE_THIN"] {
        let mut told = Vec::new();
        let report = check(&FileProvider, &MemoryBench::new(kind), &Settings::default(), &mut |title| told.push(title.to_owned()));
        assert!(report.passed(), "{report}");
        assert_eq!(told.len(), report.checks.len());
        let version = FileProvider.manifest().version;
        let count = report.checks.len() - 1;
        assert_eq!(report.badge(), format!("berth-conformance 0.1 file {version} {kind}: {count}/{count} passed, 1 skipped"));
    }
}

#[test]
fn what_a_pool_cannot_is_skipped_with_the_reason() {
    let bench = MemoryBench::new("FILE_THIN");
    bench.memory().set_reflinks(false);
    let report = check(&FileProvider, &bench, &few(), &mut |_| {});
    assert!(report.passed(), "{report}");
    let text = report.to_string();
    assert!(text.contains("skip  rollback") && text.contains("the pool cannot: A snapshot is not supported"), "{text}");
    assert!(text.contains("ok    clone ") && text.contains("ok    no-snapshots"), "the host's copy is used: {text}");
}

#[test]
fn strangers_in_the_pool_stay_as_they_are() {
    let bench = MemoryBench::new("FILE_THIN");
    let memory = bench.memory();
    memory.put("notes.txt", Kib(3), None);
    memory.put("theirs.img", Kib(64), None);
    memory.put("theirs.img.berth-new", Kib(64), None);
    memory.put("later.img", Kib(64), Some("berth9:something".into()));
    memory.write("theirs.img", 99);
    let before = bench.inventory().unwrap();
    let report = check(&FileProvider, &bench, &few(), &mut |_| {});
    assert!(report.passed(), "{report}");
    assert_eq!(bench.inventory().unwrap(), before);
}

#[test]
fn a_report_as_json_says_what_the_text_says() {
    let report = run(&Broken(Defect::ConstantSpace), "FILE");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((json["kit"].as_str(), json["kind"].as_str()), (Some(KIT), Some("FILE")));
    let space = json["checks"].as_array().unwrap().iter().find(|check| check["id"] == "space").unwrap();
    assert_eq!(space["outcome"], "failed");
    for word in ["expected", "seen", "advice"] {
        assert!(report.to_string().contains(space["detail"][word].as_str().unwrap()), "{word}");
    }
}

/// Ways to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    LeaksDevice,
    DetachDoesNothing,
    ConstantSpace,
    MoreFreeThanTotal,
    CreateNotRepeatable,
    DeleteNotRepeatable,
    RollbackNotRepeatable,
    AttachNotFound,
    GrowNotOfDevice,
    Shrinks,
    IgnoresGeneration,
    CleanTakesAll,
    ListForgets,
    LookReadsAll,
    NameBeforeMark,
    LeavesTemporary,
    RollbackEatsSnapshots,
    SharesData,
    AsksForNothing,
    Mute,
    RoundsDown,
}

/// The file provider with a defect.
struct Broken(Defect);

const P: FileProvider = FileProvider;

impl Broken {
    fn is(&self, defect: Defect) -> bool {
        self.0 == defect
    }
}

fn already() -> Fault {
    Fault::new(FaultKind::Tool, "It is in a state that was not expected").cause("x").correction("Y")
}

fn image(name: &BackingName) -> String {
    format!("{name}.img")
}

impl Provider for Broken {
    fn manifest(&self) -> Manifest {
        Manifest { files: !self.is(Defect::AsksForNothing), ..P.manifest() }
    }
    fn probe(&self, on: &dyn Machine) -> Result<PoolAbilities, Fault> {
        P.probe(on)
    }
    fn clean(&self, on: &dyn Machine, cluster: Uuid) -> Result<Vec<String>, Fault> {
        match self.0 {
            Defect::CleanTakesAll => {
                for seen in on.files()?.list().map_err(|e| e.fault(on.pool()))? {
                    if seen.name.ends_with(".berth-new") {
                        on.files()?.remove(&seen.name).map_err(|e| e.fault(on.pool()))?;
                    }
                }
                P.clean(on, cluster)
            }
            Defect::LeavesTemporary => Ok(Vec::new()),
            _ => P.clean(on, cluster),
        }
    }
    fn space(&self, on: &dyn Machine) -> Result<Space, Fault> {
        match self.0 {
            Defect::ConstantSpace => Ok(Space { total: Kib(1 << 30), free: Kib(1 << 29) }),
            Defect::MoreFreeThanTotal => P.space(on).map(|space| Space { free: Kib(space.total.0 + 1), ..space }),
            _ => P.space(on),
        }
    }
    fn list(&self, on: &dyn Machine) -> Result<Vec<Found>, Fault> {
        let mut all = P.list(on)?;
        if self.is(Defect::ListForgets) {
            all.truncate(20);
        }
        Ok(all)
    }
    fn look(&self, on: &dyn Machine, name: &BackingName, of: Option<&BackingName>) -> Result<Option<Found>, Fault> {
        if self.is(Defect::LookReadsAll) {
            return Ok(P.list(on)?.into_iter().find(|found| found.name == *name));
        }
        P.look(on, name, of)
    }
    fn create(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        match self.0 {
            Defect::CreateNotRepeatable if P.look(on, &new.name, None)?.is_some() => Err(already()),
            Defect::RoundsDown => P.create(on, new, Kib(size.0 / 4 * 4)),
            Defect::NameBeforeMark if P.look(on, &new.name, None)?.is_none() => {
                let nobody = Mark { generation: Uuid::from_u128(1), ..new.mark.clone() };
                let files = on.files()?;
                let fault = |e: berth_plugin_sdk::FileError| e.fault(on.pool());
                P.create(on, &New { mark: nobody, ..new.clone() }, size)?;
                files.reflink(&image(&new.name), "again", &new.mark.render()).map_err(fault)?;
                files.rename("again", &image(&new.name), Over::Existing).map_err(fault)
            }
            _ => P.create(on, new, size),
        }
    }
    fn grow(&self, on: &dyn Machine, volume: &Known, size: Kib) -> Result<(), Fault> {
        match self.0 {
            Defect::GrowNotOfDevice => {
                P.look(on, &volume.name, None)?.ok_or_else(|| Fault::new(FaultKind::Lost, "x").cause("x").correction("X"))?;
                on.files()?.grow(&image(&volume.name), size, berth_plugin_sdk::Fill::Thin).map_err(|e| e.fault(on.pool()))
            }
            Defect::Shrinks => {
                let found = P.look(on, &volume.name, None)?;
                if let Some(found) = found
                    && found.size > size
                    && let berth_plugin_sdk::Marked::By(mark) = found.marked
                {
                    P.delete(on, volume)?;
                    return P.create(on, &New { name: found.name, suffix: String::new(), of: None, mark }, size);
                }
                P.grow(on, volume, size)
            }
            _ => P.grow(on, volume, size),
        }
    }
    fn delete(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        match (self.0, P.look(on, &volume.name, None)) {
            (Defect::DeleteNotRepeatable, Ok(None)) => Err(already()),
            (Defect::LeaksDevice, Ok(Some(found))) if found.device.is_some() => {
                on.files()?.remove(&image(&volume.name)).map_err(|e| e.fault(on.pool()))
            }
            (Defect::IgnoresGeneration, _) => on.files()?.remove(&image(&volume.name)).map_err(|e| e.fault(on.pool())),
            (Defect::Mute, _) => P.delete(on, volume).map_err(|fault| Fault::new(fault.kind, "no")),
            _ => P.delete(on, volume),
        }
    }
    fn snapshot(&self, on: &dyn Machine, volume: &Known, new: &New) -> Result<(), Fault> {
        P.snapshot(on, volume, new)
    }
    fn delete_snapshot(&self, on: &dyn Machine, snapshot: &Known) -> Result<(), Fault> {
        P.delete_snapshot(on, snapshot)
    }
    fn rollback(&self, on: &dyn Machine, new: &New, snapshot: &Known) -> Result<(), Fault> {
        match self.0 {
            Defect::RollbackNotRepeatable => {
                let again = Mark { content: Uuid::from_u128(u128::MAX), ..new.mark.clone() };
                P.rollback(on, &New { mark: again, ..new.clone() }, snapshot)?;
                P.rollback(on, new, snapshot)
            }
            Defect::RollbackEatsSnapshots => {
                P.rollback(on, new, snapshot)?;
                P.delete_snapshot(on, snapshot)
            }
            _ => P.rollback(on, new, snapshot),
        }
    }
    fn restore(&self, on: &dyn Machine, snapshot: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        P.restore(on, snapshot, new, size)
    }
    fn clone_volume(&self, on: &dyn Machine, volume: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        if self.is(Defect::SharesData) && P.look(on, &volume.name, None)?.is_some() {
            // A clone that is only a new volume.
            P.attach(on, volume)?;
            P.detach(on, volume)?;
            P.create(on, new, size)?;
            return Ok(Filled::Done);
        }
        P.clone_volume(on, volume, new, size)
    }
    fn finish_copy(&self, on: &dyn Machine, new: &New) -> Result<(), Fault> {
        P.finish_copy(on, new)
    }
    fn adopt(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        P.adopt(on, new, size)
    }
    fn attach(&self, on: &dyn Machine, volume: &Known) -> Result<Device, Fault> {
        if self.is(Defect::AttachNotFound) && P.look(on, &volume.name, None)?.is_some_and(|found| found.device.is_some()) {
            P.detach(on, volume)?;
        }
        P.attach(on, volume)
    }
    fn detach(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        if self.is(Defect::DetachDoesNothing) && P.look(on, &volume.name, None)?.is_some_and(|found| found.device.is_some()) {
            return Ok(());
        }
        P.detach(on, volume)
    }
}

#[test]
fn each_seeded_defect_is_found_by_its_check() {
    use Defect::*;
    let mut not_found = Vec::new();
    for (defect, id, word) in [
        (LeaksDevice, "delete", "a device whose file is gone"),
        (DetachDoesNothing, "attach", "after a detach the pool is as it was"),
        (ConstantSpace, "space", "free space falls by"),
        (MoreFreeThanTotal, "space", "free space is at most the total"),
        (CreateNotRepeatable, "create", "there already"),
        (DeleteNotRepeatable, "delete", "delete of"),
        (RollbackNotRepeatable, "rollback", "the same rollback repeated"),
        (AttachNotFound, "attach", "a second attach answers the same device"),
        (GrowNotOfDevice, "grow", "the device in use"),
        (Shrinks, "grow", "Grow to the size that is asked for, and never shrink"),
        (IgnoresGeneration, "generation", "delete is refused"),
        (CleanTakesAll, "clean", "where another one was interrupted"),
        (ListForgets, "many", "list has all"),
        (LookReadsAll, "many", "Ask for the one object by its name"),
        (NameBeforeMark, "cut-create", "has its mark"),
        (LeavesTemporary, "cut-create", ".berth-new"),
        (RollbackEatsSnapshots, "rollback", "_s1"),
        (SharesData, "clone", "has data 41"),
        (AsksForNothing, "asks", "requests on files"),
        (Mute, "generation", "says what, why, and what to do"),
        (RoundsDown, "sizes", "Round sizes up"),
    ] {
        let report = run(&Broken(defect), "FILE");
        let text = |finding: &Finding| format!("{} | {} | {}", finding.expected, finding.seen, finding.advice);
        let found = report.failures().find(|(check, finding)| check.id == id && text(finding).contains(word));
        if found.is_none() {
            let all: Vec<_> = report.failures().map(|(check, finding)| format!("{}: {}", check.id, text(finding))).collect();
            not_found.push(format!("{defect:?} by {id} with '{word}'; but {all:#?}"));
        }
    }
    assert!(not_found.is_empty(), "{}", not_found.join("\n"));
}

/// How a provider that sends may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Well,
    /// What it received is told by another word than what it sends.
    OtherFormat,
    /// Its commands are not in the manifest.
    NotAsked,
    /// It sends the volume as it is now.
    Late,
    /// What it begins has no mark, and is found by nobody.
    Unmarked,
    /// It sends whatever has the name.
    AnyGeneration,
    /// What is received stands under its name before it is whole.
    NamedEarly,
}

/// The provider of files, with streams of two commands that the bench below has.
struct Sender(Sending);

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl Provider for Sender {
    fn manifest(&self) -> Manifest {
        let commands = if self.0 == Sending::NotAsked { Vec::new() } else { argv(&["copy-out {name}", "copy-in {name}"]) };
        Manifest { commands, ..P.manifest() }
    }
    fn probe(&self, on: &dyn Machine) -> Result<PoolAbilities, Fault> {
        P.probe(on)
    }
    fn clean(&self, on: &dyn Machine, cluster: Uuid) -> Result<Vec<String>, Fault> {
        P.clean(on, cluster)
    }
    fn space(&self, on: &dyn Machine) -> Result<Space, Fault> {
        P.space(on)
    }
    fn list(&self, on: &dyn Machine) -> Result<Vec<Found>, Fault> {
        P.list(on)
    }
    fn look(&self, on: &dyn Machine, name: &BackingName, of: Option<&BackingName>) -> Result<Option<Found>, Fault> {
        P.look(on, name, of)
    }
    fn create(&self, on: &dyn Machine, new: &New, size: Kib) -> Result<(), Fault> {
        P.create(on, new, size)
    }
    fn grow(&self, on: &dyn Machine, volume: &Known, size: Kib) -> Result<(), Fault> {
        P.grow(on, volume, size)
    }
    fn delete(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        P.delete(on, volume)
    }
    fn snapshot(&self, on: &dyn Machine, volume: &Known, new: &New) -> Result<(), Fault> {
        P.snapshot(on, volume, new)
    }
    fn delete_snapshot(&self, on: &dyn Machine, snapshot: &Known) -> Result<(), Fault> {
        P.delete_snapshot(on, snapshot)
    }
    fn rollback(&self, on: &dyn Machine, new: &New, snapshot: &Known) -> Result<(), Fault> {
        P.rollback(on, new, snapshot)
    }
    fn restore(&self, on: &dyn Machine, snapshot: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        P.restore(on, snapshot, new, size)
    }
    fn clone_volume(&self, on: &dyn Machine, volume: &Known, new: &New, size: Kib) -> Result<Filled, Fault> {
        P.clone_volume(on, volume, new, size)
    }
    fn send(&self, on: &dyn Machine, snapshot: &Known, _since: Option<&Known>) -> Result<Stream, Fault> {
        let lost = || Fault::new(FaultKind::Lost, "It is missing").cause("Nothing has its name").correction("Take another one");
        let found = P.look(on, &snapshot.name, None)?.ok_or_else(lost)?;
        let own = matches!(&found.marked, berth_plugin_sdk::Marked::By(mark) if mark.generation == snapshot.generation);
        if !own && self.0 != Sending::AnyGeneration {
            return Err(Fault::new(FaultKind::Foreign, "It is another one").cause("Its mark says so").correction("Move it away"));
        }
        let name = match &snapshot.of {
            Some(volume) if self.0 == Sending::Late => volume,
            Some(_) | None => &snapshot.name,
        };
        Ok(Stream { format: "raw".into(), argv: argv(&["copy-out", &image(name)]) })
    }
    fn receive(&self, on: &dyn Machine, new: &New, size: Kib, _since: Option<&Known>) -> Result<Stream, Fault> {
        let (files, fault) = (on.files()?, |e: berth_plugin_sdk::FileError| e.fault(on.pool()));
        let early = self.0 == Sending::NamedEarly;
        let begun = if early { image(&new.name) } else { format!("{}.img.berth-new", new.name) };
        let mark = if self.0 == Sending::Unmarked { "nobody".to_owned() } else { new.mark.render() };
        if !early || files.look(&begun).map_err(fault)?.is_none() {
            files.remove(&begun).map_err(fault)?;
            files.create(&begun, size, berth_plugin_sdk::Fill::Thin, &mark).map_err(fault)?;
        }
        let format = if self.0 == Sending::OtherFormat { "cooked" } else { "raw" };
        Ok(Stream { format: format.into(), argv: argv(&["copy-in", &begun]) })
    }
    fn finish_copy(&self, on: &dyn Machine, new: &New) -> Result<(), Fault> {
        P.finish_copy(on, new)
    }
    fn attach(&self, on: &dyn Machine, volume: &Known) -> Result<Device, Fault> {
        P.attach(on, volume)
    }
    fn detach(&self, on: &dyn Machine, volume: &Known) -> Result<(), Fault> {
        P.detach(on, volume)
    }
}

/// A pool in memory that has these two commands.
struct Pipes(MemoryBench);

impl Bench for Pipes {
    fn machine(&self) -> &dyn Machine {
        self.0.machine()
    }
    fn inventory(&self) -> Result<Inventory, Fault> {
        self.0.inventory()
    }
    fn write(&self, device: &Device, stamp: u64) -> Result<(), Fault> {
        self.0.write(device, stamp)
    }
    fn read(&self, device: &Device) -> Result<u64, Fault> {
        self.0.read(device)
    }
    fn copy(&self, from: &berth_plugin_sdk::Data, to: &berth_plugin_sdk::Data) -> Result<(), Fault> {
        self.0.copy(from, to)
    }
    fn pipe(&self, sender: &[String], receiver: &[String]) -> Result<(), Fault> {
        assert_eq!((sender[0].as_str(), receiver[0].as_str()), ("copy-out", "copy-in"));
        self.0.memory().copy(&sender[1], &receiver[1]);
        Ok(())
    }
}

#[test]
fn a_stream_goes_round_and_each_way_to_send_badly_is_found() {
    let streams = |how: Sending| {
        let report =
            check(&Sender(how), &Pipes(MemoryBench::new("FILE_THIN")), &Settings { volumes: 10, ..Settings::default() }, &mut |_| {});
        report.checks.iter().find(|check| check.id == "streams").unwrap().outcome.clone()
    };
    assert_eq!(streams(Sending::Well), Outcome::Passed);
    for (how, word) in [
        (Sending::OtherFormat, "format 'raw', as it is sent"),
        (Sending::NotAsked, "is matched by a pattern"),
        (Sending::Late, "has data 71"),
        (Sending::Unmarked, "before its command ran, and clean"),
        (Sending::AnyGeneration, "send of another generation is refused"),
        (Sending::NamedEarly, "is gone"),
    ] {
        let Outcome::Failed(finding) = streams(how) else { panic!("{how:?} was not found") };
        assert!(format!("{finding:?}").contains(word), "{how:?}: {finding:?}");
    }
}
