//! Commands: what a request asks for, as values. Names are raw texts here; the engine alone judges them.
//!
//! A command is also what the log keeps of a request, so secrets do not belong in one.

mod inputs;

use std::collections::BTreeMap;

use berth_model::props::PropChange;
use berth_model::secrets::Secret;
use berth_model::vault::MasterKey;
use serde::Serialize;

pub use inputs::{FilterRequest, Given, NetIfInput, ResourceInput, SnapshotInput, VolumeDefinitionInput};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[allow(missing_docs)] // The fields are those of the API's request documents; what is not plain is said.
pub enum Command {
    // Nodes
    CreateNode {
        name: String,
        node_type: Option<String>,
        net_interfaces: Vec<NetIfInput>,
        props: BTreeMap<String, String>,
    },
    ModifyNode {
        node: String,
        node_type: Option<String>,
        props: PropChange,
    },
    DeleteNode {
        node: String,
    },
    LoseNode {
        node: String,
    },
    ReconnectNode {
        node: String,
    },
    /// Empties a node; `target` empty: any other node may take what is on it.
    EvacuateNode {
        node: String,
        target: Vec<String>,
        do_not_target: Vec<String>,
    },
    /// Gives a node up for now that does not answer: what is on it is replaced elsewhere.
    EvictNode {
        node: String,
    },
    RestoreNode {
        node: String,
        delete_resources: bool,
        delete_snapshots: bool,
    },
    CreateNetIf {
        node: String,
        interface: NetIfInput,
    },
    ModifyNetIf {
        node: String,
        interface: NetIfInput,
    },
    DeleteNetIf {
        node: String,
        name: String,
    },

    // Storage pools
    CreateStorPoolDfn {
        name: String,
        props: BTreeMap<String, String>,
    },
    ModifyStorPoolDfn {
        name: String,
        props: PropChange,
    },
    DeleteStorPoolDfn {
        name: String,
    },
    CreateStorPool {
        node: String,
        name: String,
        provider_kind: String,
        /// `free_space_mgr_name` or `shared_space`.
        shared_space: Option<String>,
        external_locking: bool,
        props: BTreeMap<String, String>,
    },
    ModifyStorPool {
        node: String,
        name: String,
        props: PropChange,
    },
    DeleteStorPool {
        node: String,
        name: String,
    },
    /// Gives a pool up whose storage is dead, with all that lies in it.
    LoseStorPool {
        node: String,
        name: String,
    },

    // Resource groups
    CreateResourceGroup {
        name: String,
        description: Option<String>,
        filter: FilterRequest,
        peer_slots: Option<i64>,
        props: BTreeMap<String, String>,
    },
    ModifyResourceGroup {
        name: String,
        description: Option<String>,
        filter: FilterRequest,
        peer_slots: Option<i64>,
        props: PropChange,
    },
    DeleteResourceGroup {
        name: String,
    },
    SpawnResource {
        group: String,
        name: Option<String>,
        external_name: Option<String>,
        volume_sizes: Vec<i64>,
        partial: bool,
        definitions_only: bool,
        filter: FilterRequest,
        /// Properties of the new definition.
        props: BTreeMap<String, String>,
        peer_slots: Option<i64>,
        /// Pass phrases of its volumes, in their order.
        passphrases: Vec<Given>,
    },
    /// `group` `None`: every group.
    AdjustResourceGroup {
        group: Option<String>,
        filter: FilterRequest,
    },
    CreateVolumeGroup {
        group: String,
        number: Option<i64>,
        flags: Vec<String>,
        props: BTreeMap<String, String>,
    },
    ModifyVolumeGroup {
        group: String,
        number: i64,
        flags: Vec<String>,
        props: PropChange,
    },
    DeleteVolumeGroup {
        group: String,
        number: i64,
    },

    // Resource definitions
    CreateResourceDefinition {
        name: Option<String>,
        external_name: Option<String>,
        group: Option<String>,
        layers: Vec<String>,
        props: BTreeMap<String, String>,
        drbd_port: Option<i64>,
        /// `None`: a random one.
        drbd_secret: Option<Secret>,
        drbd_transport_type: Option<String>,
        drbd_peer_slots: Option<i64>,
    },
    ModifyResourceDefinition {
        name: String,
        props: PropChange,
        drbd_port: Option<i64>,
        drbd_peer_slots: Option<i64>,
        layers: Option<Vec<String>>,
        group: Option<String>,
    },
    DeleteResourceDefinition {
        name: String,
    },
    CloneResourceDefinition {
        source: String,
        name: Option<String>,
        external_name: Option<String>,
        layers: Vec<String>,
        group: Option<String>,
        props: PropChange,
        use_zfs_clone: Option<bool>,
        /// Pass phrases of its volumes, in their order.
        passphrases: Vec<Given>,
    },
    CreateVolumeDefinition {
        resource: String,
        volume: VolumeDefinitionInput,
    },
    ModifyVolumeDefinition {
        resource: String,
        number: i64,
        size_kib: Option<i64>,
        flags: Vec<String>,
        props: PropChange,
    },
    DeleteVolumeDefinition {
        resource: String,
        number: i64,
    },

