//! The document and the page that shows it, both made once and the same for everybody.

use std::io::Write;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::{Op, Routes, document};
use crate::http::lists::takes_gzip;

/// What the page may do: its own two files, and requests to this controller. No foreign code, no frame, no form.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// A text that never changes while this program runs.
struct Fixed {
    media: &'static str,
    plain: Bytes,
    gzip: Option<Bytes>,
    tag: HeaderValue,
}

impl Fixed {
    fn new(media: &'static str, text: impl Into<Bytes>) -> Self {
        let plain = text.into();
        let digest: String = Sha256::digest(&plain).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        // A number in quotes is always a header; without one the answer is sent anew each time.
        let tag = HeaderValue::try_from(format!("\"{digest}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let gzip = encoder.write_all(&plain).and_then(|()| encoder.finish()).ok().map(Bytes::from);
        Self { media, plain, gzip, tag }
    }

    /// Answers it, compressed where that is wanted, or that it is still the same.
    fn answer(&self, headers: &HeaderMap) -> Response {
        let fixed = [
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::VARY, HeaderValue::from_static("accept-encoding")),
            (header::ETAG, self.tag.clone()),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
        ];
        if headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == self.tag) {
            return (StatusCode::NOT_MODIFIED, fixed).into_response();
        }
        let media = [(header::CONTENT_TYPE, HeaderValue::from_static(self.media))];
        match self.gzip.as_ref().filter(|_| takes_gzip(headers)) {
            Some(gzip) => (fixed, media, [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))], gzip.clone()).into_response(),
            None => (fixed, media, self.plain.clone()).into_response(),
        }
    }
}

static DOCUMENT: LazyLock<Fixed> =
    LazyLock::new(|| Fixed::new("application/json", document::document(&crate::http::routes::all()).to_string()));
static PAGE: LazyLock<Fixed> = LazyLock::new(|| Fixed::new("text/html; charset=utf-8", &include_bytes!("page/page.html")[..]));
static SCRIPT: LazyLock<Fixed> = LazyLock::new(|| Fixed::new("text/javascript; charset=utf-8", &include_bytes!("page/page.js")[..]));
static STYLE: LazyLock<Fixed> = LazyLock::new(|| Fixed::new("text/css; charset=utf-8", &include_bytes!("page/page.css")[..]));

/// The operations.
pub fn routes() -> Routes {
    let file = |help: &str, media| Op::other(help, media).reply_empty(304);
    Routes::new("Description")
        .get(
            "/openapi.json",
            async |headers: HeaderMap| DOCUMENT.answer(&headers),
            Op::answers::<serde_json::Map<String, serde_json::Value>>("This document: every operation, OpenAPI 3.1.").reply_empty(304),
        )
        .get("/docs", async |headers: HeaderMap| PAGE.answer(&headers), file("A page that shows this document.", "text/html"))
        .get("/docs/page.js", async |headers: HeaderMap| SCRIPT.answer(&headers), file("The page's script.", "text/javascript"))
        .get("/docs/page.css", async |headers: HeaderMap| STYLE.answer(&headers), file("The page's style.", "text/css"))
}
