//! Scenarios of the API (next).
