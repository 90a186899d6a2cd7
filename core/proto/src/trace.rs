//! The place of a piece of work in a trace, as it travels between processes: `traceparent` of W3C's Trace Context.
//!
//! Where no traces are made, everything here is an empty text and nothing happens.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Where `span` is; empty: in no trace that is kept.
#[must_use]
pub fn place(span: &Span) -> String {
    if span.is_none() {
        return String::new();
    }
    let context = span.context();
    let span = context.span();
    let here = span.span_context();
    if !here.is_valid() || !here.is_sampled() {
        return String::new();
    }
    format!("00-{:032x}-{:016x}-{:02x}", here.trace_id(), here.span_id(), here.trace_flags())
}

/// Puts a span that was not entered yet below `place`, if that is one.
pub fn below(span: &Span, place: &str) {
    if let Some(parent) = parse(place) {
        // Where no traces are made there is nothing to set.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

/// Reads a place; `None`: it is none, or of a later version that is not known.
#[must_use]
pub fn parse(place: &str) -> Option<SpanContext> {
    let mut parts = place.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if version != "00" || parts.next().is_some() || !digits(trace, 32) || !digits(span, 16) || !digits(flags, 2) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let place = SpanContext::new(TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?, flags, true, TraceState::NONE);
    place.is_valid().then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_place_is_one() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let place = parse(good).unwrap();
        assert_eq!((place.trace_id().to_string(), place.is_sampled()), ("4bf92f3577b34da6a3ce929d0e0e4736".to_owned(), true));
        for bad in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
        // Nothing is traced here.
        assert_eq!(self::place(&Span::current()), "");
        below(&Span::none(), good);
    }
}
