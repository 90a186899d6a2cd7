//! The token of `berth dev` itself: with it the cluster's folder goes on when its controller asks callers for tokens.
//!
//! It is made while nobody needs one, and used only where the controller lets nobody in without one.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use berth_client::{Call, Client, Endpoint, Login, Options};
use serde_json::{Value, json};

use super::grow::WITHIN;

/// Where the token lies in the folder of the cluster, in the form that `--token-file` reads.
pub fn file(home: &Path) -> PathBuf {
    home.join("token.json")
}

/// A client of the controller at `url`.
pub fn client(url: &str, login: Login) -> anyhow::Result<Client> {
    let endpoint = Endpoint::parse(url).with_context(|| format!("cannot use the address {url}"))?;
    Ok(Client::new(vec![endpoint], Options { timeout: Some(WITHIN), login, ..Options::default() })?)
}

/// The token in a file; `None`: there is no file.
///
/// # Errors
/// A file that cannot be read, or that holds no token.
pub fn read(file: &Path) -> anyhow::Result<Option<String>> {
    let content = match std::fs::read(file) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let token = serde_json::from_slice::<Value>(&content).ok().and_then(|document| document["token"].as_str().map(str::to_owned));
    Ok(Some(token.with_context(|| format!("{} holds no token; write it as {{\"token\": \"...\"}}, or remove the file", file.display()))?))
}

/// Makes a token and keeps it in `file`, for its owner's eyes alone; nothing where there is one already.
///
/// # Errors
/// The controller makes none, or the file cannot be written.
pub async fn keep(client: &Client, file: &Path) -> anyhow::Result<()> {
    if file.exists() {
        return Ok(());
    }
    let call = Call::post(&["controller", "auth", "token"]).body(json!({"description": "berth dev", "role": "admin"}));
    let answer = client.send(&call).await?;
    let entries = answer.json().filter(|_| answer.ok()).unwrap_or_default();
    let token = entries.as_array().into_iter().flatten().find_map(|entry| entry["obj_refs"]["token"].as_str());
    let token = token.with_context(|| format!("the controller makes no token: {}", answer.status))?;
    let mut kept = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("cannot make {}", file.display()))?;
    kept.write_all(json!({"token": token}).to_string().as_bytes())
        .and_then(|()| kept.sync_all())
        .with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_token_is_read_or_what_to_do_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = super::file(folder.path());
        assert_eq!(super::read(&file).unwrap(), None);
        std::fs::write(&file, r#"{"token": "abc"}"#).unwrap();
        assert_eq!(super::read(&file).unwrap().as_deref(), Some("abc"));
        std::fs::write(&file, "abc").unwrap();
        let said = format!("{:#}", super::read(&file).unwrap_err());
        assert!(said.contains("token.json") && said.contains("remove the file"), "{said}");
    }
}
