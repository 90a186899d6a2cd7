//! `-o`: the forms of output beside tables for people and LINSTOR's `-m`.

use serde_json::Value;

use crate::table::Table;

/// What `-o` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The document of the REST API as it is, not wrapped as `-m` does.
    Json,
    /// The same as YAML.
    Yaml,
    /// The table with all its columns, comma-separated (RFC 4180), headings first.
    Csv,
    /// The table with all its columns, as wide as it gets.
    Wide,
}

/// The words for them.
pub const FORMATS: [&str; 4] = ["json", "yaml", "csv", "wide"];

impl Format {
    /// Reads one of [`FORMATS`].
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "json" => Some(Self::Json),
            "yaml" => Some(Self::Yaml),
            "csv" => Some(Self::Csv),
            "wide" => Some(Self::Wide),
            _ => None,
        }
    }
}

/// A table as CSV. Cells of several lines keep them, quoted.
pub fn csv(table: &Table) -> String {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    let written = writer
        .write_record(&table.headings)
        .and_then(|()| table.rows.iter().try_for_each(|row| writer.write_record(row.iter().map(|cell| cell.text.as_bytes()))));
    // Writing to memory fails only for rows of unequal length; what came before is still true.
    match (written, writer.into_inner()) {
        (_, Ok(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        (_, Err(_)) => String::new(),
    }
}

/// A document as YAML 1.2, in blocks. Texts are quoted as in JSON wherever they could be taken for something else.
pub fn yaml(document: &Value) -> String {
    let mut out = String::new();
    match document {
        Value::Array(items) if !items.is_empty() => list(&mut out, items, 0),
        Value::Object(members) if !members.is_empty() => map(&mut out, members, 0),
        scalar => {
            out.push_str(&inline(scalar));
            out.push('\n');
        }
    }
    out
}

fn list(out: &mut String, items: &[Value], depth: usize) {
    for item in items {
        out.push_str(&"  ".repeat(depth));
        out.push('-');
        match item {
            // The first member stands beside the dash, the others below it.
            Value::Object(members) if !members.is_empty() => {
                let mut block = String::new();
                map(&mut block, members, depth + 1);
                out.push(' ');
                out.push_str(block.trim_start_matches(' '));
            }
            Value::Array(inner) if !inner.is_empty() => {
                out.push('\n');
                list(out, inner, depth + 1);
            }
            scalar => out.push_str(&format!(" {}\n", inline(scalar))),
        }
    }
}

fn map(out: &mut String, members: &serde_json::Map<String, Value>, depth: usize) {
    for (key, value) in members {
        out.push_str(&format!("{}{}:", "  ".repeat(depth), text(key)));
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                map(out, inner, depth + 1);
            }
            Value::Array(inner) if !inner.is_empty() => {
                out.push('\n');
                list(out, inner, depth + 1);
            }
            scalar => out.push_str(&format!(" {}\n", inline(scalar))),
        }
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(plain) => text(plain),
        other => other.to_string(),
    }
}

/// A text without quotes only where every reader takes it for a text: words that begin with a letter, and are no word of YAML's own.
fn text(plain: &str) -> String {
    const WORDS: [&str; 12] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf", "~"];
    let harmless = plain.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_')
        && plain.chars().all(|c| c.is_ascii_alphanumeric() || "_-/.".contains(c))
        && !WORDS.contains(&plain.to_ascii_lowercase().as_str());
    if harmless { plain.to_owned() } else { Value::String(plain.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{csv, yaml};
    use crate::table::Table;

    #[test]
    fn documents_become_yaml() {
        let document = json!([
            {"flags": [], "name": "web", "on": null, "props": {"Aux/a": "1", "DrbdOptions/auto-quorum": "off"}, "size": 5},
            {"deep": [[1, 2], {"x": true}], "nodes": ["a", "b c"]}
        ]);
        let expected = "\
- flags: []
  name: web
  \"on\": null
  props:
    Aux/a: \"1\"
    DrbdOptions/auto-quorum: \"off\"
  size: 5
- deep:
    -
      - 1
      - 2
    - x: true
  nodes:
    - a
    - \"b c\"
";
        assert_eq!(yaml(&document), expected);
        assert_eq!(yaml(&json!([])), "[]\n");
        assert_eq!(yaml(&json!("a: b")), "\"a: b\"\n");
    }

    #[test]
    fn tables_become_csv() {
        let mut table = Table::new(["Name", "Text"]);
        table.rows.push(vec!["a".into(), "x, \"y\"\nz".into()]);
        assert_eq!(csv(&table), "Name,Text\na,\"x, \"\"y\"\"\nz\"\n");
    }
}
