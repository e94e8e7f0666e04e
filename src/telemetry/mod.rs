//! The clock, logging and what is counted. The only home of `Instant::now` and `SystemTime::now`.

pub mod clock;
pub mod exposition;
pub mod log;
pub mod log_stream;
pub mod requests;
