//! Documents that are kept in a file and not shown.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use berth_client::{Call, Response};

use super::{Runner, Trouble};
use crate::exit;

impl Runner<'_> {
    /// Fetches a document into `to`: a file, or a folder in which it gets the name that the controller gives it.
    pub(super) async fn download(&mut self, call: &Call, to: Option<&Path>) -> Result<u8, Trouble> {
        let response = self.send(call).await?;
        if !response.ok() {
            return self.refused(&response);
        }
        let path = place(&response, to);
        let written = || {
            // Names and addresses are nobody's business but whoever asked for it; and nothing that is there is written over.
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(&response.body)?;
            file.sync_all()
        };
        written().map_err(|why| Trouble::Usage(format!("{}: {why}", path.display())))?;
        if self.settings.machine {
            return self.print_value(&serde_json::json!({"path": path}));
        }
        self.terminal.print(&format!("File saved to: {}\n", path.display()));
        Ok(exit::OK)
    }
}

/// Where the document goes. Of the name that came over the wire only the last part counts.
fn place(response: &Response, to: Option<&Path>) -> PathBuf {
    let header = response.headers.get("content-disposition").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = header.split(';').find_map(|part| part.trim().strip_prefix("filename")?.trim_start().strip_prefix('=')).unwrap_or_default();
    let name = Path::new(name.trim().trim_matches('"')).file_name().unwrap_or("sos-report.tar.gz".as_ref()).to_owned();
    match to {
        None => PathBuf::from(name),
        Some(folder) if folder.is_dir() => folder.join(name),
        Some(file) => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_the_wire_stays_in_its_folder() {
        let answer = |text: &str| Response {
            status: 200,
            headers: [("content-disposition".parse().unwrap(), text.parse().unwrap())].into_iter().collect(),
            body: Vec::new(),
        };
        for (header, to, expected) in [
            ("attachment; filename = sos_1.tar.gz", None, "sos_1.tar.gz"),
            ("attachment; filename=\"sos_1.tar.gz\"", None, "sos_1.tar.gz"),
            ("attachment; filename = ../../etc/passwd", None, "passwd"),
            ("attachment; filename = ..", None, "sos-report.tar.gz"),
            ("attachment", None, "sos-report.tar.gz"),
            ("attachment; filename = sos_1.tar.gz", Some("/"), "/sos_1.tar.gz"),
            ("attachment; filename = sos_1.tar.gz", Some("/no/such/file"), "/no/such/file"),
        ] {
            assert_eq!(place(&answer(header), to.map(Path::new)), Path::new(expected), "{header} {to:?}");
        }
    }
}
