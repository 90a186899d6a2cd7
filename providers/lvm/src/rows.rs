//! Reads what `lvs` and `vgs` print with `--reportformat json`: objects of texts in lists, and nothing else.
//!
//! A small reader of its own: a provider has no JSON library in its contract, and this is all that LVM prints.

/// One row: column and text.
pub type Row = Vec<(String, String)>;

/// Rows of the list `list` (`lv`, `vg`) of a report; `None`: it is no such report.
pub fn rows(text: &str, list: &str) -> Option<Vec<Row>> {
    let start = text.find(&format!("\"{list}\""))?;
    let mut rest = text.get(start..)?.split_once('[')?.1;
    let mut all = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if rest.starts_with(']') {
            return Some(all);
        }
        rest = rest.strip_prefix('{')?;
        let mut row = Row::new();
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (key, after) = string(rest)?;
            let (value, after) = string(after.trim_start().strip_prefix(':')?.trim_start())?;
            row.push((key, value));
            rest = after;
        }
        all.push(row);
    }
}

/// A text in quotes, and what follows.
fn string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let body = text.strip_prefix('"')?;
    let mut rest = body.char_indices();
    while let Some((at, c)) = rest.next() {
        match c {
            '"' => return Some((value, body.get(at.checked_add(1)?..)?)),
            '\\' => match rest.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
    None
}

/// A column of a row; empty if it is missing.
pub fn column<'a>(row: &'a Row, key: &str) -> &'a str {
    row.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
}

/// The whole part of a number like `0.05` or `134217728`; 0 if it is none.
pub fn number(text: &str) -> u64 {
    text.split('.').next().and_then(|whole| whole.parse().ok()).unwrap_or(0)
}

/// A share in hundredths of a percent: `11.04` is 1104.
pub fn share(text: &str) -> u64 {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let part: String = part.chars().chain("00".chars()).take(2).collect();
    number(whole).saturating_mul(100).saturating_add(number(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_as_lvm_prints_it_is_read() {
        let text = "  {\n      \"report\": [\n          {\n              \"lv\": [\n                  {\"lv_name\":\"r_00000\", \"lv_size\":\"134217728\", \"data_percent\":\"0.05\"},\n                  {\"lv_name\":\"a\\\"b\", \"lv_size\":\"\", \"data_percent\":\"\"}\n              ]\n          }\n      ]\n  }\n";
        let all = rows(text, "lv").unwrap();
        assert_eq!((all.len(), column(&all[0], "lv_name"), number(column(&all[0], "lv_size"))), (2, "r_00000", 134_217_728));
        assert_eq!((column(&all[1], "lv_name"), column(&all[1], "no")), ("a\"b", ""));
        assert_eq!(rows("{\"report\":[{\"lv\":[]}]}", "lv"), Some(Vec::new()));
        assert_eq!((share("11.04"), share("0.05"), share("100.00"), share(""), share("7")), (1104, 5, 10_000, 0, 700));
        for bad in ["", "{", "{\"lv\":", "{\"lv\":[{", "{\"lv\":[{\"a\"", "{\"lv\":[{\"a\":1}]", "{\"lv\":[{\"a\":\"b\"}"] {
            assert_eq!(rows(bad, "lv"), None, "{bad}");
        }
    }
}
