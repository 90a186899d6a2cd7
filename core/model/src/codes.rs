//! Codes of replies: severity, operation, kind of object and number in 64 bits (REST API v1, `ApiCallRc.ret_code`).
//!
//! Numbers are facts of the API and never change; new ones are appended.

mod severity;

pub use severity::Severity;

/// What a request does (bits 25 and 24).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Creates.
    Create,
    /// Modifies.
    Modify,
    /// Deletes.
    Delete,
}

impl Operation {
    /// The two bits in place.
    #[must_use]
    pub const fn bits(self) -> u64 {
        match self {
            Self::Create => 0x100_0000,
            Self::Modify => 0x200_0000,
            Self::Delete => 0x300_0000,
        }
    }
}

/// The kind of object that an entry speaks of (bits 23 to 18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // The names are the API's.
pub enum ObjectMask {
    Node,
    ResourceDefinition,
    Resource,
    VolumeDefinition,
    Volume,
    NodeConnection,
    ResourceConnection,
    VolumeConnection,
    NetIf,
    StorPoolDfn,
    StorPool,
    Controller,
    Snapshot,
    Backup,
    Remote,
    KeyValueStore,
    ResourceGroup,
    VolumeGroup,
    PhysicalDevice,
    ExternalFile,
    Schedule,
}

impl ObjectMask {
    /// The six bits in place.
    #[must_use]
    pub const fn bits(self) -> u64 {
        match self {
            Self::Node => 0x3C_0000,
            Self::ResourceDefinition => 0x38_0000,
            Self::Resource => 0x34_0000,
            Self::VolumeDefinition => 0x30_0000,
            Self::Volume => 0x2C_0000,
            Self::NodeConnection => 0x28_0000,
            Self::ResourceConnection => 0x24_0000,
            Self::VolumeConnection => 0x20_0000,
            Self::NetIf => 0x1C_0000,
            Self::StorPoolDfn => 0x18_0000,
            Self::StorPool => 0x14_0000,
            Self::Controller => 0x10_0000,
            Self::Snapshot => 0x0C_0000,
            Self::Backup => 0x08_0000,
            Self::Remote => 0x04_0000,
            Self::KeyValueStore => 0x40_0000,
            Self::ResourceGroup => 0x44_0000,
            Self::VolumeGroup => 0x48_0000,
            Self::PhysicalDevice => 0x4C_0000,
            Self::ExternalFile => 0x50_0000,
            Self::Schedule => 0x54_0000,
        }
    }
}

/// Severity and number of an entry (bits 14 to 0; [`Code::API_PARSE`] is wider).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    severity: Severity,
    number: u64,
}

