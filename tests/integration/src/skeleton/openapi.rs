//! Reads the facts of an OpenAPI document, version 3.0 or 3.1.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use super::shape::Raw;
use super::{Member, Operation, Param, Place, Shape, Skeleton};

/// How deep schemas may lie in each other without a name.
const DEPTH: usize = 40;
const VERBS: [&str; 8] = ["get", "put", "post", "delete", "patch", "options", "head", "trace"];

impl Skeleton {
    /// Takes operations, and all schemas of documents with members.
    ///
    /// # Errors
    /// What in the document cannot be understood.
    pub fn from_openapi(document: &Value) -> Result<Self> {
        let mut reader = Reader { document, types: BTreeMap::new() };
        let mut operations = BTreeMap::new();
        for (path, item) in object(document, "/paths") {
            let shared = parameters(item);
            for verb in VERBS {
                let Some(described) = item.get(verb) else { continue };
                let place = Place { path: with_slashes(path, described), verb: verb.to_ascii_uppercase() };
                let operation = reader.operation(described, &shared).with_context(|| format!("{} {path}", place.verb))?;
                operations.insert(place, operation);
            }
        }
        for (name, schema) in object(document, "/components/schemas") {
            reader.shape(schema, name, 0).with_context(|| name.clone())?;
        }
        Ok(Self { operations, types: reader.types })
    }
}

fn object<'d>(document: &'d Value, pointer: &str) -> impl Iterator<Item = (&'d String, &'d Value)> {
    document.pointer(pointer).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn parameters(item: &Value) -> Vec<&Value> {
    item.get("parameters").and_then(Value::as_array).into_iter().flatten().collect()
}

/// The path, with `{*name}` for a parameter that takes slashes: in an OpenAPI document that stands beside it.
fn with_slashes(path: &str, described: &Value) -> String {
    parameters(described)
        .into_iter()
        .filter(|parameter| parameter.get("x-berth-slashes").and_then(Value::as_bool) == Some(true))
        .filter_map(|parameter| parameter.get("name").and_then(Value::as_str))
        .fold(path.to_owned(), |path, name| path.replace(&format!("{{{name}}}"), &format!("{{*{name}}}")))
}

struct Reader<'d> {
    document: &'d Value,
    types: BTreeMap<String, BTreeMap<String, Member>>,
}

impl<'d> Reader<'d> {
    /// What a reference means, and its last name.
    fn resolve(&self, value: &'d Value) -> Result<(&'d Value, Option<&'d str>)> {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return Ok((value, None)) };
        let pointer = reference.strip_prefix('#').context("a reference into another document")?;
        let meant = self.document.pointer(pointer).with_context(|| format!("'{reference}' leads nowhere"))?;
        Ok((meant, pointer.rsplit('/').next()))
    }

