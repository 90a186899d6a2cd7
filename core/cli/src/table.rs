//! Rows and columns for people.

use comfy_table::presets::ASCII_FULL_CONDENSED;
use comfy_table::{Cell as Drawn, Color, ContentArrangement, ContentLineStyle, LineStyle, Table as Drawing, TableStyle};

use crate::plan::Look;
use crate::size::render_kib;

/// What a cell's colour tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// On its way, or worth a look.
    Warn,
    /// Broken.
    Bad,
    /// Of less account than the others.
    Dim,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell {
    /// May have several lines.
    pub text: String,
    /// Its colour.
    pub tone: Tone,
    /// What the text stands for where it does not sort by its letters.
    pub amount: u64,
}

impl Cell {
    /// A cell with a meaning.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone, amount: 0 }
    }

    /// A size; nothing is written where it is not known.
    pub fn sized(kib: Option<u64>) -> Self {
        Self { text: kib.map(render_kib).unwrap_or_default(), tone: Tone::Plain, amount: kib.unwrap_or_default() }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: Tone::Plain, amount: 0 }
    }
}

/// A table before it is drawn. All rows have as many cells as there are headings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Headings.
    pub headings: Vec<String>,
    /// Cells by row.
    pub rows: Vec<Vec<Cell>>,
}

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Colours.
    pub colour: bool,
    /// Characters beyond ASCII.
    pub utf8: bool,
    /// Columns; `None` where nothing limits a line.
    pub width: Option<u16>,
}

/// Round corners, dotted columns, a double line under the headings.
const BOX: TableStyle = TableStyle::new()
    .top_border(LineStyle::new('╭', '─', '┬', '╮'))
    .header_lines(ContentLineStyle::new('│', '┊', '│'))
    .header_separator(LineStyle::new('╞', '═', '╪', '╡'))
    .content_lines(ContentLineStyle::new('│', '┊', '│'))
    .bottom_border(LineStyle::new('╰', '─', '┴', '╯'));

impl Table {
    /// A table without rows.
    pub fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { headings: headings.iter().map(|heading| (*heading).to_owned()).collect(), rows: Vec::new() }
    }

    /// Draws the table as `look` and `screen` have it; ends with a line end.
    ///
    /// # Errors
    /// The name of a column to group by that does not exist.
    pub fn draw(mut self, look: &Look, screen: Screen) -> Result<String, String> {
        self.group(&look.group_by)?;
        Ok(self.drawn(look, screen))
    }

    /// Draws the table as a list of LINSTOR's is drawn where nothing else is asked for; ends with a line end.
    pub fn text(&self, screen: Screen) -> String {
        self.drawn(&Look::default(), screen)
    }

    fn drawn(&self, look: &Look, screen: Screen) -> String {
        let colour = screen.colour && !look.pastable;
        let mut drawing = Drawing::new();
        drawing.load_style(if screen.utf8 && !look.pastable { BOX } else { ASCII_FULL_CONDENSED });
        match screen.width {
            Some(width) if !look.pastable && !look.wide => drawing.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            Some(_) | None => drawing.set_content_arrangement(ContentArrangement::Disabled),
        };
        if colour {
            drawing.enforce_styling();
        } else {
            drawing.force_no_tty();
        }
        drawing.set_header(&self.headings);
        for row in &self.rows {
            drawing.add_row(row.iter().map(|cell| {
                let drawn = Drawn::new(visible(&cell.text));
                match (colour, cell.tone) {
                    (false, _) | (true, Tone::Plain) => drawn,
                    (true, Tone::Good) => drawn.fg(Color::Green),
                    (true, Tone::Warn) => drawn.fg(Color::Yellow),
                    (true, Tone::Bad) => drawn.fg(Color::Red),
                    (true, Tone::Dim) => drawn.fg(Color::DarkGrey),
                }
            }));
        }
        format!("{drawing}\n")
    }

    /// Sorts by the named columns and writes a cell only where it differs from the one above.
    fn group(&mut self, columns: &[String]) -> Result<(), String> {
        let mut at = Vec::new();
        for column in columns {
            let wanted = plain(column);
            let found = self.headings.iter().position(|heading| plain(heading) == wanted).or_else(|| {
                // Where no column is called so, the size of a thing is its total capacity.
                self.headings.iter().position(|heading| wanted == "size" && heading == "TotalCapacity")
            });
            at.push(found.ok_or_else(|| format!("no column '{column}' to group by; there are {}", self.headings.join(", ")))?);
        }
        if at.is_empty() {
            return Ok(());
        }
        self.rows.sort_by(|a, b| {
            let key = |row: &'_ [Cell], column: usize| (row[column].amount, row[column].text.clone());
            at.iter().map(|column| key(a, *column).cmp(&key(b, *column))).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
        });
        for row in (1..self.rows.len()).rev() {
            for column in &at {
                if self.rows[row][*column].text != self.rows[row - 1][*column].text {
                    break;
                }
                self.rows[row][*column].text.clear();
            }
        }
        Ok(())
    }
}

