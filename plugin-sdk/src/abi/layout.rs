//! The layout at the edge as a text, for the tests that keep it: what is written in `layout/*.txt` is what was released.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;

use abi_stable::StableAbi;
use abi_stable::type_layout::{TLData, TypeLayout};

use super::plugin::PluginModuleRef;
use super::provider::ProviderModuleRef;

/// Every type that a provider's root module reaches, with its size, alignment and fields.
#[must_use]
pub fn provider_layout() -> String {
    text(ProviderModuleRef::LAYOUT)
}

/// Every type that a plugin's root module reaches, with its size, alignment and fields.
#[must_use]
pub fn plugin_layout() -> String {
    text(PluginModuleRef::LAYOUT)
}

fn text(root: &'static TypeLayout) -> String {
    let mut found = BTreeSet::new();
    let (mut open, mut seen) = (vec![root], HashSet::new());
    while let Some(layout) = open.pop() {
        // By its identity: types of one name are told apart by what is in them.
        if !seen.insert(layout.get_utypeid()) {
            continue;
        }
        let name = layout.full_type();
        // Writing to a text cannot fail.
        let mut entry = format!("{name}: size {}, align {}, {:?}", layout.size(), layout.alignment(), layout.data_discriminant());
        if let TLData::Enum(of) = layout.data() {
            let words: Vec<_> = of.variant_names_iter().map(|word| word.to_string()).collect();
            let _ = write!(entry, " {{{}}}", words.join(", "));
        }
        for field in layout.get_fields().into_iter().flat_map(|fields| fields.iter().collect::<Vec<_>>()) {
            let _ = write!(entry, "\n    {}: {}", field.name(), field.full_type());
            for function in field.function_range().iter() {
                let _ = write!(entry, "\n        {function}");
                open.extend(function.param_type_layouts.iter().chain(function.return_type_layout()).map(|of| of()));
            }
            open.push(field.layout());
        }
        // What is reached by a pointer only: the module itself, tables of functions.
        open.extend(layout.phantom_fields().iter().map(|field| field.layout()));
        found.insert(entry);
    }
    found.into_iter().fold(String::new(), |text, entry| text + &entry + "\n")
}
