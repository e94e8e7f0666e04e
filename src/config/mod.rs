//! Configuration in two steps: raw (as written), then resolved (checked, with defaults).
