//! API keys and tenant tokens: what they are, and what they allow, as on one Meilisearch 1.50.
//!
//! * [`ApiKey`] is what is stored and shown; its value follows from its uid and the master key.
//! * [`KeyRing`] holds all keys, ready to be checked; [`AccessCheck`] checks a request by it and says with a [`Grant`] what it
//!   may see.
//!
//! Secrets are compared in constant time, and are hidden where these types are printed.

mod access;
mod action;
mod pattern;
mod record;
mod requests;
mod ring;
mod signatures;
mod tenant_token;

pub use access::{AccessCheck, Grant, Need};
pub use action::{Action, ActionSet, Scope};
pub use pattern::IndexPattern;
pub use record::{ApiKey, KeyValue};
pub use requests::{CreateKey, KeyPaging, PatchKey, key_not_found};
pub use ring::{HeldKey, KeyRing};
pub use tenant_token::{SearchRules, TenantToken, TokenError};
