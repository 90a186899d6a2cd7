//! One call: the pool's dataset, and its commands.

use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{BackingName, Device, Fault, FaultKind, Found, Kib, Known, Machine, Mark, MarkKind, Marked, New};

use crate::name;

/// User property that keeps the mark.
pub const MARK: &str = "berth:mark";
/// User property of what nobody shall see: the cluster that it was of, or `replaces` while a rollback is under way.
pub const GONE: &str = "berth:gone";
/// Begin of the names of such objects; `:-` is no code of a name.
const HIDDEN: &str = "gone:-";
pub const COLUMNS: &str = "name,volsize,referenced,type,origin,berth:mark,berth:gone";

/// A zvol or a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct One {
    /// Whole path, with the snapshot.
    pub path: String,
    pub size: Kib,
    used: Kib,
    origin: String,
    mark: String,
    gone: String,
}

impl One {
    fn read(line: &str) -> Option<Self> {
        let mut columns = line.split('\t');
        let mut next = || columns.next();
        let (path, size, used, _kind, origin, mark, gone) = (next()?, next()?, next()?, next()?, next()?, next()?, next()?);
        let kib = |text: &str| Kib(text.parse::<u64>().unwrap_or(0) / 1024);
        let text = |text: &str| if text == "-" { String::new() } else { text.to_owned() };
        Some(Self { path: path.into(), size: kib(size), used: kib(used), origin: text(origin), mark: text(mark), gone: text(gone) })
    }

    fn is_snapshot(&self) -> bool {
        self.path.contains('@')
    }

    pub fn last(&self) -> &str {
        self.path.rsplit(['/', '@']).next().unwrap_or_default()
    }
}

/// One call.
pub struct Call<'a> {
    on: &'a dyn Machine,
    pub place: &'a str,
}

impl<'a> Call<'a> {
    pub fn new(on: &'a dyn Machine) -> Self {
        Self { on, place: &on.pool().place }
    }

    pub fn path(&self, object: &str) -> String {
        format!("{}/{object}", self.place)
    }

