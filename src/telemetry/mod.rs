//! The clock and logging. The only home of `Instant::now` and `SystemTime::now`.

pub mod clock;
pub mod log;
