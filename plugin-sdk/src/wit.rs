//! Values between the types of this crate and those that a WIT generator makes of `wit/provider/provider.wit`.
//!
//! Two generators make such types: the author's (in a component) and the host's. Both follow the same names, so the rules are written
//! once, as a macro that each side calls on its own modules.

/// Conversions between this crate's types and generated ones. `types`, `files`: the generated modules of these interfaces.
///
/// What a stranger sends is judged on the way: names that cannot be names become a fault of kind `Bug`.
#[macro_export]
#[doc(hidden)]
macro_rules! wit_conversions {
    (types = $types:path, files = $files:path, sdk = $sdk:path) => {
        use $files as wf;
        use $sdk as s;
        use $types as w;

        /// A fault for an answer that breaks the contract.
        fn broken(what: &str, why: &dyn std::fmt::Display) -> s::Fault {
            s::Fault::new(s::FaultKind::Bug, format!("{what} breaks the contract")).cause(why.to_string())
        }

        impl From<s::uuid::Uuid> for w::Id {
            fn from(id: s::uuid::Uuid) -> Self {
                let (high, low) = id.as_u64_pair();
                Self { high, low }
            }
        }
        impl From<w::Id> for s::uuid::Uuid {
            fn from(id: w::Id) -> Self {
                Self::from_u64_pair(id.high, id.low)
            }
        }
        s::wit_conversions!(@words w::FaultKind, s::FaultKind { InUse, NoSpace, Unsupported, Foreign, Lost, Pool, Tool, Timeout, Bug });
        s::wit_conversions!(@words w::MarkKind, s::MarkKind { Volume, Snapshot });
        s::wit_conversions!(@words wf::Fill, s::Fill { Thin, Thick });
        s::wit_conversions!(@words wf::Over, s::Over { Nothing, Existing });
        s::wit_conversions!(@record w::Fault, s::Fault { kind, message, cause, correction, details });
        s::wit_conversions!(@record w::Output, s::Output { code, stdout, stderr });
        s::wit_conversions!(@record w::Limits, s::Limits { memory_mib, seconds, output_kib });
        s::wit_conversions!(@record w::DataStream, s::Stream { format, argv });
        impl From<s::Space> for w::Space {
            fn from(of: s::Space) -> Self {
                Self { total: of.total.0, free: of.free.0 }
            }
        }
        impl From<w::Space> for s::Space {
            fn from(of: w::Space) -> Self {
                Self { total: s::Kib(of.total), free: s::Kib(of.free) }
            }
        }
        impl From<s::Device> for w::Device {
            fn from(of: s::Device) -> Self {
                Self { path: of.path, size: of.size.0 }
            }
        }
        impl From<w::Device> for s::Device {
            fn from(of: w::Device) -> Self {
                Self { path: of.path, size: s::Kib(of.size) }
            }
        }
        impl From<&s::Pool> for w::Pool {
            fn from(of: &s::Pool) -> Self {
                let setting = |(key, value): (&String, &String)| w::Setting { key: key.clone(), value: value.clone() };
                Self {
                    name: of.name.clone(),
                    kind: of.kind.clone(),
                    place: of.place.clone(),
                    props: of.props.iter().map(setting).collect(),
                }
            }
        }
        impl From<w::Pool> for s::Pool {
            fn from(of: w::Pool) -> Self {
                let props = of.props.into_iter().map(|setting| (setting.key, setting.value)).collect();
                Self { name: of.name, kind: of.kind, place: of.place, props }
            }
        }
        impl From<s::Mark> for w::Mark {
            fn from(of: s::Mark) -> Self {
                Self {
                    kind: of.kind.into(),
                    cluster: of.cluster.into(),
                    generation: of.generation.into(),
                    content: of.content.into(),
                    name: of.name,
                }
            }
        }
        impl From<w::Mark> for s::Mark {
            fn from(of: w::Mark) -> Self {
                Self {
                    kind: of.kind.into(),
                    cluster: of.cluster.into(),
                    generation: of.generation.into(),
                    content: of.content.into(),
                    name: of.name,
                }
            }
        }
        impl From<&s::New> for w::NewObject {
            fn from(of: &s::New) -> Self {
                Self {
                    name: of.name.to_string(),
                    suffix: of.suffix.clone(),
                    of: of.of.as_ref().map(ToString::to_string),
                    mark: of.mark.clone().into(),
                }
            }
        }
        impl TryFrom<w::NewObject> for s::New {
            type Error = s::Fault;
            fn try_from(of: w::NewObject) -> Result<Self, s::Fault> {
                let named = |text: &str| s::BackingName::parse(text).map_err(|error| broken("A new object", &error));
                let (name, volume) = (named(&of.name)?, of.of.as_deref().map(named).transpose()?);
                Ok(Self { name, suffix: of.suffix, of: volume, mark: of.mark.into() })
            }
        }
        impl From<&s::Known> for w::Known {
            fn from(of: &s::Known) -> Self {
                let volume = of.of.as_ref().map(ToString::to_string);
                Self { name: of.name.to_string(), of: volume, cluster: of.cluster.into(), generation: of.generation.into() }
            }
        }
        impl TryFrom<w::Known> for s::Known {
            type Error = s::Fault;
            fn try_from(of: w::Known) -> Result<Self, s::Fault> {
                let named = |text: &str| s::BackingName::parse(text).map_err(|error| broken("An object", &error));
                let (name, volume) = (named(&of.name)?, of.of.as_deref().map(named).transpose()?);
                Ok(Self { name, of: volume, cluster: of.cluster.into(), generation: of.generation.into() })
            }
        }
        impl From<s::Marked> for w::Marked {
            fn from(of: s::Marked) -> Self {
                match of {
                    s::Marked::By(mark) => Self::By(mark.into()),
                    s::Marked::Unmarked => Self::Unmarked,
                    s::Marked::Foreign(why) => Self::Foreign(why),
                }
            }
        }
        impl From<w::Marked> for s::Marked {
            fn from(of: w::Marked) -> Self {
                match of {
                    w::Marked::By(mark) => Self::By(mark.into()),
                    w::Marked::Unmarked => Self::Unmarked,
                    w::Marked::Foreign(why) => Self::Foreign(why),
                }
            }
        }
        impl From<s::Found> for w::Found {
            fn from(of: s::Found) -> Self {
                Self {
                    name: of.name.to_string(),
                    marked: of.marked.into(),
                    size: of.size.0,
                    allocated: of.allocated.0,
                    device: of.device.map(Into::into),
                }
            }
        }
        impl TryFrom<w::Found> for s::Found {
            type Error = s::Fault;
            fn try_from(of: w::Found) -> Result<Self, s::Fault> {
                Ok(Self {
                    name: s::BackingName::parse(&of.name).map_err(|error| broken("An object that was found", &error))?,
                    marked: of.marked.into(),
                    size: s::Kib(of.size),
                    allocated: s::Kib(of.allocated),
                    device: of.device.map(Into::into),
                })
            }
        }
        impl From<s::Data> for w::Data {
            fn from(of: s::Data) -> Self {
                match of {
                    s::Data::File(name) => Self::File(name),
                    s::Data::Device(path) => Self::Device(path),
                }
            }
        }
        impl From<w::Data> for s::Data {
            fn from(of: w::Data) -> Self {
                match of {
                    w::Data::File(name) => Self::File(name),
                    w::Data::Device(path) => Self::Device(path),
                }
            }
        }
        impl From<s::Filled> for w::Filled {
            fn from(of: s::Filled) -> Self {
                match of {
                    s::Filled::Done => Self::Done,
                    s::Filled::Copy { from, to } => Self::Copy(w::CopyOrder { from: from.into(), to: to.into() }),
                    s::Filled::Pipe { sender, receiver } => Self::Pipe(w::PipeOrder { sender, receiver }),
                }
            }
        }
        impl From<w::Filled> for s::Filled {
            fn from(of: w::Filled) -> Self {
                match of {
                    w::Filled::Done => Self::Done,
                    w::Filled::Copy(order) => Self::Copy { from: order.from.into(), to: order.to.into() },
                    w::Filled::Pipe(order) => Self::Pipe { sender: order.sender, receiver: order.receiver },
                }
            }
        }
        impl From<s::PoolAbilities> for w::Abilities {
            fn from(of: s::PoolAbilities) -> Self {
                Self { extent: of.extent.0, no_snapshots: of.no_snapshots.map(Into::into), zeroes: of.zeroes }
            }
        }
        impl From<w::Abilities> for s::PoolAbilities {
            fn from(of: w::Abilities) -> Self {
                Self { extent: s::Kib(of.extent), no_snapshots: of.no_snapshots.map(Into::into), zeroes: of.zeroes }
            }
        }
        impl From<s::Rule> for w::Rule {
            fn from(of: s::Rule) -> Self {
                match of {
                    s::Rule::Text(most) => Self::Text(most),
                    s::Rule::Number(least, most) => Self::Number(w::NumberRange { least, most }),
                    s::Rule::OneOf(words) => Self::OneOf(words),
                    s::Rule::Flag => Self::Flag,
                }
            }
        }
        impl From<w::Rule> for s::Rule {
            fn from(of: w::Rule) -> Self {
                match of {
                    w::Rule::Text(most) => Self::Text(most),
                    w::Rule::Number(range) => Self::Number(range.least, range.most),
                    w::Rule::OneOf(words) => Self::OneOf(words),
                    w::Rule::Flag => Self::Flag,
                }
            }
        }
        s::wit_conversions!(@record w::Property, s::Property { key, help, rule });
        impl From<s::Manifest> for w::Manifest {
            fn from(of: s::Manifest) -> Self {
                Self {
                    name: of.name,
                    version: of.version,
                    contract: of.contract,
                    kinds: of.kinds,
                    commands: of.commands,
                    files: of.files,
                    devices: of.devices,
                    paths: of.paths,
                    limits: of.limits.into(),
                    props: of.props.into_iter().map(Into::into).collect(),
                }
            }
        }
        impl From<w::Manifest> for s::Manifest {
            fn from(of: w::Manifest) -> Self {
                Self {
                    name: of.name,
                    version: of.version,
                    contract: of.contract,
                    kinds: of.kinds,
                    commands: of.commands,
                    files: of.files,
                    devices: of.devices,
                    paths: of.paths,
                    limits: of.limits.into(),
                    props: of.props.into_iter().map(Into::into).collect(),
                }
            }
        }
        impl From<s::FileSeen> for wf::Seen {
            fn from(of: s::FileSeen) -> Self {
                Self { name: of.name, size: of.size.0, allocated: of.allocated.0, mark: of.mark }
            }
        }
        impl From<wf::Seen> for s::FileSeen {
            fn from(of: wf::Seen) -> Self {
                Self { name: of.name, size: s::Kib(of.size), allocated: s::Kib(of.allocated), mark: of.mark }
            }
        }
        impl From<s::FileError> for wf::FileError {
            fn from(of: s::FileError) -> Self {
                match of {
                    s::FileError::Missing(name) => Self::Missing(name),
                    s::FileError::Exists(name) => Self::Exists(name),
                    s::FileError::BadName(name) => Self::BadName(name),
                    s::FileError::NoSpace(name) => Self::NoSpace(name),
                    s::FileError::NotSupported { request, name, cause } => Self::NotSupported(wf::Refusal { request, name, cause }),
                    s::FileError::Busy(name) => Self::Busy(name),
                    s::FileError::System { request, name, cause } => Self::System(wf::Refusal { request, name, cause }),
                    s::FileError::Fault(fault) => Self::Fault(fault.into()),
                }
            }
        }
        impl From<wf::FileError> for s::FileError {
            fn from(of: wf::FileError) -> Self {
                match of {
                    wf::FileError::Missing(name) => Self::Missing(name),
                    wf::FileError::Exists(name) => Self::Exists(name),
                    wf::FileError::BadName(name) => Self::BadName(name),
                    wf::FileError::NoSpace(name) => Self::NoSpace(name),
                    wf::FileError::NotSupported(of) => Self::NotSupported { request: of.request, name: of.name, cause: of.cause },
                    wf::FileError::Busy(name) => Self::Busy(name),
                    wf::FileError::System(of) => Self::System { request: of.request, name: of.name, cause: of.cause },
                    wf::FileError::Fault(fault) => Self::Fault(fault.into()),
                }
            }
        }
    };
    (@words $generated:path, $own:path { $($word:ident),* }) => {
        impl From<$own> for $generated {
            fn from(of: $own) -> Self {
                type Own = $own;
                match of { $(Own::$word => Self::$word),* }
            }
        }
        impl From<$generated> for $own {
            fn from(of: $generated) -> Self {
                type Generated = $generated;
                match of { $(Generated::$word => Self::$word),* }
            }
        }
    };
    (@record $generated:path, $own:path { $($field:ident),* }) => {
        impl From<$own> for $generated {
            fn from(of: $own) -> Self {
                Self { $($field: of.$field.into()),* }
            }
        }
        impl From<$generated> for $own {
            fn from(of: $generated) -> Self {
                Self { $($field: of.$field.into()),* }
            }
        }
    };
}
