//! The words after `cargo xtask bench`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use berth_integration::{Chapter, Figure};

/// What `--help` prints.
pub const HELP: &str = "\
Measures a release build on this machine, as whole processes, over the wire, on real loop devices.

  cargo xtask bench [OPTION…]

Without an option it measures what Berth promises, in a few minutes.

  --only ID[,ID…]   only these figures
  --list            names every figure
  --curves          only the growth curves: 1,000 to 100,000 resources on 20 to 1,000 simulated nodes
  --scale           only 1,000 simulated nodes with 100,000 resources: start, fail-over, evacuation
  --load [MINUTES]  only 100 readers beside 100 writes/s, 10 minutes unless said otherwise
  --all             all of these
  --save FILE       writes the figures as JSON; a file that is there keeps what this run did not measure
  --against FILE    prints ratios against a saved file
  --publish         writes docs/figures/ and the table of the README
  --strict          ends with 1 if a figure misses what it must reach
  --quick           a twentieth of every count: shows that everything runs, its figures mean nothing

Example: what a change did to lists
  cargo xtask bench --only list,page,one --save before.json
  cargo xtask bench --only list,page,one --against before.json
";

/// Minutes of `--load`.
const LOAD_MINUTES: f64 = 10.0;

/// What is asked for.
pub enum Asked {
    /// The options.
    Help,
    /// The names of the figures.
    List,
    /// To measure.
    Run(Box<Options>),
}

/// What to measure, and what to do with it.
#[derive(Debug, Default)]
pub struct Options {
    /// The figures of the default run; `None`: all, or none if another part was asked for.
    pub only: Option<BTreeSet<String>>,
    /// The growth curves.
    pub curves: bool,
    /// The large cluster.
    pub scale: bool,
    /// The long load.
    pub load_minutes: Option<f64>,
    /// Small counts.
    pub quick: bool,
    /// Where to save.
    pub save: Option<PathBuf>,
    /// What to compare with.
    pub against: Option<PathBuf>,
    /// Write the README.
    pub publish: bool,
    /// Fail where a goal is missed.
    pub strict: bool,
}

/// Reads the words.
///
/// # Errors
/// If one is unknown, or its value is missing.
pub fn parse(words: &[String]) -> Result<Asked> {
    let mut options = Options::default();
    let mut all = false;
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let mut value = |what: &str| words.next().cloned().with_context(|| format!("{word} needs {what}"));
        match word.as_str() {
            "--help" | "-h" => return Ok(Asked::Help),
            "--list" => return Ok(Asked::List),
            "--only" => options.only.get_or_insert_default().extend(value("names, see --list")?.split(',').map(str::to_owned)),
            "--curves" => options.curves = true,
            "--scale" => options.scale = true,
            "--load" => {
                let minutes = words.next_if(|next| !next.starts_with('-')).map(|text| minutes(text)).transpose()?;
                options.load_minutes = Some(minutes.unwrap_or(LOAD_MINUTES));
            }
            "--all" => all = true,
            "--quick" => options.quick = true,
            "--save" => options.save = Some(path(&value("a file")?)),
            "--against" => options.against = Some(path(&value("a file")?)),
            "--publish" => options.publish = true,
            "--strict" => options.strict = true,
            // What cargo adds for every bench.
            "--bench" => {}
            other => bail!("cargo xtask bench does not know {other:?}; --help names what it knows"),
        }
    }
    for id in options.only.iter().flatten() {
        let figure = Figure::find(id).with_context(|| format!("no figure {id:?}; --list names them"))?;
        match figure.chapter {
            Chapter::Promised | Chapter::Limits | Chapter::Providers => {}
            Chapter::Load => bail!("{id} is measured with --load"),
            Chapter::Scale => bail!("{id} is measured with --scale"),
        }
    }
    ensure!(!(options.quick && options.publish), "--quick measures too little to be published");
    if all {
        options.curves = true;
        options.scale = true;
        options.load_minutes.get_or_insert(LOAD_MINUTES);
    } else if options.only.is_none() && (options.curves || options.scale || options.load_minutes.is_some()) {
        options.only = Some(BTreeSet::new());
    }
    Ok(Asked::Run(Box::new(options)))
}

/// A path as the caller of `cargo xtask` meant it; cargo runs this program in a folder of its own choice.
fn path(text: &str) -> PathBuf {
    std::env::var_os("BERTH_FROM").map_or_else(|| PathBuf::from(text), |from| PathBuf::from(from).join(text))
}

fn minutes(text: &str) -> Result<f64> {
    let minutes: f64 = text.parse().with_context(|| format!("{text:?} is no number of minutes"))?;
    ensure!((0.1..=600.0).contains(&minutes), "--load takes 0.1 to 600 minutes, not {text}");
    Ok(minutes)
}
