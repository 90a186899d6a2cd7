//! Every command of LINSTOR's client is there, under each of its names, with the options that scripts use.

use clap::Command;

/// Commands with their short forms, `full|short|…`, the words of a path parted by blanks; then options that they take.
const COMMANDS: &[(&str, &str)] = &[
    ("controller|c list-properties|lp", "-p --pastable"),
    ("controller set-property|sp", "--aux"),
    ("controller drbd-options|opt", "--verify-alg --unset-verify-alg"),
    ("controller set-log-level|setloglevel", "--library --global"),
    ("controller version|v", ""),
    (
        "controller query-max-volume-size|qmvs",
        "-s --storage-pool --do-not-place-with --replicas-on-same --replicas-on-different --x-replicas-on-different",
    ),
    ("controller which", ""),
    ("controller backupdb|bakdb", ""),
    ("node|n create|c", "-p --port --node-type --communication-type --interface-name"),
    ("node create-remote-spdk-target|crspdkt", ""),
    ("node create-ebs-target|cebst", ""),
    ("node modify|m", "--node-type"),
    ("node describe|dsc", ""),
    ("node delete|d", "--async"),
    ("node lost|lo", ""),
    ("node reconnect|rc", ""),
    ("node interface|i create|c", "-p --active"),
    ("node interface modify|m", "--active"),
    ("node interface delete|d", ""),
    ("node interface list|l", ""),
    ("node list|l", "-n --nodes --show-aux-props --props -g --groupby -s --show-props --from-file"),
    ("node info", "-f"),
    ("node list-properties|lp", ""),
    ("node set-property|sp", "--aux"),
    ("node restore|rst", "--delete-resources --delete-snapshots"),
    ("node evacuate|evac", "--target --do-not-target"),
    ("node set-log-level", ""),
    ("node-connection|nc list|l", ""),
    ("node-connection list-properties|lp", ""),
    ("node-connection set-property|sp", ""),
    ("node-connection drbd-peer-options|popt", "--ping-timeout --unset-ping-timeout"),
    ("node-connection path|p create|c", ""),
    ("node-connection path delete|d", ""),
    ("node-connection path list|l", ""),
    ("resource-definition|rd create|c", "-e -l --layer-list -p --port --peer-slots --resource-group"),
    (
        "resource-definition auto-place|ap",
        "--place-count -s --storage-pool --providers -l --diskless-on-remaining --nvme-initiator --drbd-diskless",
    ),
    ("resource-definition modify|m", ""),
    ("resource-definition delete|d", "--async"),
    ("resource-definition clone|cln", "-e --use-zfs-clone --no-wait --wait-timeout --volume-passphrase -l --resource-group"),
    ("resource-definition wait-sync|ws", ""),
    ("resource-definition list|l", "-r -e --ports"),
    ("resource-definition list-properties|lp", ""),
    ("resource-definition set-property|sp", ""),
    ("resource-definition drbd-options|opt", "--protocol"),
    ("resource-group|rg create|c", "-d --place-count -s --do-not-place-with -l --providers --diskless-on-remaining --peer-slots"),
    ("resource-group modify|m", "-d --place-count -s"),
    ("resource-group delete|d", ""),
    ("resource-group list|l", ""),
    ("resource-group list-properties|lp", ""),
    ("resource-group set-property|sp", ""),
    ("resource-group drbd-options|opt", ""),
    ("resource-group spawn-resources|spawn", "-p --partial -d --definition-only --external-name --place-count"),
    ("resource-group query-max-volume-size|qmvs", ""),
    ("resource-group query-size-info|qsi", ""),
    ("resource-group adjust|adj", ""),
    ("volume-group|vg create|c", "-n --gross"),
    ("volume-group delete|d", ""),
    ("volume-group list|l", ""),
    ("volume-group list-properties|lp", ""),
    ("volume-group set-property|sp", ""),
    ("volume-group drbd-options|opt", ""),
    ("resource|r create|c", "--auto-place -s -d --diskless --drbd-diskless --nvme-initiator --inactive -l --node-id --drbd-tcp-port"),
    ("resource make-available|mkavail", "--diskful"),
    ("resource delete|d", "--keep-tiebreaker"),
    ("resource list|l", "-n -r -a --faulty --props --show-drbd-ports"),
    ("resource involved|inv", "-i -d -m"),
    ("resource list-volumes|lv", "-n -r -s"),
    ("resource list-properties|lp", ""),
    ("resource set-property|sp", ""),
    ("resource drbd-peer-options|popt", ""),
    ("resource toggle-disk|td", "-s --default-storage-pool --dflt --diskless --migrate-from"),
    ("resource activate|act", ""),
    ("resource deactivate|deact", ""),
    ("resource create-transactional|ct begin", ""),
    ("resource create-transactional abort", ""),
    ("resource create-transactional commit", ""),
    ("resource-connection|rc list|l", ""),
    ("resource-connection list-properties|lp", ""),
    ("resource-connection set-property|sp", ""),
    ("resource-connection drbd-peer-options|popt", ""),
    ("resource-connection path|p create|c", ""),
    ("volume|v list|l", "-n -r -s"),
    ("volume list-properties|lp", ""),
    ("volume set-property|sp", ""),
    ("volume-definition|vd create|c", "-n -s -m --encrypt --gross --passphrase"),
    ("volume-definition delete|d", ""),
    ("volume-definition list|l", ""),
    ("volume-definition list-properties|lp", ""),
    ("volume-definition set-property|sp", ""),
    ("volume-definition drbd-options|opt", ""),
    ("volume-definition set-size|size", "--gross"),
    ("volume-definition modify-passphrase|mp", ""),
    ("snapshot|s create|c", ""),
    ("snapshot create-multiple|cm", "-r"),
    ("snapshot delete|d", "-n"),
    ("snapshot rollback|rb", "--zfs-rollback-strategy"),
    ("snapshot list|l", "-n -r"),
    ("snapshot list-properties|lp", ""),
    ("snapshot set-property|sp", ""),
    ("snapshot volume-definition|vd restore|rst", "--fr --fs --tr --from-resource --from-snapshot --to-resource"),
    ("snapshot resource|r restore|rst", "--fr --fs --tr --storpool-rename"),
    ("storage-pool|sp create|c", "--shared-space --external-locking"),
    ("storage-pool delete|d", "-q --quiet"),
    ("storage-pool list|l", "-n -s"),
    ("storage-pool list-properties|lp", ""),
    ("storage-pool set-property|sp", ""),
    ("physical-storage|ps list|l", ""),
    ("physical-storage create-device-pool|cdp", "--pool-name --storage-pool --vdo-enable --sed"),
    ("backup|b list|l", "-r -o -i"),
    ("backup create|c", "-f -n -s"),
    ("backup delete|d id", "--prefix --cascade"),
    ("backup delete filter|f", "-t -n -r --cascade"),
    ("backup delete all|a", "-c --cascade"),
    ("backup delete s3key|s3", ""),
    ("backup restore|rst", ""),
    ("backup abort|a", "-c -r"),
    ("backup queue|q list", ""),
    ("backup ship|s", "--download-only"),
    ("backup info|i", ""),
    ("backup schedule|sched enable", "--rd --rg"),
    ("backup schedule disable", "--rd --rg"),
    ("backup schedule delete", "--rd --rg"),
    ("remote list|l", ""),
    ("remote create|c s3", "--use-path-style"),
    ("remote create linstor", "--passphrase --cluster-id"),
    ("remote create ebs", ""),
    ("remote modify|m s3", ""),
    ("remote modify linstor", ""),
    ("remote modify ebs", ""),
    ("remote delete|d", ""),
    ("schedule|sched list|l", ""),
    ("schedule list-by-resource|lbr", ""),
    ("schedule list-by-resource-details|lbd", ""),
    ("schedule create|c", "-i -l -r --on-failure --max-retries"),
    ("schedule modify", "-i -l -r"),
    ("schedule delete", ""),
    ("file|f list", ""),
    ("file show", ""),
    ("file modify", ""),
    ("file delete", ""),
    ("file deploy", ""),
    ("file undeploy", ""),
    ("encryption|e enter-passphrase|ep", "-p"),
    ("encryption create-passphrase|cp", "-p"),
    ("encryption modify-passphrase|mp", ""),
    ("error-reports|err list|l", "-s -t -n --report-id -f"),
    ("error-reports show|s", ""),
    ("error-reports delete|d", ""),
    ("sos-report|sos create|c", ""),
    ("sos-report download|dl", ""),
    ("key-value-store|kv list|l", ""),
    ("key-value-store show|s", ""),
    ("key-value-store modify|m", ""),
    ("advise|adv resource|r", ""),
    ("advise maintenance|m", ""),
    ("space-reporting|spr query|qry", ""),
    ("drbd-proxy|proxy enable|e", ""),
    ("drbd-proxy disable|d", ""),
    ("drbd-proxy options|opt", ""),
    ("drbd-proxy compression|c", ""),
    ("help", ""),
    ("interactive", ""),
    ("list-commands|commands|list", ""),
    ("gen-zsh-completer", ""),
    ("dm-migrate", ""),
];

