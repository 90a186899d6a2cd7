//! Every test against real programs, in one test program so that it is linked once.

#[path = "all/bad_input.rs"]
mod bad_input;
#[path = "all/balance.rs"]
mod balance;
#[path = "all/checks.rs"]
mod checks;
#[path = "all/cuts.rs"]
mod cuts;
#[path = "all/daemons.rs"]
mod daemons;
#[path = "all/database.rs"]
mod database;
#[path = "all/dev.rs"]
mod dev;
#[path = "all/disks.rs"]
mod disks;
#[path = "all/docker.rs"]
mod docker;
#[path = "all/docker_attack.rs"]
mod docker_attack;
#[path = "all/durability.rs"]
mod durability;
#[path = "all/events.rs"]
mod events;
#[path = "all/explaining.rs"]
mod explaining;
#[path = "all/failures.rs"]
mod failures;
#[path = "all/figures.rs"]
mod figures;
#[path = "all/files.rs"]
mod files;
#[path = "all/golinstor.rs"]
mod golinstor;
#[path = "all/guide.rs"]
mod guide;
#[path = "all/half_open.rs"]
mod half_open;
#[path = "all/hang.rs"]
mod hang;
#[path = "all/harness.rs"]
mod harness;
#[path = "all/hostile.rs"]
mod hostile;
#[path = "all/jobs.rs"]
mod jobs;
#[path = "all/kills.rs"]
mod kills;
#[path = "all/links.rs"]
mod links;
#[path = "all/migrate.rs"]
mod migrate;
#[path = "all/night.rs"]
mod night;
#[path = "all/openapi.rs"]
mod openapi;
#[path = "all/operations.rs"]
mod operations;
#[path = "all/own_words.rs"]
mod own_words;
#[path = "all/plugin_checks.rs"]
mod plugin_checks;
#[path = "all/plugins.rs"]
mod plugins;
#[path = "all/python.rs"]
mod python;
#[path = "all/records.rs"]
mod records;
#[path = "all/rename.rs"]
mod rename;
#[path = "all/rounds.rs"]
mod rounds;
#[path = "all/secure.rs"]
mod secure;
#[path = "all/seen.rs"]
mod seen;
#[path = "all/shells.rs"]
mod shells;
#[path = "all/sign_in.rs"]
mod sign_in;
#[path = "all/states.rs"]
mod states;
#[path = "all/storage.rs"]
mod storage;
#[path = "all/trust.rs"]
mod trust;
#[path = "all/volumes.rs"]
mod volumes;
#[path = "all/wire.rs"]
mod wire;
#[path = "all/writing.rs"]
mod writing;
#[path = "all/writing_a_plugin.rs"]
mod writing_a_plugin;
