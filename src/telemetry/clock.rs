//! The clocks. Everything pure gets its time as an argument; everything else asks here.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::logic::ids::{Monotonic, Timestamp};

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the one home of this call")]
pub fn instant() -> Instant {
    Instant::now()
}

/// The monotonic clock as milliseconds since the first call in this process.
pub fn monotonic() -> Monotonic {
    static START: OnceLock<Instant> = OnceLock::new();
    Monotonic(START.get_or_init(instant).elapsed().as_millis() as u64)
}

/// The wall clock.
#[expect(clippy::disallowed_methods, reason = "the one home of this call")]
pub fn timestamp() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(since.as_micros() as i64)
}
