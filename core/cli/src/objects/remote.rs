//! `remote`

use berth_client::Call;
use clap::{ArgMatches, Command};
use serde_json::{Map, Value};

use super::Now;
use super::common::{self, ShortS, look, unknown, verb};
use crate::plan::{Asked, Plan, View};
use crate::words::{BadUsage, flag, leaf, maybe, must, need, object, one, opt, put, quiet, set};

const NAME: (&str, &str) = ("NAME", "Name of the remote");

pub fn command() -> Command {
    object("remote", &[], "Places for backups")
        .subcommand(common::list_options(leaf("list", &["l"], "List remotes", "remote list"), ShortS::ShowProps))
        .subcommand(
            object("create", &["c"], "Add a remote")
                .subcommand(
                    quiet(leaf("s3", &[], "A bucket", "remote create s3 vault s3.example.com bucket eu-1 KEY SECRET"))
                        .arg(need(NAME.0, NAME.1))
                        .arg(need("ENDPOINT", "Address of the store"))
                        .arg(need("BUCKET", "Name of the bucket"))
                        .arg(need("REGION", "Region"))
                        .arg(need("ACCESS_KEY", "Access key"))
                        .arg(maybe("SECRET_KEY", "Secret key; without it, it is asked for, so that nobody sees it"))
                        .arg(flag("use-path-style", "The bucket is part of the path, not of the host name")),
                )
                .subcommand(
                    quiet(leaf("linstor", &[], "Another cluster", "remote create linstor far 192.168.0.15"))
                        .arg(need(NAME.0, NAME.1))
                        .arg(need("URL", "Address of its controller"))
                        .arg(opt("passphrase", "Passphrase of its encryption"))
                        .arg(opt("cluster-id", "Id of that cluster").value_name("ID")),
                )
                .subcommand(
                    quiet(leaf("ebs", &[], "Amazon EBS", "remote create ebs amazon ec2.eu-1.amazonaws.com eu-1 eu-1a KEY SECRET"))
                        .arg(need(NAME.0, NAME.1))
                        .arg(need("ENDPOINT", "Address of the service"))
                        .arg(need("REGION", "Region"))
                        .arg(need("AVAILABILITY_ZONE", "Zone"))
                        .arg(need("ACCESS_KEY", "Access key"))
                        .arg(maybe("SECRET_KEY", "Secret key; without it, it is asked for, so that nobody sees it")),
                ),
        )
        .subcommand(
            object("modify", &["m"], "Change a remote")
                .subcommand(
                    leaf("s3", &[], "A bucket", "remote modify s3 vault --region eu-2")
                        .arg(need(NAME.0, NAME.1))
                        .arg(opt("endpoint", "Address of the store"))
                        .arg(opt("bucket", "Name of the bucket"))
                        .arg(opt("region", "Region"))
                        .arg(opt("access-key", "Access key"))
                        .arg(opt("secret-key", "Secret key")),
                )
                .subcommand(
                    leaf("linstor", &[], "Another cluster", "remote modify linstor far --url 192.168.0.16")
                        .arg(need(NAME.0, NAME.1))
                        .arg(opt("url", "Address of its controller"))
                        .arg(opt("passphrase", "Passphrase of its encryption"))
                        .arg(opt("cluster-id", "Id of that cluster")),
                )
                .subcommand(
                    leaf("ebs", &[], "Amazon EBS", "remote modify ebs amazon --region eu-2")
                        .arg(need(NAME.0, NAME.1))
                        .arg(opt("endpoint", "Address of the service"))
                        .arg(opt("region", "Region"))
                        .arg(opt("availability-zone", "Zone"))
                        .arg(opt("access-key", "Access key"))
                        .arg(opt("secret-key", "Secret key")),
                ),
        )
        .subcommand(quiet(leaf("delete", &["d"], "Remove a remote", "remote delete vault")).arg(need(NAME.0, NAME.1)))
}

pub fn plan(matches: &ArgMatches, _now: &Now) -> Result<Plan, BadUsage> {
    let (word, m) = verb(matches)?;
    Ok(match word {
        "list" => Plan::show(Call::get(&["remotes"]), View::Remotes, look(m)),
        "create" | "modify" => {
            let (kind, m) = verb(m)?;
            let mut body = Map::new();
            for (member, argument) in [
                ("endpoint", "ENDPOINT"),
                ("bucket", "BUCKET"),
                ("region", "REGION"),
                ("availability_zone", "AVAILABILITY_ZONE"),
                ("access_key", "ACCESS_KEY"),
                ("secret_key", "SECRET_KEY"),
                ("url", "URL"),
                ("endpoint", "endpoint"),
                ("bucket", "bucket"),
                ("region", "region"),
                ("availability_zone", "availability-zone"),
                ("access_key", "access-key"),
                ("secret_key", "secret-key"),
                ("url", "url"),
                ("passphrase", "passphrase"),
                ("cluster_id", "cluster-id"),
            ] {
                put(&mut body, member, one(m, argument));
            }
            put(&mut body, "use_path_style", set(m, "use-path-style").then_some(true));
            let name = must(m, NAME.0);
            if word == "modify" {
                return Ok(Plan::write(Call::put(&["remotes", kind, name]).body(Value::Object(body))));
            }
            put(&mut body, "remote_name", Some(name));
            let without_secret = body.contains_key("access_key") && !body.contains_key("secret_key");
            let call = Call::post(&["remotes", kind]).body(Value::Object(body));
            if without_secret {
                Plan::Secret { call, asked: vec![Asked { prompt: "Secret key", member: Some("secret_key"), twice: false }] }
            } else {
                Plan::write(call)
            }
        }
        "delete" => Plan::write(Call::delete(&["remotes"]).query("remote_name", must(m, NAME.0))),
        _ => return Err(unknown("remote", word)),
    })
}
