//! A provider that misbehaves as the property `StorDriver/Hostile/Misbehave` of its pool says, for the tests of those who load providers.
//!
//! Without the property it is a harmless provider of an empty pool. Whatever it gets hold of that it should not, it tells in the message
//! of a fault that begins with [`STOLEN`].

#![deny(unsafe_code)]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Mutex;

use berth_plugin_sdk::uuid::Uuid;
use berth_plugin_sdk::{
    BackingName, Data, Device, Fault, FaultKind, FileError, Filled, Found, Kib, Known, Limits, Machine, Manifest, Marked, New,
    PoolAbilities, Property, Provider, Rule, Space, Stream,
};

/// Beginning of the message of a fault by which it tells what it got hold of.
const STOLEN: &str = "stolen: ";
/// The property that says how it misbehaves.
const MISBEHAVE: &str = "StorDriver/Hostile/Misbehave";

/// Pools of earlier calls.
static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The provider.
#[derive(Debug, Default, Clone, Copy)]
pub struct Hostile;

fn stolen(what: impl std::fmt::Display) -> Fault {
    Fault::new(FaultKind::Tool, format!("{STOLEN}{what}"))
}

fn refused(why: impl std::fmt::Display) -> Fault {
    Fault::new(FaultKind::Tool, format!("refused: {why}"))
}

/// Deeper and deeper; the compiler cannot make a loop of it.
#[allow(unconditional_recursion)]
fn deeper(depth: u64, above: &mut [u64; 64]) -> u64 {
    let mut here = [depth; 64];
    here[black_box(3)] = above[black_box(5)];
    let below = deeper(depth.wrapping_add(1), &mut here);
    above[black_box(7)] = below;
    below.wrapping_add(black_box(here[11]))
}

/// A panic, not known to be one.
fn panics() {
    assert!(black_box(false), "the guest panicked on purpose");
}

