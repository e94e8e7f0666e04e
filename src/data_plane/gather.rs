//! Several futures at once on one executor, their results as they come.
//!
//! Cancel safety: dropping a `Gather` drops what has not ended; sub-requests to nodes close their connections. `next` may
//! be dropped and called again without losing a result.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use super::upstream::LocalFuture;

/// Futures in flight, each under a key (which part of a scatter it is, for example).
///
/// Every wake looks at all of them: meant for the nodes of one request, not for thousands.
pub struct Gather<'a, K, T> {
    in_flight: Vec<(K, LocalFuture<'a, T>)>,
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

    /// The next that ends; none when nothing is in flight.
    pub async fn next(&mut self) -> Option<(K, T)> {
        poll_fn(|context| self.poll_next(context)).await
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

/// The values of two futures that run at once.
pub async fn both<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) -> (A, B) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut first_value, mut second_value) = (None, None);
    poll_fn(move |context| {
        if first_value.is_none()
            && let Poll::Ready(value) = first.as_mut().poll(context)
        {
            first_value = Some(value);
        }
        if second_value.is_none()
            && let Poll::Ready(value) = second.as_mut().poll(context)
        {
            second_value = Some(value);
        }
        match (first_value.take(), second_value.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (first, second) => {
                (first_value, second_value) = (first, second);
                Poll::Pending
            }
        }
    })
    .await
}

/// The results of several futures in their order, of which `at_once` run at a time; with the first error (by place), none
/// behind it is begun.
///
/// # Errors
/// That error, with its place.
pub async fn in_order<'a, T, E, F>(futures: impl IntoIterator<Item = F>, at_once: usize) -> Result<Vec<T>, (usize, E)>
where
    F: Future<Output = Result<T, E>> + 'a,
    T: 'a,
    E: 'a,
{
    let mut futures = futures.into_iter().enumerate();
    let mut gather = Gather::new();
    futures.by_ref().take(at_once).for_each(|(place, future)| gather.push(place, future));
    let mut results = Vec::new();
    let mut failed: Option<(usize, E)> = None;
    while let Some((place, result)) = gather.next().await {
        match result {
            Ok(result) => results.push((place, result)),
            Err(error) if failed.as_ref().is_none_or(|(earlier, _)| place < *earlier) => failed = Some((place, error)),
            Err(_) => {}
        }
        if failed.is_none()
            && let Some((place, future)) = futures.next()
        {
            gather.push(place, future);
        }
    }
    results.sort_by_key(|(place, _)| *place);
    failed.map_or_else(|| Ok(results.into_iter().map(|(_, result)| result).collect()), Err)
}

/// The same where nothing can fail.
pub async fn all_in_order<'a, T, F>(futures: impl IntoIterator<Item = F>, at_once: usize) -> Vec<T>
where
    F: Future<Output = T> + 'a,
    T: 'a,
{
    let futures = futures.into_iter().map(|future| async { Ok::<T, std::convert::Infallible>(future.await) });
    in_order(futures, at_once).await.unwrap_or_else(|(_, never)| match never {})
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::data_plane::fake::{FakeUpstream, block_on, core_with};

    #[test]
    fn results_come_as_they_end_and_the_rest_can_be_left() {
        let core = core_with(FakeUpstream::refusing());
        block_on(async {
            let mut gather = Gather::new();
            gather.push("never", std::future::pending::<u8>());
            gather.push("now", async { 1 });
            assert_eq!(gather.next().await, Some(("now", 1)));
            assert_eq!(core.before(core.now().plus_ms(10), gather.next()).await, None, "one is still in flight");
            assert_eq!(Gather::<&str, u8>::new().next().await, None);
        });
    }

    #[test]
    fn two_futures_run_at_once() {
        let core = core_with(FakeUpstream::refusing());
        block_on(async {
            let slow = async {
                core.timers.sleep_until(core.now().plus_ms(5)).await;
                1
            };
            assert_eq!(both(slow, async { "now" }).await, (1, "now"));
            assert_eq!(both(async { "now" }, async { 2 }).await, ("now", 2));
        });
    }

    #[test]
    fn results_come_in_order_and_the_first_error_ends_all() {
        let begun = Cell::new(0);
        let futures = |failing: &'static [usize]| {
            begun.set(0);
            let begun = &begun;
            (0..10).map(move |place| async move {
                begun.set(begun.get() + 1);
                if failing.contains(&place) { Err("no") } else { Ok(place) }
            })
        };
        assert_eq!(block_on(in_order(futures(&[]), 3)), Ok((0..10).collect()));
        assert_eq!(block_on(in_order(futures(&[4, 5]), 3)), Err((4, "no")));
        assert!(begun.get() < 10, "{} were begun", begun.get());
        assert_eq!(block_on(in_order(futures(&[0]), 1)), Err((0, "no")));
        assert_eq!(begun.get(), 1);
    }
}
