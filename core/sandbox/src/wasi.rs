//! What stands behind the imports of WASI: nothing of the machine.
//!
//! The standard library of a guest's language brings these imports along, used or not. A few calls are answered without giving anything
//! away, because a library could not live without: a fixed seed, an empty environment, output streams that swallow. Every other one ends
//! the call and says its name.

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Linker, Resource, ResourceType, Val};
use wasmtime::{Engine, StoreContextMut};

use crate::state::{State, Stop};

/// Beginning of the names of these imports.
pub const PREFIX: &str = "wasi:";

/// How a call is answered.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// A fixed seed: tables of hashes need one.
    Seed,
    /// An empty list.
    Nothing,
    /// None.
    None,
    /// A stream that swallows what it gets, and gives nothing.
    Stream,
    /// Done.
    Done,
    /// Waited for: it is always ready.
    Ready,
    /// Room for so many bytes.
    Room(u64),
    /// The program ends: so does the call.
    Exit,
    /// No provider has this.
    Refused,
}

fn answer(interface: &str, function: &str) -> Answer {
    let interface = interface.split('@').next().unwrap_or(interface);
    match (interface, function) {
        ("wasi:random/insecure-seed", "insecure-seed" | "get-insecure-seed") => Answer::Seed,
        ("wasi:cli/environment", "get-environment" | "get-arguments") => Answer::Nothing,
        ("wasi:cli/environment", "initial-cwd" | "get-initial-cwd")
        | ("wasi:cli/terminal-stdin", "get-terminal-stdin")
        | ("wasi:cli/terminal-stdout", "get-terminal-stdout")
        | ("wasi:cli/terminal-stderr", "get-terminal-stderr") => Answer::None,
        ("wasi:cli/stdin", "get-stdin") | ("wasi:cli/stdout", "get-stdout") | ("wasi:cli/stderr", "get-stderr") => Answer::Stream,
        // Something to wait on.
        ("wasi:io/streams", "[method]output-stream.subscribe") => Answer::Stream,
        ("wasi:io/poll", "[method]pollable.block") => Answer::Ready,
        ("wasi:io/streams", "[method]output-stream.check-write") => Answer::Room(4096),
        (
            "wasi:io/streams",
            "[method]output-stream.write"
            | "[method]output-stream.blocking-write-and-flush"
            | "[method]output-stream.flush"
            | "[method]output-stream.blocking-flush",
        ) => Answer::Done,
        ("wasi:cli/exit", _) => Answer::Exit,
        _ => Answer::Refused,
    }
}

fn give(answer: Answer, name: &str, mut store: StoreContextMut<'_, State>, params: &[Val], results: &mut [Val]) -> wasmtime::Result<()> {
    // What was lent for the call must be given back before it ends.
    for param in params {
        if let Val::Resource(lent) = param {
            lent.resource_drop(&mut store)?;
        }
    }
    let value = match answer {
        Answer::Seed => Val::Tuple(vec![Val::U64(0x6265_7274_6800_0001), Val::U64(0x6265_7274_6800_0002)]),
        Answer::Nothing => Val::List(Vec::new()),
        Answer::None => Val::Option(None),
        Answer::Stream => Val::Resource(Resource::<()>::new_own(0).try_into_resource_any(&mut store)?),
        Answer::Done => Val::Result(Ok(None)),
        Answer::Ready => return Ok(()),
        Answer::Room(bytes) => Val::Result(Ok(Some(Box::new(Val::U64(bytes))))),
        Answer::Exit => return Err(Stop::Exit.into()),
        Answer::Refused => return Err(Stop::Import(name.to_owned()).into()),
    };
    // A function of that name that answers nothing is none that we know.
    *results.first_mut().ok_or_else(|| Stop::Import(name.to_owned()))? = value;
    Ok(())
}

/// Puts something behind each function of an imported interface.
///
/// # Errors
/// If the engine refuses a name.
pub fn define(linker: &mut Linker<State>, engine: &Engine, interface: &str, items: &ComponentInstance) -> wasmtime::Result<()> {
    let mut instance = linker.instance(interface)?;
    for (function, item) in items.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => {
                let (name, answer) = (format!("{interface}#{function}"), answer(interface, function));
                instance.func_new(function, move |store, _, params, results| give(answer, &name, store, params, results))?;
            }
            // All resources are the same nothing.
            ComponentItem::Resource(_) => instance.resource(function, ResourceType::host::<()>(), |_, _| Ok(()))?,
            ComponentItem::CoreFunc(_)
            | ComponentItem::Module(_)
            | ComponentItem::Component(_)
            | ComponentItem::ComponentInstance(_)
            | ComponentItem::Type(_) => {}
        }
    }
    Ok(())
}
