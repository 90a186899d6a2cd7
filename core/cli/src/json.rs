//! Prints JSON as it was received, only indented: no number is rounded, no key reordered.

use serde::de::IgnoredAny;

/// Re-indents a JSON text with two blanks a level, `,` at line ends and `": "` between key and value; empty lists and maps
/// stay on one line and characters beyond ASCII are written as `\u` escapes. `None` if the text is not JSON.
pub fn indent(raw: &[u8]) -> Option<String> {
    serde_json::from_slice::<IgnoredAny>(raw).ok()?;
    let text = std::str::from_utf8(raw).ok()?;
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0usize;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                out.push('"');
                copy_string(&mut chars, &mut out);
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                match chars.next_if(|c| matches!(c, '}' | ']')) {
                    Some(close) => out.push(close),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    Some(out)
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// Copies the rest of a string up to and with its closing quote.
fn copy_string(chars: &mut impl Iterator<Item = char>, out: &mut String) {
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                out.push('\\');
                out.extend(chars.next());
            }
            '"' => {
                out.push('"');
                return;
            }
            c if c.is_ascii() => out.push(c),
            c => {
                let mut units = [0u16; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::indent;

    #[test]
    fn keys_keep_their_order_and_numbers_their_digits() {
        let raw = r#"[{"z":1.10,"a":[],"m":{ },"s":"a\"b:,{ü€😀","n":[1,null]}]"#.as_bytes();
        let expected = "[\n  {\n    \"z\": 1.10,\n    \"a\": [],\n    \"m\": {},\n    \"s\": \"a\\\"b:,{\\u00fc\\u20ac\\ud83d\\ude00\",\n    \"n\": [\n      1,\n      null\n    ]\n  }\n]";
        assert_eq!(indent(raw).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_not_json_is_not_printed_as_json() {
        assert_eq!(indent(b"<html>"), None);
        assert_eq!(indent(b"{\"a\":"), None);
    }
}
