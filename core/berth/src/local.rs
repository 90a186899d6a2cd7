//! `berth local`: asks the satellite on this machine over its socket.

use anyhow::Context;
use berth_cli::{Table, Trouble};
use berth_model::names::ResourceName;
use berth_model::plan::Wanted;
use berth_satellite::ResourceState;
use berth_satellite::local::{self, LocalError};

use crate::ask::Refused;
use crate::screen::{self, harmless, row};
use crate::words::{CallWords, LocalVerb, LocalWords};

/// Runs the verb.
///
/// # Errors
/// If no satellite answers, or it refuses.
pub fn run(words: &LocalWords) -> anyhow::Result<()> {
    let data = &words.data;
    let outcome: anyhow::Result<()> = crate::daemon::runtime(1)?.block_on(async {
        match &words.verb {
            LocalVerb::Status => println!("{}", serde_json::to_string_pretty(&local::get_status(data).await?)?),
            LocalVerb::Resources => println!("{}", table(&local::get_resources(data).await?)),
            LocalVerb::Attach { resource } => println!("{}", table(&[local::post_attach(data, &name(resource)?).await?])),
            LocalVerb::Detach { resource } => println!("{}", table(&[local::post_detach(data, &name(resource)?).await?])),
        }
        Ok(())
    });
    outcome.map_err(|error| match error.downcast::<LocalError>() {
        Ok(error) => told(error),
        Err(other) => other,
    })
}

/// `berth call`.
///
/// # Errors
/// As [`run`]; the plugin's own.
pub fn call(words: &CallWords) -> anyhow::Result<()> {
    let input = match words.input.as_deref() {
        Some("-") => std::io::read_to_string(std::io::stdin()).context("standard input cannot be read")?,
        given => given.unwrap_or_default().to_owned(),
    };
    let asked = local::call_plugin(&words.data, &words.plugin, &words.operation, &input);
    let answer = crate::daemon::runtime(1)?.block_on(asked).map_err(told)?;
    crate::out(format_args!("{}\n", serde_json::to_string_pretty(&answer)?));
    Ok(())
}

/// What a person is told of a satellite that does not answer as it should.
pub fn told(error: LocalError) -> anyhow::Error {
    let kind: fn(String) -> anyhow::Error = match &error {
        LocalError::Away { .. } => |text| {
            let hint =
                "is it running ('systemctl status berth-satellite')? --data names its folder, and only root and its own user may ask";
            Trouble::Connection(format!("{text}; {hint}")).into()
        },
        LocalError::Timeout => |text| Trouble::Timeout(text).into(),
        LocalError::Refused(_) => |text| Refused(text).into(),
        LocalError::Nonsense(_) => |text| Trouble::Unexpected(text).into(),
    };
    kind(format!("{:#}", anyhow::Error::new(error)))
}

fn name(text: &str) -> anyhow::Result<ResourceName> {
    ResourceName::parse(text).context("that cannot be a resource; 'berth local resources' lists them")
}

fn table(resources: &[ResourceState]) -> String {
    let mut table = Table::new(["Resource", "Wanted", "Volume", "Device", "State"]);
    for resource in resources {
        let wanted = match (resource.wanted, resource.by_hand) {
            (_, Some(true)) => "active (by hand)",
            (_, Some(false)) => "inactive (by hand)",
            (Wanted::Active, None) => "active",
            (Wanted::Inactive, None) => "inactive",
            (Wanted::Absent, None) => "absent",
        };
        let Some(seen) = &resource.seen else {
            table.rows.push(row([resource.resource.as_str(), wanted, "", "", "not looked at yet"]));
            continue;
        };
        let state = seen.fault.as_ref().map_or_else(|| format!("{:?}", seen.standing).to_lowercase(), |fault| harmless(&fault.message));
        if seen.volumes.is_empty() {
            table.rows.push(row([resource.resource.as_str(), wanted, "", "", &state]));
        }
        for volume in &seen.volumes {
            let device = volume.device_path.clone().unwrap_or_default();
            table.rows.push(row([resource.resource.as_str(), wanted, &volume.number.to_string(), &device, &state]));
        }
    }
    table.text(screen::of_process()).trim_end().to_owned()
}
