//! The description of one operation.

use std::collections::BTreeMap;

use berth_api::explain::PreviewDocument;
use berth_api::reply::ApiCallRc;
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Writes a schema, or a reference to it, with what it refers to.
type Make = fn(&mut SchemaGenerator) -> Schema;

fn make<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What is in a body.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A JSON document, of one of these kinds.
    Json(Vec<Make>),
    /// Something else, by its media type.
    Other(&'static str),
    /// Nothing.
    Empty,
}

/// What a value of the query is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Number,
    Flag,
    Word(&'static [&'static str]),
}

/// A value of the query.
#[derive(Debug, Clone)]
pub(super) struct Param {
    pub(super) name: &'static str,
    pub(super) many: bool,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

/// What an operation takes and answers, in words of our own.
#[derive(Debug, Clone)]
pub struct Op {
    pub(super) help: String,
    pub(super) query: Vec<Param>,
    /// The document that it reads, and whether it has to be there.
    pub(super) body: Option<(Make, bool)>,
    pub(super) replies: BTreeMap<u16, Content>,
    /// Whether this version only says that it cannot do it.
    pub(super) absent: bool,
    /// Whether it may name something that does not exist.
    pub(super) may_miss: bool,
}

impl Op {
    fn new(help: impl Into<String>, status: u16, content: Content) -> Self {
        let replies = BTreeMap::from([(status, content)]);
        Self { help: help.into(), query: Vec::new(), body: None, replies, absent: false, may_miss: false }
    }

    /// What it is for, in one sentence.
    pub fn summary(&self) -> &str {
        &self.help
    }

    /// Answers a document.
    pub fn answers<T: JsonSchema>(help: impl Into<String>) -> Self {
        Self::new(help, 200, Content::Json(vec![make::<T> as Make]))
    }

    /// Answers a document with this status.
    pub fn answers_with<T: JsonSchema>(status: u16, help: impl Into<String>) -> Self {
        Self::new(help, status, Content::Json(vec![make::<T> as Make]))
    }

    /// Answers a list of documents, or one page of it.
    pub fn list<T: JsonSchema>(help: impl Into<String>) -> Self {
        Self::answers::<Vec<T>>(help)
            .number("limit", "At most so many elements; 0 or nothing: all.")
            .number("offset", "Leaves out so many elements at the beginning; only together with a limit.")
    }

    /// Makes something: 201 with entries.
    pub fn creates(help: impl Into<String>) -> Self {
        Self::changes(help).reply::<Vec<ApiCallRc>>(201)
    }

    /// Changes something: 200 with entries. A dry run answers 200 with entries or with a plan.
    pub fn changes(help: impl Into<String>) -> Self {
        let both = Content::Json(vec![make::<Vec<ApiCallRc>> as Make, make::<PreviewDocument>]);
        Self::new(help, 200, both).one_of(
            "dry_run",
            &["true", "1", "plan", "false", "0"],
            "Changes nothing, and says what would happen: as entries, or with 'plan' as a document.",
        )
    }

    /// A dry run of it has no plan: it is no change of the cluster's state.
    pub fn without_plan(self) -> Self {
        self.reply::<Vec<ApiCallRc>>(200)
    }

    /// Answers a stream of server-sent events.
    pub fn events(help: impl Into<String>) -> Self {
        Self::new(help, 200, Content::Other("text/event-stream")).reply::<Vec<ApiCallRc>>(406).reply::<Vec<ApiCallRc>>(503)
    }

    /// Answers something that is no JSON document.
    pub fn other(help: impl Into<String>, media: &'static str) -> Self {
        Self::new(help, 200, Content::Other(media))
    }

    /// Reads this document; it must be there.
    pub fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some((make::<T> as Make, true));
        self
    }

    /// Reads this document; without one everything is as if it were empty.
    pub fn may_have<T: JsonSchema>(mut self) -> Self {
        self.body = Some((make::<T> as Make, false));
        self
    }

    /// Answers this with `status`, in place of what was said before.
    pub fn reply<T: JsonSchema>(mut self, status: u16) -> Self {
        self.replies.insert(status, Content::Json(vec![make::<T> as Make]));
        self
    }

    /// Answers this with `status`, too.
    pub fn or<T: JsonSchema>(mut self, status: u16) -> Self {
        match self.replies.entry(status).or_insert_with(|| Content::Json(Vec::new())) {
            Content::Json(kinds) => kinds.push(make::<T>),
            other @ (Content::Other(_) | Content::Empty) => *other = Content::Json(vec![make::<T> as Make]),
        }
        self
    }

    /// Answers `status` with this media type.
    pub fn reply_other(mut self, status: u16, media: &'static str) -> Self {
        self.replies.insert(status, Content::Other(media));
        self
    }

    /// Answers `status` without a body.
    pub fn reply_empty(mut self, status: u16) -> Self {
        self.replies.insert(status, Content::Empty);
        self
    }

    /// It may name something that does not exist: 404.
    pub fn may_miss(mut self) -> Self {
        self.may_miss = true;
        self
    }

    /// This version only says that it cannot do it.
    pub fn absent(mut self) -> Self {
        self.absent = true;
        self
    }

    fn param(mut self, name: &'static str, many: bool, kind: Kind, help: &'static str) -> Self {
        self.query.push(Param { name, many, kind, help });
        self
    }

    /// Takes a text.
    pub fn text(self, name: &'static str, help: &'static str) -> Self {
        self.param(name, false, Kind::Text, help)
    }

    /// Takes texts.
    pub fn texts(self, name: &'static str, help: &'static str) -> Self {
        self.param(name, true, Kind::Text, help)
    }

    /// Takes a whole number.
    pub fn number(self, name: &'static str, help: &'static str) -> Self {
        self.param(name, false, Kind::Number, help)
    }

    /// Takes whole numbers.
    pub fn numbers(self, name: &'static str, help: &'static str) -> Self {
        self.param(name, true, Kind::Number, help)
    }

    /// Takes `true` or `false`.
    pub fn flag(self, name: &'static str, help: &'static str) -> Self {
        self.param(name, false, Kind::Flag, help)
    }

    /// Takes one of some words.
    pub fn one_of(self, name: &'static str, words: &'static [&'static str], help: &'static str) -> Self {
        self.param(name, false, Kind::Word(words), help)
    }

    /// Takes conditions on properties.
    pub fn props(self) -> Self {
        self.texts("props", "Only what has this property, 'KEY' or 'KEY=VALUE'; several: all of them.")
    }
}