impl Code {
    /// Worked, nothing in particular.
    pub const DONE: Self = Self::success(0);
    /// Was created.
    pub const CREATED: Self = Self::success(1);
    /// Was deleted.
    pub const DELETED: Self = Self::success(2);
    /// Was modified.
    pub const MODIFIED: Self = Self::success(3);
    /// The pass phrase was accepted.
    pub const PASSPHRASE_ACCEPTED: Self = Self::success(4);
    /// The satellite of a new node is connected.
    pub const SATELLITE_CONNECTED: Self = Self::success(9);
    /// The request could not be read.
    pub const API_PARSE: Self = Self::error(0x0FFF_FFFF_FFFF_FFFD);
    /// Failed, and no number of the API says why.
    pub const FAIL: Self = Self::error(0);
    /// SQL.
    pub const FAIL_SQL: Self = Self::error(100);
    /// SQL rollback.
    pub const FAIL_SQL_ROLLBACK: Self = Self::error(101);
    /// Invalid node name.
    pub const FAIL_INVLD_NODE_NAME: Self = Self::error(200);
    /// Invalid node type.
    pub const FAIL_INVLD_NODE_TYPE: Self = Self::error(201);
    /// Invalid resource name.
    pub const FAIL_INVLD_RSC_NAME: Self = Self::error(202);
    /// Invalid resource port.
    pub const FAIL_INVLD_RSC_PORT: Self = Self::error(203);
    /// Invalid node id.
    pub const FAIL_INVLD_NODE_ID: Self = Self::error(204);
    /// Invalid volume number.
    pub const FAIL_INVLD_VLM_NR: Self = Self::error(205);
    /// Invalid volume size.
    pub const FAIL_INVLD_VLM_SIZE: Self = Self::error(206);
    /// Invalid minor number.
    pub const FAIL_INVLD_MINOR_NR: Self = Self::error(207);
    /// Invalid storage pool name.
    pub const FAIL_INVLD_STOR_POOL_NAME: Self = Self::error(208);
    /// Invalid net name.
    pub const FAIL_INVLD_NET_NAME: Self = Self::error(209);
    /// Invalid net addr.
    pub const FAIL_INVLD_NET_ADDR: Self = Self::error(210);
    /// Invalid net port.
    pub const FAIL_INVLD_NET_PORT: Self = Self::error(211);
    /// Invalid net type.
    pub const FAIL_INVLD_NET_TYPE: Self = Self::error(212);
    /// Invalid property.
    pub const FAIL_INVLD_PROP: Self = Self::error(213);
    /// Invalid transport type.
    pub const FAIL_INVLD_TRANSPORT_TYPE: Self = Self::error(214);
    /// Invalid TCP port.
    pub const FAIL_INVLD_TCP_PORT: Self = Self::error(215);
    /// Invalid encryption passphrase.
    pub const FAIL_INVLD_CRYPT_PASSPHRASE: Self = Self::error(216);
    /// Invalid encrypt type.
    pub const FAIL_INVLD_ENCRYPT_TYPE: Self = Self::error(217);
    /// Invalid snapshot name.
    pub const FAIL_INVLD_SNAPSHOT_NAME: Self = Self::error(218);
    /// Invalid place count.
    pub const FAIL_INVLD_PLACE_COUNT: Self = Self::error(219);
    /// Invalid free space manager name.
    pub const FAIL_INVLD_FREE_SPACE_MGR_NAME: Self = Self::error(220);
    /// Invalid storage driver.
    pub const FAIL_INVLD_STOR_DRIVER: Self = Self::error(221);
    /// Invalid DRBD proxy compression type.
    pub const FAIL_INVLD_DRBD_PROXY_COMPRESSION_TYPE: Self = Self::error(222);
    /// Invalid key-value store name.
    pub const FAIL_INVLD_KVS_NAME: Self = Self::error(223);
    /// Invalid layer kind.
    pub const FAIL_INVLD_LAYER_KIND: Self = Self::error(224);
    /// Invalid layer stack.
    pub const FAIL_INVLD_LAYER_STACK: Self = Self::error(225);
    /// Invalid external name.
    pub const FAIL_INVLD_EXT_NAME: Self = Self::error(226);
    /// Invalid provider.
    pub const FAIL_INVLD_PROVIDER: Self = Self::error(227);
    /// Invalid volume sizes.
    pub const FAIL_INVLD_VLM_SIZES: Self = Self::error(228);
    /// Invalid volume count.
    pub const FAIL_INVLD_VLM_COUNT: Self = Self::error(229);
    /// Invalid conf.
    pub const FAIL_INVLD_CONF: Self = Self::error(230);
    /// Invalid snapshot shipping source.
    pub const FAIL_INVLD_SNAPSHOT_SHIPPING_SOURCE: Self = Self::error(231);
    /// Invalid snapshot shipping target.
    pub const FAIL_INVLD_SNAPSHOT_SHIPPING_TARGET: Self = Self::error(232);
    /// Node has used resource.
    pub const FAIL_NODE_HAS_USED_RSC: Self = Self::error(233);
    /// Invalid request.
    pub const FAIL_INVLD_REQUEST: Self = Self::error(234);
    /// Invalid external file name.
    pub const FAIL_INVLD_EXT_FILE_NAME: Self = Self::error(235);
    /// Invalid external file.
    pub const FAIL_INVLD_EXT_FILE: Self = Self::error(236);
    /// Invalid resource group name.
    pub const FAIL_INVLD_RSC_GRP_NAME: Self = Self::error(237);
    /// Invalid backup config.
    pub const FAIL_INVLD_BACKUP_CONFIG: Self = Self::error(238);
    /// Invalid remote name.
    pub const FAIL_INVLD_REMOTE_NAME: Self = Self::error(239);
    /// Invalid time param.
    pub const FAIL_INVLD_TIME_PARAM: Self = Self::error(240);
    /// Invalid schedule name.
    pub const FAIL_INVLD_SCHEDULE_NAME: Self = Self::error(241);
    /// Invalid db export file.
    pub const FAIL_INVLD_DB_EXPORT_FILE: Self = Self::error(242);
    /// Invalid resource state.
    pub const FAIL_INVLD_RSC_STATE: Self = Self::error(243);
    /// Invalid blk size.
    pub const FAIL_INVLD_BLK_SIZE: Self = Self::error(244);
    /// Not found node.
    pub const FAIL_NOT_FOUND_NODE: Self = Self::error(300);
    /// Not found resource definition.
    pub const FAIL_NOT_FOUND_RSC_DFN: Self = Self::error(301);
    /// Not found resource.
    pub const FAIL_NOT_FOUND_RSC: Self = Self::error(302);
    /// Not found volume definition.
    pub const FAIL_NOT_FOUND_VLM_DFN: Self = Self::error(303);
    /// Not found volume.
    pub const FAIL_NOT_FOUND_VLM: Self = Self::error(304);
    /// Not found net interface.
    pub const FAIL_NOT_FOUND_NET_IF: Self = Self::error(305);
    /// Not found node connection.
    pub const FAIL_NOT_FOUND_NODE_CONN: Self = Self::error(306);
    /// Not found resource connection.
    pub const FAIL_NOT_FOUND_RSC_CONN: Self = Self::error(307);
    /// Not found volume connection.
    pub const FAIL_NOT_FOUND_VLM_CONN: Self = Self::error(308);
    /// Not found storage pool definition.
    pub const FAIL_NOT_FOUND_STOR_POOL_DFN: Self = Self::error(309);
    /// Not found storage pool.
    pub const FAIL_NOT_FOUND_STOR_POOL: Self = Self::error(310);
    /// Not found dflt storage pool.
    pub const FAIL_NOT_FOUND_DFLT_STOR_POOL: Self = Self::error(311);
    /// Not found encryption key.
    pub const FAIL_NOT_FOUND_CRYPT_KEY: Self = Self::error(312);
    /// Not found snapshot definition.
    pub const FAIL_NOT_FOUND_SNAPSHOT_DFN: Self = Self::error(313);
    /// Not found snapshot volume definition.
    pub const FAIL_NOT_FOUND_SNAPSHOT_VLM_DFN: Self = Self::error(314);
    /// Not found snapshot.
    pub const FAIL_NOT_FOUND_SNAPSHOT: Self = Self::error(315);
    /// Not found key-value store.
    pub const FAIL_NOT_FOUND_KVS: Self = Self::error(316);
    /// Not found resource group.
    pub const FAIL_NOT_FOUND_RSC_GRP: Self = Self::error(317);
    /// Not found volume group.
    pub const FAIL_NOT_FOUND_VLM_GRP: Self = Self::error(318);
    /// Not found external file.
    pub const FAIL_NOT_FOUND_EXT_FILE: Self = Self::error(320);
    /// Not found remote.
    pub const FAIL_NOT_FOUND_REMOTE: Self = Self::error(321);
    /// Not found backup.
    pub const FAIL_NOT_FOUND_BACKUP: Self = Self::error(322);
    /// Not found schedule.
    pub const FAIL_NOT_FOUND_SCHEDULE: Self = Self::error(323);
    /// No such open job (Berth's own).
    pub const FAIL_NOT_FOUND_JOB: Self = Self::error(399);
    /// Access denied node.
    pub const FAIL_ACC_DENIED_NODE: Self = Self::error(400);
    /// Access denied resource definition.
    pub const FAIL_ACC_DENIED_RSC_DFN: Self = Self::error(401);
    /// Access denied resource.
    pub const FAIL_ACC_DENIED_RSC: Self = Self::error(402);
    /// Access denied volume definition.
    pub const FAIL_ACC_DENIED_VLM_DFN: Self = Self::error(403);
    /// Access denied volume.
    pub const FAIL_ACC_DENIED_VLM: Self = Self::error(404);
    /// Access denied storage pool definition.
    pub const FAIL_ACC_DENIED_STOR_POOL_DFN: Self = Self::error(405);
    /// Access denied storage pool.
    pub const FAIL_ACC_DENIED_STOR_POOL: Self = Self::error(406);
    /// Access denied node connection.
    pub const FAIL_ACC_DENIED_NODE_CONN: Self = Self::error(407);
    /// Access denied resource connection.
    pub const FAIL_ACC_DENIED_RSC_CONN: Self = Self::error(408);
    /// Access denied volume connection.
    pub const FAIL_ACC_DENIED_VLM_CONN: Self = Self::error(409);
    /// Access denied satellite connection.
    pub const FAIL_ACC_DENIED_STLT_CONN: Self = Self::error(410);
    /// Access denied controller settings.
    pub const FAIL_ACC_DENIED_CTRL_CFG: Self = Self::error(411);
    /// Access denied command.
    pub const FAIL_ACC_DENIED_COMMAND: Self = Self::error(412);
    /// Access denied watch.
    pub const FAIL_ACC_DENIED_WATCH: Self = Self::error(413);
    /// Access denied snapshot definition.
    pub const FAIL_ACC_DENIED_SNAPSHOT_DFN: Self = Self::error(414);
    /// Access denied snapshot.
    pub const FAIL_ACC_DENIED_SNAPSHOT: Self = Self::error(415);
    /// Access denied snapshot volume definition.
    pub const FAIL_ACC_DENIED_SNAPSHOT_VLM_DFN: Self = Self::error(416);
    /// Access denied free space manager.
    pub const FAIL_ACC_DENIED_FREE_SPACE_MGR: Self = Self::error(417);
    /// Access denied key-value store.
    pub const FAIL_ACC_DENIED_KVS: Self = Self::error(418);
    /// Access denied resource group.
    pub const FAIL_ACC_DENIED_RSC_GRP: Self = Self::error(419);
    /// Access denied volume group.
    pub const FAIL_ACC_DENIED_VLM_GRP: Self = Self::error(420);
    /// Access denied snap definition.
    pub const FAIL_ACC_DENIED_SNAP_DFN: Self = Self::error(421);
    /// Access denied external file.
    pub const FAIL_ACC_DENIED_EXT_FILE: Self = Self::error(422);
    /// Access denied remote.
    pub const FAIL_ACC_DENIED_REMOTE: Self = Self::error(423);
    /// Access denied schedule.
    pub const FAIL_ACC_DENIED_SCHEDULE: Self = Self::error(424);
    /// Exists node.
    pub const FAIL_EXISTS_NODE: Self = Self::error(500);
    /// Exists resource definition.
    pub const FAIL_EXISTS_RSC_DFN: Self = Self::error(501);
    /// Exists resource.
    pub const FAIL_EXISTS_RSC: Self = Self::error(502);
    /// Exists volume definition.
    pub const FAIL_EXISTS_VLM_DFN: Self = Self::error(503);
    /// Exists volume.
    pub const FAIL_EXISTS_VLM: Self = Self::error(504);
    /// Exists net interface.
    pub const FAIL_EXISTS_NET_IF: Self = Self::error(505);
    /// Exists node connection.
    pub const FAIL_EXISTS_NODE_CONN: Self = Self::error(506);
    /// Exists resource connection.
    pub const FAIL_EXISTS_RSC_CONN: Self = Self::error(507);
    /// Exists volume connection.
    pub const FAIL_EXISTS_VLM_CONN: Self = Self::error(508);
    /// Exists storage pool definition.
    pub const FAIL_EXISTS_STOR_POOL_DFN: Self = Self::error(509);
    /// Exists storage pool.
    pub const FAIL_EXISTS_STOR_POOL: Self = Self::error(510);
    /// Exists satellite connection.
    pub const FAIL_EXISTS_STLT_CONN: Self = Self::error(511);
    /// Exists encryption passphrase.
    pub const FAIL_EXISTS_CRYPT_PASSPHRASE: Self = Self::error(512);
    /// Exists watch.
    pub const FAIL_EXISTS_WATCH: Self = Self::error(513);
    /// Exists snapshot definition.
    pub const FAIL_EXISTS_SNAPSHOT_DFN: Self = Self::error(514);
    /// Exists snapshot.
    pub const FAIL_EXISTS_SNAPSHOT: Self = Self::error(516);
    /// Exists external name.
    pub const FAIL_EXISTS_EXT_NAME: Self = Self::error(517);
    /// Exists NVMe target per resource definition.
    pub const FAIL_EXISTS_NVME_TARGET_PER_RSC_DFN: Self = Self::error(518);
    /// Exists NVMe initiator per resource definition.
    pub const FAIL_EXISTS_NVME_INITIATOR_PER_RSC_DFN: Self = Self::error(519);
    /// Lost storage pool.
    pub const FAIL_LOST_STOR_POOL: Self = Self::error(521);
    /// Exists resource group.
    pub const FAIL_EXISTS_RSC_GRP: Self = Self::error(522);
    /// Exists volume group.
    pub const FAIL_EXISTS_VLM_GRP: Self = Self::error(523);
    /// Exists snapshot shipping.
    pub const FAIL_EXISTS_SNAPSHOT_SHIPPING: Self = Self::error(525);
    /// Exists remote.
    pub const FAIL_EXISTS_REMOTE: Self = Self::error(527);
    /// Exists schedule.
    pub const FAIL_EXISTS_SCHEDULE: Self = Self::error(528);
    /// Missing props.
    pub const FAIL_MISSING_PROPS: Self = Self::error(600);
    /// Missing props netcom type.
    pub const FAIL_MISSING_PROPS_NETCOM_TYPE: Self = Self::error(601);
    /// Missing props netcom port.
    pub const FAIL_MISSING_PROPS_NETCOM_PORT: Self = Self::error(602);
    /// Missing netcom.
    pub const FAIL_MISSING_NETCOM: Self = Self::error(603);
    /// Missing props netif name.
    pub const FAIL_MISSING_PROPS_NETIF_NAME: Self = Self::error(604);
    /// Missing satellite connection.
    pub const FAIL_MISSING_STLT_CONN: Self = Self::error(605);
    /// Missing external name.
    pub const FAIL_MISSING_EXT_NAME: Self = Self::error(606);
    /// Missing NVMe target.
    pub const FAIL_MISSING_NVME_TARGET: Self = Self::error(608);
    /// No satellite connection defined.
    pub const FAIL_NO_STLT_CONN_DEFINED: Self = Self::error(609);
    /// Missing EBS target.
    pub const FAIL_MISSING_EBS_TARGET: Self = Self::error(611);
    /// Uuid node.
    pub const FAIL_UUID_NODE: Self = Self::error(700);
    /// Uuid resource definition.
    pub const FAIL_UUID_RSC_DFN: Self = Self::error(701);
    /// Uuid resource.
    pub const FAIL_UUID_RSC: Self = Self::error(702);
    /// Uuid volume definition.
    pub const FAIL_UUID_VLM_DFN: Self = Self::error(703);
    /// Uuid volume.
    pub const FAIL_UUID_VLM: Self = Self::error(704);
    /// Uuid net interface.
    pub const FAIL_UUID_NET_IF: Self = Self::error(705);
    /// Uuid node connection.
    pub const FAIL_UUID_NODE_CONN: Self = Self::error(706);
    /// Uuid resource connection.
    pub const FAIL_UUID_RSC_CONN: Self = Self::error(707);
    /// Uuid volume connection.
    pub const FAIL_UUID_VLM_CONN: Self = Self::error(708);
    /// Uuid storage pool definition.
    pub const FAIL_UUID_STOR_POOL_DFN: Self = Self::error(709);
    /// Uuid storage pool.
    pub const FAIL_UUID_STOR_POOL: Self = Self::error(710);
    /// Uuid key-value store.
    pub const FAIL_UUID_KVS: Self = Self::error(711);
    /// Pool exhausted volume number.
    pub const FAIL_POOL_EXHAUSTED_VLM_NR: Self = Self::error(800);
    /// Pool exhausted minor number.
    pub const FAIL_POOL_EXHAUSTED_MINOR_NR: Self = Self::error(801);
    /// Pool exhausted TCP port.
    pub const FAIL_POOL_EXHAUSTED_TCP_PORT: Self = Self::error(802);
    /// Pool exhausted node id.
    pub const FAIL_POOL_EXHAUSTED_NODE_ID: Self = Self::error(803);
    /// Pool exhausted resource layer id.
    pub const FAIL_POOL_EXHAUSTED_RSC_LAYER_ID: Self = Self::error(804);
    /// Pool exhausted special satellte TCP port.
    pub const FAIL_POOL_EXHAUSTED_SPECIAL_SATELLTE_TCP_PORT: Self = Self::error(805);
    /// Pool exhausted snapshot shipping TCP port.
    pub const FAIL_POOL_EXHAUSTED_SNAPSHOT_SHIPPING_TCP_PORT: Self = Self::error(806);
    /// Pool exhausted backup shipping TCP port.
    pub const FAIL_POOL_EXHAUSTED_BACKUP_SHIPPING_TCP_PORT: Self = Self::error(807);
    /// Snapshot rollback in progress.
    pub const FAIL_SNAPSHOT_ROLLBACK_IN_PROGRESS: Self = Self::error(971);
    /// Sp mixing not allowed.
    pub const FAIL_SP_MIXING_NOT_ALLOWED: Self = Self::error(972);
    /// EBS cooldown.
    pub const FAIL_EBS_COOLDOWN: Self = Self::error(973);
    /// Not all uptodate.
    pub const FAIL_NOT_ALL_UPTODATE: Self = Self::error(974);
    /// Evacuating.
    pub const FAIL_EVACUATING: Self = Self::error(975);
    /// Backup unknown cluster.
    pub const FAIL_BACKUP_UNKNOWN_CLUSTER: Self = Self::error(976);
    /// Dependent backup.
    pub const FAIL_DEPENDEND_BACKUP: Self = Self::error(977);
    /// Backup incompatible version.
    pub const FAIL_BACKUP_INCOMPATIBLE_VERSION: Self = Self::error(978);
    /// Snapshot not uptodate.
    pub const FAIL_SNAPSHOT_NOT_UPTODATE: Self = Self::error(979);
    /// Not enough free space.
    pub const FAIL_NOT_ENOUGH_FREE_SPACE: Self = Self::error(980);
    /// Only one act resource per shared storage pool allowed.
    pub const FAIL_ONLY_ONE_ACT_RSC_PER_SHARED_STOR_POOL_ALLOWED: Self = Self::error(981);
    /// Encryption init.
    pub const FAIL_CRYPT_INIT: Self = Self::error(982);
    /// Snapshot shipping not supported.
    pub const FAIL_SNAPSHOT_SHIPPING_NOT_SUPPORTED: Self = Self::error(983);
    /// Snapshot shipping in progress.
    pub const FAIL_SNAPSHOT_SHIPPING_IN_PROGRESS: Self = Self::error(984);
    /// Undecidable autoplacment.
    pub const FAIL_UNDECIDABLE_AUTOPLACMENT: Self = Self::error(985);
    /// Pre select script did not terminate.
    pub const FAIL_PRE_SELECT_SCRIPT_DID_NOT_TERMINATE: Self = Self::error(986);
    /// Managed satellite did not start properly.
    pub const FAIL_LINSTOR_MANAGED_SATELLITE_DID_NOT_START_PROPERLY: Self = Self::error(987);
    /// Satellite does not support layer.
    pub const FAIL_STLT_DOES_NOT_SUPPORT_LAYER: Self = Self::error(988);
    /// Satellite does not support provider.
    pub const FAIL_STLT_DOES_NOT_SUPPORT_PROVIDER: Self = Self::error(989);
    /// Storage pool configuration error.
    pub const FAIL_STOR_POOL_CONFIGURATION_ERROR: Self = Self::error(990);
    /// Insufficient replica count.
    pub const FAIL_INSUFFICIENT_REPLICA_COUNT: Self = Self::error(991);
    /// Resource busy.
    pub const FAIL_RSC_BUSY: Self = Self::error(992);
    /// Insufficient peer slots.
    pub const FAIL_INSUFFICIENT_PEER_SLOTS: Self = Self::error(993);
    /// Snapshots not supported.
    pub const FAIL_SNAPSHOTS_NOT_SUPPORTED: Self = Self::error(994);
    /// Not connected.
    pub const FAIL_NOT_CONNECTED: Self = Self::error(995);
    /// Not enough nodes.
    pub const FAIL_NOT_ENOUGH_NODES: Self = Self::error(996);
    /// In use.
    pub const FAIL_IN_USE: Self = Self::error(997);
    /// Unknown error.
    pub const FAIL_UNKNOWN_ERROR: Self = Self::error(998);
    /// Impl error.
    pub const FAIL_IMPL_ERROR: Self = Self::error(999);
    /// Sign in.
    pub const FAIL_SIGN_IN: Self = Self::error(10000);
    /// Sign in missing credentials.
    pub const FAIL_SIGN_IN_MISSING_CREDENTIALS: Self = Self::error(10001);
    /// Invalid opt property netcom enabled.
    pub const WARN_INVLD_OPT_PROP_NETCOM_ENABLED: Self = Self::warning(1001);
    /// Not connected.
    pub const WARN_NOT_CONNECTED: Self = Self::warning(1002);
    /// Satellite not updated.
    pub const WARN_STLT_NOT_UPDATED: Self = Self::warning(1003);
    /// No satellite connection defined.
    pub const WARN_NO_STLT_CONN_DEFINED: Self = Self::warning(1004);
    /// Del unset property.
    pub const WARN_DEL_UNSET_PROP: Self = Self::warning(1005);
    /// Resource already deployed.
    pub const WARN_RSC_ALREADY_DEPLOYED: Self = Self::warning(1006);
    /// Resource already has disk.
    pub const WARN_RSC_ALREADY_HAS_DISK: Self = Self::warning(1007);
    /// Resource already diskless.
    pub const WARN_RSC_ALREADY_DISKLESS: Self = Self::warning(1008);
    /// All diskless.
    pub const WARN_ALL_DISKLESS: Self = Self::warning(1009);
    /// Storage error.
    pub const WARN_STORAGE_ERROR: Self = Self::warning(1010);
    /// Not found encryption key.
    pub const WARN_NOT_FOUND_CRYPT_KEY: Self = Self::warning(1011);
    /// Storage kind added.
    pub const WARN_STORAGE_KIND_ADDED: Self = Self::warning(1012);
    /// Not enough nodes for tie breaker.
    pub const WARN_NOT_ENOUGH_NODES_FOR_TIE_BREAKER: Self = Self::warning(1013);
    /// Mixed pmem and non pmem.
    pub const WARN_MIXED_PMEM_AND_NON_PMEM: Self = Self::warning(1014);
    /// Uneffective property.
    pub const WARN_UNEFFECTIVE_PROP: Self = Self::warning(1015);
    /// Invalid snapshot shipping prefix.
    pub const WARN_INVLD_SNAPSHOT_SHIPPING_PREFIX: Self = Self::warning(1016);
    /// Node evicted.
    pub const WARN_NODE_EVICTED: Self = Self::warning(1017);
    /// Resource deactivated.
    pub const WARN_RSC_DEACTIVATED: Self = Self::warning(1018);
    /// Backup dl only.
    pub const WARN_BACKUP_DL_ONLY: Self = Self::warning(1019);
    /// Not evacuating.
    pub const WARN_NOT_EVACUATING: Self = Self::warning(1020);
    /// Invalid conf.
    pub const WARN_INVLD_CONF: Self = Self::warning(1021);
    /// Storpool rename not allowed.
    pub const WARN_STORPOOL_RENAME_NOT_ALLOWED: Self = Self::warning(1022);
    /// Vlmdfn resize same size.
    pub const WARN_VLMDFN_RESIZE_SAME_SIZE: Self = Self::warning(1023);
    /// Corrupt encryption key.
    pub const WARN_CORRUPT_CRYPT_KEY: Self = Self::warning(1024);
    /// Not found.
    pub const WARN_NOT_FOUND: Self = Self::warning(3000);
    /// No effect.
    pub const WARN_NO_EFFECT: Self = Self::warning(3001);
    /// Deprecated.
    pub const WARN_DEPRECATED: Self = Self::warning(4000);
    /// No resource spawned.
    pub const INFO_NO_RSC_SPAWNED: Self = Self::info(10000);
    /// Node name mismatch.
    pub const INFO_NODE_NAME_MISMATCH: Self = Self::info(10001);
    /// Property set.
    pub const INFO_PROP_SET: Self = Self::info(10002);
    /// Tie breaker created.
    pub const INFO_TIE_BREAKER_CREATED: Self = Self::info(10003);
    /// Tie breaker deleting.
    pub const INFO_TIE_BREAKER_DELETING: Self = Self::info(10004);
    /// Property removed.
    pub const INFO_PROP_REMOVED: Self = Self::info(10005);
    /// Tie breaker takeover.
    pub const INFO_TIE_BREAKER_TAKEOVER: Self = Self::info(10006);
    /// Auto DRBD proxy created.
    pub const INFO_AUTO_DRBD_PROXY_CREATED: Self = Self::info(10007);
    /// Noop.
    pub const INFO_NOOP: Self = Self::info(10007);
    /// Resource already exists.
    pub const INFO_RSC_ALREADY_EXISTS: Self = Self::info(10008);
    /// Aborted failed snapshot rollback.
    pub const INFO_ABORTED_FAILED_SNAPSHOT_ROLLBACK: Self = Self::info(10009);
    /// Recovering failed snapshot rollback.
    pub const INFO_RECOVERING_FAILED_SNAPSHOT_ROLLBACK: Self = Self::info(10010);

    const fn success(number: u64) -> Self {
        Self { severity: Severity::Success, number }
    }
    const fn info(number: u64) -> Self {
        Self { severity: Severity::Info, number }
    }
    const fn warning(number: u64) -> Self {
        Self { severity: Severity::Warning, number }
    }
    const fn error(number: u64) -> Self {
        Self { severity: Severity::Error, number }
    }

    /// The number alone.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.number
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        self.severity
    }
}