/// Misbehaves, if the pool asks for it: in every call, or in one (`create:panic`).
fn misbehave(on: &dyn Machine, call: &str) -> Result<(), Fault> {
    let Some(how) = on.pool().props.get(MISBEHAVE) else { return Ok(()) };
    let how = match how.split_once(':') {
        Some((only, how)) if only == call => how,
        Some(_) => return Ok(()),
        None => how,
    };
    match how {
        "panic" => panics(),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(0),
        "loop" => loop {
            black_box(0);
        },
        "ask" => loop {
            let _ = black_box(on.files().is_ok());
        },
        "recursion" => {
            black_box(deeper(0, &mut [0; 64]));
        }
        // 1.75 GiB, about the most that one allocation can have in a guest of 32 bits.
        "allocate" => {
            black_box(vec![1_u8; 0x7000_0000]);
        }
        "grow" => {
            let mut kept: Vec<Vec<u8>> = Vec::new();
            loop {
                kept.push(vec![1; 1 << 20]);
                black_box(&kept);
            }
        }
        "log" => (0..100_000).for_each(|line| on.log(&format!("line {line}"))),
        "long-log" => on.log(&"x".repeat(1 << 20)),
        "long-word" => drop(on.run(&["true", &"x".repeat(1 << 20)])),
        "many-words" => drop(on.run(&vec!["true"; 100_000])),
        "print" => {
            print!("nobody reads this");
            eprintln!("nor this");
        }
        "hash" => {
            let table: HashMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
            return if table.get(&7) == Some(&7) { Ok(()) } else { Err(refused("a table of hashes does not work")) };
        }
        "read" => return std::fs::read_to_string("/etc/passwd").map_or_else(|e| Err(refused(e)), |text| Err(stolen(text))),
        "write" => return std::fs::write("/tmp/berth-hostile", "x").map_or_else(|e| Err(refused(e)), |()| Err(stolen("a file"))),
        "list" => return std::fs::read_dir("/").map_or_else(|e| Err(refused(e)), |_| Err(stolen("a folder"))),
        "socket" => return std::net::TcpStream::connect("127.0.0.1:22").map_or_else(|e| Err(refused(e)), |_| Err(stolen("a socket"))),
        "name" => {
            let asked = std::net::ToSocketAddrs::to_socket_addrs("localhost:22");
            return asked.map_or_else(|e| Err(refused(e)), |_| Err(stolen("an address")));
        }
        "environment" => {
            let all: Vec<String> = std::env::vars().map(|(key, _)| key).chain(std::env::args()).collect();
            return if all.is_empty() { Err(refused("it is empty")) } else { Err(stolen(all.join(" "))) };
        }
        "date" => return Err(stolen(format!("{:?}", std::time::SystemTime::now()))),
        "clock" => return Err(stolen(format!("{:?}", std::time::Instant::now()))),
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(3600)),
        "thread" => return std::thread::Builder::new().spawn(|| ()).map_or_else(|e| Err(refused(e)), |_| Err(stolen("a thread"))),
        "process" => {
            return std::process::Command::new("/bin/true").output().map_or_else(|e| Err(refused(e)), |_| Err(stolen("a process")));
        }
        // Files beyond the pool's folder, by the door that is open.
        "outside" => {
            let files = on.files()?;
            for name in ["../secret", "/etc/passwd", "..", "a/b", ""] {
                match files.look(name) {
                    Err(FileError::BadName(_)) => {}
                    other => return Err(stolen(format!("{name}: {other:?}"))),
                }
            }
            return Err(refused("every one"));
        }
        // Seven megabytes of a command that is granted.
        "flood" => {
            let output = on.run(&["seq", "1000000"])?;
            return Err(stolen(format!("{} {}", output.stdout.len(), output.stderr.len())));
        }
        "shadow" => return Err(stolen(on.run(&["cat", "/etc/shadow"])?.stdout)),
        // All 4 GiB that a guest of 32 bits can name.
        #[cfg(target_family = "wasm")]
        "pages" => {
            let before = core::arch::wasm32::memory_grow::<0>(0xff00);
            return Err(if before == usize::MAX { refused("4 GiB") } else { stolen("4 GiB") });
        }
        "try-allocate" => {
            let mut room: Vec<u8> = Vec::new();
            return room.try_reserve_exact(0x7000_0000).map_or_else(|e| Err(refused(e)), |()| Err(stolen("memory")));
        }
        "pools" => {
            let mut seen = SEEN.lock().map_err(refused)?;
            seen.push(on.pool().name.clone());
            return Err(stolen(seen.join(" ")));
        }
        "fault" => {
            let text = "x".repeat(1 << 20);
            return Err(Fault::new(FaultKind::InUse, text.clone()).cause(text.clone()).correction(text.clone()).details(text));
        }
        // These misbehave in what they answer.
        "extent" | "huge" | "foreign-name" | "twice" | "path" | "copy" | "words" => {}
        other => {
            // A granted command, of which the machine may make something special.
            let word = other.strip_prefix("echo ").ok_or_else(|| refused(format!("it does not know how to '{other}'")))?;
            let output = on.run(&["echo", word])?;
            return Err(stolen(format!("{} {}", output.stdout.len(), output.stderr.len())));
        }
    }
    Ok(())
}

fn asked(on: &dyn Machine, how: &str) -> bool {
    on.pool().props.get(MISBEHAVE).is_some_and(|asked| asked == how)
}

fn found(name: &str) -> Vec<Found> {
    let name = BackingName::parse(name).ok();
    name.into_iter().map(|name| Found { name, marked: Marked::Unmarked, size: Kib(4), allocated: Kib(0), device: None }).collect()
}

