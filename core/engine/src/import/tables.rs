//! The tables of an export: rows of named columns, read leniently.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::ImportError;

/// All tables by name.
#[derive(Debug)]
pub(super) struct Tables {
    rows: BTreeMap<String, Vec<Row>>,
    /// What wrote them.
    pub release: String,
}

/// One row; a column that is missing is null.
#[derive(Debug)]
pub(super) struct Row(Map<String, Value>);

impl Tables {
    pub(super) fn parse(document: &str) -> Result<Self, ImportError> {
        let value: Value = serde_json::from_str(document).map_err(|error| ImportError::NotJson(error.to_string()))?;
        let Value::Object(mut top) = value else { return Err(ImportError::NotAnExport("it is not an object")) };
        let Some(Value::Array(list)) = top.remove("tables") else { return Err(ImportError::NotAnExport("it has no list 'tables'")) };
        let release = top.get("linstor_version").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut rows = BTreeMap::new();
        for table in list {
            let Value::Object(mut table) = table else { return Err(ImportError::NotAnExport("a table is not an object")) };
            let (Some(Value::String(name)), Some(Value::Array(data))) = (table.remove("name"), table.remove("data")) else {
                return Err(ImportError::NotAnExport("a table has no 'name' or no list 'data'"));
            };
            let objects = data.into_iter().map(|row| match row {
                Value::Object(row) => Ok(Row(row)),
                _ => Err(ImportError::NotAnExport("a row is not an object")),
            });
            rows.insert(name.to_ascii_uppercase(), objects.collect::<Result<Vec<_>, _>>()?);
        }
        if !rows.contains_key("NODES") || !rows.contains_key("PROPS_CONTAINERS") {
            return Err(ImportError::NotAnExport("it has no table NODES or PROPS_CONTAINERS"));
        }
        Ok(Self { rows, release })
    }

    /// The rows of a table; none if the release had no such table.
    pub(super) fn rows(&self, table: &str) -> &[Row] {
        self.rows.get(table).map_or(&[], Vec::as_slice)
    }

    /// Names of all tables with their rows.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &[Row])> {
        self.rows.iter().map(|(name, rows)| (name.as_str(), rows.as_slice()))
    }
}

impl Row {
    /// A text; empty: null, or not a text.
    pub(super) fn text(&self, column: &str) -> &str {
        self.0.get(column).and_then(Value::as_str).unwrap_or_default()
    }

    /// A number.
    pub(super) fn number(&self, column: &str) -> Option<i64> {
        self.0.get(column).and_then(Value::as_i64)
    }

    /// The bits of a column of flags; none if it is null.
    pub(super) fn bits(&self, column: &str) -> i64 {
        self.number(column).unwrap_or(0)
    }

    /// Yes or no; `None`: null.
    pub(super) fn truth(&self, column: &str) -> Option<bool> {
        self.0.get(column).and_then(Value::as_bool)
    }

    /// A list of texts, which is JSON in a text; `None`: null or unreadable. Empty lists stand for "not set" in the export.
    pub(super) fn list(&self, column: &str) -> Option<Vec<String>> {
        serde_json::from_str::<Vec<String>>(self.text(column)).ok().filter(|list| !list.is_empty())
    }

    /// A map from text to number, which is JSON in a text; `None`: null, unreadable or empty.
    pub(super) fn map(&self, column: &str) -> Option<BTreeMap<String, i32>> {
        serde_json::from_str::<BTreeMap<String, i32>>(self.text(column)).ok().filter(|map| !map.is_empty())
    }

    /// The id in the column `uuid`.
    pub(super) fn uuid(&self) -> Option<Uuid> {
        Uuid::parse_str(self.text("uuid")).ok()
    }

    /// The spelling that people see, or else the key.
    pub(super) fn name(&self, shown: &str, key: &str) -> &str {
        match self.text(shown) {
            "" => self.text(key),
            name => name,
        }
    }
}
