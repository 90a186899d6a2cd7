//! One call: the volume group, and its commands.

use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{BackingName, Data, Device, Fault, FaultKind, Filled, Found, Kib, Known, Machine, Mark, Marked, New, Output};

use crate::name;
use crate::rows::{Row, column, number, rows, share};

/// Columns that are asked for.
pub const COLUMNS: &str = "lv_name,lv_size,lv_attr,lv_tags,pool_lv,data_percent,origin";
/// Columns of the group.
pub const GROUP_COLUMNS: &str = "vg_extent_size,vg_size,vg_free";
/// Begin of the tag that is a mark, as LVM writes it: a tag knows no `:` … it knows letters, digits, `_+.-/=!:&#`.
const TAG: &str = "berth1:";

/// A logical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lv {
    pub name: String,
    pub size: Kib,
    pub active: bool,
    pub open: bool,
    pub tags: Vec<String>,
    pub pool: String,
    /// Used part, in hundredths of a percent; thick volumes use all.
    share: Option<u64>,
}

impl Lv {
    fn read(row: &Row) -> Option<Self> {
        let attr: Vec<char> = column(row, "lv_attr").chars().collect();
        let name = column(row, "lv_name");
        let share = Some(column(row, "data_percent")).filter(|text| !text.is_empty()).map(share);
        (!name.is_empty()).then(|| Self {
            name: name.to_owned(),
            size: Kib(number(column(row, "lv_size")) / 1024),
            active: attr.get(4) == Some(&'a'),
            open: attr.get(5) == Some(&'o'),
            tags: column(row, "lv_tags").split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
            pool: column(row, "pool_lv").to_owned(),
            share,
        })
    }

    /// Space that it takes.
    pub fn used(&self) -> Kib {
        let Some(share) = self.share else { return self.size };
        Kib(u64::try_from(u128::from(self.size.0).saturating_mul(u128::from(share)).div_ceil(10_000)).unwrap_or(u64::MAX))
    }
}

/// The volume group.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    pub extent: Kib,
    pub size: Kib,
    pub free: Kib,
}

/// One call.
pub struct Call<'a> {
    on: &'a dyn Machine,
    pub group: &'a str,
    /// The thin pool, of `LVM_THIN`.
    pub thin: Option<&'a str>,
}

impl<'a> Call<'a> {
    pub fn new(on: &'a dyn Machine) -> Self {
        match on.pool().place.split_once('/') {
            Some((group, thin)) => Self { on, group, thin: Some(thin) },
            None => Self { on, group: &on.pool().place, thin: None },
        }
    }

    fn path(&self, lv: &str) -> String {
        format!("{}/{lv}", self.group)
    }

    /// A command that must succeed.
    fn must(&self, argv: &[&str]) -> Result<(), Fault> {
        let output = self.on.run(argv)?;
        if output.code == 0 { Ok(()) } else { Err(self.failed(argv, &output)) }
    }

    fn failed(&self, argv: &[&str], output: &Output) -> Fault {
        let pool = &self.on.pool().name;
        let cause = output.stderr.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("It said nothing").to_owned();
        let details = format!("{}\nexit code {}\n{}", argv.join(" "), output.code, output.stderr);
        let full = ["insufficient free space", "free extents", "Insufficient", "out of data space"]
            .iter()
            .any(|word| output.stderr.contains(word));
        let used = ["in use", "contains a filesystem", "busy"].iter().any(|word| output.stderr.contains(word));
        let gone = ["Volume group", "not found"].iter().all(|word| output.stderr.contains(word));
        let (kind, message, correction) = if full {
            (
                FaultKind::NoSpace,
                format!("No space is left in storage pool '{pool}'"),
                "Add a physical volume ('vgextend'), or delete volumes",
            )
        } else if used {
            (FaultKind::InUse, format!("A logical volume of storage pool '{pool}' is in use"), "End what has the volume open")
        } else if gone {
            (
                FaultKind::Pool,
                format!("The volume group of storage pool '{pool}' is missing"),
                "Look at 'vgs' on the node, and connect its disks",
            )
        } else {
            (
                FaultKind::Tool,
                format!("'{}' failed in storage pool '{pool}'", argv.first().unwrap_or(&"")),
                "Run the command of the details by hand",
            )
        };
        Fault::new(kind, message).cause(cause).correction(correction).details(details)
    }

    fn report(&self, argv: &[&str], list: &str) -> Result<Vec<Row>, Fault> {
        let output = self.on.run(argv)?;
        if output.code != 0 {
            return Err(self.failed(argv, &output));
        }
        rows(&output.stdout, list).ok_or_else(|| {
            Fault::new(FaultKind::Tool, format!("The answer of '{}' cannot be read", argv.first().unwrap_or(&"")))
                .cause("It is no report, or was cut off")
                .correction("Check the version of LVM: 2.02.158 or later is needed")
                .details(output.stdout.chars().take(400).collect::<String>())
        })
    }

