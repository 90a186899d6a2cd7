//! What a terminal can show, and what Berth's own words print on it: tables drawn and written as those of LINSTOR's lists.

use std::io::IsTerminal;

use berth_cli::{Cell, Screen, Table};
use berth_client::Response;
use serde_json::Value;

use crate::words::OutputFormat;

/// Heading of the column that tells the tables of a page apart.
const TABLE: &str = "Table";

/// What standard output can show.
pub fn of_process() -> Screen {
    let terminal = std::io::stdout().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Screen { colour, utf8: true, width: berth_cli::Terminal::of_process().width }
}

/// A text of the cluster, which must not command the terminal.
pub fn harmless(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', "?")
}

/// A row of plain cells.
pub fn row<T: Into<Cell>>(cells: impl IntoIterator<Item = T>) -> Vec<Cell> {
    cells.into_iter().map(Into::into).collect()
}

/// What an answer looks like, for people and as rows for a program.
#[derive(Debug, Default)]
pub struct Page(Vec<Part>);

#[derive(Debug)]
enum Part {
    /// For people alone: what the rows say, too.
    Text(String),
    /// What belongs to the rows and is none of them. Where rows are written, it goes to standard error.
    Note(String),
    /// Rows with a title, or none at all where there are none.
    Table { title: String, name: Option<String>, table: Table },
    /// Rows of what [`Part::Text`] says.
    Rows { name: Option<String>, table: Table },
}

impl Page {
    /// Adds text that people read in the place of rows.
    pub fn text(&mut self, text: impl Into<String>) {
        self.0.push(Part::Text(text.into()));
    }

    /// The page with one table.
    pub fn with(mut self, table: Table) -> Self {
        self.list(table);
        self
    }

    /// Adds a line beside the rows.
    pub fn note(&mut self, text: impl Into<String>) {
        self.0.push(Part::Note(text.into()));
    }

    /// Puts a line for people above everything.
    pub fn before(&mut self, text: impl Into<String>) {
        self.0.insert(0, Part::Text(text.into()));
    }

    /// Adds the only table.
    pub fn list(&mut self, table: Table) {
        self.0.push(Part::Table { title: String::new(), name: None, table });
    }

    /// Adds one of several tables. `title`: what people read above it, if it has any rows.
    pub fn section(&mut self, name: impl Into<String>, title: impl Into<String>, table: Table) {
        self.0.push(Part::Table { title: title.into(), name: Some(name.into()), table });
    }

    /// Adds rows of what people read as text; `name` as in [`Page::section`].
    pub fn rows(&mut self, name: Option<&str>, table: Table) {
        self.0.push(Part::Rows { name: name.map(str::to_owned), table });
    }

    /// Whether people would see nothing at all.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|part| match part {
            Part::Text(text) | Part::Note(text) => text.is_empty(),
            Part::Table { table, .. } => table.rows.is_empty(),
            Part::Rows { .. } => true,
        })
    }

    /// The page for people.
    pub fn for_people(&self, screen: Screen) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) | Part::Note(text) => out.push_str(&harmless(text)),
                Part::Table { title, table, .. } if !table.rows.is_empty() => {
                    out.push_str(&format!("{}{}", harmless(title), table.text(screen)));
                }
                Part::Table { .. } | Part::Rows { .. } => {}
            }
        }
        out
    }

    /// All its rows as one table. Where it has several, each row names its own first, and has the columns of all.
    fn table(&self) -> Table {
        let tables = self.0.iter().filter_map(|part| match part {
            Part::Table { name, table, .. } | Part::Rows { name, table } => Some((name, table)),
            Part::Text(_) | Part::Note(_) => None,
        });
        let mut all = Table::default();
        for (name, table) in tables {
            let named = name.iter().map(|name| (TABLE, Cell::from(name.as_str())));
            let columns: Vec<&str> = named.clone().map(|(heading, _)| heading).chain(table.headings.iter().map(String::as_str)).collect();
            for column in &columns {
                if !all.headings.iter().any(|heading| heading == column) {
                    all.headings.push((*column).to_owned());
                }
            }
            for row in &table.rows {
                let cells: Vec<Cell> = named.clone().map(|(_, cell)| cell).chain(row.iter().cloned()).collect();
                let cell = |heading: &String| columns.iter().position(|column| column == heading).and_then(|at| cells.get(at).cloned());
                all.rows.push(all.headings.iter().map(|heading| cell(heading).unwrap_or_default()).collect());
            }
        }
        // A table that came later may have brought columns.
        let width = all.headings.len();
        all.rows.iter_mut().for_each(|row| row.resize(width, Cell::default()));
        all
    }

    /// What stands beside the rows.
    fn notes(&self) -> String {
        self.0.iter().filter_map(|part| if let Part::Note(text) = part { Some(harmless(text)) } else { None }).collect()
    }
}

