//! Layer stacks: words to layers, their order, and the stack of a replica that nobody chose one for.
//!
//! Rules: REST API v1, layers (allowed successors, STORAGE at the end); the default is DRBD on STORAGE, and plain STORAGE
//! for a single replica where the nodes cannot do DRBD.

use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::flags::ResourceFlag;
use berth_model::layers::{LayerKind, ProviderKind};
use berth_model::names::{NodeName, ResourceName};
use berth_model::objects::{ResourceDefinition, SelectFilter};
use berth_model::observed::{Capabilities, Observed};
use berth_model::reply::Reply;

use crate::draft::{Draft, Refused};
use crate::placement;

/// What is made where nobody chose: replicated.
pub const REPLICATED: &[LayerKind] = &[LayerKind::Drbd, LayerKind::Storage];
/// A single volume without replication.
pub const PLAIN: &[LayerKind] = &[LayerKind::Storage];

/// Text of a stack for people, e.g. `DRBD,STORAGE`.
#[must_use]
pub fn text(stack: &[LayerKind]) -> String {
    stack.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(",")
}

/// Takes the words of a stack from top to bottom, in any case, and checks their order; no words: no layers.
/// `true`: STORAGE was missing and was added.
///
/// # Errors
/// 224 for an unknown word, 225 for an impossible order.
pub fn read(words: &[String]) -> Result<(Vec<LayerKind>, bool), Refused> {
    let mut stack = Vec::with_capacity(words.len() + 1);
    for word in words {
        stack.push(LayerKind::parse(word).ok_or_else(|| {
            Reply::new(Code::FAIL_INVLD_LAYER_KIND, format!("'{word}' is not a layer."))
                .correction("Choose from DRBD, LUKS, NVME, WRITECACHE, CACHE, BCACHE and STORAGE.")
        })?);
    }
    let added = !stack.is_empty() && !stack.contains(&LayerKind::Storage);
    if added {
        stack.push(LayerKind::Storage);
    }
    check(&stack)?;
    Ok((stack, added))
}

/// As [`read`], with a warning entry (1012) where STORAGE was added.
///
/// # Errors
/// As [`read`].
pub fn parse(draft: &mut Draft<'_>, words: &[String]) -> Result<Vec<LayerKind>, Refused> {
    let (stack, added) = read(words)?;
    if added {
        draft.reply(
            Reply::new(Code::WARN_STORAGE_KIND_ADDED, "STORAGE was added at the end of the layers.")
                .cause("Every stack ends with the storage of a pool.")
                .correction(format!("Name the layers as {}.", text(&stack))),
        );
    }
    Ok(stack)
}

/// Checks the order of a stack; an empty one passes (none chosen).
///
/// # Errors
/// 225, with the pair that does not fit.
pub fn check(stack: &[LayerKind]) -> Result<(), Refused> {
    let bad = |cause: String| -> Refused {
        Reply::new(Code::FAIL_INVLD_LAYER_STACK, format!("The layers {} cannot be stacked like this.", text(stack)))
            .cause(cause)
            .correction("Name each layer once from top to bottom, DRBD first and STORAGE last, e.g. DRBD,LUKS,STORAGE.")
            .into()
    };
    for (at, kind) in stack.iter().enumerate() {
        if stack.iter().skip(at + 1).any(|other| other == kind) {
            return Err(bad(format!("{kind} is named twice.")));
        }
    }
    for pair in stack.windows(2) {
        if let [over, under] = pair
            && !over.may_stand_on(*under)
        {
            return Err(bad(format!("{over} cannot stand on {under}.")));
        }
    }
    match stack.last() {
        None | Some(LayerKind::Storage) => Ok(()),
        Some(last) => Err(bad(format!("{last} needs a layer below it."))),
    }
}

/// Takes the words of a list of providers, in any case.
///
/// # Errors
/// 224 for an unknown word (REST API v1 gives an unknown provider the code of an unknown layer).
pub fn providers(words: &[String]) -> Result<Vec<ProviderKind>, Refused> {
    let parse = |word: &String| {
        ProviderKind::parse(word).ok_or_else(|| {
            let known = ProviderKind::ALL.iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", ");
            Refused::from(
                Reply::new(Code::FAIL_INVLD_LAYER_KIND, format!("'{word}' is not a provider.")).correction(format!("Choose from {known}.")),
            )
        })
    };
    words.iter().map(parse).collect()
}

/// Whether a stack carries data from node to node.
#[must_use]
pub fn replicates(stack: &[LayerKind]) -> bool {
    stack.contains(&LayerKind::Drbd)
}

/// What a node's machine can do; `None`: it was not connected since the controller started.
#[must_use]
pub fn capabilities<'o>(observed: &'o Observed, node: &NodeName) -> Option<&'o Capabilities> {
    observed.nodes.get(node)?.capabilities.as_deref()
}

