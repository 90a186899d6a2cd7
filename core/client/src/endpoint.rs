//! Where a controller listens, and the spellings people use for it.

use std::fmt;

/// Port of the plain REST interface.
const PLAIN_PORT: u16 = 3370;
/// Port of the REST interface over TLS.
const TLS_PORT: u16 = 3371;

/// A controller's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Host name or literal address; IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Why a text names no controller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    /// The part before `://` is none of the known ones.
    #[error("'{text}': '{scheme}' is no way to reach a controller; use linstor://, linstor+ssl://, http:// or https://")]
    Scheme {
        /// The whole text.
        text: String,
        /// The part before `://`.
        scheme: String,
    },
    /// There is no host.
    #[error("'{text}' names no host")]
    Host {
        /// The whole text.
        text: String,
    },
    /// The part after the last colon is no port.
    #[error("'{text}': '{port}' is no port between 1 and 65535")]
    Port {
        /// The whole text.
        text: String,
        /// The part after the colon.
        port: String,
    },
}

impl Endpoint {
    /// Reads `host`, `host:port`, `linstor://host[:port]`, `linstor+ssl://…`, `http://…` and `https://…`.
    /// Ports default to 3370, with TLS 3371; a path after the host is ignored.
    pub fn parse(text: &str) -> Result<Self, BadEndpoint> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("linstor", text));
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "linstor" | "http" | "linstor+http" => false,
            "linstor+ssl" | "https" | "linstor+https" => true,
            _ => return Err(BadEndpoint::Scheme { text: text.to_owned(), scheme: scheme.to_owned() }),
        };
        let place = rest.split('/').next().unwrap_or_default();
        let (host, port) = split_port(place);
        if host.is_empty() {
            return Err(BadEndpoint::Host { text: text.to_owned() });
        }
        let port = match port {
            None => {
                if tls {
                    TLS_PORT
                } else {
                    PLAIN_PORT
                }
            }
            Some(port) => match port.parse::<u16>() {
                Ok(number) if number > 0 => number,
                Ok(_) | Err(_) => return Err(BadEndpoint::Port { text: text.to_owned(), port: port.to_owned() }),
            },
        };
        Ok(Self { tls, host: host.to_owned(), port })
    }

    /// The address as the beginning of a URL, without a slash at the end.
    pub fn base(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            format!("{scheme}://[{}]:{}", self.host, self.port)
        } else {
            format!("{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "linstor+ssl" } else { "linstor" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// Splits host and port; a bare IPv6 address has no port, one in brackets may have.
fn split_port(place: &str) -> (&str, Option<&str>) {
    if let Some(rest) = place.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, after)) => (host, after.strip_prefix(':')),
            None => (rest, None),
        };
    }
    match place.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => (place, None),
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    }
}

/// Reads a comma-separated list of controllers; empty parts are skipped, so an empty text gives an empty list.
pub fn parse_controllers(text: &str) -> Result<Vec<Endpoint>, BadEndpoint> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Endpoint::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::{BadEndpoint, Endpoint, parse_controllers};

    fn check(text: &str, base: &str) {
        assert_eq!(Endpoint::parse(text).expect("parses").base(), base, "{text}");
    }

    #[test]
    fn spellings() {
        check("alice", "http://alice:3370");
        check("192.168.1.10:8080", "http://192.168.1.10:8080");
        check("linstor://localhost", "http://localhost:3370");
        check("linstor+ssl://alice", "https://alice:3371");
        check("https://alice:1/", "https://alice:1");
        check("http://[::1]:3370", "http://[::1]:3370");
        check("fe80::1", "http://[fe80::1]:3370");
    }

    #[test]
    fn nonsense_is_named() {
        assert!(matches!(Endpoint::parse("ftp://x"), Err(BadEndpoint::Scheme { .. })));
        assert!(matches!(Endpoint::parse("x:0"), Err(BadEndpoint::Port { .. })));
        assert!(matches!(Endpoint::parse("linstor://"), Err(BadEndpoint::Host { .. })));
        assert_eq!(parse_controllers("a,,b , ").expect("parses").len(), 2);
    }
}
