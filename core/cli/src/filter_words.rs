//! The options of a select filter, for Berth's own words.

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use serde_json::{Map, Value, json};

use crate::objects::select::{self, CountAs};
use crate::words::{BadUsage, list, many, put};

const COUNT: &str = "count";

/// The members of a select filter that were asked for; those that were not are missing.
#[derive(Debug, Clone, Default)]
pub struct FilterWords(pub Map<String, Value>);

impl FilterWords {
    fn read(matches: &ArgMatches) -> Result<Self, BadUsage> {
        let mut filter = select::filter(matches, COUNT, CountAs::Number, list(matches, "storage-pool"))?;
        put(&mut filter, "node_name_list", list(matches, "nodes"));
        put(&mut filter, "diskless_type", select::diskless_type(matches));
        if let Some(remaining) = select::diskless_on_remaining(matches)? {
            filter.insert("diskless_on_remaining".to_owned(), json!(remaining));
        }
        Ok(Self(filter))
    }
}

impl FromArgMatches for FilterWords {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::read(matches).map_err(|error| clap::Error::raw(ErrorKind::ValueValidation, format!("{error}\n")))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for FilterWords {
    fn augment_args(command: Command) -> Command {
        select::with_diskless_types(select::with_filter(command, COUNT)).arg(many("nodes", "Only on these nodes").value_name("NODE"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
