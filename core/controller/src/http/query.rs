//! Filters and paging of lists (contract 10.0).

use std::collections::BTreeSet;

use axum::response::Response;
use berth_engine::draft::Refused;
use berth_model::codes::Code;
use berth_model::props::Props;
use berth_model::reply::Reply;

use super::answer;

/// Query pairs in order.
#[derive(Debug, Default)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Takes the pairs of a request.
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// Refuses what is no number where one belongs.
    pub fn check(&self) -> Result<(), Response> {
        let bad = |name: &&str| self.first(name).filter(|text| !text.is_empty() && text.parse::<i64>().is_err());
        match ["limit", "offset"].iter().find_map(|name| bad(name).map(|text| (*name, text))) {
            None => Ok(()),
            Some((name, text)) => Err(answer::refusal(
                Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{text}' is not a number."))
                    .cause(format!("'{name}' counts elements of a list."))
                    .correction(format!("Give '{name}' as a whole number, or leave it out.")),
            )),
        }
    }

    /// The first value of a name.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of a name.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.clone()).collect()
    }

    /// All names.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// All values of a name, also empty ones.
    pub fn values<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A boolean, in any case; empty: it is not given.
    ///
    /// # Errors
    /// What is neither true nor false: whoever asks meant something by it.
    pub fn truth(&self, name: &str) -> Result<Option<bool>, Response> {
        let Some(text) = self.first(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        berth_api::lenient::flag(text).map(Some).ok_or_else(|| {
            answer::refusal(
                Reply::new(Code::FAIL_INVLD_REQUEST, format!("'{text}' is neither true nor false."))
                    .cause(format!("'{name}' is a yes or a no."))
                    .correction(format!("Give '{name}=true' or '{name}=false', or leave it out.")),
            )
        })
    }

    /// The names of a filter; `None`: everything matches.
    pub fn names<N: Ord>(&self, name: &str, parse: fn(&str) -> Result<N, Refused>) -> Result<Option<BTreeSet<N>>, Response> {
        let texts = self.all(name);
        if texts.is_empty() {
            return Ok(None);
        }
        let parsed: Result<BTreeSet<N>, Refused> = texts.iter().map(|text| parse(text)).collect();
        parsed.map(Some).map_err(refused)
    }

    /// The filter on properties.
    pub fn props(&self) -> PropFilter {
        let wish = |text: String| match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (text, None),
        };
        PropFilter(self.all("props").into_iter().map(wish).collect())
    }

    /// Where a page begins and how long it is at most; `None`: without a limit everything, whatever the offset.
    pub fn window(&self) -> Option<(usize, usize)> {
        let number = |name: &str| self.first(name).and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
        match number("limit") {
            0 => None,
            limit => Some((number("offset"), limit)),
        }
    }

    /// One page of a list.
    pub fn page<T>(&self, items: impl Iterator<Item = T>) -> Vec<T> {
        match self.window() {
            None => items.collect(),
            Some((offset, limit)) => items.skip(offset).take(limit).collect(),
        }
    }
}

/// A refusal outside of any operation: without its context.
pub fn refused(refused: Refused) -> Response {
    answer::replies(&refused.replies, axum::http::StatusCode::INTERNAL_SERVER_ERROR)
}

/// Properties that an object must have: all of them.
#[derive(Debug)]
pub struct PropFilter(Vec<(String, Option<String>)>);

impl PropFilter {
    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `props` has them.
    pub fn fits(&self, props: &Props) -> bool {
        self.0.iter().all(|(key, wanted)| match (props.get(key), wanted) {
            (Some(value), Some(wanted)) => value == wanted,
            (Some(_), None) => true,
            (None, _) => false,
        })
    }
}

/// Whether a filter lets a name through.
pub fn lets<N: Ord>(filter: Option<&BTreeSet<N>>, name: &N) -> bool {
    filter.is_none_or(|names| names.contains(name))
}
