//! The queue manners of Meilisearch that Miroir builds on, one by one.

use super::*;
