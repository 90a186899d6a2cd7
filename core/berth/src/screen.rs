//! What a terminal can show, and tables and documents for it.

use std::io::IsTerminal;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::words::OutputFormat;

/// What standard output can show.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    /// Colours may be used: it is a terminal, and nobody asked to leave them out (`NO_COLOR`).
    pub colour: bool,
    /// Its columns; `None` where nothing limits a line.
    pub width: Option<u16>,
}

impl Screen {
    /// Of this process.
    pub fn of_process() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour, width: berth_cli::Terminal::of_process().width }
    }

    /// An empty table that fits.
    pub fn table(&self, headings: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED).set_header(headings.to_vec());
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        if !self.colour {
            table.force_no_tty();
        }
        table
    }
}

/// A text of the cluster, which must not command the terminal.
pub fn harmless(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', "?")
}

/// Prints a document of the controller as it came, or `text` of it.
///
/// # Errors
/// A document that cannot be written.
pub fn show(document: &Value, form: OutputFormat, text: impl FnOnce(&Value, &Screen) -> String) -> anyhow::Result<()> {
    match form {
        OutputFormat::Json => println!("{}", serde_json::to_string_pretty(document)?),
        OutputFormat::Yaml => print!("{}", berth_cli::yaml(document)),
        OutputFormat::Text => print!("{}", text(document, &Screen::of_process())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Screen, harmless};

    #[test]
    fn a_table_fits_and_has_colours_only_where_they_are_seen() {
        let mut table = Screen { colour: false, width: Some(40) }.table(&["Job", "Waits for"]);
        table.add_row([comfy_table::Cell::new("u").fg(comfy_table::Color::Red), "one two three four five six seven eight nine".into()]);
        let text = table.to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 40) && !text.contains('\u{1b}'), "{text}");
        assert_eq!(harmless("a\u{1b}[2J\nb"), "a?[2J\nb");
    }
}
