//! One request as data, so that it can be shown, compared and sent.

use reqwest::Method;
use serde_json::Value;

/// A request to the controller: everything but the controller itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The verb.
    pub method: Method,
    /// The path from `/v1` on, already percent-encoded where a segment needed it.
    pub path: String,
    /// Query pairs in the order given, not encoded; a name may repeat.
    pub query: Vec<(String, String)>,
    /// The JSON body; `None` sends no body at all.
    pub body: Option<Value>,
}

impl Call {
    /// A call of `method` on the path made of `segments`, each percent-encoded where needed (a `/` in a name becomes `%2F`).
    pub fn new(method: Method, segments: &[&str]) -> Self {
        let mut path = String::from("/v1");
        for segment in segments {
            path.push('/');
            path.push_str(&escape(segment));
        }
        Self { method, path, query: Vec::new(), body: None }
    }

    /// `GET` on `segments`.
    pub fn get(segments: &[&str]) -> Self {
        Self::new(Method::GET, segments)
    }

    /// `POST` on `segments`.
    pub fn post(segments: &[&str]) -> Self {
        Self::new(Method::POST, segments)
    }

    /// `PUT` on `segments`.
    pub fn put(segments: &[&str]) -> Self {
        Self::new(Method::PUT, segments)
    }

    /// `PATCH` on `segments`.
    pub fn patch(segments: &[&str]) -> Self {
        Self::new(Method::PATCH, segments)
    }

    /// `DELETE` on `segments`.
    pub fn delete(segments: &[&str]) -> Self {
        Self::new(Method::DELETE, segments)
    }

    /// The same call with a JSON body.
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// The same call with one more query pair.
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// The same call with the query name repeated for each of `values`.
    pub fn query_each<I, S>(mut self, name: &str, values: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.query.extend(values.into_iter().map(|value| (name.to_owned(), value.into())));
        self
    }

    /// Path and query as they stand in the request line.
    pub fn target(&self) -> String {
        let mut target = self.path.clone();
        for (at, (name, value)) in self.query.iter().enumerate() {
            target.push(if at == 0 { '?' } else { '&' });
            target.push_str(&escape(name));
            target.push('=');
            target.push_str(&escape(value));
        }
        target
    }
}

/// Percent-encodes everything that RFC 3986 does not call unreserved.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::Call;

    #[test]
    fn a_name_with_a_slash_stays_one_segment() {
        assert_eq!(Call::post(&["resource-definitions", "r1", "files", "/x"]).target(), "/v1/resource-definitions/r1/files/%2Fx");
    }

    #[test]
    fn queries_repeat_and_are_encoded() {
        let call = Call::get(&["nodes"]).query_each("nodes", ["a", "b c"]).query("props", "k=v");
        assert_eq!(call.target(), "/v1/nodes?nodes=a&nodes=b%20c&props=k%3Dv");
    }
}
