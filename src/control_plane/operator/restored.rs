//! After a restore from a backup replicas may differ by the writes that one of them had got and the other not: they are
//! compared until they were found equal, and made equal. Which of two is right nobody can know any more; the one that had come
//! further is taken, since it has more of what clients wrote.

use std::time::{Duration, Instant};

use super::Operator;
use crate::logic::feeder::AuditStage;
use crate::logic::ids::NodeId;
use crate::logic::restoring::{RESTORED, Restored};
use crate::store::StoreError;
use crate::telemetry::clock;

/// Between two comparisons.
const PAUSE: Duration = Duration::from_secs(5);

/// How far that is.
pub(super) struct Equalizing {
    /// Those that had come furthest first; none: nothing is to be done.
    furthest: Option<Vec<NodeId>>,
    /// The comparison under way.
    audit: Option<u64>,
    not_before: Instant,
}

impl Operator {
    pub(super) fn begin_equalizing(&self) -> Equalizing {
        let kept = self.store.kept(RESTORED).unwrap_or_default();
        let furthest = match kept.map(serde_json::from_value) {
            Some(Ok(Restored::Prepared { furthest, .. })) => Some(furthest),
            Some(_) | None => None,
        };
        Equalizing { furthest, audit: None, not_before: clock::instant() }
    }

    /// A look now and then; asks nobody who may take long.
    pub(super) fn equalize(&self, state: &mut Equalizing) {
        let Some(furthest) = &state.furthest else { return };
        if clock::instant() < state.not_before {
            return;
        }
        let Some(number) = state.audit else {
            if self.is_all_in_sync().unwrap_or(false) {
                state.audit = self.change(|fleet| fleet.begin_audit_after_restore(furthest)).ok();
            }
            state.not_before = clock::instant() + PAUSE;
            return;
        };
        let report = self.members.audit_report();
        if report.number == number && report.stage != AuditStage::Ended {
            return;
        }
        let is_equal = report.unequal.is_empty() && report.strays.is_empty() && report.not_compared.is_empty();
        if report.number == number && is_equal && self.keep_equal().is_ok() {
            tracing::info!("all replicas are equal after the restore");
            state.furthest = None;
        }
        (state.audit, state.not_before) = (None, clock::instant() + PAUSE);
    }

    fn is_all_in_sync(&self) -> Result<bool, StoreError> {
        let stored = self.store.protocol_state()?;
        Ok(stored.out_of_sync.is_empty() && stored.needs_rebuild.is_empty() && stored.tables.mends.is_empty())
    }

    fn keep_equal(&self) -> Result<(), StoreError> {
        let kept = serde_json::to_value(Restored::Equal).map_err(|error| StoreError::Failed(error.to_string()))?;
        self.store.keep(RESTORED, &kept)
    }
}
