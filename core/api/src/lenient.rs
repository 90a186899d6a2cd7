//! Reading what clients really send: `"7"` for 7, `"True"` for true, 100 for `"100"`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// The schema of a type that is written in place wherever it stands.
macro_rules! plain_schema {
    ($kind:ident, $schema:tt) => {
        impl schemars::JsonSchema for $kind {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($kind).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}
pub(crate) use plain_schema;

plain_schema!(Int, { "type": "integer", "format": "int64" });
plain_schema!(Flag, { "type": "boolean" });
plain_schema!(Text, { "type": "string" });

/// An integer; also from text and from a fraction, which is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Int(pub i64);

/// A boolean; also from text in any case (`true`, `yes`, `1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag(pub bool);

/// A text; also from a number or a boolean.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(pub String);

struct IntVisitor;

impl Visitor<'_> for IntVisitor {
    type Value = Int;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer")
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Int, E> {
        Ok(Int(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Int, E> {
        i64::try_from(value).map(Int).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Int, E> {
        // 2^63 as a fraction; what lies beyond has no integer.
        if value.is_finite() && value.abs() < 9_223_372_036_854_775_808.0 {
            #[allow(clippy::cast_possible_truncation)] // Cutting off is what is wanted.
            Ok(Int(value.trunc() as i64))
        } else {
            Err(E::invalid_value(Unexpected::Float(value), &self))
        }
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Int, E> {
        text.trim().parse().map(Int).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntVisitor)
    }
}

struct FlagVisitor;

impl Visitor<'_> for FlagVisitor {
    type Value = Flag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Flag, E> {
        Ok(Flag(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Flag, E> {
        Ok(Flag(value != 0))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Flag, E> {
        Ok(Flag(value != 0))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Flag, E> {
        flag(text).map(Flag).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// Reads a boolean word; `None`: it is none.
#[must_use]
pub fn flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" | "" => Some(false),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlagVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Text, E> {
        Ok(Text(value.to_owned()))
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct ObjectVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }
    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
        T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Some)
    }
}

/// Reads a document in a document; `null`: it is left out. Without this a list would be taken for one, member by member.
///
/// # Errors
/// What is no object, or none of this kind.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(ObjectVisitor(std::marker::PhantomData))
}

/// Properties as they come in; a `null` value is refused.
pub type PropMap = BTreeMap<String, Text>;

/// The plain map of properties.
#[must_use]
pub fn plain(props: Option<PropMap>) -> BTreeMap<String, String> {
    props.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()
}

/// The plain texts of a list; `None` stays.
#[must_use]
pub fn texts(list: Option<Vec<Text>>) -> Option<Vec<String>> {
    list.map(|list| list.into_iter().map(|text| text.0).collect())
}

/// The plain text.
#[must_use]
pub fn text(text: Option<Text>) -> Option<String> {
    text.map(|text| text.0)
}

/// The plain integer.
#[must_use]
pub fn int(value: Option<Int>) -> Option<i64> {
    value.map(|value| value.0)
}

/// The plain boolean.
#[must_use]
pub fn truth(value: Option<Flag>) -> Option<bool> {
    value.map(|value| value.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
        serde_json::from_str(text).ok()
    }

    #[test]
    fn scalars_are_read_from_what_clients_send() {
        for (text, value) in [("7", 7), ("\"7\"", 7), ("7.9", 7), ("-5", -5), ("\"-1\"", -1)] {
            assert_eq!(read::<Int>(text), Some(Int(value)), "{text}");
        }
        for text in ["\"seven\"", "[]", "1e40", "18446744073709551615"] {
            assert_eq!(read::<Int>(text), None, "{text}");
        }
        for (text, value) in [("true", true), ("\"True\"", true), ("\"FALSE\"", false), ("0", false)] {
            assert_eq!(read::<Flag>(text), Some(Flag(value)), "{text}");
        }
        assert_eq!(read::<Flag>("\"maybe\""), None);
        assert_eq!(read::<Text>("100"), Some(Text("100".into())));
        assert_eq!(read::<Option<Text>>("null"), Some(None));
        assert_eq!(read::<PropMap>(r#"{"a":null}"#), None);
    }

    #[test]
    fn a_list_is_no_document_in_a_document() {
        use crate::group::SelectFilterBody;
        let inner = |text: &str| read::<SelectFilterBody>(text).map(|body| body.select_filter.is_some());
        assert_eq!(inner(r#"{"select_filter":{"place_count":"2"}}"#), Some(true));
        assert_eq!((inner(r#"{"select_filter":null}"#), inner("{}")), (Some(false), Some(false)));
        for wrong in ["[]", "[1]", "7", "\"text\"", "true"] {
            assert_eq!(inner(&format!("{{\"select_filter\":{wrong}}}")), None, "{wrong}");
        }
    }
}
