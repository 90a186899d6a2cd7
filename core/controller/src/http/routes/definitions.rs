//! Resource definitions, volume definitions, clones.

use std::sync::Arc;

use axum::http::StatusCode;
use berth_api::definition::{
    AutoPlaceRequest, CloneRequest, CloneStarted, CloneStatus, ResourceDefinition as Definition, ResourceDefinitionCreate,
    ResourceDefinitionModify, SyncStatus, VolumeDefinition, VolumeDefinitionCreate, VolumeDefinitionModify,
};
use berth_api::encryption::VolumePassphrase;
use berth_api::explain::PreviewDocument;
use berth_api::lenient::{int, plain, text, texts, truth};
use berth_api::reply::ApiCallRc;
use berth_api::settings::Count;
use berth_engine::command::{Command, VolumeDefinitionInput};
use berth_engine::lookup;
use berth_model::codes::Code;
use berth_model::flags::{DefinitionFlag, ResourceFlag};
use berth_model::objects::ResourceDefinition;
use berth_model::observed::Standing;
use berth_model::props::Owner;
use berth_model::reply::Reply;
use berth_model::secrets::Secret;

use super::inputs;
use super::settings::{infos, property_infos};
use crate::http::answer::{document, entry, json, replies};
use crate::http::call::{Answered, Call};
use crate::http::dry::Mode;
use crate::http::lists::{self, Column};
use crate::http::query::refused;
use crate::http::spec::{Op, Routes};
use crate::http::views;

/// The operations of this kind.
pub fn routes() -> Routes {
    let with_volumes = "Whether each shows its volume definitions.";
    Routes::new("Resource definitions")
        .get(
            "/v1/resource-definitions",
            list,
            Op::list::<Definition>("Lists the resource definitions.")
                .texts("resource_definitions", "Only these definitions.")
                .props()
                .flag("with_volume_definitions", with_volumes),
        )
        .post("/v1/resource-definitions", create, Op::creates("Makes a resource definition.").body::<ResourceDefinitionCreate>())
        .get("/v1/resource-definitions/properties/info", || infos(Owner::ResourceDefinition), property_infos("resource definitions"))
        .get(
            "/v1/resource-definitions/{resource}",
            one,
            Op::answers::<Definition>("Shows a resource definition.").flag("with_volume_definitions", with_volumes),
        )
        .put(
            "/v1/resource-definitions/{resource}",
            modify,
            Op::changes("Changes a resource definition.").may_have::<ResourceDefinitionModify>(),
        )
        .delete("/v1/resource-definitions/{resource}", remove, Op::changes("Deletes a resource with all of its replicas and its data."))
        .post(
            "/v1/resource-definitions/{resource}/clone",
            clone,
            Op::changes("Makes a copy of a resource, on the nodes where its data is.")
                .body::<CloneRequest>()
                .reply::<CloneStarted>(200)
                .or::<PreviewDocument>(200)
                .reply::<CloneStarted>(201)
                .reply::<CloneStarted>(500)
                .or::<Vec<ApiCallRc>>(500),
        )
        .get("/v1/resource-definitions/{resource}/clone/{target}", clone_status, Op::answers::<CloneStatus>("Says how far a clone is."))
        .get(
            "/v1/resource-definitions/{resource}/sync-status",
            sync_status,
            Op::answers::<SyncStatus>("Says whether every replica that can be reached is as it is wanted."),
        )
        .post(
            "/v1/resource-definitions/{resource}/autoplace",
            autoplace,
            Op::creates("Places replicas by rules.").may_have::<AutoPlaceRequest>(),
        )
        .get(
            "/v1/resource-definitions/{resource}/volume-definitions",
            volumes,
            Op::answers::<Vec<VolumeDefinition>>("Lists the volume definitions of a resource."),
        )
        .post(
            "/v1/resource-definitions/{resource}/volume-definitions",
            create_volume,
            Op::changes("Adds a volume to a resource and all of its replicas.").body::<VolumeDefinitionCreate>(),
        )
        .get(
            "/v1/resource-definitions/{resource}/volume-definitions/properties/info",
            || infos(Owner::VolumeDefinition),
            property_infos("volume definitions"),
        )
        .get(
            "/v1/resource-definitions/{resource}/volume-definitions/{number}",
            volume,
            Op::answers::<VolumeDefinition>("Shows a volume definition."),
        )
        .put(
            "/v1/resource-definitions/{resource}/volume-definitions/{number}",
            modify_volume,
            Op::changes("Changes the size, flags or properties of a volume.").may_have::<VolumeDefinitionModify>(),
        )
        .delete(
            "/v1/resource-definitions/{resource}/volume-definitions/{number}",
            remove_volume,
            Op::changes("Deletes a volume from a resource and all of its replicas."),
        )
        .put(
            "/v1/resource-definitions/{resource}/volume-definitions/{number}/encryption-passphrase",
            modify_passphrase,
            Op::changes("Sets the passphrase of an encrypted volume.").body::<VolumePassphrase>(),
        )
        .get(
            "/v1/stats/resource-definitions",
            async |call: Call| document(&Count { count: call.view().cluster.definitions.len() }),
            Op::answers::<Count>("Counts the resource definitions."),
        )
}

