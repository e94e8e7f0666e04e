//! `miroir-ctl replication-factor`: on how many nodes each shard is.

use argh::FromArgs;
use http::Method;
use serde_json::{Value, json};

use super::client::Call;
use super::rebalance;

/// keep so many replicas of each shard, on different nodes
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "replication-factor")]
pub struct ReplicationFactor {
    /// how many: 1 to 5
    #[argh(positional, from_str_fn(rebalance::replicas))]
    pub value: u16,
    /// only show what would move
    #[argh(switch)]
    pub dry_run: bool,
}

impl ReplicationFactor {
    pub(super) fn call(&self) -> Call {
        let Self { value, dry_run } = self;
        Call::with(Method::PUT, "/replication-factor", json!({"value": value, "dryRun": dry_run}))
    }

    /// The answer for people.
    pub(super) fn render(&self, answer: &Value) -> String {
        rebalance::started(answer, self.dry_run)
    }
}
