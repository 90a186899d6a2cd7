//! A network of a satellite's own, joined to this machine by one link that can be cut.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

use crate::command::{Finished, run, tool};
use crate::{Daemon, Scratch, is_root, note};

/// Name of the link's end inside.
const INSIDE: &str = "berth0";
/// Pairs of addresses in 198.18.0.0/15, which is reserved for tests of networks.
const PAIRS: u32 = 1 << 15;

/// How a link fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The far end is down: what is sent is lost, and nobody says so.
    Silent,
    /// The near end is down: the machine knows that it has lost a network.
    Near,
    /// There is no way to the address: each attempt fails at once.
    Unreachable,
}

/// A network namespace with a link to this machine. It goes with the process that holds it, so it goes in any case.
#[derive(Debug)]
pub struct Network {
    link: String,
    near: Ipv4Addr,
    far: Ipv4Addr,
    holder: Daemon,
}

impl Network {
    /// A fresh one. `None`, with a note, without root.
    ///
    /// # Errors
    /// If the machine cannot make it.
    pub fn new(scratch: &Scratch, name: &str) -> Result<Option<Self>> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !is_root() {
            note("no network that can be cut: making one needs root");
            return Ok(None);
        }
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let link = format!("bt{:x}-{number:x}", std::process::id());
        let (near, far) = addresses(std::process::id().wrapping_mul(16).wrapping_add(number))?;
        // The last word names the folder, so that what clears the folder finds the process, too.
        let script = "echo ready here; exec sleep infinity";
        let call: Vec<OsString> =
            [tool("unshare")?.into(), "--net".into(), "sh".into(), "-c".into(), script.into(), scratch.path().into()].into();
        let holder = Daemon::start_program(scratch, &format!("network-{name}"), &[], &call)?;
        let network = Self { link, near, far, holder };
        let pid = network.holder.pid().to_string();
        ip(&["link", "add", &network.link, "type", "veth", "peer", "name", INSIDE, "netns", &pid])?.ok()?;
        network.inside(&["addr", "add", &format!("{far}/30"), "dev", INSIDE])?.ok()?;
        network.inside(&["link", "set", INSIDE, "up"])?.ok()?;
        ip(&["addr", "add", &format!("{near}/30"), "dev", &network.link])?.ok()?;
        ip(&["link", "set", &network.link, "up"])?.ok()?;
        Ok(Some(network))
    }

    /// The address inside.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.far
    }

    /// The address of this machine on the link.
    #[must_use]
    pub fn near(&self) -> Ipv4Addr {
        self.near
    }

    /// Words in front of a program that shall run inside.
    ///
    /// # Errors
    /// If `nsenter` is missing.
    pub fn enter(&self) -> Result<Vec<OsString>> {
        Ok([tool("nsenter")?.into(), format!("--net=/proc/{}/ns/net", self.holder.pid()).into(), "--".into()].into())
    }

    /// Cuts the link.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn cut(&self, how: Cut) -> Result<()> {
        self.set(how, true)
    }

    /// Takes a cut back.
    ///
    /// # Errors
    /// If the machine refuses.
    pub fn mend(&self, how: Cut) -> Result<()> {
        self.set(how, false)
    }

    fn set(&self, how: Cut, cut: bool) -> Result<()> {
        let state = if cut { "down" } else { "up" };
        match how {
            Cut::Silent => self.inside(&["link", "set", INSIDE, state])?.ok().map(drop),
            Cut::Near => ip(&["link", "set", &self.link, state])?.ok().map(drop),
            Cut::Unreachable => {
                let verb = if cut { "add" } else { "del" };
                ip(&["route", verb, "unreachable", &format!("{}/32", self.far)])?.ok().map(drop)
            }
        }
    }

    fn inside(&self, words: &[&str]) -> Result<Finished> {
        let mut call: Vec<OsString> = self.enter()?.split_off(1);
        call.push(tool("ip")?.into());
        call.extend(words.iter().map(OsString::from));
        run("nsenter", &call)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // A route outlives its target, and a link the test that panicked before it was joined.
        ip(&["route", "del", "unreachable", &format!("{}/32", self.far)]).ok();
        ip(&["link", "del", &self.link]).ok();
    }
}

fn ip(words: &[&str]) -> Result<Finished> {
    run("ip", words)
}

/// A pair of addresses that this machine does not use yet; the search begins at `from`.
fn addresses(from: u32) -> Result<(Ipv4Addr, Ipv4Addr)> {
    let used = ip(&["-4", "-o", "addr", "show"])?.ok()?;
    for at in 0..PAIRS {
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + (from.wrapping_add(at) % PAIRS) * 4;
        let (near, far) = (Ipv4Addr::from(base + 1), Ipv4Addr::from(base + 2));
        if !used.contains(&format!(" {near}/")) {
            return Ok((near, far));
        }
    }
    bail!("every address of 198.18.0.0/15 is in use")
}
