//! Whether a value has a form.

use serde_json::Value;

use super::{Shape, Skeleton};

/// Adds what is not right about `value`, each fault with its place (`at`).
pub fn check(skeleton: &Skeleton, shape: &Shape, value: &Value, at: &str, faults: &mut Vec<String>) {
    let mut wrong = |wanted: &str| faults.push(format!("{}: {} stands where {wanted} belongs", place(at), kind(value)));
    match (shape, value) {
        (Shape::Any | Shape::Raw(_), _)
        | (Shape::Bool, Value::Bool(_))
        | (Shape::Null, Value::Null)
        | (Shape::Number, Value::Number(_)) => {}
        (Shape::Int, Value::Number(number)) if number.is_i64() || number.is_u64() => {}
        (Shape::Text(words), Value::String(text)) => {
            if !words.is_empty() && !words.contains(text) {
                faults.push(format!("{}: '{text}' is none of {}", place(at), words.join(", ")));
            }
        }
        (Shape::List(inner), Value::Array(list)) => {
            for (number, one) in list.iter().enumerate() {
                check(skeleton, inner, one, &format!("{at}[{number}]"), faults);
            }
        }
        (Shape::Map(inner), Value::Object(map)) => {
            for (name, one) in map {
                check(skeleton, inner, one, &format!("{at}.{name}"), faults);
            }
        }
        (Shape::Named(name), Value::Object(map)) => {
            let Some(members) = skeleton.types.get(name) else {
                faults.push(format!("{}: there is no type {name}", place(at)));
                return;
            };
            for (member, is) in members {
                match map.get(member) {
                    Some(one) => check(skeleton, &is.shape, one, &format!("{at}.{member}"), faults),
                    None if is.always => faults.push(format!("{}: '{member}' is missing in {name}", place(at))),
                    None => {}
                }
            }
            for member in map.keys().filter(|member| !members.contains_key(*member)) {
                faults.push(format!("{}: {name} has no member '{member}'", place(at)));
            }
        }
        (Shape::OneOf(shapes), value) => {
            let tried = shapes.iter().map(|shape| {
                let mut inner = Vec::new();
                check(skeleton, shape, value, at, &mut inner);
                inner
            });
            // What comes nearest says what is wrong.
            if let Some(best) = tried.min_by_key(Vec::len).filter(|best| !best.is_empty()) {
                faults.extend(best);
            }
        }
        (Shape::Bool, _) => wrong("true or false"),
        (Shape::Null, _) => wrong("null"),
        (Shape::Number, _) => wrong("a number"),
        (Shape::Int, _) => wrong("a whole number"),
        (Shape::Text(_), _) => wrong("a text"),
        (Shape::List(_), _) => wrong("a list"),
        (Shape::Map(_), _) => wrong("an object"),
        (Shape::Named(name), _) => wrong(name),
    }
}

fn place(at: &str) -> &str {
    if at.is_empty() { "the document" } else { at }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
