//! The OpenAPI document (version 3.1) of all operations.

use std::collections::BTreeMap;

use berth_api::reply::ApiCallRc;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::op::{Content, Kind, Op, Param};
use super::{Operation, Routes};

/// What every failure answers.
const REFUSED: &[(u16, &str, &str)] = &[
    (400, "Unreadable", "The request cannot be read: its document, its query or its path."),
    (401, "NotSignedIn", "Whoever asks is not signed in, and has to be."),
    (403, "NotAllowed", "The role of whoever asks does not allow it, or the sign-in failed."),
    (404, "NotFound", "Something that the request names does not exist."),
    (408, "TooSlow", "The body of the request did not come in time."),
    (413, "TooLarge", "The body of the request is too large."),
    (503, "Busy", "There are too many large requests at the moment; nothing was changed."),
    (500, "Refused", "It is refused, or failed; the entries say why and what to do."),
];

/// What stands at the beginning of the document.
const ABOUT: &str = "The REST API of Berth: all operations of LINSTOR's API version 1, as its clients use them, and Berth's own under \
`/v1/berth`. A failure answers a list of entries (`ApiCallRc`): the message, its cause, and what to do. In requests, numbers and booleans \
may come as texts, and `null` stands for a member that is left out; members that are not known are left alone. Where HTTPS is on, plain \
requests are answered with 302. Every operation that changes something takes `dry_run`.";

/// What a part of a path names.
const PARTS: &[(&str, &str)] = &[
    ("node", "Name of the node."),
    ("node_a", "Name of one node."),
    ("node_b", "Name of the other node."),
    ("from", "Name of the node that gives its disk up."),
    ("interface", "Name of the net interface."),
    ("pool", "Name of the storage pool."),
    ("group", "Name of the resource group."),
    ("resource", "Name of the resource definition."),
    ("target", "Name of the clone."),
    ("number", "Number of the volume."),
    ("snapshot", "Name of the snapshot."),
    ("file", "Path of the file, percent-encoded."),
    ("key", "Key of the property, with its slashes."),
    ("store", "Name of the key-value store."),
    ("report", "Id of the error report."),
    ("token", "Number of the token."),
    ("job", "Id of the job, or the beginning of it."),
    ("kind", "Kind of the object, e.g. resource; 'any' where the names say it."),
    ("names", "Names of the object, parted by slashes."),
    ("remote", "Name of the remote."),
    ("schedule", "Name of the schedule."),
];

/// What the headings mean, in the order of the document.
pub(super) const GROUPS: &[(&str, &str)] = &[
    ("Nodes", "Machines of the cluster, their net interfaces and their storage pools."),
    ("Resource groups", "What new resources shall be like, and making them."),
    ("Resource definitions", "Names, sizes and properties of resources."),
    ("Resources", "Replicas on nodes, and their volumes."),
    ("Connections", "Properties between two nodes or two replicas."),
    ("Snapshots", "States of a resource that are kept, restored, and rolled back to."),
    ("Space", "How much would still fit."),
    ("Controller", "The controller's properties, version, key-value stores, error reports and health."),
    ("Machines", "Configuration, logs, devices and copies of the database."),
    ("Encryption", "The master passphrase."),
    ("Sign-in", "Tokens."),
    ("Files", "External files."),
    ("Events", "Streams of server-sent events."),
    ("SOS reports", "What support needs, in one archive."),
    ("Jobs", "What the controller is busy with. Berth's own."),
    ("Explanations", "What happened and why, what differs, what drifted. Berth's own."),
    ("Plugins", "What makes the volumes of storage pools, and what it may do. Berth's own."),
    ("Risk", "What would be lost, and what is at risk today. Berth's own."),
    ("Placement", "Where something would be placed, and balancing. Berth's own."),
    ("Renaming", "New names. Berth's own."),
    ("Support", "The support bundle. Berth's own."),
    ("Description", "This description of the API."),
    ("Not available", "Routes of the API for which this version has nothing; each says so, and what to do instead."),
];

/// Schemas as they are read, and as they are written.
struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = "/components/schemas".into());
        Self { read: settings().for_deserialize().into_generator(), written: settings().for_serialize().into_generator() }
    }

    /// All schemas by name. Of two with one name the written one stands; a test finds such names.
    fn take(mut self) -> Map<String, Value> {
        let (mut all, mut written) = (self.read.take_definitions(true), self.written.take_definitions(true));
        all.values_mut().for_each(|schema| tidy(schema, false));
        written.values_mut().for_each(|schema| tidy(schema, true));
        all.extend(written);
        all
    }
}

/// Names that mean one schema in requests and another one in answers.
#[cfg(test)]
pub(super) fn clashes(routes: &Routes) -> Vec<String> {
    let mut schemas = Schemas::new();
    paths(routes, &mut schemas);
    let (read, written) = (schemas.read.definitions(), schemas.written.definitions());
    read.iter().filter(|(name, schema)| written.get(*name).is_some_and(|other| other != *schema)).map(|(name, _)| name.clone()).collect()
}

/// The whole document.
pub(super) fn document(routes: &Routes) -> Value {
    let mut schemas = Schemas::new();
    let paths = paths(routes, &mut schemas);
    let entries = schemas.written.subschema_for::<Vec<ApiCallRc>>().to_value();
    let refused: Map<String, Value> = REFUSED
        .iter()
        .map(|(_, name, help)| {
            let reply = json!({ "description": help, "content": { "application/json": { "schema": entries } } });
            ((*name).to_owned(), reply)
        })
        .collect();
    let tags: Vec<Value> = GROUPS.iter().map(|(name, help)| json!({ "name": name, "description": help })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Berth",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{}, { "token": [] }, { "login": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.take(),
            "responses": refused,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "An API token." },
                "login": { "type": "http", "scheme": "basic", "description": "Name and password of the directory (LDAP)." },
            },
        },
    })
}