async fn list(call: Call) -> Answered {
    let names = call.query.names("resource_definitions", lookup::resource_name)?;
    let props = call.query.props();
    let with_volumes = call.query.truth("with_volume_definitions")?.unwrap_or(false);
    if names.is_none() && props.is_empty() {
        return Ok(lists::list(&call, if with_volumes { Column::WholeDefinitions } else { Column::Definitions }));
    }
    let view = call.view();
    let chosen: Box<dyn Iterator<Item = &Arc<ResourceDefinition>>> = match &names {
        Some(names) => Box::new(names.iter().filter_map(|name| view.cluster.definitions.get(name))),
        None => Box::new(view.cluster.definitions.values()),
    };
    let fitting = chosen.filter(|definition| props.fits(&definition.props));
    let page = call.query.page(fitting);
    Ok(document(&page.into_iter().map(|one| views::definition::definition(&view.cluster, one, with_volumes)).collect::<Vec<_>>()))
}

async fn one(call: Call) -> Answered {
    let view = call.view();
    let definition = lookup::definition(&view.cluster, call.part("resource")).map_err(refused)?;
    let with_volumes = call.query.truth("with_volume_definitions")?.unwrap_or(false);
    Ok(document(&views::definition::definition(&view.cluster, definition, with_volumes)))
}

async fn create(call: Call) -> Answered {
    let body: ResourceDefinitionCreate = call.body()?;
    let definition = body.resource_definition.unwrap_or_default();
    let layers = definition.layer_data.unwrap_or_default().into_iter().filter_map(|layer| text(layer.kind)).collect();
    let command = Command::CreateResourceDefinition {
        name: text(definition.name),
        external_name: text(definition.external_name),
        group: text(definition.resource_group_name),
        layers,
        props: plain(definition.props),
        drbd_port: int(body.drbd_port),
        drbd_secret: text(body.drbd_secret).map(Secret::new),
        drbd_transport_type: text(body.drbd_transport_type),
        drbd_peer_slots: int(body.drbd_peer_slots),
    };
    Ok(call.submit(command, StatusCode::CREATED).await)
}

