//! Documents of requests.

/// Reads the bytes as each document that a request may have.
macro_rules! each {
    ($($room:ident :: $document:ident),* $(,)?) => {
        pub(crate) fn rest(bytes: &[u8]) {
            $(let _ = serde_json::from_slice::<berth_api::$room::$document>(bytes);)*
        }

        /// Their names, for the test that finds forgotten ones.
        pub const DOCUMENTS: &[(&str, &str)] = &[$((stringify!($room), stringify!($document))),*];
    };
}

each! {
    auth::CreateAuthToken,
    auth::ModifyAuthToken,
    auth::InitAuthToken,
    balance::BalanceRequest,
    connection::DrbdProxyModify,
    definition::LayerIn,
    definition::ResourceDefinitionIn,
    definition::ResourceDefinitionCreate,
    definition::ResourceDefinitionModify,
    definition::CloneRequest,
    definition::VolumeDefinitionIn,
    definition::VolumeDefinitionCreate,
    definition::VolumeDefinitionModify,
    definition::AutoPlaceRequest,
    encryption::PassphraseCreate,
    encryption::VolumePassphrase,
    explain::StrangerRequest,
    explain::TakeInRequest,
    files::ExternalFileIn,
    group::AutoSelectFilterIn,
    group::ResourceGroupIn,
    group::ResourceGroupSpawn,
    group::SelectFilterBody,
    group::VolumeGroupIn,
    machine::ConfigIn,
    machine::ConfigLogIn,
    machine::DevicePoolCreate,
    machine::ReactorIn,
    machine::BackupIn,
    node::NetInterfaceIn,
    node::NodeCreate,
    node::NodeModify,
    node::NodeRestore,
    node::NodeEvacuate,
    node::PropsModify,
    place::PlaceQuestion,
    pool::StoragePoolCreate,
    pool::StoragePoolDefinitionCreate,
    query::QuerySizeInfo,
    reply::ApiCallRc,
    resource::ResourceIn,
    resource::ResourceCreate,
    resource::ResourceModify,
    resource::MakeAvailable,
    resource::ToggleDisk,
    settings::KeyValueModify,
    snapshot::SnapshotIn,
    snapshot::MultiSnapshot,
    snapshot::SnapshotRestore,
    snapshot::SnapshotRollback,
}
