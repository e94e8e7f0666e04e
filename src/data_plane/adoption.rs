//! Each core says which epoch it works with, idle or not.
//!
//! A core adopts a snapshot by taking it from its cache; from then on it never sees an older one, because it reads one
//! memory location and reads of one location do not go back. Only then it acknowledges.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::core::Core;

/// Acknowledges every publication, for ever.
pub async fn acknowledge_epochs(core: Rc<Core>) {
    poll_fn(|context| -> Poll<()> {
        // Register first: a publication between the two wakes again.
        core.bridge.acks.register(core.number, context.waker());
        let epoch = core.snapshot().epoch;
        core.bridge.acks.acknowledge(core.number, epoch);
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::bridge::Bridge;
    use crate::data_plane::core::{CoreSettings, Timers};
    use crate::data_plane::pool::{PoolLimits, UpstreamPool};
    use crate::data_plane::rt::{self, ExecutorPlan, ExecutorTimers, start_executor};
    use crate::logic::ids::Epoch;
    use crate::logic::snapshot::RoutingSnapshot;
    use crate::telemetry::clock;

    const CORES: usize = 3;
    const LAST: u64 = 10_000;

    /// Requests that take the snapshot and compare it with what was acknowledged before they began.
    async fn read_until_last(core: Rc<Core>, is_over: Arc<AtomicBool>) {
        let latest = Cell::new(Epoch(0));
        while !is_over.load(Ordering::Acquire) {
            let acknowledged = core.bridge.acks.acknowledged();
            let epoch = core.snapshot().epoch;
            assert!(epoch >= acknowledged, "acknowledged {acknowledged:?}, read {epoch:?}");
            assert!(epoch >= latest.replace(epoch), "went back to {epoch:?}");
            ExecutorTimers.yield_now().await;
            rt::sleep(Duration::from_micros(50)).await;
        }
    }

    #[test]
    fn every_core_reaches_the_last_epoch_and_none_reads_older_than_acknowledged() {
        let (bridge, _commands) = Bridge::new(CORES);
        let is_over = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..CORES)
            .map(|number| {
                let (bridge, is_over) = (bridge.clone(), is_over.clone());
                let main = move || async move {
                    let upstream =
                        Rc::new(UpstreamPool::new(PoolLimits::default(), None, bridge.memory.clone()).unwrap());
                    let settings = Arc::new(CoreSettings::default());
                    let core = Rc::new(Core::new(number, bridge, settings, upstream, Rc::new(ExecutorTimers)));
                    rt::spawn_detached(acknowledge_epochs(core.clone()));
                    // The last core stays idle: only its waker moves it.
                    if number + 1 < CORES {
                        read_until_last(core, is_over).await;
                    } else {
                        while !is_over.load(Ordering::Acquire) {
                            rt::sleep(Duration::from_millis(20)).await;
                        }
                    }
                };
                let plan = ExecutorPlan { name: format!("ack-{number}"), cpu: None };
                start_executor(&plan, main, |result| result.unwrap()).unwrap()
            })
            .collect();
        for epoch in 1..=LAST {
            bridge.snapshot.store(Arc::new(RoutingSnapshot { epoch: Epoch(epoch), ..RoutingSnapshot::default() }));
            bridge.acks.wake_all();
        }
        let deadline = clock::instant() + Duration::from_secs(20);
        while bridge.acks.acknowledged() < Epoch(LAST) {
            assert!(clock::instant() < deadline, "only {:?} was acknowledged", bridge.acks.acknowledged());
            std::thread::park_timeout(Duration::from_millis(1));
        }
        is_over.store(true, Ordering::Release);
        for thread in threads {
            thread.join().unwrap();
        }
    }
}
