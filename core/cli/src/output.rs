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

/// A document as YAML, in blocks. A text that an older reader could take for something else (`on`, `1:30`) stands in quotes.
pub fn yaml(document: &Value) -> String {
    // A text of several lines stays on one, with escapes, so that each line of the output is a member.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    // Only options that do not fit each other fail, and JSON is YAML, too.
    serde_saphyr::to_string_with_options(document, options).unwrap_or_else(|_| format!("{document}\n"))
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
  - - 1
    - 2
  - x: true
  nodes:
  - a
  - b c
";
        assert_eq!(yaml(&document), expected);
        assert_eq!(yaml(&json!([])), "[]\n");
        // Words that older readers take for something else, and texts of several lines.
        assert_eq!(yaml(&json!(["on", "1:30", "0x1"])), "- \"on\"\n- \"1:30\"\n- \"0x1\"\n");
        assert_eq!(yaml(&json!({"text": "a\nb"})), "text: \"a\\nb\"\n");
    }

    #[test]
    fn tables_become_csv() {
        let mut table = Table::new(["Name", "Text"]);
        table.rows.push(vec!["a".into(), "x, \"y\"\nz".into()]);
        assert_eq!(csv(&table), "Name,Text\na,\"x, \"\"y\"\"\nz\"\n");
    }
}