    // Resources
    /// `diskless_on_remaining` and `layers`: the outer members, which win over the filter's (`None`: not given).
    Autoplace {
        resource: String,
        filter: FilterRequest,
        diskless_on_remaining: Option<bool>,
        layers: Option<Vec<String>>,
    },
    CreateResources {
        resource: String,
        replicas: Vec<ResourceInput>,
    },
    ModifyResource {
        resource: String,
        node: String,
        props: PropChange,
        drbd_tiebreaker: Option<bool>,
        drbd_client: Option<bool>,
    },
    DeleteResource {
        resource: String,
        node: String,
        keep_tiebreaker: Option<bool>,
    },
    MakeAvailable {
        resource: String,
        node: String,
        diskful: bool,
        layers: Vec<String>,
        drbd_tcp_ports: Vec<i64>,
    },
    ActivateResource {
        resource: String,
        node: String,
    },
    DeactivateResource {
        resource: String,
        node: String,
    },
    /// `operation`: `INTO_DRBD_DISKFUL`, `INTO_DRBD_DISKLESS`, `INTO_DRBD_CLIENT`.
    ToggleDisk {
        resource: String,
        node: String,
        operation: String,
        storage_pool: Option<String>,
        migrate_from: Option<String>,
    },
    ModifyVolume {
        resource: String,
        node: String,
        number: i64,
        props: PropChange,
    },

    // Snapshots
    CreateSnapshot {
        resource: String,
        name: String,
        nodes: Vec<String>,
        props: BTreeMap<String, String>,
    },
    CreateMultiSnapshot {
        snapshots: Vec<SnapshotInput>,
    },
    ModifySnapshot {
        resource: String,
        name: String,
        props: PropChange,
    },
    DeleteSnapshot {
        resource: String,
        name: String,
        nodes: Vec<String>,
    },
    RestoreVolumeDefinitions {
        resource: String,
        name: String,
        to_resource: String,
    },
    RestoreResources {
        resource: String,
        name: String,
        to_resource: String,
        nodes: Vec<String>,
        stor_pool_rename: BTreeMap<String, String>,
    },
    RollbackSnapshot {
        resource: String,
        name: String,
        zfs_rollback_strategy: Option<String>,
    },

    // Names
    RenameResourceDefinition {
        name: String,
        new_name: String,
    },
    RenameResourceGroup {
        name: String,
        new_name: String,
    },
    RenameSnapshot {
        resource: String,
        name: String,
        new_name: String,
    },

    // Connections
    ModifyNodeConnection {
        node_a: String,
        node_b: String,
        props: PropChange,
    },
    ModifyResourceConnection {
        resource: String,
        node_a: String,
        node_b: String,
        props: PropChange,
    },
    /// Options of DRBD Proxy on a definition, and of its compression.
    ModifyDrbdProxy {
        resource: String,
        props: PropChange,
        /// `none`, `zlib`, `lzma`, `lz4`, `zstd`; `None`: not given.
        compression_type: Option<String>,
        compression_props: BTreeMap<String, String>,
    },
    /// DRBD Proxy between two replicas, on or off.
    SwitchDrbdProxy {
        resource: String,
        node_a: String,
        node_b: String,
        on: bool,
    },

    // External files
    PutFile {
        path: String,
        /// Base64; `None`: stays. It may be a secret.
        #[serde(skip)]
        content: Option<String>,
        alt_suffixes: Option<Vec<String>>,
    },
    DeleteFile {
        path: String,
    },
    /// Marks a file as deployed with a definition, or not any more.
    DeployFile {
        resource: String,
        path: String,
        deployed: bool,
    },

    // Secrets. What they carry is sealed, and the log keeps none of it.
    /// Keeps a new master key.
    CreateMasterPassphrase {
        #[serde(skip)]
        key: MasterKey,
    },
    /// Keeps the master key under another passphrase.
    ModifyMasterPassphrase {
        /// The same key, sealed anew; `None`: the old passphrase is wrong.
        #[serde(skip)]
        key: Option<MasterKey>,
    },
    /// Opens the master key, in memory only.
    EnterMasterPassphrase {
        /// Whether the passphrase is the right one.
        right: bool,
    },
    ModifyVolumePassphrase {
        resource: String,
        number: i64,
        passphrase: Given,
    },