fn paths(routes: &Routes, schemas: &mut Schemas) -> BTreeMap<String, Map<String, Value>> {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for operation in routes.operations() {
        // A part that takes slashes is marked where it is described.
        let path = operation.path.replace("{*", "{");
        paths.entry(path).or_default().insert(operation.verb.to_owned(), described(operation, schemas));
    }
    paths
}

fn described(operation: &Operation, schemas: &mut Schemas) -> Value {
    let Op { help, query, body, replies, absent, may_miss } = &operation.op;
    let parts: Vec<&str> = operation.path.split('/').filter(|part| part.starts_with('{')).collect();
    let mut parameters: Vec<Value> = parts.iter().map(|part| path_parameter(part)).collect();
    parameters.extend(query.iter().map(query_parameter));
    let mut responses: Map<String, Value> = Map::new();
    let refused = REFUSED.iter().filter(|(status, ..)| match status {
        404 => *may_miss || !parts.is_empty(),
        408 | 413 | 503 => body.is_some(),
        _ => true,
    });
    for (status, name, _) in refused {
        responses.insert(status.to_string(), json!({ "$ref": format!("#/components/responses/{name}") }));
    }
    for (status, content) in replies {
        responses.insert(status.to_string(), response(*status, content, schemas));
    }
    let mut described = json!({
        "tags": [operation.group],
        "summary": help,
        "operationId": id(operation),
        "parameters": parameters,
        "responses": responses,
    });
    if let Some((make, needed)) = body {
        let schema = make(&mut schemas.read).to_value();
        described["requestBody"] = json!({ "required": needed, "content": { "application/json": { "schema": schema } } });
    }
    if *absent {
        described["x-berth-available"] = json!(false);
    }
    described
}

/// One word for an operation, e.g. `get_v1_nodes_node`.
fn id(operation: &Operation) -> String {
    let letters = operation.path.chars().filter(|letter| !matches!(letter, '{' | '}' | '*'));
    let words: String = letters.map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    format!("{}{}", operation.verb, words.trim_end_matches('_'))
}

fn path_parameter(part: &str) -> Value {
    let rest = part.starts_with("{*");
    let name = part.trim_matches(['{', '}', '*']);
    let help = PARTS.iter().find(|(known, _)| *known == name).map_or("", |(_, help)| help);
    // A number is not said to be one: text that is none names nothing, and is answered with 404.
    let mut parameter = json!({ "name": name, "in": "path", "required": true, "description": help, "schema": { "type": "string" } });
    if rest {
        parameter["x-berth-slashes"] = json!(true);
    }
    parameter
}

fn query_parameter(param: &Param) -> Value {
    let one = match param.kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Number => json!({ "type": "integer", "format": "int64" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
    };
    let schema = if param.many { json!({ "type": "array", "items": one }) } else { one };
    json!({ "name": param.name, "in": "query", "description": param.help, "schema": schema })
}

fn response(status: u16, content: &Content, schemas: &mut Schemas) -> Value {
    let help = match status {
        200 => "It was done, or here it is.",
        201 => "It was made.",
        304 => "It is still the same.",
        406 => "The request does not accept a stream of events.",
        503 => "It cannot be said now.",
        _ => REFUSED.iter().find(|(known, ..)| *known == status).map_or("", |(_, _, help)| help),
    };
    match content {
        Content::Empty => json!({ "description": help }),
        Content::Other(media) => json!({ "description": help, "content": { *media: { "schema": { "type": "string" } } } }),
        Content::Json(kinds) => {
            let mut all: Vec<Value> = kinds.iter().map(|make| make(&mut schemas.written).to_value()).collect();
            let schema = if all.len() == 1 { all.swap_remove(0) } else { json!({ "anyOf": all }) };
            json!({ "description": help, "content": { "application/json": { "schema": schema } } })
        }
    }
}

/// Takes out of a schema what says nothing to a reader: `null` for members that are left out instead, defaults of our types, titles, and
/// descriptions that are only the name of a document.
fn tidy(schema: &mut Value, written: bool) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("title");
    object.remove("default");
    if object
        .get("description")
        .and_then(Value::as_str)
        .is_some_and(|text| text.starts_with('`') && text.trim_matches(['`', '.']).find('`').is_none())
    {
        object.remove("description");
    }
    let needed: Vec<String> =
        object.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if let Some(members) = object.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, member) in members.iter_mut() {
            // What is written without being left out may be null; a request may leave out what is null.
            if !written || !needed.contains(name) {
                not_null(member);
            }
            tidy(member, written);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(key) {
            tidy(inner, written);
        }
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().for_each(|inner| tidy(inner, written));
    }
}

/// The same schema without `null`.
fn not_null(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(kinds)) = object.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [one] = kinds.as_slice() {
            let one = one.clone();
            object.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(kinds)) = object.get_mut("anyOf") {
        kinds.retain(|kind| kind.get("type").is_none_or(|kind| kind != "null"));
        if let [Value::Object(one)] = kinds.as_slice() {
            let one = one.clone();
            object.remove("anyOf");
            object.extend(one);
        }
    }
}