/// The layers of `stack` that a node lacks, each with why. STORAGE is never lacking: pools tell about it.
#[must_use]
pub fn lacking(stack: &[LayerKind], able: &Capabilities) -> Vec<(LayerKind, String)> {
    let missing = stack.iter().filter(|kind| **kind != LayerKind::Storage && !able.layers.contains(kind));
    missing.map(|kind| (*kind, able.unsupported_layers.get(kind).map(|reasons| reasons.join("; ")).unwrap_or_default())).collect()
}

/// Refuses a stack that a node is known not to support. Error 988.
///
/// # Errors
/// 988.
pub fn supported(observed: &Observed, node: &NodeName, stack: &[LayerKind]) -> Result<(), Refused> {
    let missing = capabilities(observed, node).map(|able| lacking(stack, able)).unwrap_or_default();
    let Some((kind, why)) = missing.first() else { return Ok(()) };
    Err(Reply::new(Code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER, format!("Node '{node}' cannot do the layer {kind}."))
        .cause(why.clone())
        .correction("Choose other layers, or a node that does this one: 'linstor node info' says which do, and what others lack.")
        .into())
}

/// The refusal of several replicas where nothing can replicate. Code 988.
#[must_use]
pub fn needs_drbd(resource: &ResourceName, replicas: usize) -> Refused {
    Reply::new(
        Code::FAIL_STLT_DOES_NOT_SUPPORT_LAYER,
        format!("'{resource}' cannot have {replicas} replicas: nothing would keep them alike."),
    )
    .cause("No layers were chosen, so that several replicas mean replication by DRBD, and the nodes or the first replica do without it.")
    .correction(
        "Ask for one replica, choose the layers STORAGE for replicas that are independent of each other, or use nodes that do DRBD: \
         'linstor node info' says which do, and what others lack.",
    )
    .into()
}

/// The stack that was chosen for a definition, nearest first: by the request, on the definition, by its replicas, in its group.
/// `None`: nobody chose one.
#[must_use]
pub fn chosen(cluster: &Cluster, definition: &ResourceDefinition, requested: &[LayerKind]) -> Option<Vec<LayerKind>> {
    let some = |stack: &[LayerKind]| (!stack.is_empty()).then(|| stack.to_vec());
    some(requested)
        .or_else(|| some(&definition.layers))
        .or_else(|| {
            let group = cluster.groups.get(&definition.group)?;
            some(group.filter.layer_stack.as_deref()?)
        })
        .or_else(|| {
            let replicas = || cluster.replicas(&definition.name).filter(|replica| !replica.flags.has(ResourceFlag::Delete));
            // Only replication binds a new replica to those that are there.
            replicas().find(|replica| replicates(&replica.layers)).map(|replica| replica.layers.clone())
        })
}

/// The stack of a new replica on a node: that of `words` if there are any, else the definition's, else the default.
///
/// # Errors
/// 224, 225 for bad words; 988 if the node cannot do a layer, or if a second replica would need DRBD and it cannot.
pub fn for_replica(
    draft: &mut Draft<'_>,
    definition: &ResourceDefinition,
    words: &[String],
    node: &NodeName,
) -> Result<Vec<LayerKind>, Refused> {
    let requested = parse(draft, words)?;
    let observed = draft.context.observed;
    if let Some(stack) = chosen(&draft.cluster, definition, &requested) {
        supported(observed, node, &stack)?;
        return Ok(stack);
    }
    let others = draft.cluster.replicas(&definition.name).filter(|replica| !replica.flags.has(ResourceFlag::Delete)).count();
    if others > 0 {
        // Those that are there do not replicate, else their stack had been taken.
        return Err(needs_drbd(&definition.name, others + 1));
    }
    let able = match capabilities(observed, node) {
        Some(able) => able.layers.contains(&LayerKind::Drbd),
        // Not seen yet: as the machines that were.
        None => placement::any_can(&draft.cluster, observed, &SelectFilter::default(), LayerKind::Drbd),
    };
    Ok(if able { REPLICATED } else { PLAIN }.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(words: &str) -> String {
        let words: Vec<String> = words.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        match read(&words) {
            Ok((stack, added)) => format!("{}{}", text(&stack), if added { " +" } else { "" }),
            Err(refused) => refused.replies[0].code.number().to_string(),
        }
    }

    #[test]
    fn words_become_stacks() {
        for (words, expect) in [
            ("", ""),
            ("storage", "STORAGE"),
            ("drbd,luks,Storage", "DRBD,LUKS,STORAGE"),
            ("DRBD", "DRBD,STORAGE +"),
            ("drbd,writecache", "DRBD,WRITECACHE,STORAGE +"),
            ("floppy", "224"),
            ("DRBD_PROXY,STORAGE", "224"),
            ("DRBD,DRBD,STORAGE", "225"),
            ("LUKS,DRBD,STORAGE", "225"),
            ("STORAGE,DRBD", "225"),
            ("LUKS,NVME", "225"),
        ] {
            assert_eq!(outcome(words), expect, "{words}");
        }
    }
}
