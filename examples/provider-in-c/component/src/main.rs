//! Makes a component of a core module: `provider-in-c-component WIT-FOLDER MODULE COMPONENT`.
//!
//! The same as `wasm-tools component embed` and `wasm-tools component new`, which whoever has that program uses instead.

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [wit, module, component] = words.as_slice() else { bail!("usage: provider-in-c-component WIT-FOLDER MODULE COMPONENT") };
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_path(wit).with_context(|| format!("{wit} cannot be read"))?;
    let world = resolve.select_world(&[package], Some("provider"))?;
    let mut bytes = std::fs::read(module).with_context(|| format!("{module} cannot be read"))?;
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, wit_component::StringEncoding::UTF8, false)?;
    let encoded = wit_component::ComponentEncoder::default().validate(true).module(&bytes)?.encode()?;
    std::fs::write(component, encoded).with_context(|| format!("{component} cannot be written"))
}
