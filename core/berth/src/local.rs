//! `berth local`: asks the satellite on this machine over its socket.

use anyhow::Context;
use comfy_table::{Table, presets};

use crate::words::{LocalVerb, LocalWords};

/// Runs the verb.
///
/// # Errors
/// If no satellite answers, or it refuses.
pub fn run(words: &LocalWords) -> anyhow::Result<()> {
    let socket = words.data.join(berth_satellite::local::SOCKET);
    let ask = || format!("no satellite answers at {}; is it running with --data {}?", socket.display(), words.data.display());
    crate::daemon::runtime(1)?.block_on(async {
        match &words.verb {
            LocalVerb::Status => {
                let status = berth_satellite::local::status(&socket).await.with_context(ask)?;
                println!("{}", serde_json::to_string_pretty(&status)?);
            }
            LocalVerb::Resources => {
                let resources = berth_satellite::local::resources(&socket).await.with_context(ask)?;
                let mut table = Table::new();
                table.load_preset(presets::ASCII_MARKDOWN).set_header(["Resource", "Volume", "Device", "State"]);
                for resource in resources {
                    for volume in &resource.volumes {
                        table.add_row([
                            resource.name.clone(),
                            volume.number.to_string(),
                            volume.device.clone().unwrap_or_default(),
                            resource.state.clone(),
                        ]);
                    }
                }
                println!("{table}");
            }
            LocalVerb::Attach { resource } => {
                let answer = berth_satellite::local::attach(&socket, resource).await.with_context(ask)?;
                println!("{answer}");
            }
            LocalVerb::Detach { resource } => {
                let answer = berth_satellite::local::detach(&socket, resource).await.with_context(ask)?;
                println!("{answer}");
            }
        }
        Ok(())
    })
}