/// A heading as people type it: any case, with or without separators.
/// The text without characters that would command the terminal: cells hold what others wrote.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn plain(heading: &str) -> String {
    heading.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Cell, Screen, Table, Tone};
    use crate::plan::Look;

    fn sample() -> Table {
        let mut table = Table::new(["Node", "State"]);
        table.rows.push(vec!["a".into(), Cell::toned("Online", Tone::Good)]);
        table.rows.push(vec!["b".into(), Cell::toned("OFFLINE", Tone::Bad)]);
        table.rows.push(vec!["a".into(), "x".into()]);
        table
    }

    #[test]
    fn boxes_ascii_and_colours() {
        let plain = Screen { colour: false, utf8: true, width: None };
        let boxed = sample().draw(&Look::default(), plain).expect("drawn");
        assert!(boxed.starts_with('╭') && boxed.contains("│ a    ┊ Online  │"), "{boxed}");
        let pastable = sample().draw(&Look { pastable: true, ..Look::default() }, Screen { colour: true, ..plain }).expect("drawn");
        assert!(pastable.is_ascii() && !pastable.contains('\u{1b}'), "{pastable}");
        let coloured = sample().draw(&Look::default(), Screen { colour: true, ..plain }).expect("drawn");
        assert!(coloured.contains('\u{1b}'));
    }

    #[test]
    fn grouping_sorts_and_merges() {
        let screen = Screen { colour: false, utf8: false, width: None };
        let text = sample().draw(&Look { group_by: vec!["node".into()], ..Look::default() }, screen).expect("drawn");
        assert_eq!(text.matches("| a ").count(), 1, "{text}");
        let mut sizes = Table::new(["Pool", "TotalCapacity"]);
        sizes.rows = [Some(2048), Some(10), None].map(|kib| vec!["p".into(), Cell::sized(kib)]).to_vec();
        let text = sizes.draw(&Look { group_by: vec!["Size".into()], ..Look::default() }, screen).expect("drawn");
        assert!(text.find("10 KiB") < text.find("2 MiB"), "{text}");
        assert!(sample().draw(&Look { group_by: vec!["Size".into()], ..Look::default() }, screen).is_err());
    }

    #[test]
    fn a_cell_cannot_command_the_terminal() {
        let mut table = Table::new(["Name"]);
        table.rows.push(vec!["\u{1b}]0;title\u{7}".into()]);
        let text = table.draw(&Look::default(), Screen { colour: false, utf8: true, width: None }).expect("drawn");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
    }

    #[test]
    fn a_narrow_terminal_is_respected() {
        let mut table = Table::new(["Name", "Text"]);
        table.rows.push(vec!["n".into(), "one two three four five six seven eight nine ten".into()]);
        let text = table.draw(&Look::default(), Screen { colour: false, utf8: true, width: Some(30) }).expect("drawn");
        assert!(text.lines().all(|line| line.chars().count() <= 30), "{text}");
    }
}
