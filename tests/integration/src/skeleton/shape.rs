//! The form of a value.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};

/// The form of a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// `text`, or one of some words: `text(A|B)`.
    Text(Vec<String>),
    /// `int`.
    Int,
    /// `number`: a fraction, too.
    Number,
    /// `bool`.
    Bool,
    /// `any`: any JSON value.
    Any,
    /// `null`.
    Null,
    /// `plain`, `events`, `bytes`: no JSON document at all.
    Raw(Raw),
    /// `[T]`.
    List(Box<Shape>),
    /// `{T}`: an object of which each member is one.
    Map(Box<Shape>),
    /// The name of a document.
    Named(String),
    /// `A/B`: one of them.
    OneOf(Vec<Shape>),
}

/// What is no JSON document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Raw {
    /// Text or a page.
    Plain,
    /// A stream of server-sent events.
    Events,
    /// An archive or a file.
    Bytes,
}

impl Shape {
    /// A text of any kind.
    #[must_use]
    pub const fn text() -> Self {
        Self::Text(Vec::new())
    }

    /// One of several, each once; one alone is itself.
    #[must_use]
    pub fn one_of(shapes: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = BTreeSet::new();
        for shape in shapes {
            match shape {
                Self::OneOf(inner) => flat.extend(inner),
                other => {
                    flat.insert(other);
                }
            }
        }
        if flat.len() == 1 { flat.pop_first().unwrap_or(Self::Any) } else { Self::OneOf(flat.into_iter().collect()) }
    }

    /// Adds the names of the documents in it.
    pub fn names(&self, into: &mut BTreeSet<String>) {
        match self {
            Self::Named(name) => {
                into.insert(name.clone());
            }
            Self::List(inner) | Self::Map(inner) => inner.names(into),
            Self::OneOf(shapes) => shapes.iter().for_each(|shape| shape.names(into)),
            Self::Text(_) | Self::Int | Self::Number | Self::Bool | Self::Any | Self::Null | Self::Raw(_) => {}
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(words) if words.is_empty() => f.write_str("text"),
            Self::Text(words) => write!(f, "text({})", words.join("|")),
            Self::Int => f.write_str("int"),
            Self::Number => f.write_str("number"),
            Self::Bool => f.write_str("bool"),
            Self::Any => f.write_str("any"),
            Self::Null => f.write_str("null"),
            Self::Raw(Raw::Plain) => f.write_str("plain"),
            Self::Raw(Raw::Events) => f.write_str("events"),
            Self::Raw(Raw::Bytes) => f.write_str("bytes"),
            Self::List(inner) => write!(f, "[{inner}]"),
            Self::Map(inner) => write!(f, "{{{inner}}}"),
            Self::Named(name) => f.write_str(name),
            Self::OneOf(shapes) => {
                let words: Vec<String> = shapes.iter().map(ToString::to_string).collect();
                f.write_str(&words.join("/"))
            }
        }
    }
}

impl FromStr for Shape {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = parts(text)?;
        if let [one] = parts.as_slice() {
            single(one)
        } else {
            Ok(Self::one_of(parts.into_iter().map(single).collect::<Result<Vec<_>>>()?))
        }
    }
}

/// Parts between the slashes that stand in no bracket.
fn parts(text: &str) -> Result<Vec<&str>> {
    let (mut depth, mut begin, mut parts) = (0_i32, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '[' | '{' | '(' => depth += 1,
            ']' | '}' | ')' => depth -= 1,
            '/' if depth == 0 => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
        ensure!(depth >= 0, "a bracket too many in '{text}'");
    }
    ensure!(depth == 0, "a bracket is not closed in '{text}'");
    parts.push(&text[begin..]);
    Ok(parts)
}

fn single(text: &str) -> Result<Shape> {
    let inside = |open: char, close: char| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    if let Some(inner) = inside('[', ']') {
        return Ok(Shape::List(Box::new(inner.parse()?)));
    }
    if let Some(inner) = inside('{', '}') {
        return Ok(Shape::Map(Box::new(inner.parse()?)));
    }
    if let Some(words) = text.strip_prefix("text(").and_then(|rest| rest.strip_suffix(')')) {
        return Ok(Shape::Text(words.split('|').map(ToOwned::to_owned).collect()));
    }
    Ok(match text {
        "text" => Shape::text(),
        "int" => Shape::Int,
        "number" => Shape::Number,
        "bool" => Shape::Bool,
        "any" => Shape::Any,
        "null" => Shape::Null,
        "plain" => Shape::Raw(Raw::Plain),
        "events" => Shape::Raw(Raw::Events),
        "bytes" => Shape::Raw(Raw::Bytes),
        name if name.starts_with(|letter: char| letter.is_ascii_uppercase()) => Shape::Named(name.to_owned()),
        other => bail!("'{other}' is no type"),
    })
}