    fn operation(&mut self, described: &'d Value, shared: &[&'d Value]) -> Result<Operation> {
        let mut operation = Operation::default();
        for parameter in shared.iter().copied().chain(parameters(described)) {
            let (parameter, _) = self.resolve(parameter)?;
            if parameter.get("in").and_then(Value::as_str) != Some("query") {
                continue;
            }
            let name = parameter.get("name").and_then(Value::as_str).context("a parameter without a name")?;
            let shape = self.shape(parameter.get("schema").unwrap_or(&Value::Null), name, 0)?;
            let param = match shape {
                Shape::List(inner) => Param { many: true, shape: *inner },
                shape => Param { many: false, shape },
            };
            operation.query.insert(name.to_owned(), param);
        }
        if let Some(body) = described.get("requestBody") {
            let (body, _) = self.resolve(body)?;
            let needed = body.get("required").and_then(Value::as_bool).unwrap_or(false);
            operation.body = Some((self.content(body)?, !needed));
        }
        for (status, reply) in described.get("responses").and_then(Value::as_object).into_iter().flatten() {
            let (reply, _) = self.resolve(reply)?;
            operation.replies.insert(status.parse().with_context(|| format!("the status '{status}'"))?, self.content(reply)?);
        }
        Ok(operation)
    }

    /// The form of a body by its media type.
    fn content(&mut self, holder: &'d Value) -> Result<Shape> {
        let Some((media, content)) = holder.get("content").and_then(Value::as_object).and_then(|kinds| kinds.iter().next()) else {
            return Ok(Shape::Raw(Raw::Plain));
        };
        match media.split(';').next().unwrap_or_default() {
            "application/json" => self.shape(content.get("schema").unwrap_or(&Value::Null), "Inline", 0),
            "text/event-stream" => Ok(Shape::Raw(Raw::Events)),
            text if text.starts_with("text/") || text.starts_with("application/openmetrics") => Ok(Shape::Raw(Raw::Plain)),
            _ => Ok(Shape::Raw(Raw::Bytes)),
        }
    }

    /// The form of a schema; what has members becomes a type called `name`, unless it has a name of its own.
    fn shape(&mut self, schema: &'d Value, name: &str, depth: usize) -> Result<Shape> {
        ensure!(depth < DEPTH, "schemas lie too deep in each other");
        let (schema, own) = self.resolve(schema)?;
        let name = own.unwrap_or(name);
        for key in ["oneOf", "anyOf"] {
            if let Some(choices) = schema.get(key).and_then(Value::as_array) {
                let shapes = choices.iter().enumerate().map(|(at, choice)| self.shape(choice, &format!("{name}.{at}"), depth + 1));
                return Ok(Shape::one_of(shapes.collect::<Result<Vec<_>>>()?));
            }
        }
        let kinds: Vec<&str> = match schema.get("type") {
            Some(Value::String(kind)) => vec![kind],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            _ if schema.get("properties").is_some() || schema.get("allOf").is_some() => vec!["object"],
            _ => return Ok(Shape::Any),
        };
        let mut shapes = kinds.into_iter().map(|kind| self.kind(kind, schema, name, depth)).collect::<Result<Vec<_>>>()?;
        if schema.get("nullable").and_then(Value::as_bool) == Some(true) {
            shapes.push(Shape::Null);
        }
        Ok(Shape::one_of(shapes))
    }

    fn kind(&mut self, kind: &str, schema: &'d Value, name: &str, depth: usize) -> Result<Shape> {
        Ok(match kind {
            "string" => {
                let words = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
                let mut words: Vec<String> = words.filter_map(Value::as_str).map(ToOwned::to_owned).collect();
                words.sort();
                Shape::Text(words)
            }
            "integer" => Shape::Int,
            "number" => Shape::Number,
            "boolean" => Shape::Bool,
            "null" => Shape::Null,
            "array" => Shape::List(Box::new(self.shape(schema.get("items").unwrap_or(&Value::Null), name, depth + 1)?)),
            _ if schema.get("properties").is_some() || schema.get("allOf").is_some() => {
                let type_name = capital(name);
                if !self.types.contains_key(&type_name) {
                    // There before its members are read: a document may hold itself.
                    self.types.insert(type_name.clone(), BTreeMap::new());
                    let mut members = BTreeMap::new();
                    self.members(schema, name, depth, &mut members)?;
                    self.types.insert(type_name.clone(), members);
                }
                Shape::Named(type_name)
            }
            _ => match schema.get("additionalProperties") {
                Some(inner @ Value::Object(_)) => Shape::Map(Box::new(self.shape(inner, name, depth + 1)?)),
                _ => Shape::Map(Box::new(Shape::Any)),
            },
        })
    }

    /// Adds the members of a schema, those of what it is put together of too.
    fn members(&mut self, schema: &'d Value, name: &str, depth: usize, into: &mut BTreeMap<String, Member>) -> Result<()> {
        ensure!(depth < DEPTH, "schemas lie too deep in each other");
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            let (part, _) = self.resolve(part)?;
            self.members(part, name, depth + 1, into)?;
        }
        let needed: Vec<&str> = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        for (member, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let shape = self.shape(inner, &format!("{name}.{member}"), depth + 1)?;
            into.insert(member.clone(), Member { shape, always: needed.contains(&member.as_str()) });
        }
        Ok(())
    }
}

/// A name that begins as names of types do.
fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn facts_are_read_of_either_version() {
        let document = json!({
            "paths": { "/v1/a/{a}": {
                "parameters": [{ "name": "a", "in": "path", "schema": { "type": "string" } }],
                "post": {
                    "parameters": [{ "$ref": "#/components/parameters/Limit" },
                                   { "name": "n", "in": "query", "schema": { "type": "array", "items": { "type": "string" } } }],
                    "requestBody": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/A" } } } },
                    "responses": { "200": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/List" } } } },
                                   "500": { "description": "no" } },
                },
            } },
            "components": {
                "parameters": { "Limit": { "name": "limit", "in": "query", "schema": { "type": "integer" } } },
                "schemas": {
                    "List": { "type": "array", "items": { "$ref": "#/components/schemas/A" } },
                    "B": { "properties": { "b": { "type": ["string", "null"] } }, "required": ["b"] },
                    "A": { "allOf": [{ "$ref": "#/components/schemas/B" }, { "type": "object", "properties": {
                        "self": { "$ref": "#/components/schemas/A" },
                        "word": { "type": "string", "enum": ["y", "x"] },
                        "inner": { "type": "array", "items": { "type": "object", "properties": { "c": { "type": "boolean" } } } },
                        "map": { "type": "object", "additionalProperties": { "type": "integer" }, "nullable": true },
                    } }] },
                },
            },
        });
        let text = Skeleton::from_openapi(&document).unwrap().to_text();
        let wanted = "op\tPOST\t/v1/a/{a}\tlimit=int n*=text\tA?\t200=[A]\t500=plain\n\
                      type\tA\tb\ttext/null\talways\n\
                      type\tA\tinner\t[A.inner]\tmaybe\n\
                      type\tA\tmap\tnull/{int}\tmaybe\n\
                      type\tA\tself\tA\tmaybe\n\
                      type\tA\tword\ttext(x|y)\tmaybe\n\
                      type\tA.inner\tc\tbool\tmaybe\n\
                      type\tB\tb\ttext/null\talways\n";
        assert_eq!(text, wanted);
    }
}
