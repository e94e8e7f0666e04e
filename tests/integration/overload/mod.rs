//! More than Miroir can take: what comes back, how much memory and how many descriptors it costs, and that the service is
//! there meanwhile and afterwards, without a restart. One file per concern; docs/RELIABILITY.md has the table.
//!
//! Each row is thrown twice: small in every test run, and in full by `make overload`, which prints the rows.

mod bodies;
mod connections;
mod heads;
mod leaving;
mod rig;
mod searches;
mod unread;
mod writes;
