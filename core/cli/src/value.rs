//! Ways to look into a JSON document that may lack anything.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

/// The text of a member; empty if it is missing or no text.
pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A member as people read it: texts as they are, numbers and truth values written out, anything else empty.
pub fn shown(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => String::new(),
    }
}

/// A member that counts; `None` if it is missing or negative.
pub fn count(value: &Value, key: &str) -> Option<u64> {
    value.get(key).and_then(Value::as_u64)
}

/// The elements of a member; none if it is missing or no list.
pub fn items<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).map(rows).unwrap_or_default()
}

/// The elements of a list; none if it is no list.
pub fn rows(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The texts in a list member.
pub fn texts<'v>(value: &'v Value, key: &str) -> Vec<&'v str> {
    items(value, key).iter().filter_map(Value::as_str).collect()
}

/// Whether the object has a flag.
pub fn flagged(value: &Value, flag: &str) -> bool {
    items(value, "flags").iter().any(|have| have.as_str() == Some(flag))
}

/// A property of the object.
pub fn prop<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get("props").map(|props| text(props, key)).unwrap_or_default()
}

/// Milliseconds since 1970 as local time, `YYYY-MM-DD HH:MM:SS`; empty if there are none.
pub fn local_time(ms: Option<i64>) -> String {
    ms.and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .map(|time| time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default()
}

/// A moment in RFC 3339 as local time: without its date if that is today; as it is if it is no moment.
pub fn local_moment(text: &str) -> String {
    let Ok(moment) = text.parse::<Timestamp>() else { return text.to_owned() };
    let (moment, today) = (moment.to_zoned(TimeZone::system()), Timestamp::now().to_zoned(TimeZone::system()).date());
    moment.strftime(if moment.date() == today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" }).to_string()
}

/// The kinds of layers from top to bottom, following the first child of each.
pub fn layers(resource: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    let mut layer = resource.get("layer_object");
    while let Some(object) = layer {
        found.push(text(object, "type"));
        layer = items(object, "children").first();
    }
    found.retain(|kind| !kind.is_empty());
    found
}
