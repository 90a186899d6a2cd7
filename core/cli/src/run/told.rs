//! What is told beside LINSTOR's own answers: other forms of output, advice, where a property's value comes from, the next command.

use berth_client::{Call, Reply};
use berth_model::props::Source;
use serde_json::Value;

use super::{Runner, Trouble, named, unexpected};
use crate::output::{self, Format};
use crate::plan::{Advise, Look, Show, View};
use crate::table::Table;
use crate::{exit, explain, hints, value, view};

impl Runner<'_> {
    /// Names the command that usually comes next, to who sits at a terminal.
    pub(super) fn hint(&mut self, call: &Call, replies: &[Reply]) {
        if self.terminal.out_is_terminal
            && self.terminal.err_is_terminal
            && !self.settings.dry_run
            && let Some(next) = hints::next(call, replies)
        {
            self.terminal.note(&format!("Next: {next}"));
        }
    }

    /// Prints a document as `-o` has it; `table` is its table.
    pub(super) fn print_form(&mut self, document: &Value, table: impl FnOnce(&Value) -> Table) -> Result<(), Trouble> {
        match self.settings.format {
            Some(Format::Json) => self.print_json(document.to_string().as_bytes()),
            Some(Format::Yaml) => {
                self.terminal.print(&output::yaml(document));
                Ok(())
            }
            Some(Format::Csv) => {
                self.terminal.print(&output::csv(&table(document)));
                Ok(())
            }
            Some(Format::Wide) => self.print_table(table(document), &Look { wide: true, ..Look::default() }),
            None => self.print_table(table(document), &Look::default()),
        }
    }

    /// The document as it came, of some views the part that is meant.
    pub(super) fn show_document(&mut self, show: &Show, document: &Value, form: Format) -> Result<u8, Trouble> {
        let part = match &show.view {
            View::Props(Some(member)) => document.get(*member).cloned().unwrap_or_default(),
            View::KeyValue(instance) => value::rows(document)
                .iter()
                .find(|row| value::text(row, "name").eq_ignore_ascii_case(instance))
                .cloned()
                .ok_or_else(|| Trouble::NotFound(format!("there is no {}", named(&show.view))))?,
            View::Involved { node, in_use, diskful, at_most } => {
                Value::Array(view::involved(value::rows(document), node, *in_use, *diskful, *at_most))
            }
            _ => document.clone(),
        };
        match form {
            Format::Yaml => self.terminal.print(&output::yaml(&part)),
            Format::Json | Format::Csv | Format::Wide => self.print_json(part.to_string().as_bytes())?,
        }
        Ok(exit::OK)
    }

    pub(super) async fn advise(&mut self, what: &Advise, look: &Look) -> Result<u8, Trouble> {
        let resources = self.must_read(&Call::get(&["view", "resources"])).await?;
        let advice = match what {
            Advise::Resources(only) => {
                let definitions = self.must_read(&Call::get(&["resource-definitions"])).await?;
                let groups = self.must_read(&Call::get(&["resource-groups"])).await?;
                let nodes = self.must_read(&Call::get(&["nodes"])).await?;
                let rows = value::rows;
                view::advise::resources(rows(&resources), rows(&definitions), rows(&groups), rows(&nodes), only)
            }
            Advise::Maintenance(node) => {
                self.must_be_node(node).await?;
                view::advise::maintenance(value::rows(&resources), node)
            }
        };
        if self.as_document() {
            let document = view::advise::document(&advice);
            if self.settings.machine {
                return self.print_value(&document);
            }
            self.print_form(&document, |_| view::advise::table(&advice))?;
            return Ok(exit::OK);
        }
        self.print_table(view::advise::table(&advice), look)?;
        Ok(exit::OK)
    }

    pub(super) async fn explain(&mut self, key: &str, about: &str, calls: &[(Source, Call)]) -> Result<u8, Trouble> {
        let mut levels = Vec::new();
        for (source, call) in calls {
            let document = self.must_read(call).await?;
            if *source == Source::ResourceDefinition
                && let Some((group, call)) = explain::group_call(&document)
            {
                levels.push((Source::ResourceGroup, group, self.must_read(&call).await?));
            }
            let name = value::text(&document, "name").to_owned();
            levels.push((*source, name, document));
        }
        let table = explain::levels(key, &levels);
        if self.as_document() {
            let rows: Vec<Value> = table
                .rows
                .iter()
                .map(|row| serde_json::json!({"where": row[0].text, "value": row[1].text, "holds": !row[2].text.is_empty()}))
                .collect();
            let document = serde_json::json!({"key": key, "values": rows});
            if self.settings.machine {
                return self.print_value(&document);
            }
            self.print_form(&document, |_| table)?;
            return Ok(exit::OK);
        }
        self.terminal.print(about);
        if table.rows.is_empty() {
            self.terminal.print("Set nowhere.\n");
        } else {
            self.print_table(table, &Look::default())?;
        }
        Ok(exit::OK)
    }

    /// Refuses a node that does not exist.
    pub(super) async fn must_be_node(&mut self, node: &str) -> Result<(), Trouble> {
        let nodes = self.must_read(&Call::get(&["nodes"])).await?;
        if value::rows(&nodes).iter().any(|one| value::text(one, "name").eq_ignore_ascii_case(node)) {
            return Ok(());
        }
        Err(Trouble::NotFound(format!("there is no node '{node}'; linstor node list")))
    }

    /// Reads one more document that cannot be done without.
    async fn must_read(&mut self, call: &Call) -> Result<Value, Trouble> {
        let response = self.send(call).await?;
        if !response.ok() {
            self.refused(&response)?;
            // It was told already.
            return Err(Trouble::NotFound(String::new()));
        }
        response.json().ok_or_else(|| unexpected(&response))
    }
}
