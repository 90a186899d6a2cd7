//! Moves data as providers order it. A provider says what is to be copied, or which two commands are to be joined; it never sees the data.

use std::path::Path;

use berth_plugin_sdk::{Data, Fault, FaultKind, Filled, Grants, Pool};

use crate::hands::Hands;

/// Carries an order out.
///
/// # Errors
/// `Unsupported`: it goes beyond what the provider was granted; `Tool`, `Timeout`: a command failed.
pub fn carry_out(hands: &Hands, grants: &Grants, pool: &Pool, order: &Filled) -> Result<(), Fault> {
    match order {
        Filled::Done => Ok(()),
        Filled::Copy { from, to } => {
            let (source, target) = (place(grants, pool, from)?, place(grants, pool, to)?);
            // `dd` writes into what is there: a file keeps its length, so that it stays at least as large as wanted.
            let argv = ["dd", &format!("if={source}"), &format!("of={target}"), "bs=1M", "conv=notrunc,sparse,fsync", "status=none"];
            // What is not written to a device stays as it was, and that is not known to be zeroes.
            let whole = ["dd", &format!("if={source}"), &format!("of={target}"), "bs=1M", "conv=notrunc,fsync", "status=none"];
            let argv = match to {
                Data::File(_) => argv,
                Data::Device(_) => whole,
            };
            hands.change(|| hands.need_long(&argv)).map(|_| ())
        }
        Filled::Pipe { sender, receiver } => {
            let words = |argv: &'_ [String]| -> Result<(), Fault> {
                let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
                grants.may_run(&argv, pool)
            };
            words(sender)?;
            words(receiver)?;
            hands.change(|| hands.join(sender, receiver))
        }
    }
}

/// Path of what a provider names, if it may.
fn place(grants: &Grants, pool: &Pool, data: &Data) -> Result<String, Fault> {
    let refuse = |what: String| {
        Err(Fault::new(FaultKind::Unsupported, format!("Provider '{}' may not have '{what}' copied", grants.provider))
            .cause("It lies outside of what the provider was granted")
            .correction(format!(
                "Report this to the author of the provider; 'berth plugin inspect {}' shows what it asked for",
                grants.provider
            )))
    };
    match data {
        Data::File(name) if grants.files && is_name(name) => match Path::new(&pool.place).join(name).to_str() {
            Some(path) => Ok(path.to_owned()),
            None => refuse(name.clone()),
        },
        Data::Device(path) if grants.may_serve(path, pool) => Ok(path.clone()),
        Data::File(name) => refuse(name.chars().take(200).collect()),
        Data::Device(path) => refuse(path.chars().take(200).collect()),
    }
}

/// One component of a path.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !matches!(text, "." | "..") && !text.contains(['/', '\0'])
}