    fn lvs(&self, more: &[&str]) -> Result<Vec<Lv>, Fault> {
        let mut argv = vec!["lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", COLUMNS];
        argv.extend(more);
        Ok(self.report(&argv, "lv")?.iter().filter_map(Lv::read).collect())
    }

    /// Volumes of the pool, with what is being made; the thin pool itself is none.
    pub fn all(&self) -> Result<Vec<Lv>, Fault> {
        Ok(self.lvs(&[self.group])?.into_iter().filter(|lv| self.belongs(lv)).collect())
    }

    fn belongs(&self, lv: &Lv) -> bool {
        match self.thin {
            Some(thin) => lv.pool == thin,
            None => lv.pool.is_empty(),
        }
    }

    /// One volume of the whole group, whatever it is: its name is taken.
    pub fn one(&self, lv: &str) -> Result<Option<Lv>, Fault> {
        if lv.len() > BackingName::LENGTH_MAX {
            // None is so long.
            return Ok(None);
        }
        let wanted = format!("lv_name={lv}");
        Ok(self.lvs(&["-S", &wanted, self.group])?.into_iter().find(|found| found.name == lv))
    }

    /// The volume of a name, or what a rollback that was cut short renamed away from it.
    pub fn volume(&self, plain: &str) -> Result<Option<Lv>, Fault> {
        match self.one(plain)? {
            None if self.thin.is_some() => self.one(&format!("{plain}{}", name::OLD)),
            found => Ok(found),
        }
    }

    pub fn thin_pool(&self) -> Result<Lv, Fault> {
        let name = self.thin.unwrap_or_default();
        self.one(name)?.ok_or_else(|| {
            Fault::new(FaultKind::Pool, format!("The thin pool of storage pool '{}' is missing", self.on.pool().name))
                .cause(format!("There is no '{}'", self.path(name)))
                .correction("Make it ('lvcreate --type thin-pool'), or name another one")
        })
    }

    pub fn group_row(&self) -> Result<Group, Fault> {
        let argv = ["vgs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", GROUP_COLUMNS, self.group];
        let all = self.report(&argv, "vg")?;
        let row = all.first().ok_or_else(|| {
            Fault::new(FaultKind::Pool, format!("Volume group '{}' is missing", self.group))
                .cause("vgs does not list it")
                .correction("Connect its disks")
        })?;
        let kib = |key: &str| Kib(number(column(row, key)) / 1024);
        Ok(Group { extent: kib("vg_extent_size").max(Kib(1)), size: kib("vg_size"), free: kib("vg_free") })
    }

    pub fn marked(&self, lv: &Lv) -> Marked {
        let mut ours = lv.tags.iter().filter(|tag| tag.starts_with(TAG));
        match (ours.next(), ours.next()) {
            (None, _) => Marked::Unmarked,
            (Some(tag), None) => Mark::parse(tag).map_or_else(|bad| Marked::Foreign(bad.to_string()), Marked::By),
            (Some(_), Some(_)) => Marked::Foreign("it carries two marks".into()),
        }
    }

    pub fn is_of(&self, lv: &Lv, cluster: Uuid) -> bool {
        matches!(self.marked(lv), Marked::By(mark) if mark.cluster == cluster)
    }

    pub fn is_meant(&self, lv: &Lv, what: &Known) -> bool {
        matches!(self.marked(lv), Marked::By(mark) if mark.cluster == what.cluster && mark.generation == what.generation)
    }

    pub fn found(&self, lv: &Lv) -> Option<Found> {
        let name = name::backing(lv.name.strip_suffix(name::OLD).unwrap_or(&lv.name))?;
        let device = lv.active.then(|| self.device(lv));
        Some(Found { name, marked: self.marked(lv), size: lv.size, allocated: lv.used(), device })
    }

    pub fn device(&self, lv: &Lv) -> Device {
        Device { path: format!("/dev/{}", self.path(&lv.name)), size: lv.size }
    }

    pub fn foreign(&self, lv: &Lv, why: &str) -> Fault {
        let message =
            format!("Logical volume '{}' in storage pool '{}' is not the object that is meant", self.path(&lv.name), self.on.pool().name);
        Fault::new(FaultKind::Foreign, message).cause(why).correction("Rename it ('lvrename'); whose data it is Berth does not know")
    }

    pub fn lost(&self, lv: &str) -> Fault {
        Fault::new(FaultKind::Lost, format!("A logical volume of storage pool '{}' is missing", self.on.pool().name))
            .cause(format!("There is no '{}'", self.path(lv)))
            .correction("Restore it ('vgcfgrestore' knows earlier states), or delete the resource")
    }

    pub fn in_use(&self, lv: &Lv) -> Fault {
        Fault::new(FaultKind::InUse, format!("Logical volume '{}' is in use", self.path(&lv.name)))
            .cause("A program or another device has it open")
            .correction("End what uses it")
    }