impl Provider for Hostile {
    fn manifest(&self) -> Manifest {
        Manifest {
            commands: vec!["echo {text}".into(), "seq {number}".into()],
            files: true,
            limits: Limits { memory_mib: 64, seconds: 10, output_kib: 64 },
            props: vec![Property { key: MISBEHAVE.into(), help: "How it misbehaves.".into(), rule: Rule::Text(64) }],
            ..Manifest::new("hostile", "1.0.0", &["PLUGIN"])
        }
    }
    fn probe(&self, on: &dyn Machine) -> Result<PoolAbilities, Fault> {
        misbehave(on, "probe")?;
        let extent = if asked(on, "extent") { Kib(0) } else { Kib(4) };
        Ok(PoolAbilities { extent, no_snapshots: None, zeroes: true })
    }
    fn clean(&self, on: &dyn Machine, _cluster: Uuid) -> Result<Vec<String>, Fault> {
        misbehave(on, "clean")?;
        Ok(if asked(on, "huge") { vec![String::new(); 2_000_000] } else { Vec::new() })
    }
    fn space(&self, on: &dyn Machine) -> Result<Space, Fault> {
        misbehave(on, "space")?;
        Ok(Space { total: Kib(1024), free: Kib(1024) })
    }
    fn list(&self, on: &dyn Machine) -> Result<Vec<Found>, Fault> {
        misbehave(on, "list")?;
        Ok(if asked(on, "twice") { [found("a"), found("a")].concat() } else { Vec::new() })
    }
    fn look(&self, on: &dyn Machine, _name: &BackingName, _of: Option<&BackingName>) -> Result<Option<Found>, Fault> {
        misbehave(on, "look")?;
        Ok(if asked(on, "foreign-name") { found("other").pop() } else { None })
    }
    fn create(&self, on: &dyn Machine, _new: &New, _size: Kib) -> Result<(), Fault> {
        misbehave(on, "create")
    }
    fn grow(&self, on: &dyn Machine, _volume: &Known, _size: Kib) -> Result<(), Fault> {
        misbehave(on, "grow")
    }
    fn delete(&self, on: &dyn Machine, _volume: &Known) -> Result<(), Fault> {
        misbehave(on, "delete")
    }
    fn snapshot(&self, on: &dyn Machine, _volume: &Known, _new: &New) -> Result<(), Fault> {
        misbehave(on, "snapshot")
    }
    fn delete_snapshot(&self, on: &dyn Machine, _snapshot: &Known) -> Result<(), Fault> {
        misbehave(on, "delete_snapshot")
    }
    fn rollback(&self, on: &dyn Machine, _new: &New, _snapshot: &Known) -> Result<(), Fault> {
        misbehave(on, "rollback")
    }
    fn restore(&self, on: &dyn Machine, _snapshot: &Known, _new: &New, _size: Kib) -> Result<Filled, Fault> {
        misbehave(on, "restore")?;
        let file = |name: &str| Data::File(name.into());
        Ok(if asked(on, "copy") { Filled::Copy { from: file("../secret"), to: file("mine") } } else { Filled::Done })
    }
    fn clone_volume(&self, on: &dyn Machine, _volume: &Known, _new: &New, _size: Kib) -> Result<Filled, Fault> {
        misbehave(on, "clone_volume")?;
        Ok(if asked(on, "words") { Filled::Pipe { sender: Vec::new(), receiver: Vec::new() } } else { Filled::Done })
    }
    fn send(&self, on: &dyn Machine, _snapshot: &Known, _since: Option<&Known>) -> Result<Stream, Fault> {
        misbehave(on, "send")?;
        Ok(Stream { format: "raw".into(), argv: vec!["echo".into(), "x".into()] })
    }
    fn finish_copy(&self, on: &dyn Machine, _new: &New) -> Result<(), Fault> {
        misbehave(on, "finish_copy")
    }
    fn attach(&self, on: &dyn Machine, _volume: &Known) -> Result<Device, Fault> {
        misbehave(on, "attach")?;
        let path = if asked(on, "path") { "/dev/../etc/shadow" } else { "/dev/hostile" };
        Ok(Device { path: path.into(), size: Kib(4) })
    }
    fn detach(&self, on: &dyn Machine, _volume: &Known) -> Result<(), Fault> {
        misbehave(on, "detach")
    }
}

berth_plugin_sdk::export_provider!(Hostile);