async fn modify(call: Call) -> Answered {
    let body: ResourceDefinitionModify = call.body_or_default()?;
    let command = Command::ModifyResourceDefinition {
        name: call.text("resource"),
        props: inputs::change(body.props),
        drbd_port: int(body.drbd_port),
        drbd_peer_slots: int(body.drbd_peer_slots),
        layers: texts(body.layer_stack),
        group: text(body.resource_group),
    };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn remove(call: Call) -> Answered {
    Ok(call.submit(Command::DeleteResourceDefinition { name: call.text("resource") }, StatusCode::OK).await)
}

async fn clone(call: Call) -> Answered {
    let body: CloneRequest = call.body()?;
    let source = call.text("resource");
    if let Err(missing) = lookup::definition(&call.view().cluster, &source) {
        return Err(refused(missing));
    }
    let name = text(body.name);
    let external_name = text(body.external_name);
    let command = Command::CloneResourceDefinition {
        source: source.clone(),
        name: name.clone(),
        external_name,
        layers: texts(body.layer_list).unwrap_or_default(),
        group: text(body.resource_group),
        props: inputs::change(body.props),
        use_zfs_clone: truth(body.use_zfs_clone),
        passphrases: call.all_sealed(body.volume_passphrases)?,
    };
    let answer = call.submit_plain(command).await?;
    // The name that was made of an external one stands in the entries.
    let made = answer.iter().rev().find_map(|reply| reply.refs.get("RscDfn").filter(|name| !name.is_empty()).cloned());
    let clone_name = made.or(name).unwrap_or_default();
    let started = CloneStarted {
        location: format!("/v1/resource-definitions/{source}/clone/{clone_name}"),
        source_name: source,
        clone_name,
        messages: answer.iter().map(entry).collect(),
    };
    let success = if call.mode == Mode::Real { StatusCode::CREATED } else { StatusCode::OK };
    let status = if answer.iter().any(Reply::is_error) { StatusCode::INTERNAL_SERVER_ERROR } else { success };
    Ok(json(status, &started))
}

async fn clone_status(call: Call) -> Answered {
    let view = call.view();
    let target = lookup::definition(&view.cluster, call.part("target")).map_err(refused)?;
    let status = match (target.flags.has(DefinitionFlag::Failed), target.flags.has(DefinitionFlag::Cloning)) {
        (true, _) => "FAILED",
        (false, true) => "CLONING",
        (false, false) => "COMPLETE",
    };
    Ok(document(&CloneStatus { status }))
}

/// Synchronised: every diskful replica that can be reached was seen as wanted.
async fn sync_status(call: Call) -> Answered {
    let view = call.view();
    let definition = lookup::definition(&view.cluster, call.part("resource")).map_err(refused)?;
    let synced_on_all = view
        .cluster
        .replicas(&definition.name)
        .filter(|replica| !replica.flags.has(ResourceFlag::Diskless) && view.observed.online(&replica.node))
        .all(|replica| {
            view.observed.item(&replica.node, replica.id.uuid()).is_some_and(|record| record.seen.standing == Standing::Settled)
        });
    Ok(document(&SyncStatus { synced_on_all }))
}

async fn autoplace(call: Call) -> Answered {
    let body: AutoPlaceRequest = call.body_or_default()?;
    let command = Command::Autoplace {
        resource: call.text("resource"),
        filter: inputs::filter(body.select_filter),
        diskless_on_remaining: truth(body.diskless_on_remaining),
        layers: texts(body.layer_list),
    };
    Ok(call.submit(command, StatusCode::CREATED).await)
}

async fn volumes(call: Call) -> Answered {
    let view = call.view();
    let definition = lookup::definition(&view.cluster, call.part("resource")).map_err(refused)?;
    let all = definition.volumes.iter();
    Ok(document(
        &all.map(|(number, one)| views::definition::volume_definition(&view.cluster, definition, *number, one)).collect::<Vec<_>>(),
    ))
}

async fn volume(call: Call) -> Answered {
    let view = call.view();
    let definition = lookup::definition(&view.cluster, call.part("resource")).map_err(refused)?;
    let (number, one) = lookup::volume_definition(definition, call.number("number")?).map_err(refused)?;
    Ok(document(&views::definition::volume_definition(&view.cluster, definition, number, one)))
}

async fn create_volume(call: Call) -> Answered {
    let body: VolumeDefinitionCreate = call.body()?;
    let Some(input) = body.volume_definition else {
        let reply = Reply::new(Code::FAIL_INVLD_VLM_SIZE, "The request has no volume definition.")
            .cause("The member 'volume_definition' is missing.")
            .correction("Send {\"volume_definition\": {\"size_kib\": …}}.");
        return Err(replies(&[reply], StatusCode::OK));
    };
    let volume = VolumeDefinitionInput {
        volume_number: int(input.volume_number),
        size_kib: int(input.size_kib).unwrap_or(0),
        flags: texts(input.flags).unwrap_or_default(),
        props: plain(input.props),
        drbd_minor_number: int(body.drbd_minor_number),
        passphrase: call.sealed(body.passphrase)?,
    };
    Ok(call.submit(Command::CreateVolumeDefinition { resource: call.text("resource"), volume }, StatusCode::OK).await)
}

async fn modify_volume(call: Call) -> Answered {
    let body: VolumeDefinitionModify = call.body_or_default()?;
    let command = Command::ModifyVolumeDefinition {
        resource: call.text("resource"),
        number: call.number("number")?,
        size_kib: int(body.size_kib),
        flags: texts(body.flags).unwrap_or_default(),
        props: inputs::change(body.props),
    };
    Ok(call.submit(command, StatusCode::OK).await)
}

async fn modify_passphrase(call: Call) -> Answered {
    let body: VolumePassphrase = call.body()?;
    let (resource, number) = (call.text("resource"), call.number("number")?);
    let passphrase = call.sealed(body.new_passphrase)?;
    Ok(call.submit(Command::ModifyVolumePassphrase { resource, number, passphrase }, StatusCode::OK).await)
}

async fn remove_volume(call: Call) -> Answered {
    let command = Command::DeleteVolumeDefinition { resource: call.text("resource"), number: call.number("number")? };
    Ok(call.submit(command, StatusCode::OK).await)
}
