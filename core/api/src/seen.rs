//! When a state was seen: the one own field beside LINSTOR's, `berth`, of every document that shows what a satellite reports.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// `{"seen": TIME}`, or `{"unknown_since": TIME, "reason": TEXT}`: never both, so that nobody takes an old state for the present one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SeenWhen<'a> {
    /// When the satellite reported this state last. It reports what changes; signs of life in between say that nothing else did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<Moment>,
    /// Since when the state is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_since: Option<Moment>,
    /// Why it is unknown.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'a, str>,
    /// The last sign of life; only of nodes, and only if there was one since the controller began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heard: Option<Moment>,
}

impl<'a> SeenWhen<'a> {
    /// Seen then.
    #[must_use]
    pub fn seen(at: Moment) -> Self {
        Self { seen: Some(at), unknown_since: None, reason: Cow::Borrowed(""), last_heard: None }
    }

    /// Unknown since then.
    #[must_use]
    pub fn unknown(since: Moment, reason: impl Into<Cow<'a, str>>) -> Self {
        Self { seen: None, unknown_since: Some(since), reason: reason.into(), last_heard: None }
    }

    /// The same with a text of its own.
    #[must_use]
    pub fn into_owned(self) -> SeenWhen<'static> {
        SeenWhen { reason: Cow::Owned(self.reason.into_owned()), ..self }
    }
}

/// A moment in RFC 3339 with milliseconds and `Z`, e.g. `2026-11-21T15:12:03.042Z`; written without an allocation, because long
/// lists have one in each element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment([u8; 24]);

crate::lenient::plain_schema!(Moment, { "type": "string", "format": "date-time" });

impl Moment {
    /// From milliseconds since 1970-01-01 UTC; what lies outside of the years 0 to 9999 is the nearest moment inside.
    #[must_use]
    pub fn of_millis(millis: i64) -> Self {
        /// 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z.
        const RANGE: (i64, i64) = (-62_167_219_200_000, 253_402_300_799_999);
        const DAY: i64 = 86_400_000;
        let millis = millis.clamp(RANGE.0, RANGE.1);
        let (days, rest) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
        // Days since 0000-03-01, in eras of 400 years: the leap day is the last day of a year that begins in March.
        let shifted = days + 719_468;
        let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |at: usize, digits: usize, mut number: i64| {
            for place in text.iter_mut().skip(at).take(digits).rev() {
                // A digit, so the cast loses nothing.
                *place = b'0' + u8::try_from(number.rem_euclid(10)).unwrap_or(0);
                number /= 10;
            }
        };
        put(0, 4, era * 400 + year + carry);
        put(5, 2, month);
        put(8, 2, day_of_month);
        put(11, 2, rest / 3_600_000);
        put(14, 2, rest / 60_000 % 60);
        put(17, 2, rest / 1_000 % 60);
        put(20, 3, rest % 1_000);
        Self(text)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII is put into it.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_795_273_923_042, "2026-11-21T15:12:03.042Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (4_107_456_000_000, "2100-02-28T00:00:00.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
            (i64::MIN, "0000-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(Moment::of_millis(millis).as_str(), text, "{millis}");
        }
    }

    #[test]
    fn a_state_is_seen_or_unknown() {
        let at = Moment::of_millis(0);
        assert_eq!(serde_json::to_string(&SeenWhen::seen(at)).unwrap(), r#"{"seen":"1970-01-01T00:00:00.000Z"}"#);
        assert_eq!(
            serde_json::to_string(&SeenWhen::unknown(at, "away")).unwrap(),
            r#"{"unknown_since":"1970-01-01T00:00:00.000Z","reason":"away"}"#
        );
    }
}