/// Options before every command.
const GLOBALS: &str = "--version -v --no-color --no-utf8 --warn-as-error --curl --controllers -m --machine-readable --output-version --verbose -V -t \
    --timeout --disable-config --user -u --password -P --certfile --keyfile --cafile --allow-insecure-auth";

fn takes(command: &Command, option: &str) -> bool {
    command.get_arguments().any(|argument| match option.strip_prefix("--") {
        Some(long) => {
            let names = argument.get_long_and_visible_aliases().unwrap_or_default();
            let hidden = argument.get_all_aliases().unwrap_or_default();
            // Long options may be shortened.
            names.iter().chain(hidden.iter()).any(|name| name.starts_with(long))
        }
        None => argument.get_short_and_visible_aliases().unwrap_or_default().iter().any(|short| option == format!("-{short}")),
    })
}

#[test]
fn every_command_and_option_of_linstor_s_client_is_there() {
    let root = berth_cli::command();
    let mut missing = Vec::new();
    for (path, options) in COMMANDS {
        let mut at = Some(&root);
        for names in path.split(' ') {
            let names: Vec<&str> = names.split('|').collect();
            let found = at.and_then(|command| command.find_subcommand(names[0]));
            for name in &names[1..] {
                let same = at.and_then(|command| command.find_subcommand(name)).map(Command::get_name) == found.map(Command::get_name);
                if !same {
                    missing.push(format!("{path}: '{name}'"));
                }
            }
            at = found;
        }
        let Some(command) = at else {
            missing.push((*path).to_owned());
            continue;
        };
        missing.extend(options.split_whitespace().filter(|option| !takes(command, option)).map(|option| format!("{path} {option}")));
    }
    missing.extend(GLOBALS.split_whitespace().filter(|option| !takes(&root, option)).map(str::to_owned));
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn one_file_completes_both_names_in_zsh() {
    let text = berth_cli::registration("zsh", &["linstor", "berth"]).expect("a shell that is known");
    assert!(text.starts_with("#compdef linstor berth\n"), "{text}");
    assert_eq!(text.matches("#compdef ").count(), 1, "only the first line counts for zsh");
    for part in ["compdef _clap_dynamic_completer_linstor linstor", "compdef _clap_dynamic_completer_berth berth", "_linstor|_berth)"] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}
