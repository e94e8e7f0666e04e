//! Dates as Meilisearch writes and reads them.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use crate::logic::ids::Timestamp;

/// The same moment.
pub fn date_of(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// RFC 3339 in UTC.
pub fn rfc3339(at: Timestamp) -> String {
    date_of(at).format(&Rfc3339).unwrap_or_default()
}

/// How one server names a dump that it began then.
pub fn dump_uid(at: Timestamp) -> String {
    let form = format_description!(
        "[year repr:full][month repr:numerical][day padding:zero]-[hour padding:zero][minute padding:zero][second padding:zero][subsecond digits:3]"
    );
    date_of(at).format(form).unwrap_or_default()
}

/// Which end of a day a date without a time stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DayEnd {
    /// Its first moment.
    Start,
    /// The first moment of the next day.
    End,
}

/// Reads a `YYYY-MM-DD` or RFC 3339 text; none when it is neither. Microseconds since the Unix epoch.
pub fn parse(text: &str, day_end: DayEnd) -> Option<i64> {
    let nanoseconds = if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        time.unix_timestamp_nanos()
    } else {
        let day = Date::parse(text, format_description!("[year repr:full base:calendar]-[month repr:numerical]-[day]"))
            .ok()?;
        let day = if day_end == DayEnd::End { day.next_day()? } else { day };
        day.midnight().assume_utc().unix_timestamp_nanos()
    };
    i64::try_from(nanoseconds / 1_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_with_and_without_a_time() {
        const DAY: i64 = 86_400_000_000;
        for (text, day_end, expected) in [
            ("1970-01-02", DayEnd::Start, Some(DAY)),
            ("1970-01-02", DayEnd::End, Some(2 * DAY)),
            ("1970-01-02T00:00:00.5Z", DayEnd::End, Some(DAY + 500_000)),
            ("1970-01-02T01:00:00+01:00", DayEnd::Start, Some(DAY)),
            ("1970", DayEnd::Start, None),
            ("1970-13-01", DayEnd::Start, None),
            ("1970-01-02T00:00:00", DayEnd::Start, None),
            ("19700102", DayEnd::Start, None),
            ("", DayEnd::Start, None),
        ] {
            assert_eq!(parse(text, day_end), expected, "{text}");
        }
        assert_eq!(rfc3339(Timestamp(DAY)), "1970-01-02T00:00:00Z");
    }
}
