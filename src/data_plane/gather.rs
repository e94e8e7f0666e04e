//! Several futures at once on one executor, their results as they come.
//!
//! Cancel safety: dropping a `Gather` drops what has not ended; sub-requests to nodes close their connections. `next` and
//! `next_before` may be dropped and called again without losing a result.

use std::future::{Future, poll_fn};
use std::task::{Context, Poll};

use super::core::Core;
use super::upstream::LocalFuture;
use crate::logic::ids::Monotonic;

/// Futures in flight, each under a key (which part of a scatter it is, for example).
///
/// Every wake looks at all of them: meant for the nodes of one request, not for thousands.
pub struct Gather<'a, K, T> {
    in_flight: Vec<(K, LocalFuture<'a, T>)>,
}

/// What `next_before` saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next<K, T> {
    /// This one ended.
    Done(K, T),
    /// The deadline came first; everything in flight goes on.
    DeadlinePassed,
    /// Nothing is in flight.
    Empty,
}

impl<K, T> Default for Gather<'_, K, T> {
    fn default() -> Self {
        Self { in_flight: Vec::new() }
    }
}

impl<'a, K, T> Gather<'a, K, T> {
    /// Nothing in flight.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one; it starts at the next `next`.
    pub fn push(&mut self, key: K, future: impl Future<Output = T> + 'a) {
        self.in_flight.push((key, Box::pin(future)));
    }

    /// The keys of what has not ended.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.in_flight.iter().map(|(key, _)| key)
    }

    /// How many have not ended.
    pub fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether all have ended.
    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Drops those whose key matches.
    pub fn cancel(&mut self, mut is_unwanted: impl FnMut(&K) -> bool) {
        self.in_flight.retain(|(key, _)| !is_unwanted(key));
    }

    /// The next that ends; none when nothing is in flight.
    pub async fn next(&mut self) -> Option<(K, T)> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next that ends before the deadline.
    pub async fn next_before(&mut self, core: &Core, deadline: Monotonic) -> Next<K, T> {
        match core.before(deadline, self.next()).await {
            Some(Some((key, value))) => Next::Done(key, value),
            Some(None) => Next::Empty,
            None => Next::DeadlinePassed,
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<(K, T)>> {
        for index in 0..self.in_flight.len() {
            if let Poll::Ready(value) = self.in_flight[index].1.as_mut().poll(context) {
                // Order is kept, so that those that were first are looked at first.
                let (key, _) = self.in_flight.remove(index);
                return Poll::Ready(Some((key, value)));
            }
        }
        if self.in_flight.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::fake::{FakeUpstream, block_on, core_with};

    #[test]
    fn results_come_as_they_end_and_the_rest_can_be_left() {
        let core = core_with(FakeUpstream::refusing());
        block_on(async {
            let mut gather = Gather::new();
            gather.push("never", std::future::pending::<u8>());
            gather.push("now", async { 1 });
            let deadline = core.now().plus_ms(10);
            assert_eq!(gather.next_before(&core, deadline).await, Next::Done("now", 1));
            assert_eq!(gather.next_before(&core, deadline).await, Next::DeadlinePassed);
            gather.cancel(|key| *key == "never");
            assert_eq!(gather.next_before(&core, deadline).await, Next::Empty);
        });
    }
}