    /// The volume of an object; `None`: missing.
    pub fn find(&self, what: &Known) -> Result<Option<Lv>, Fault> {
        let plain = name::lv(&what.name);
        let Some(mut lv) = self.volume(&plain)? else { return Ok(None) };
        if lv.name != plain && self.is_meant(&lv, what) {
            self.rename(&lv.name, &plain)?;
            lv.name = plain;
        }
        if !self.belongs(&lv) {
            return Err(self.foreign(&lv, "it lies outside of the storage pool"));
        }
        match self.marked(&lv) {
            Marked::By(_) if self.is_meant(&lv, what) => Ok(Some(lv)),
            Marked::By(mark) => Err(self.foreign(&lv, &format!("it is marked as {}", mark.render()))),
            Marked::Unmarked => Err(self.foreign(&lv, "it carries no mark of Berth")),
            Marked::Foreign(why) => Err(self.foreign(&lv, &why)),
        }
    }

    pub fn need(&self, what: &Known) -> Result<Lv, Fault> {
        let lv = name::lv(&what.name);
        self.find(what)?.ok_or_else(|| self.lost(&lv))
    }

    /// Makes a volume of zeroes with its mark.
    pub fn make(&self, lv: &str, new: &New, size: Kib) -> Result<(), Fault> {
        let (tag, size) = (new.mark.render(), format!("{}k", size.0));
        let options: Vec<String> = self
            .on
            .pool()
            .props
            .get(crate::OPTIONS)
            .map(|text| text.split_ascii_whitespace().map(str::to_owned).collect())
            .unwrap_or_default();
        let mut argv = vec!["lvcreate"];
        argv.extend(options.iter().map(String::as_str));
        match self.thin {
            None => {
                argv.extend(["--yes", "--wipesignatures", "y", "--zero", "y", "--addtag", &tag, "--size", &size, "--name", lv, self.group])
            }
            Some(thin) => argv.extend(["--yes", "--addtag", &tag, "--virtualsize", &size, "--thinpool", thin, "--name", lv, self.group]),
        }
        self.must(&argv)?;
        // It is active now, and nobody has asked for a device yet.
        self.must(&["lvchange", "--yes", "--activate", "n", &self.path(lv)])
    }

    /// A thin copy with its own mark; a snapshot takes no writes and is not activated by itself.
    pub fn copy(&self, source: &Lv, lv: &str, new: &New, snapshot: bool) -> Result<(), Fault> {
        let (tag, source) = (new.mark.render(), self.path(&source.name));
        let (skip, permission) = if snapshot { ("y", "r") } else { ("n", "rw") };
        self.must(&[
            "lvcreate",
            "--yes",
            "--setactivationskip",
            skip,
            "--permission",
            permission,
            "--addtag",
            &tag,
            "--snapshot",
            "--name",
            lv,
            &source,
        ])?;
        self.must(&["lvchange", "--yes", "--activate", "n", &self.path(lv)])
    }

    pub fn at_least(&self, what: &Known, size: Kib) -> Result<(), Fault> {
        let lv = self.need(what)?;
        if lv.size >= size { Ok(()) } else { self.must(&["lvextend", "--yes", "--size", &format!("{}k", size.0), &self.path(&lv.name)]) }
    }

    pub fn activate(&self, lv: &str) -> Result<(), Fault> {
        self.must(&["lvchange", "--yes", "--activate", "y", "--ignoreactivationskip", &self.path(lv)])
    }

    pub fn deactivate(&self, lv: &Lv) -> Result<(), Fault> {
        if lv.active { self.must(&["lvchange", "--yes", "--activate", "n", &self.path(&lv.name)]) } else { Ok(()) }
    }

    pub fn rename(&self, from: &str, to: &str) -> Result<(), Fault> {
        self.must(&["lvrename", self.group, from, to])
    }

    pub fn remove(&self, lv: &str) -> Result<(), Fault> {
        self.must(&["lvremove", "--yes", "--force", &self.path(lv)])
    }

    /// Removes what an interrupted call left, if it is there; a stranger's is in the way.
    pub fn drop_leftover(&self, lv: &str, new: &New) -> Result<(), Fault> {
        match self.one(lv)? {
            None => Ok(()),
            Some(left) if self.is_of(&left, new.mark.cluster) => self.remove(lv),
            Some(left) => Err(self.foreign(&left, "Berth needs this name for a while, and it does not carry its mark")),
        }
    }

    pub fn tag(&self, lv: &Lv, new: &New) -> Result<(), Fault> {
        self.must(&["lvchange", "--yes", "--addtag", &new.mark.render(), &self.path(&lv.name)])
    }

    pub fn copy_order(&self, from: &str, to: &str) -> Filled {
        let device = |lv: &str| Data::Device(format!("/dev/{}", self.path(lv)));
        Filled::Copy { from: device(from), to: device(to) }
    }
}
