//! The figures that Berth must reach, and what was measured of them: the table of design, the report, its words in the README.
//!
//! `cargo xtask bench` measures them; `docs/figures/figures.json` is its last run, from which the README is written.

mod report;
mod words;

pub use report::{Machine, Measured, Point, Report, Samples};
pub use words::{README_BEGIN, README_END, against, curves_table, into_readme, missed, table};

/// Which way a figure is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The smaller, the better: times, memory.
    Less,
    /// The larger, the better: rates.
    More,
}

/// Which of its samples a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The middle one.
    Median,
    /// The one that 99 of 100 do not exceed.
    P99,
}

/// What a figure belongs to, in the order of the README.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chapter {
    /// What the product promises.
    Promised,
    /// What this machine can do at best.
    Limits,
    /// Providers that are components.
    Providers,
    /// A hundred readers and a hundred writes a second.
    Load,
    /// A thousand nodes.
    Scale,
}

impl Chapter {
    /// All, in the order of the README.
    pub const ALL: [Self; 5] = [Self::Promised, Self::Limits, Self::Providers, Self::Load, Self::Scale];

    /// Its heading.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            Self::Promised => "what it must reach",
            Self::Limits => "what this machine can do at best",
            Self::Providers => "a call of a provider (`look`, a machine in memory), by its form",
            Self::Load => "100 clients, each reading `view/resources` every 5 s, beside 100 writes/s, 10,000 resources",
            Self::Scale => "1,000 simulated nodes, 100,000 resources",
        }
    }
}

/// One figure.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Its name for `--only`.
    pub id: &'static str,
    /// What it belongs to.
    pub chapter: Chapter,
    /// What is measured, for people.
    pub what: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What it must reach.
    pub must: Option<f64>,
    /// What it should reach.
    pub aim: Option<f64>,
    /// Which way is good.
    pub better: Better,
    /// Which sample it is.
    pub told: Told,
}

impl Figure {
    /// Finds one by its name.
    #[must_use]
    pub fn find(id: &str) -> Option<&'static Self> {
        FIGURES.iter().find(|figure| figure.id == id)
    }

    /// Whether a value is as good as `goal`.
    #[must_use]
    pub fn reaches(&self, value: f64, goal: f64) -> bool {
        match self.better {
            Better::Less => value <= goal,
            Better::More => value >= goal,
        }
    }
}

/// A figure to promise, the smaller the better, its median.
const fn promised(id: &'static str, what: &'static str, unit: &'static str, must: f64, aim: f64) -> Figure {
    Figure { id, chapter: Chapter::Promised, what, unit, must: Some(must), aim: Some(aim), better: Better::Less, told: Told::Median }
}

/// A figure that is only told.
const fn told(chapter: Chapter, id: &'static str, what: &'static str, unit: &'static str) -> Figure {
    Figure { id, chapter, what, unit, must: None, aim: None, better: Better::Less, told: Told::Median }
}

/// A figure of components to promise.
const fn provider(id: &'static str, what: &'static str, unit: &'static str, must: f64) -> Figure {
    Figure { chapter: Chapter::Providers, aim: None, ..promised(id, what, unit, must, 0.0) }
}

const fn rate(figure: Figure) -> Figure {
    Figure { better: Better::More, ..figure }
}

const fn p99(figure: Figure) -> Figure {
    Figure { told: Told::P99, ..figure }
}

