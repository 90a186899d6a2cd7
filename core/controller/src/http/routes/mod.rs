//! The operations, by kind of object.

pub mod absent;
mod auth;
mod balance;
mod bundle;
mod connections;
mod definitions;
mod encryption;
mod explain;
mod files;
mod groups;
mod inputs;
pub mod jobs;
mod machine;
mod nodes;
mod place;
mod plugins;
mod queries;
mod rename;
mod resources;
mod risk;
mod settings;
mod snapshots;

use super::spec::{self, Routes};

/// Every operation with its path and its description.
pub fn all() -> Routes {
    absent::routes()
        .merge(auth::routes())
        .merge(nodes::routes())
        .merge(machine::routes())
        .merge(groups::routes())
        .merge(definitions::routes())
        .merge(resources::routes())
        .merge(snapshots::routes())
        .merge(settings::routes())
        .merge(encryption::routes())
        .merge(connections::routes())
        .merge(rename::routes())
        .merge(files::routes())
        .merge(queries::routes())
        .merge(explain::routes())
        .merge(jobs::routes())
        .merge(balance::routes())
        .merge(bundle::routes())
        .merge(risk::routes())
        .merge(plugins::routes())
        .merge(place::routes())
        .merge(spec::routes())
        .merge(super::events::routes())
        .merge(super::sos::routes())
}