/// Prints a document of the controller as it came, or the page of it.
///
/// # Errors
/// A document that cannot be written.
pub fn show(document: &Value, form: OutputFormat, page: impl FnOnce(&Value) -> Page) -> anyhow::Result<()> {
    let screen = of_process();
    match form {
        OutputFormat::Json => println!("{}", serde_json::to_string_pretty(document)?),
        OutputFormat::Yaml => print!("{}", berth_cli::yaml(document)),
        OutputFormat::Text => print!("{}", page(document).for_people(screen)),
        OutputFormat::Wide => print!("{}", page(document).for_people(Screen { width: None, ..screen })),
        OutputFormat::Csv => {
            let page = page(document);
            print!("{}", berth_cli::csv(&page.table()));
            eprint!("{}", page.notes());
        }
    }
    Ok(())
}

/// Prints the entries of an answer to a change; `text`: as people read them.
///
/// # Errors
/// As [`show`].
pub fn show_replies(answer: &Response, form: OutputFormat, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    show(&answer.json().unwrap_or_default(), form, |document| {
        let mut page = Page::default();
        page.text(text());
        page.rows(None, berth_cli::replies(document.as_array().map(Vec::as_slice).unwrap_or_default()));
        page
    })
}

#[cfg(test)]
mod tests {
    use berth_cli::{Screen, Table, Tone};

    use super::{Cell, Page, harmless, row};

    #[test]
    fn a_table_fits_and_has_colours_only_where_they_are_seen() {
        let mut table = Table::new(["Job", "Waits for"]);
        table.rows.push(vec![Cell::toned("u", Tone::Bad), "one two three four five six seven eight nine".into()]);
        let text = table.text(Screen { colour: false, utf8: true, width: Some(40) });
        assert!(text.lines().all(|line| line.chars().count() <= 40) && !text.contains('\u{1b}'), "{text}");
        assert_eq!(harmless("a\u{1b}[2J\nb"), "a?[2J\nb");
    }

    #[test]
    fn several_tables_are_one_for_programs() {
        let mut page = Page::default();
        let mut nodes = Table::new(["Node", "State"]);
        nodes.rows.push(row(["alpha", "online"]));
        let mut pools = Table::new(["Node", "Pool"]);
        pools.rows.push(row(["bravo", "thin, fast"]));
        page.section("nodes", "Nodes:\n", nodes);
        page.section("pools", "Pools:\n", pools);
        page.section("jobs", "Jobs:\n", Table::new(["Job"]));
        page.note("More with --before 7\n");
        let expected = "Table,Node,State,Pool,Job\nnodes,alpha,online,,\npools,bravo,,\"thin, fast\",\n";
        assert_eq!(berth_cli::csv(&page.table()), expected);
        assert_eq!(page.notes(), "More with --before 7\n");
        let text = page.for_people(Screen { colour: false, utf8: false, width: None });
        assert!(text.starts_with("Nodes:\n") && text.contains("Pools:\n") && !text.contains("Jobs") && text.ends_with("7\n"), "{text}");
    }
}