    /// Output of a command; `None`: what it names does not exist.
    fn ask(&self, argv: &[&str]) -> Result<Option<String>, Fault> {
        let output = self.on.run(argv)?;
        if output.code == 0 {
            return Ok(Some(output.stdout));
        }
        let text = &output.stderr;
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&["does not exist"]) {
            return Ok(None);
        }
        let pool = &self.on.pool().name;
        let cause = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("It said nothing").to_owned();
        let (kind, message, correction) = if says(&["out of space", "no space left"]) {
            (FaultKind::NoSpace, format!("No space is left in storage pool '{pool}'"), "Add a device ('zpool add'), or delete volumes")
        } else if says(&["is busy"]) {
            (FaultKind::InUse, format!("A volume of storage pool '{pool}' is in use"), "End what has its device open")
        } else {
            (FaultKind::Tool, format!("'zfs' failed in storage pool '{pool}'"), "Run the command of the details by hand")
        };
        Err(Fault::new(kind, message).cause(cause).correction(correction).details(format!("{}\n{text}", argv.join(" "))))
    }

    pub fn must(&self, argv: &[&str]) -> Result<(), Fault> {
        self.ask(argv)?.map(|_| ()).ok_or_else(|| self.lost(argv.last().unwrap_or(&"")))
    }

    fn pool_missing(&self) -> Fault {
        Fault::new(FaultKind::Pool, format!("The dataset of storage pool '{}' is missing", self.on.pool().name))
            .cause(format!("There is no '{}'", self.place))
            .correction("Look at 'zpool import', or make the dataset")
    }

    /// Unit of sizes: what a volume gets as its block without options.
    pub fn block(&self) -> Result<Kib, Fault> {
        let said = self.ask(&["zfs", "create", "-n", "-P", "-V", "1B", &self.path("probe")])?.ok_or_else(|| self.pool_missing())?;
        let bytes = said.lines().find_map(|line| line.strip_prefix("property\tvolsize\t")?.trim().parse::<u64>().ok());
        bytes.map(|bytes| Kib(bytes.div_ceil(1024))).ok_or_else(|| {
            Fault::new(FaultKind::Tool, "The block size of volumes is not told")
                .cause("zfs create -n does not print it")
                .correction("Use ZFS 2.0 or later")
                .details(said)
        })
    }

    pub fn number(&self, property: &str) -> Result<Kib, Fault> {
        let said = self.ask(&["zfs", "get", "-H", "-p", "-o", "value", property, self.place])?.ok_or_else(|| self.pool_missing())?;
        said.trim().parse::<u64>().map(|bytes| Kib(bytes / 1024)).map_err(|error| {
            Fault::new(FaultKind::Tool, format!("'{property}' is no number"))
                .cause(error.to_string())
                .correction("Look at 'zfs get'")
                .details(said)
        })
    }

    /// Volumes and snapshots of the pool, hidden ones, too.
    pub fn all(&self) -> Result<Vec<One>, Fault> {
        let said = self.ask(&["zfs", "list", "-H", "-p", "-o", COLUMNS, "-t", "volume,snapshot", "-r", self.place])?;
        Ok(said.ok_or_else(|| self.pool_missing())?.lines().filter_map(One::read).collect())
    }

    /// What has this path.
    pub fn at(&self, path: &str) -> Result<Option<One>, Fault> {
        if path.len() > name::LONGEST {
            // Nothing has it, and ZFS would call the question an error.
            return Ok(None);
        }
        let argv = ["zfs", "list", "-H", "-p", "-o", COLUMNS, "-t", "volume,snapshot", "-d", "1", path];
        Ok(self.ask(&argv)?.unwrap_or_default().lines().filter_map(One::read).find(|one| one.path == path))
    }

    /// The volume of a name, or else the snapshot: where that is, its name does not say. `of`: the volume that it was taken of, if that is
    /// known; there it is looked for first.
    pub fn one(&self, name: &BackingName, of: Option<&BackingName>) -> Result<Option<One>, Fault> {
        let object = name::object(name);
        if let Some(volume) = of
            && let Some(snapshot) = self.at(&format!("{}@{object}", self.path(&name::object(volume))))?
        {
            return Ok(Some(snapshot));
        }
        if let Some(volume) = self.at(&self.path(&object))? {
            return Ok(Some(volume));
        }
        // A rollback was cut short after the old volume was renamed away: the new one is the volume.
        if let Some(begun) = self.at(&format!("{}{}", self.path(&object), name::BEGUN))?.filter(|begun| self.replaces(begun)) {
            return Ok(Some(begun));
        }
        let said = self.ask(&["zfs", "list", "-H", "-p", "-o", COLUMNS, "-t", "snapshot", "-r", self.place])?;
        let all = said.ok_or_else(|| self.pool_missing())?;
        Ok(all.lines().filter_map(One::read).find(|one| one.last() == object))
    }

    pub fn marked(&self, one: &One) -> Marked {
        if one.mark.is_empty() {
            return Marked::Unmarked;
        }
        match Mark::parse(&one.mark) {
            // A snapshot inherits its volume's properties: somebody else's snapshot of our volume is not ours.
            Ok(mark) if one.is_snapshot() && mark.kind == MarkKind::Volume => Marked::Unmarked,
            Ok(mark) => Marked::By(mark),
            Err(bad) => Marked::Foreign(bad.to_string()),
        }
    }

    pub fn is_of(&self, one: &One, cluster: Uuid) -> bool {
        matches!(self.marked(one), Marked::By(mark) if mark.cluster == cluster)
    }

    pub fn is_meant(&self, one: &One, what: &Known) -> bool {
        matches!(self.marked(one), Marked::By(mark) if mark.cluster == what.cluster && mark.generation == what.generation)
    }

    /// Whether it takes the place of a volume that was renamed away, by a rollback.
    pub fn replaces(&self, one: &One) -> bool {
        one.gone == "replaces"
    }

    pub fn found(&self, one: &One) -> Option<Found> {
        let name = name::backing(one.last().strip_suffix(name::BEGUN).unwrap_or_else(|| one.last()))?;
        let thick = self.on.pool().kind.eq_ignore_ascii_case("ZFS") && !one.is_snapshot();
        let device = (!one.is_snapshot()).then(|| self.device(one));
        Some(Found { name, marked: self.marked(one), size: one.size, allocated: if thick { one.size } else { one.used }, device })
    }

    pub fn device(&self, one: &One) -> Device {
        Device { path: format!("/dev/zvol/{}", one.path), size: one.size }
    }

    pub fn foreign(&self, one: &One, why: &str) -> Fault {
        Fault::new(FaultKind::Foreign, format!("'{}' in storage pool '{}' is not the object that is meant", one.path, self.on.pool().name))
            .cause(why)
            .correction("Rename it ('zfs rename'); whose data it is Berth does not know")
    }

    pub fn lost(&self, path: &str) -> Fault {
        Fault::new(FaultKind::Lost, format!("A volume of storage pool '{}' is missing", self.on.pool().name))
            .cause(format!("There is no '{path}'"))
            .correction("Receive it from a backup, or delete the resource")
    }

    pub fn find(&self, what: &Known) -> Result<Option<One>, Fault> {
        let Some(mut one) = self.one(&what.name, what.of.as_ref())? else { return Ok(None) };
        if let Some(plain) = one.path.strip_suffix(name::BEGUN).filter(|_| self.is_meant(&one, what)).map(str::to_owned) {
            self.finish_rollback(&one.path, &plain)?;
            one.path = plain;
        }
        match self.marked(&one) {
            Marked::By(_) if self.is_meant(&one, what) => Ok(Some(one)),
            Marked::By(mark) => Err(self.foreign(&one, &format!("it is marked as {}", mark.render()))),
            Marked::Unmarked => Err(self.foreign(&one, "it carries no mark of Berth")),
            Marked::Foreign(why) => Err(self.foreign(&one, &why)),
        }
    }

    pub fn need(&self, what: &Known) -> Result<One, Fault> {
        self.find(what)?.ok_or_else(|| self.lost(what.name.as_str()))
    }

    pub fn make(&self, object: &str, new: &New, size: Kib) -> Result<(), Fault> {
        let (mark, size, path) = (format!("{MARK}={}", new.mark.render()), format!("{}K", size.0), self.path(object));
        let options = self.on.pool().props.get(crate::OPTIONS).map(String::as_str).unwrap_or_default();
        let mut argv = vec!["zfs", "create"];
        if self.on.pool().kind.eq_ignore_ascii_case("ZFS_THIN") {
            argv.push("-s");
        }
        argv.extend(options.split_ascii_whitespace());
        argv.extend(["-o", &mark, "-V", &size, &path]);
        self.must(&argv)
    }

    pub fn copy(&self, source: &One, path: &str, new: &New) -> Result<(), Fault> {
        self.must(&["zfs", "clone", "-o", &format!("{MARK}={}", new.mark.render()), &source.path, path])
    }

    pub fn at_least(&self, what: &Known, size: Kib) -> Result<(), Fault> {
        let one = self.need(what)?;
        if one.size >= size {
            return Ok(());
        }
        // `zfs set` takes multiples of the volume's block only.
        let block = self.block()?.0.max(1);
        let size = size.0.div_ceil(block).checked_mul(block).ok_or_else(|| Fault::new(FaultKind::NoSpace, "The size is too large"))?;
        self.set(&one.path, &format!("volsize={size}K"))
    }

    pub fn set(&self, path: &str, pair: &str) -> Result<(), Fault> {
        self.must(&["zfs", "set", pair, path])
    }

    pub fn rename(&self, from: &str, to: &str) -> Result<(), Fault> {
        self.must(&["zfs", "rename", from, to])
    }

    pub fn finish_rollback(&self, begun: &str, plain: &str) -> Result<(), Fault> {
        self.rename(begun, plain)?;
        self.set(plain, &format!("{GONE}=-"))
    }

    pub fn hidden_name(&self, id: &str) -> String {
        format!("{HIDDEN}{id}")
    }

    /// Where an object goes that nobody shall see: named by its mark's content, which no other has under this name.
    pub fn hidden(&self, one: &One) -> String {
        let id = match self.marked(one) {
            Marked::By(mark) => format!("{}{}", mark.generation.simple(), mark.content.simple()),
            Marked::Unmarked | Marked::Foreign(_) => one.last().to_owned(),
        };
        let id: String = id.chars().take(name::HIDDEN_LONGEST.saturating_sub(HIDDEN.len())).collect();
        match one.path.split_once('@') {
            Some((volume, _)) => format!("{volume}@{}", self.hidden_name(&id)),
            None => self.path(&self.hidden_name(&id)),
        }
    }

    /// Destroys an object, or hides it until nothing depends on it; then whatever it held on to.
    pub fn discard(&self, one: &One) -> Result<(), Fault> {
        let cluster = match self.marked(one) {
            Marked::By(mark) => Some(mark.cluster),
            Marked::Unmarked | Marked::Foreign(_) => None,
        };
        if self.is_held(one, &self.all()?) {
            let hidden = self.hidden(one);
            self.rename(&one.path, &hidden)?;
        } else {
            self.must(&["zfs", "destroy", &one.path])?;
        }
        self.sweep(cluster).map(|_| ())
    }

    fn is_held(&self, one: &One, all: &[One]) -> bool {
        let below = format!("{}@", one.path);
        all.iter().any(|other| other.origin == one.path || (!one.is_snapshot() && other.path.starts_with(&below)))
    }

    /// Destroys hidden objects of a cluster on which nothing depends any more; their names.
    pub fn sweep(&self, cluster: Option<Uuid>) -> Result<Vec<String>, Fault> {
        let mut done = Vec::new();
        loop {
            let all = self.all()?;
            let ours = |one: &&One| {
                one.last().starts_with(HIDDEN)
                    && cluster.is_some_and(|cluster| self.is_of(one, cluster) || one.gone == cluster.to_string())
                    && !self.is_held(one, &all)
            };
            let Some(free) = all.iter().find(ours) else { return Ok(done) };
            self.must(&["zfs", "destroy", &free.path])?;
            done.push(free.path.clone());
        }
    }

    pub fn drop_leftover(&self, path: &str, new: &New) -> Result<(), Fault> {
        match self.at(path)? {
            None => Ok(()),
            Some(left) if self.is_of(&left, new.mark.cluster) => self.discard(&left),
            Some(left) => Err(self.foreign(&left, "Berth needs this name for a while, and it does not carry its mark")),
        }
    }
}
