//! The trimmer: removes from the journal what no node can need any more, which the protocol says
//! (`logic/feeder/trimming.rs`). Nobody waits for it.

use std::time::Duration;

use super::Coordinator;
use crate::telemetry::clock;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

impl Coordinator {
    pub(super) fn run_trimmer(&self) {
        loop {
            let needed = {
                let mut state = self.state.lock();
                if !self.is_stopping() {
                    state.wait(&self.stopping, INTERVAL);
                }
                if self.is_stopping() {
                    return;
                }
                let (fleet, journal) = state.split(&*self.store);
                fleet.take_needed(clock::monotonic(), &journal)
            };
            let Some(needed) = needed else { continue };
            match self.store.trim(&needed, &|| !self.is_stopping()) {
                Ok(0) => {}
                Ok(entries) => tracing::info!(entries, "removed what no node needs any more from the journal"),
                Err(error) => tracing::warn!(%error, "the journal could not be trimmed; tried again later"),
            }
        }
    }
}