    // The rest
    ModifyKeyValueStore {
        name: String,
        /// Keys with the values that they must have; `None`: not set.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        expected: BTreeMap<String, Option<String>>,
        override_props: BTreeMap<String, String>,
        delete_props: Vec<String>,
        delete_namespaces: Vec<String>,
    },
    DeleteKeyValueStore {
        name: String,
    },
    ModifyController {
        props: PropChange,
    },
    DeleteControllerProperty {
        key: String,
    },
    /// The text of the token is not here, only its SHA-256 digest.
    CreateToken {
        token_sha256: String,
        description: Option<String>,
        expires_at: Option<String>,
        ip_filter: Option<String>,
        role: Option<String>,
    },
    /// Makes the first token and asks for tokens from then on.
    InitializeTokens {
        token_sha256: String,
        description: Option<String>,
        only_satellites: bool,
        no_https: bool,
    },
    ModifyToken {
        id: String,
        description: Option<String>,
        ip_filter: Option<String>,
        is_active: Option<bool>,
        role: Option<String>,
    },
    RevokeToken {
        id: String,
    },
    /// Removes an object of ours that no plan names, by its generation id.
    RemoveStranger {
        node: String,
        pool: String,
        id: String,
    },
    /// Makes a resource around a volume of ours that no plan names.
    AdoptStranger {
        node: String,
        pool: String,
        id: String,
        /// Name of the new resource.
        resource: String,
    },
    /// Takes in what lies unmarked on a node in the place of data that was there before.
    TakeIn {
        node: String,
        /// Only what lies in this pool.
        pool: Option<String>,
        /// Only what belongs to this resource, its snapshots included.
        resource: Option<String>,
    },
    /// Brings definitions to as many replicas as their groups ask for.
    Balance {
        /// Their names; what one transaction does not hold is left.
        resources: Vec<String>,
    },
    /// Does what a definition needs by itself: its tiebreaker, a disk on a node where it is used without one, the end of one too many.
    Tend {
        resource: String,
        /// Where it has been used without a disk for long enough.
        disk_on: Option<String>,
    },
    /// Takes the automatic snapshot of a definition that is due, and removes those that are too many.
    AutoSnapshot {
        resource: String,
    },
    /// Cancels a job, where that can still be done without harm.
    CancelJob {
        id: String,
    },
    /// Has everything looked at again that a job waits for.
    RetryJob {
        id: String,
    },
}

impl Command {
    /// Whether it may write more than one entry of the log holds: all of it is one transaction all the same.
    #[must_use]
    pub fn is_large(&self) -> bool {
        matches!(self, Self::RenameResourceDefinition { .. } | Self::RenameResourceGroup { .. } | Self::RenameSnapshot { .. })
    }

    /// The word of each command in the log, as `command`.
    pub const WORDS: &'static [&'static str] = &[
        "create_node",
        "modify_node",
        "delete_node",
        "lose_node",
        "reconnect_node",
        "evacuate_node",
        "evict_node",
        "restore_node",
        "create_net_if",
        "modify_net_if",
        "delete_net_if",
        "create_stor_pool_dfn",
        "modify_stor_pool_dfn",
        "delete_stor_pool_dfn",
        "create_stor_pool",
        "modify_stor_pool",
        "delete_stor_pool",
        "lose_stor_pool",
        "create_resource_group",
        "modify_resource_group",
        "delete_resource_group",
        "spawn_resource",
        "adjust_resource_group",
        "create_volume_group",
        "modify_volume_group",
        "delete_volume_group",
        "create_resource_definition",
        "modify_resource_definition",
        "delete_resource_definition",
        "clone_resource_definition",
        "create_volume_definition",
        "modify_volume_definition",
        "delete_volume_definition",
        "autoplace",
        "create_resources",
        "modify_resource",
        "delete_resource",
        "make_available",
        "activate_resource",
        "deactivate_resource",
        "toggle_disk",
        "modify_volume",
        "create_snapshot",
        "create_multi_snapshot",
        "modify_snapshot",
        "delete_snapshot",
        "restore_volume_definitions",
        "restore_resources",
        "rollback_snapshot",
        "rename_resource_definition",
        "rename_resource_group",
        "rename_snapshot",
        "modify_node_connection",
        "modify_resource_connection",
        "modify_drbd_proxy",
        "switch_drbd_proxy",
        "put_file",
        "delete_file",
        "deploy_file",
        "create_master_passphrase",
        "modify_master_passphrase",
        "enter_master_passphrase",
        "modify_volume_passphrase",
        "modify_key_value_store",
        "delete_key_value_store",
        "modify_controller",
        "delete_controller_property",
        "create_token",
        "initialize_tokens",
        "modify_token",
        "revoke_token",
        "remove_stranger",
        "adopt_stranger",
        "take_in",
        "balance",
        "auto_snapshot",
        "tend",
        "cancel_job",
        "retry_job",
    ];
}
