//! The whole grammar: global options, objects, and the words that work without a controller.

use clap::{Arg, ArgAction, Command};

use crate::output::FORMATS;
use crate::words::{flag, leaf, opt};
use crate::{explain, objects};

/// What the program is called in its own help.
const NAME: &str = "linstor";

/// All commands with their options: what `--help` and shell completion show.
pub fn command() -> Command {
    let grammar = root(Command::new(NAME))
        .about("Storage of a cluster, from the command line")
        .after_help(
            "Sizes count GiB when no unit is given. Commands and their short forms are typed in full; long options may be shortened.\n\
             Controllers: --controllers, LS_CONTROLLERS, /etc/linstor/linstor-client.conf, /etc/berth/client.toml; else localhost.\n\
             With --dry-run nothing is changed: what would be written and what each node would do is said, e.g. --dry-run resource delete alpha web.\n\
             Commands marked \"not supported yet by this version\" change nothing and end with exit code 4.\n\
             Exit codes: 0 done, 2 wrong arguments, 3 not there, 4 not supported, 5 not in this state, 10 refused by the controller,\n\
             20 no controller reached, 21 no answer in time, 22 an answer that is none. With -m what is refused ends with 0.",
        )
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .subcommand_required(false)
        .subcommands(objects::commands());
    let grammar = grammar
        .subcommand(
            leaf("list-commands", &["commands", "list"], "List all commands with their short forms", "list-commands")
                .arg(flag("tree", "Also list what is below them").short('t')),
        )
        .subcommand(
            leaf("help", &[], "Show the help of a command", "help node list").arg(crate::words::words("COMMAND", "Words of the command")),
        )
        .subcommand(
            leaf(
                "explain",
                &[],
                "What a property is for, what it may hold and where its value comes from",
                "explain DrbdOptions/Net/protocol -r web",
            )
            .arg(crate::words::need("KEY", "The property; its last part is enough where only one ends so"))
            .arg(opt("resource", "The resource definition that it is asked for").short('r').value_name("RESOURCE"))
            .arg(opt("node", "The node that it is asked for; with --resource the replica there").short('n').value_name("NODE")),
        )
        .subcommand(leaf("interactive", &[], "Ask for one command after the other", "interactive"))
        .subcommand(leaf("gen-zsh-completer", &[], "Completion for zsh", "gen-zsh-completer").hide(true));
    with_keys(grammar)
}

/// Adds the keys that an object takes to the long help of its `set-property`.
fn with_keys(grammar: Command) -> Command {
    let objects: Vec<&str> = words();
    objects.into_iter().fold(grammar, |grammar, object| match (explain::owner_of(object), grammar.find_subcommand(object).is_some()) {
        (Some(owner), true) => grammar.mut_subcommand(object, |command| {
            if command.find_subcommand("set-property").is_none() {
                return command;
            }
            command.mut_subcommand("set-property", |leaf| {
                let example = leaf.get_after_help().map(ToString::to_string).unwrap_or_default();
                leaf.after_long_help(format!("{example}\n\n{}", explain::keys_help(owner)))
            })
        }),
        _ => grammar,
    })
}

/// Only the global options; everything from the first word on is left alone.
pub fn globals() -> Command {
    root(Command::new(NAME))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .allow_external_subcommands(true)
        .arg(Arg::new("help").short('h').long("help").action(ArgAction::SetTrue))
}

/// Names of the global options that take no value.
pub const FLAGS: &[&str] = &[
    "no-color",
    "no-utf8",
    "warn-as-error",
    "curl",
    "dry-run",
    "watch",
    "machine-readable",
    "verbose",
    "disable-config",
    "allow-insecure-auth",
];
/// Names of the global options that take one.
pub const VALUES: &[&str] =
    &["controllers", "output", "pager", "output-version", "timeout", "user", "password", "token-file", "certfile", "keyfile", "cafile"];

fn root(command: Command) -> Command {
    command
        .infer_long_args(true)
        .args_override_self(true)
        .arg(flag("version", "Show this program's version").short('v'))
        .arg(flag("no-color", "No colours"))
        .arg(flag("no-utf8", "Tables of plain ASCII"))
        .arg(flag("warn-as-error", "A warning is an error for the exit code"))
        .arg(flag("curl", "Print the request as a curl command and send nothing"))
        .arg(flag("dry-run", "Say what a command would change, and change nothing; also after the command's words"))
        .arg(flag("watch", "Show a list again whenever it changes, until it is interrupted; also after the command's words"))
        .arg(opt("controllers", "Controllers, tried in order: HOST[:PORT], linstor://HOST, http://HOST:PORT").value_name("LIST"))
        .arg(flag("machine-readable", "Print JSON").short('m'))
        .arg(opt("output", "Form of the output; also after the command's words").short('o').value_name("FORM").value_parser(FORMATS))
        .arg(opt("pager", "Program that shows what does not fit the terminal, e.g. less").value_name("PROGRAM"))
        .arg(opt("output-version", "Form of the JSON").value_name("v0|v1").value_parser(["v0", "v1"]))
        .arg(flag("verbose", "Say more").short('V'))
        .arg(opt("timeout", "Seconds to wait for an answer").short('t').value_name("SECONDS"))
        .arg(flag("disable-config", "Read no configuration files"))
        .arg(opt("user", "Account name").short('u').value_name("NAME"))
        .arg(opt("password", "Its password; asked for when missing").short('P'))
        .arg(opt("token-file", "File with an API token; /var/lib/linstor.d/auth.json if not given").value_name("FILE"))
        .arg(opt("certfile", "Certificate of this client (PEM)").value_name("FILE"))
        .arg(opt("keyfile", "Key of this client (PEM)").value_name("FILE"))
        .arg(
            opt("cafile", "Certificates to check controllers against (PEM); without it a token goes to whoever answers").value_name("FILE"),
        )
        .arg(flag("allow-insecure-auth", "Send a password also without TLS"))
}

/// First words of a command line that belong here: all top-level commands and their short forms.
pub fn words() -> Vec<&'static str> {
    let mut words = vec!["help", "explain", "interactive", "list-commands", "commands", "list", "gen-zsh-completer"];
    words.extend(objects::words());
    words
}

#[cfg(test)]
mod tests {
    use super::{FLAGS, VALUES, command, globals, words};

    #[test]
    fn the_grammar_is_sound() {
        command().debug_assert();
        globals().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn walk(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands() {
                let path = format!("{path} {}", sub.get_name());
                if sub.has_subcommands() {
                    walk(sub, &path);
                } else {
                    let short = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                    // Where there is a long one it is shown instead.
                    let long = sub.get_after_long_help().map_or_else(|| short.clone(), ToString::to_string);
                    for help in [short, long] {
                        assert!(help.contains("Example:") || help.contains("exit code 4"), "no example:{path}");
                    }
                }
            }
        }
        walk(&command(), "");
    }

    #[test]
    fn the_first_words_are_those_of_the_grammar() {
        let command = command();
        let mut of_grammar: Vec<&str> =
            command.get_subcommands().flat_map(|sub| std::iter::once(sub.get_name()).chain(sub.get_all_aliases())).collect();
        let mut ours = words();
        of_grammar.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, of_grammar);
    }

    #[test]
    fn the_lists_of_global_options_are_whole() {
        let globals = globals();
        for argument in globals.get_arguments() {
            let name = argument.get_id().as_str();
            assert!(FLAGS.contains(&name) || VALUES.contains(&name) || ["help", "version"].contains(&name), "{name}");
        }
    }
}
