//! Completion in real shells, keys pressed at a terminal: names of objects come from a controller with HTTPS and tokens.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use berth_integration::{berth, note, run_within, tool, within};

use super::own_words::World;

const LIMIT: Duration = Duration::from_secs(60);
/// Time for one press of the tabulator until it is pressed again: whoever completes has 2 s, and this machine may be busy.
const PRESS_LIMIT: Duration = Duration::from_secs(10);

/// What is typed before the tabulator is pressed, and the line afterwards.
const LINES: [(&str, &str); 6] = [
    ("linstor node list-prop", "linstor node list-properties"),
    ("linstor node list-properties al", "linstor node list-properties alpha"),
    ("linstor resource-definition delete we", "linstor resource-definition delete web"),
    ("linstor resource-group list-properties Dflt", "linstor resource-group list-properties DfltRscGrp"),
    ("berth node info --nodes al", "berth node info --nodes alpha"),
    ("berth job list --node al", "berth job list --node alpha"),
];

/// A folder with the program under both names, and the registration for `shell`.
struct Place {
    folder: PathBuf,
    registration: PathBuf,
}

fn place(world: &World, shell: &str) -> Result<Option<Place>> {
    if tool(shell).is_err() {
        note(&format!("skipped: {shell} is not installed; 'cargo xtask test' installs it"));
        return Ok(None);
    }
    let folder = world.scratch.sub(shell)?;
    let programs = folder.join("bin");
    fs::create_dir_all(&programs)?;
    for name in ["linstor", "berth"] {
        symlink(berth()?, programs.join(name))?;
    }
    let registration = folder.join("registration");
    fs::write(&registration, run_within(LIMIT, Command::new(berth()?).args(["completions", shell]))?.ok()?)?;
    Ok(Some(Place { folder, registration }))
}

/// The program with everything in its environment that completion needs; nothing else says where controllers are.
fn at(world: &World, place: &Place, program: &str) -> Result<Command> {
    let mut command = Command::new(tool(program)?);
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .current_dir(&place.folder)
        .env("PATH", format!("{}:{path}", place.folder.join("bin").display()))
        .env("HOME", &place.folder)
        .env("ZDOTDIR", &place.folder)
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8")
        .env_remove("XDG_CONFIG_HOME")
        .env("LS_CONTROLLERS", &world.https)
        .env("LS_CLIENT_CAFILE", &world.ca)
        .env("LS_CLIENT_TOKEN_FILE", world.scratch.path().join("token"));
    Ok(command)
}

/// A shell at a terminal of its own. It writes the file `ready` once it reads keys, and what stands in the line into `line` when Ctrl-G is
/// pressed, which empties the line.
struct Session {
    child: Child,
    keys: ChildStdin,
    line: PathBuf,
}

impl Session {
    fn start(world: &World, place: &Place, call: &str) -> Result<Self> {
        let mut command = at(world, place, "script")?;
        command.args(["--quiet", "--return", "--command", call, "/dev/null"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("script does not start")?;
        let keys = child.stdin.take().context("no keyboard")?;
        let session = Self { child, keys, line: place.folder.join("line") };
        let ready = place.folder.join("ready");
        within(LIMIT, &format!("{call} reads keys"), || if ready.exists() { Ok(()) } else { Err("not yet".to_owned()) })?;
        Ok(session)
    }

    fn press(&mut self, keys: &str) -> Result<()> {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).context("nobody reads the keys")
    }

    /// Types `start`, presses the tabulator and says what the line became.
    fn completed(&mut self, start: &str, limit: Duration) -> Result<String> {
        drop(fs::remove_file(&self.line));
        self.press(&format!("{start}\t\u{7}"))?;
        within(limit, "the line is told", || match fs::read_to_string(&self.line) {
            Ok(text) if text.ends_with('\n') => Ok(text.trim().to_owned()),
            Ok(text) => Err(format!("half a line: {text}")),
            Err(error) => Err(error.to_string()),
        })
    }

    fn check(&mut self) -> Result<()> {
        // Words of the grammar are there at the first press; nobody is asked for them.
        let (start, expected) = LINES[0];
        let line = self.completed(start, LIMIT)?;
        ensure!(line == expected, "'{start}' becomes '{line}'");
        for (start, expected) in LINES {
            within(LIMIT, expected, || match self.completed(start, PRESS_LIMIT) {
                Ok(line) if line == expected => Ok(()),
                Ok(line) => Err(format!("'{start}' becomes '{line}'")),
                Err(error) => Err(format!("{error:#}")),
            })?;
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A shell whose terminal is gone ends.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn write(place: &Place, name: &str, text: &str) -> Result<()> {
    fs::write(place.folder.join(name), text).with_context(|| format!("{name} cannot be written"))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn bash_completes_names() -> Result<()> {
    let world = World::new()?;
    let Some(place) = place(&world, "bash")? else { return Ok(()) };
    let settings = format!(
        "source {}\nPS1='> '\nreport() {{ printf '%s\\n' \"$READLINE_LINE\" > line; READLINE_LINE=; READLINE_POINT=0; }}\n\
         bind -x '\"\\C-g\": report' 2>/dev/null\nPROMPT_COMMAND='touch ready'\n",
        shown(&place.registration)
    );
    write(&place, "settings", &settings)?;
    Session::start(&world, &place, "bash --noprofile --rcfile settings -i")?.check()
}

#[test]
fn zsh_completes_names() -> Result<()> {
    let world = World::new()?;
    let Some(place) = place(&world, "zsh")? else { return Ok(()) };
    // As a package puts it: found by the shell when the first completion is asked for.
    let functions = place.folder.join("functions");
    fs::create_dir_all(&functions)?;
    fs::copy(&place.registration, functions.join("_linstor"))?;
    let settings = format!(
        "fpath=({} $fpath)\nautoload -Uz compinit && compinit -u -D\nPS1='> '\nunsetopt beep\nbindkey -e\n\
         report() {{ print -r -- \"$BUFFER\" > line; BUFFER= }}\nzle -N report\nbindkey '^G' report\nprecmd() {{ touch ready }}\n",
        shown(&functions)
    );
    write(&place, ".zshrc", &settings)?;
    Session::start(&world, &place, "zsh -o no_global_rcs -i")?.check()
}

#[test]
fn fish_completes_names() -> Result<()> {
    let world = World::new()?;
    let Some(place) = place(&world, "fish")? else { return Ok(()) };
    for (start, expected) in LINES {
        // Its own engine: what it would offer for this line, with a description behind a tabulator.
        let script = format!("source {}; complete --do-complete '{start}'", shown(&place.registration));
        within(LIMIT, expected, || {
            let mut fish = at(&world, &place, "fish").map_err(|error| format!("{error:#}"))?;
            let done = run_within(LIMIT, fish.args(["--no-config", "-c", &script])).map_err(|error| format!("{error:#}"))?;
            let wanted = expected.rsplit(' ').next().unwrap_or_default();
            let offered: Vec<&str> = done.stdout.lines().filter_map(|line| line.split('\t').next()).collect();
            if offered == [wanted] { Ok(()) } else { Err(format!("'{start}': offered {offered:?}\n{}", done.stderr)) }
        })?;
    }
    Ok(())
}

#[test]
fn a_shell_that_is_not_known_is_named() -> Result<()> {
    let done = run_within(LIMIT, Command::new(berth()?).args(["completions", "tcsh"]))?;
    ensure!(
        done.code() == 1 && done.stderr.contains("bash") && done.stderr.contains("zsh") && done.stderr.contains("fish"),
        "{}",
        done.stderr
    );
    Ok(())
}
