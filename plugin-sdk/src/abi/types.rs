//! The types of the contract with a fixed layout, and conversions.

use abi_stable::StableAbi;
use abi_stable::std_types::{ROption, RString, RVec, Tuple2};
use uuid::Uuid;

use crate as s;

macro_rules! words {
    ($(#[$doc:meta])* $raw:ident = $own:path { $($word:ident),* $(,)? }) => {
        $(#[$doc])*
        #[repr(u8)]
        #[derive(StableAbi, Debug, Clone, Copy)]
        #[allow(missing_docs)]
        pub enum $raw { $($word),* }
        impl From<$own> for $raw {
            fn from(of: $own) -> Self {
                type Own = $own;
                match of { $(Own::$word => Self::$word),* }
            }
        }
        impl From<$raw> for $own {
            fn from(of: $raw) -> Self {
                match of { $($raw::$word => Self::$word),* }
            }
        }
    };
}

macro_rules! records {
    ($($(#[$doc:meta])* $raw:ident = $own:path { $($field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(StableAbi, Debug, Clone)]
        #[allow(missing_docs)]
        pub struct $raw { $(pub $field: $type),* }
        impl From<$own> for $raw {
            fn from(of: $own) -> Self {
                Self { $($field: Raw::raw(of.$field)),* }
            }
        }
        impl From<$raw> for $own {
            fn from(of: $raw) -> Self {
                Self { $($field: Raw::own(of.$field)),* }
            }
        }
    )*};
}

/// A type that has another form at the edge.
pub(super) trait Raw<T> {
    fn raw(self) -> T;
    fn own(of: T) -> Self;
}

macro_rules! same {
    ($($type:ty),*) => {$(
        impl Raw<$type> for $type {
            fn raw(self) -> $type { self }
            fn own(of: $type) -> Self { of }
        }
    )*};
}
same!(u32, u64, i32, bool);

macro_rules! through_from {
    ($($own:path = $raw:path),* $(,)?) => {$(
        impl Raw<$raw> for $own {
            fn raw(self) -> $raw { self.into() }
            fn own(of: $raw) -> Self { of.into() }
        }
    )*};
}
through_from!(
    String = RString,
    s::FaultKind = RawFaultKind,
    s::MarkKind = RawMarkKind,
    s::Mark = RawMark,
    s::Fault = RawFault,
    s::Device = RawDevice,
    s::Limits = RawLimits,
    s::Property = RawProperty,
    s::Rule = RawRule,
    s::FileSeen = RawFileSeen
);

impl Raw<u64> for s::Kib {
    fn raw(self) -> u64 {
        self.0
    }
    fn own(of: u64) -> Self {
        Self(of)
    }
}
impl Raw<RawId> for Uuid {
    fn raw(self) -> RawId {
        RawId { bytes: self.into_bytes() }
    }
    fn own(of: RawId) -> Self {
        Self::from_bytes(of.bytes)
    }
}
impl<A: Raw<B>, B> Raw<RVec<B>> for Vec<A> {
    fn raw(self) -> RVec<B> {
        self.into_iter().map(Raw::raw).collect()
    }
    fn own(of: RVec<B>) -> Self {
        of.into_iter().map(Raw::own).collect()
    }
}
impl<A: Raw<B>, B> Raw<ROption<B>> for Option<A> {
    fn raw(self) -> ROption<B> {
        self.map(Raw::raw).into()
    }
    fn own(of: ROption<B>) -> Self {
        of.into_option().map(Raw::own)
    }
}

/// A UUID.
#[repr(C)]
#[derive(StableAbi, Debug, Clone, Copy)]
pub struct RawId {
    bytes: [u8; 16],
}

words!(
    /// [`s::FaultKind`].
    RawFaultKind = s::FaultKind { InUse, NoSpace, Unsupported, Foreign, Lost, Pool, Tool, Timeout, Bug }
);
words!(
    /// [`s::MarkKind`].
    RawMarkKind = s::MarkKind { Volume, Snapshot }
);
words!(
    /// [`s::Fill`].
    RawFill = s::Fill { Thin, Thick }
);
words!(
    /// [`s::Over`].
    RawOver = s::Over { Nothing, Existing }
);

records! {
    /// [`s::Fault`].
    RawFault = s::Fault { kind: RawFaultKind, message: RString, cause: RString, correction: RString, details: RString }
    /// [`s::Output`].
    RawOutput = s::Output { code: i32, stdout: RString, stderr: RString }
    /// [`s::Space`].
    RawSpace = s::Space { total: u64, free: u64 }
    /// [`s::Device`].
    RawDevice = s::Device { path: RString, size: u64 }
    /// [`s::Mark`].
    RawMark = s::Mark { kind: RawMarkKind, cluster: RawId, generation: RawId, content: RawId, name: RString }
    /// [`s::Limits`].
    RawLimits = s::Limits { memory_mib: u32, seconds: u32, output_kib: u32 }
    /// [`s::Property`].
    RawProperty = s::Property { key: RString, help: RString, rule: RawRule }
    /// [`s::Manifest`].
    RawManifest = s::Manifest {
        name: RString, version: RString, contract: RString, kinds: RVec<RString>, commands: RVec<RString>, files: bool,
        devices: RVec<RString>, paths: RVec<RString>, limits: RawLimits, props: RVec<RawProperty>,
    }
    /// [`s::PoolAbilities`].
    RawAbilities = s::PoolAbilities { extent: u64, no_snapshots: ROption<RawFault>, zeroes: bool }
    /// [`s::Stream`].
    RawStream = s::Stream { format: RString, argv: RVec<RString> }
    /// [`s::FileSeen`].
    RawFileSeen = s::FileSeen { name: RString, size: u64, allocated: u64, mark: ROption<RString> }
}

/// [`s::Rule`].
#[repr(u8)]
#[derive(StableAbi, Debug, Clone)]
#[allow(missing_docs)]
pub enum RawRule {
    Text(u32),
    Number(u64, u64),
    OneOf(RVec<RString>),
    Flag,
}

impl From<s::Rule> for RawRule {
    fn from(of: s::Rule) -> Self {
        match of {
            s::Rule::Text(most) => Self::Text(most),
            s::Rule::Number(least, most) => Self::Number(least, most),
            s::Rule::OneOf(words) => Self::OneOf(words.raw()),
            s::Rule::Flag => Self::Flag,
        }
    }
}
impl From<RawRule> for s::Rule {
    fn from(of: RawRule) -> Self {
        match of {
            RawRule::Text(most) => Self::Text(most),
            RawRule::Number(least, most) => Self::Number(least, most),
            RawRule::OneOf(words) => Self::OneOf(Raw::own(words)),
            RawRule::Flag => Self::Flag,
        }
    }
}

/// [`s::Pool`].
#[repr(C)]
#[derive(StableAbi, Debug, Clone)]
#[allow(missing_docs)]
pub struct RawPool {
    pub name: RString,
    pub kind: RString,
    pub place: RString,
    pub props: RVec<Tuple2<RString, RString>>,
}

impl From<&s::Pool> for RawPool {
    fn from(of: &s::Pool) -> Self {
        let props = of.props.iter().map(|(key, value)| Tuple2(RString::from(key.as_str()), RString::from(value.as_str()))).collect();
        Self { name: of.name.as_str().into(), kind: of.kind.as_str().into(), place: of.place.as_str().into(), props }
    }
}
impl From<RawPool> for s::Pool {
    fn from(of: RawPool) -> Self {
        let props = of.props.into_iter().map(|Tuple2(key, value)| (key.into(), value.into())).collect();
        Self { name: of.name.into(), kind: of.kind.into(), place: of.place.into(), props }
    }
}

/// [`s::New`].
#[repr(C)]
#[derive(StableAbi, Debug, Clone)]
#[allow(missing_docs)]
pub struct RawNew {
    pub name: RString,
    pub suffix: RString,
    pub of: ROption<RString>,
    pub mark: RawMark,
}

/// [`s::Known`].
#[repr(C)]
#[derive(StableAbi, Debug, Clone)]
#[allow(missing_docs)]
pub struct RawKnown {
    pub name: RString,
    pub of: ROption<RString>,
    pub cluster: RawId,
    pub generation: RawId,
}

/// [`s::Marked`].
#[repr(u8)]
#[derive(StableAbi, Debug, Clone)]
#[allow(missing_docs)]
pub enum RawMarked {
    By(RawMark),
    Unmarked,
    Foreign(RString),
}

/// [`s::Found`].
#[repr(C)]
#[derive(StableAbi, Debug, Clone)]
#[allow(missing_docs)]
pub struct RawFound {
    pub name: RString,
    pub marked: RawMarked,
    pub size: u64,
    pub allocated: u64,
    pub device: ROption<RawDevice>,
}

/// [`s::Data`].
#[repr(u8)]
#[derive(StableAbi, Debug, Clone)]
#[allow(missing_docs)]
pub enum RawData {
    File(RString),
    Device(RString),
}

/// [`s::Filled`].
#[repr(u8)]
#[derive(StableAbi, Debug, Clone)]
#[allow(missing_docs)]
pub enum RawFilled {
    Done,
    Copy(Tuple2<RawData, RawData>),
    Pipe(Tuple2<RVec<RString>, RVec<RString>>),
}

/// [`s::FileError`].
#[repr(u8)]
#[derive(StableAbi, Debug, Clone)]
#[allow(missing_docs)]
pub enum RawFileError {
    Missing(RString),
    Exists(RString),
    BadName(RString),
    NoSpace(RString),
    NotSupported(RawRefusal),
    Busy(RString),
    System(RawRefusal),
    Fault(RawFault),
}

/// A refused request on a file.
#[repr(C)]
#[derive(StableAbi, Debug, Clone)]
#[allow(missing_docs)]
pub struct RawRefusal {
    pub request: RString,
    pub name: RString,
    pub cause: RString,
}

/// A fault for an answer that breaks the contract.
fn broken(what: &str, why: &s::BadBackingName) -> s::Fault {
    s::Fault::new(s::FaultKind::Bug, format!("{what} breaks the contract")).cause(why.to_string())
}

fn raw_of(volume: Option<&s::BackingName>) -> ROption<RString> {
    volume.map(|name| RString::from(name.as_str())).into()
}

impl From<&s::New> for RawNew {
    fn from(of: &s::New) -> Self {
        Self { name: of.name.as_str().into(), suffix: of.suffix.as_str().into(), of: raw_of(of.of.as_ref()), mark: of.mark.clone().into() }
    }
}
impl TryFrom<RawNew> for s::New {
    type Error = s::Fault;
    fn try_from(of: RawNew) -> Result<Self, s::Fault> {
        let named = |text: &str| s::BackingName::parse(text).map_err(|error| broken("A new object", &error));
        let (name, volume) = (named(&of.name)?, of.of.as_deref().map(named).into_option().transpose()?);
        Ok(Self { name, suffix: of.suffix.into(), of: volume, mark: of.mark.into() })
    }
}
impl From<&s::Known> for RawKnown {
    fn from(of: &s::Known) -> Self {
        Self { name: of.name.as_str().into(), of: raw_of(of.of.as_ref()), cluster: of.cluster.raw(), generation: of.generation.raw() }
    }
}
impl TryFrom<RawKnown> for s::Known {
    type Error = s::Fault;
    fn try_from(of: RawKnown) -> Result<Self, s::Fault> {
        let named = |text: &str| s::BackingName::parse(text).map_err(|error| broken("An object", &error));
        let (name, volume) = (named(&of.name)?, of.of.as_deref().map(named).into_option().transpose()?);
        Ok(Self { name, of: volume, cluster: Raw::own(of.cluster), generation: Raw::own(of.generation) })
    }
}
impl From<s::Marked> for RawMarked {
    fn from(of: s::Marked) -> Self {
        match of {
            s::Marked::By(mark) => Self::By(mark.into()),
            s::Marked::Unmarked => Self::Unmarked,
            s::Marked::Foreign(why) => Self::Foreign(why.into()),
        }
    }
}
impl From<RawMarked> for s::Marked {
    fn from(of: RawMarked) -> Self {
        match of {
            RawMarked::By(mark) => Self::By(mark.into()),
            RawMarked::Unmarked => Self::Unmarked,
            RawMarked::Foreign(why) => Self::Foreign(why.into()),
        }
    }
}
impl From<s::Found> for RawFound {
    fn from(of: s::Found) -> Self {
        Self {
            name: of.name.as_str().into(),
            marked: of.marked.into(),
            size: of.size.0,
            allocated: of.allocated.0,
            device: of.device.raw(),
        }
    }
}
impl TryFrom<RawFound> for s::Found {
    type Error = s::Fault;
    fn try_from(of: RawFound) -> Result<Self, s::Fault> {
        Ok(Self {
            name: s::BackingName::parse(&of.name).map_err(|error| broken("An object that was found", &error))?,
            marked: of.marked.into(),
            size: s::Kib(of.size),
            allocated: s::Kib(of.allocated),
            device: Raw::own(of.device),
        })
    }
}
impl From<s::Data> for RawData {
    fn from(of: s::Data) -> Self {
        match of {
            s::Data::File(name) => Self::File(name.into()),
            s::Data::Device(path) => Self::Device(path.into()),
        }
    }
}
impl From<RawData> for s::Data {
    fn from(of: RawData) -> Self {
        match of {
            RawData::File(name) => Self::File(name.into()),
            RawData::Device(path) => Self::Device(path.into()),
        }
    }
}
impl From<s::Filled> for RawFilled {
    fn from(of: s::Filled) -> Self {
        match of {
            s::Filled::Done => Self::Done,
            s::Filled::Copy { from, to } => Self::Copy(Tuple2(from.into(), to.into())),
            s::Filled::Pipe { sender, receiver } => Self::Pipe(Tuple2(sender.raw(), receiver.raw())),
        }
    }
}
impl From<RawFilled> for s::Filled {
    fn from(of: RawFilled) -> Self {
        match of {
            RawFilled::Done => Self::Done,
            RawFilled::Copy(Tuple2(from, to)) => Self::Copy { from: from.into(), to: to.into() },
            RawFilled::Pipe(Tuple2(sender, receiver)) => Self::Pipe { sender: Raw::own(sender), receiver: Raw::own(receiver) },
        }
    }
}
impl From<s::FileError> for RawFileError {
    fn from(of: s::FileError) -> Self {
        let refusal =
            |request: String, name: String, cause: String| RawRefusal { request: request.into(), name: name.into(), cause: cause.into() };
        match of {
            s::FileError::Missing(name) => Self::Missing(name.into()),
            s::FileError::Exists(name) => Self::Exists(name.into()),
            s::FileError::BadName(name) => Self::BadName(name.into()),
            s::FileError::NoSpace(name) => Self::NoSpace(name.into()),
            s::FileError::NotSupported { request, name, cause } => Self::NotSupported(refusal(request, name, cause)),
            s::FileError::Busy(name) => Self::Busy(name.into()),
            s::FileError::System { request, name, cause } => Self::System(refusal(request, name, cause)),
            s::FileError::Fault(fault) => Self::Fault(fault.into()),
        }
    }
}
impl From<RawFileError> for s::FileError {
    fn from(of: RawFileError) -> Self {
        match of {
            RawFileError::Missing(name) => Self::Missing(name.into()),
            RawFileError::Exists(name) => Self::Exists(name.into()),
            RawFileError::BadName(name) => Self::BadName(name.into()),
            RawFileError::NoSpace(name) => Self::NoSpace(name.into()),
            RawFileError::NotSupported(of) => {
                Self::NotSupported { request: of.request.into(), name: of.name.into(), cause: of.cause.into() }
            }
            RawFileError::Busy(name) => Self::Busy(name.into()),
            RawFileError::System(of) => Self::System { request: of.request.into(), name: of.name.into(), cause: of.cause.into() },
            RawFileError::Fault(fault) => Self::Fault(fault.into()),
        }
    }
}
