//! The small part of the INI form that LINSTOR's client files use.

use std::collections::BTreeMap;

/// Keys and values of one section, in the order of the file.
pub type Section = Vec<(String, String)>;

/// A line that is neither a section nor `key = value`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: '{text}' is neither a [section] nor key = value")]
pub struct BadLine {
    /// Counted from one.
    pub line: usize,
    /// The line.
    pub text: String,
}

/// Reads `[section]`, `key = value` or `key: value`, comments with `#` or `;`, and values that go on in indented lines.
/// Keys are in lower case; a key before the first section belongs to the section with the empty name.
pub fn parse(text: &str) -> Result<BTreeMap<String, Section>, BadLine> {
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let mut current = String::new();
    for (at, raw) in text.lines().enumerate() {
        let line = raw.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let last = sections.get_mut(&current).and_then(|section| section.last_mut());
        if let (true, Some((_, value))) = (raw.starts_with([' ', '\t']), last) {
            value.push('\n');
            value.push_str(line);
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = name.trim().to_owned();
            sections.entry(current.clone()).or_default();
        } else {
            let (key, value) = match line.find(['=', ':']) {
                Some(at) if at > 0 => (&line[..at], line[at + 1..].trim()),
                Some(_) => return Err(BadLine { line: at + 1, text: line.to_owned() }),
                None if line.contains(char::is_whitespace) => return Err(BadLine { line: at + 1, text: line.to_owned() }),
                None => (line, ""),
            };
            sections.entry(current.clone()).or_default().push((key.trim().to_ascii_lowercase(), value.to_owned()));
        }
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_client_file() {
        let text = "# c\n[global]\ncontrollers=alice,bob\nno-color\n\n[node.list]\nshow-props = [\"Aux/a\",\n   \"Aux/b\"]\n; end\n";
        let sections = parse(text).expect("parses");
        assert_eq!(sections["global"], [("controllers".to_owned(), "alice,bob".to_owned()), ("no-color".to_owned(), String::new())]);
        assert_eq!(sections["node.list"], [("show-props".to_owned(), "[\"Aux/a\",\n\"Aux/b\"]".to_owned())]);
    }

    #[test]
    fn nonsense_is_named_with_its_line() {
        assert_eq!(parse("[global]\nwhat is this\n").expect_err("refused").line, 2);
        assert!(parse("= x").is_err());
    }
}
