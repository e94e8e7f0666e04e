//! The thread of search rules: gives the keeper what the journal brings, and reports what is done.

use std::time::Duration;

use super::Coordinator;
use crate::control_plane::rules_keeper::RulesKeeper;

/// Between two looks at who has come, and at the names of indexes.
const ROUND: Duration = Duration::from_millis(50);
/// After the store has failed.
const STORE_RETRY: Duration = Duration::from_secs(1);

impl Coordinator {
    pub(super) fn run_rules(&self, keeper: &mut RulesKeeper) {
        let mut pause = ROUND;
        loop {
            let mut state = self.state.lock();
            if !self.is_stopping() && (state.fleet.rule_changes().is_empty() || pause > ROUND) {
                state.wait(&self.ruling, pause);
            }
            if self.is_stopping() {
                return;
            }
            let waiting = state.fleet.rule_changes();
            for &entry in &waiting {
                state.fleet.rule_change_begun(entry);
            }
            drop(state);
            pause = ROUND;
            let done = keeper.round(&waiting).unwrap_or_else(|error| {
                tracing::error!(%error, "search rules cannot be stored; trying again");
                pause = STORE_RETRY;
                Vec::new()
            });
            if done.is_empty() {
                continue;
            }
            let mut state = self.state.lock();
            for change in done {
                state.fleet.rule_change_done(change.entry, change.deleted);
            }
            self.wake(state, true);
        }
    }
}
