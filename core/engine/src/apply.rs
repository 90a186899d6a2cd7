//! The door of the engine: one command in, one decision out.

use berth_model::access::{Caller, Role};
use berth_model::cluster::Cluster;
use berth_model::codes::Code;
use berth_model::reply::Reply;

use crate::command::Command;
use crate::draft::{Applied, Context, Draft, Refused, RequestContext};
use crate::places::{self, Asked};

/// A decision with the context that later entries of the same answer need.
#[derive(Debug, Clone)]
pub struct Decision {
    /// What was decided.
    pub result: Result<Applied, Refused>,
    /// The request's context.
    pub request: RequestContext,
    /// What the placer was asked on the way, in order.
    pub asked: Vec<Asked>,
}

/// Decides about `command` in `cluster`. Changes nothing itself, never fails otherwise than by a refusal.
#[must_use]
pub fn apply(cluster: &Cluster, command: &Command, context: Context<'_>) -> Decision {
    let mut draft = Draft::new(cluster, context);
    let outcome = match crate::access::allowed(&draft.context.caller, command) {
        true => dispatch(&mut draft, command).map(|()| crate::tiebreaker::follow(&mut draft, cluster)),
        false => Err(denied(&draft.context.caller, crate::access::needs(command)).into()),
    };
    let request = draft.request_context();
    let asked = std::mem::take(&mut draft.asked);
    let in_vain = asked.iter().any(|one| one.failed.is_some());
    let result = match outcome {
        Ok(()) => {
            if in_vain {
                places::tell_how_to_see_all(&draft.cluster, command, &asked, &mut draft.applied.replies);
            }
            Ok(draft.done())
        }
        Err(mut refused) => {
            if in_vain {
                places::tell_how_to_see_all(&draft.cluster, command, &asked, &mut refused.replies);
            }
            Err(draft.refused(refused))
        }
    };
    Decision { result, request, asked }
}

/// The answer to somebody whose role does not suffice. `needed`: the least role that might.
#[must_use]
pub fn denied(caller: &Caller, needed: Role) -> Reply {
    let cause = if caller.role < needed {
        format!("It needs the role '{needed}'; '{caller}' has the role '{}'.", caller.role)
    } else {
        format!("It sets what makes machines run programs; '{caller}' has the role '{}'.", caller.role)
    };
    Reply::new(Code::FAIL_ACC_DENIED_COMMAND, format!("'{caller}' may not do this."))
        .cause(cause)
        .correction("Sign in as somebody who may, or ask an administrator.")
        .details("Nothing was changed.")
}

/// Each handler sets the request's context first ([`Draft::about`]), then checks everything, then changes.
fn dispatch(draft: &mut Draft<'_>, command: &Command) -> Result<(), Refused> {
    match command {
        Command::CreateNode { .. }
        | Command::ModifyNode { .. }
        | Command::DeleteNode { .. }
        | Command::LoseNode { .. }
        | Command::ReconnectNode { .. }
        | Command::EvacuateNode { .. }
        | Command::EvictNode { .. }
        | Command::RestoreNode { .. }
        | Command::CreateNetIf { .. }
        | Command::ModifyNetIf { .. }
        | Command::DeleteNetIf { .. } => crate::nodes::apply(draft, command),
        Command::CreateStorPoolDfn { .. }
        | Command::ModifyStorPoolDfn { .. }
        | Command::DeleteStorPoolDfn { .. }
        | Command::CreateStorPool { .. }
        | Command::ModifyStorPool { .. }
        | Command::DeleteStorPool { .. }
        | Command::LoseStorPool { .. } => crate::pools::apply(draft, command),
        Command::CreateResourceGroup { .. }
        | Command::ModifyResourceGroup { .. }
        | Command::DeleteResourceGroup { .. }
        | Command::CreateVolumeGroup { .. }
        | Command::ModifyVolumeGroup { .. }
        | Command::DeleteVolumeGroup { .. } => crate::groups::apply(draft, command),
        Command::CreateResourceDefinition { .. }
        | Command::ModifyResourceDefinition { .. }
        | Command::CreateVolumeDefinition { .. }
        | Command::ModifyVolumeDefinition { .. } => crate::definitions::apply(draft, command),
        Command::ModifyKeyValueStore { .. }
        | Command::DeleteKeyValueStore { .. }
        | Command::ModifyController { .. }
        | Command::DeleteControllerProperty { .. } => crate::settings::apply(draft, command),
        Command::RenameResourceDefinition { .. } | Command::RenameResourceGroup { .. } | Command::RenameSnapshot { .. } => {
            crate::rename::apply(draft, command)
        }
        Command::ModifyNodeConnection { .. } | Command::ModifyResourceConnection { .. } => crate::connections::apply(draft, command),
        Command::ModifyDrbdProxy { .. } | Command::SwitchDrbdProxy { .. } => crate::proxy::apply(draft, command),
        Command::PutFile { .. } | Command::DeleteFile { .. } | Command::DeployFile { .. } => crate::files::apply(draft, command),
        Command::CreateMasterPassphrase { .. }
        | Command::ModifyMasterPassphrase { .. }
        | Command::EnterMasterPassphrase { .. }
        | Command::ModifyVolumePassphrase { .. } => crate::vault::apply(draft, command),
        Command::SpawnResource { .. } | Command::AdjustResourceGroup { .. } | Command::Autoplace { .. } => {
            crate::spawn::apply(draft, command)
        }
        Command::CreateResources { .. }
        | Command::ModifyResource { .. }
        | Command::MakeAvailable { .. }
        | Command::ActivateResource { .. }
        | Command::DeactivateResource { .. }
        | Command::ToggleDisk { .. }
        | Command::ModifyVolume { .. } => crate::resources::apply(draft, command),
        Command::DeleteResourceDefinition { .. } | Command::DeleteVolumeDefinition { .. } | Command::DeleteResource { .. } => {
            crate::deletion::apply(draft, command)
        }
        Command::CreateSnapshot { .. }
        | Command::CreateMultiSnapshot { .. }
        | Command::ModifySnapshot { .. }
        | Command::DeleteSnapshot { .. }
        | Command::RollbackSnapshot { .. } => crate::snapshots::apply(draft, command),
        Command::RestoreVolumeDefinitions { .. } | Command::RestoreResources { .. } | Command::CloneResourceDefinition { .. } => {
            crate::copies::apply(draft, command)
        }
        Command::CreateToken { .. } | Command::InitializeTokens { .. } | Command::ModifyToken { .. } | Command::RevokeToken { .. } => {
            crate::tokens::apply(draft, command)
        }
        Command::RemoveStranger { .. } | Command::AdoptStranger { .. } => crate::drift::apply(draft, command),
        Command::TakeIn { node, pool, resource } => crate::adoption::take_in(draft, node, pool.as_deref(), resource.as_deref()),
        Command::Balance { .. } => crate::balance::apply(draft, command),
        Command::Tend { .. } => crate::tending::apply(draft, command),
        Command::AutoSnapshot { .. } => crate::autosnap::apply(draft, command),
        Command::CancelJob { .. } => crate::jobs::cancel(draft, command),
        Command::RetryJob { .. } => crate::jobs::retry(draft, command),
    }
}