/// Every figure, in the order of the table.
///
/// `must` and `aim` are the project's own goals. A list during a hang shall be "as usual"; 1.5 times is what a busy machine blurs.
pub const FIGURES: &[Figure] = &[
    promised("start_empty", "controller: start to the first answer, empty", "ms", 150.0, 50.0),
    promised("start_10000", "the same, 10,000 resources", "ms", 700.0, 200.0),
    promised("rss_idle", "controller: memory (RSS), idle", "MiB", 40.0, 20.0),
    promised("rss_10000", "the same, 10,000 resources on 50 simulated nodes, after lists", "MiB", 150.0, 60.0),
    promised("rss_100000", "the same, 100,000 resources", "MiB", 800.0, 400.0),
    promised("satellite_rss_idle", "satellite: memory (RSS), idle", "MiB", 25.0, 12.0),
    promised("satellite_rss_300", "the same, 300 resources", "MiB", 35.0, 20.0),
    rate(promised("definitions_1", "definition + volume definition, 1 client (two commits)", "/s", 120.0, 300.0)),
    rate(promised("definitions_16", "the same, 16 clients", "/s", 1000.0, 4000.0)),
    rate(promised("definitions_16_10000", "the same, 16 clients, beside 10,000 resources", "/s", 1000.0, 4000.0)),
    rate(promised(
        "create",
        "create on 3 of 20 simulated satellites (1 ms each step), 16 clients, until all are ready",
        "/s",
        300.0,
        2000.0,
    )),
    promised("list", "`GET /v1/view/resources`, 10,000 resources, p50", "ms", 60.0, 20.0),
    p99(promised("list_writing", "the same while 100 writes/s run, p99", "ms", 120.0, 40.0)),
    promised("metrics", "`GET /metrics`, 10,000 resources", "ms", 60.0, 15.0),
    promised("page", "one page of 50 of that list", "ms", 3.0, 1.0),
    promised("one", "one resource of it", "ms", 3.0, 1.0),
    promised("spawn_0", "volume on a live satellite (`FILE_THIN`, loop): spawn to usable device", "ms", 60.0, 30.0),
    promised("spawn_300", "the same beside 300 others", "ms", 60.0, 30.0),
    promised("burst_30", "30 of them at once, all usable", "ms", 900.0, 300.0),
    promised("snapshot", "snapshot", "ms", 60.0, 30.0),
    promised("delete", "delete, beside 300 others", "ms", 60.0, 30.0),
    Figure {
        aim: None,
        ..promised("list_hanging", "list of 300 resources while their satellite hangs, against the list before", "times", 1.5, 1.0)
    },
    promised("idle_controller", "controller: idle CPU, 300 resources", "ms per s", 2.0, 0.5),
    promised("idle_satellite", "satellite: idle CPU, 300 resources", "ms per s", 2.0, 0.5),
    promised("place_1000", "place one volume among 1,000 nodes with all filters set (the engine alone)", "ms", 2.0, 0.3),
    promised("restart_500", "restart of a satellite with 500 unchanged resources to the first spawn ready", "ms", 3000.0, 1000.0),
    Figure {
        aim: None,
        ..promised(
            "streams_writes",
            "a write beside 2,000 open streams of events (100 slow, 100 dead), against one without them",
            "times",
            1.5,
            1.0,
        )
    },
    promised("streams_told", "the same: from the answer of a write until all 1,800 lively ones have it", "ms", 1000.0, 250.0),
    promised("streams_rss", "the same: what they take of the controller's memory (RSS)", "MiB", 128.0, 64.0),
    promised("binary", "one binary, stripped", "MiB", 60.0, 35.0),
    told(Chapter::Limits, "sync", "4 KiB over a file that is there, and `fdatasync`", "ms"),
    told(Chapter::Limits, "losetup", "`losetup --find FILE`", "ms"),
    told(Chapter::Providers, "provider_linked", "linked in", "µs"),
    provider("provider_reused", "as component, its instance used again: what is added", "µs", 50.0),
    provider("provider_fresh", "as component, in a fresh instance: what is added", "µs", 300.0),
    told(Chapter::Providers, "provider_library", "as dynamic library: what is added", "µs"),
    provider("provider_cached", "a component loaded from the cache of compiled ones", "ms", 20.0),
    told(Chapter::Providers, "provider_compiled", "a component loaded and compiled", "ms"),
    provider("provider_rss", "a process with 20 components loaded and called once: memory (RSS)", "MiB", 60.0),
    p99(Figure { chapter: Chapter::Load, ..promised("load_list", "`GET /v1/view/resources`, p99", "ms", 120.0, 40.0) }),
    rate(Figure { chapter: Chapter::Load, aim: None, ..promised("load_writes", "writes that were acknowledged", "/s", 99.0, 0.0) }),
    Figure {
        chapter: Chapter::Load,
        aim: None,
        ..promised("load_memory", "controller: memory at the end, against the end of the first fifth", "times", 1.05, 1.0)
    },
    told(Chapter::Scale, "scale_online", "1,000 nodes registered and online, each with a pool", "s"),
    rate(told(Chapter::Scale, "scale_create", "create on 3 of 1,000 satellites, 16 clients, from 0 to 100,000 resources", "/s")),
    rate(told(Chapter::Scale, "scale_create_last", "the same, the last 3,000 of them", "/s")),
    told(Chapter::Scale, "scale_place", "`POST /v1/berth/place`: preview of a spawn, every node with its reason", "ms"),
    told(Chapter::Scale, "scale_rss", "controller: memory (RSS), after lists", "MiB"),
    told(Chapter::Scale, "scale_satellites_rss", "one simulated satellite: memory (RSS)", "MiB"),
    told(Chapter::Scale, "scale_start", "controller: start to the first answer", "ms"),
    told(Chapter::Scale, "scale_sync", "controller: start to all nodes online, nothing to do", "s"),
    told(Chapter::Scale, "scale_kill", "100 nodes killed at once: until all are shown offline, their states unknown", "s"),
    told(Chapter::Scale, "scale_kill_back", "the same nodes come back empty: until all is made again and in sync", "s"),
    told(Chapter::Scale, "scale_hang", "100 nodes hang at once (SIGSTOP): until all are shown offline, their states unknown", "s"),
    told(Chapter::Scale, "scale_hang_back", "the same nodes go on: until all is in sync", "s"),
    told(Chapter::Scale, "scale_evacuate", "evacuation of a node with 1,000 resources", "s"),
    told(Chapter::Scale, "scale_list_page", "one page of 50 while that runs, p99", "ms"),
];

/// A curve: one cost at growing counts of resources, for each count of nodes.
#[derive(Debug, Clone, Copy)]
pub struct Curve {
    /// Its name.
    pub id: &'static str,
    /// What is measured, for people.
    pub what: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Whether it touches one thing only, so that it may not grow with the others.
    pub flat: bool,
}

/// How much a flat curve may rise from 1,000 to 100,000 resources.
pub const FLAT_TIMES: f64 = 1.3;

/// Every curve, in the order of the picture.
pub const CURVES: &[Curve] = &[
    Curve { id: "create", what: "definition + volume definition", unit: "ms", flat: true },
    Curve { id: "spawn", what: "spawn, 3 replicas ready", unit: "ms", flat: true },
    Curve { id: "one", what: "one resource", unit: "ms", flat: true },
    Curve { id: "page", what: "one page of 50", unit: "ms", flat: true },
    Curve { id: "list", what: "whole list", unit: "ms", flat: false },
    Curve { id: "metrics", what: "metrics", unit: "ms", flat: false },
    Curve { id: "memory", what: "controller: memory", unit: "MiB", flat: false },
];
