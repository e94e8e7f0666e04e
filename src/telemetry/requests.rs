//! How many requests of clients were answered, by route and status, and how long that took.
//!
//! Every core counts for itself, without a lock; who reads adds the cores up, and may see a request counted in one number
//! and not yet in another.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the classes of durations, in microseconds; those of one server.
pub const BOUNDS_US: [u64; 14] = [
    5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000, 2_500_000, 5_000_000,
    7_500_000, 10_000_000,
];

/// Statuses that are counted each for itself; all others together are the last.
const STATUSES: [u16; 19] =
    [200, 201, 202, 204, 400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 429, 500, 501, 502, 503];

/// Of all routes, on all cores.
#[derive(Debug)]
pub struct Requests {
    cores: Vec<OnceLock<Box<[RouteCounts]>>>,
}

/// Of one route on one core.
#[derive(Debug, Default)]
struct RouteCounts {
    by_status: [AtomicU64; STATUSES.len() + 1],
    by_duration: [AtomicU64; BOUNDS_US.len() + 1],
    duration_us: AtomicU64,
}

/// Of one route.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RouteTotals {
    /// By status; 0 for all that are rare.
    pub by_status: Vec<(u16, u64)>,
    /// How many took at most so long as the bound at this place, and in the end how many there were.
    pub within_bounds: Vec<u64>,
    /// All durations together.
    pub duration: Duration,
}

impl Requests {
    /// Nothing is counted yet.
    pub fn new(cores: usize) -> Self {
        Self { cores: (0..cores).map(|_| OnceLock::new()).collect() }
    }

    /// Counts an answer. `routes` is how many routes there are, `route` the place of this one.
    pub fn count(&self, core: usize, (route, routes): (usize, usize), status: u16, duration: Duration) {
        let Some(counts) = self.cores.get(core) else { return };
        let counts = counts.get_or_init(|| (0..routes).map(|_| RouteCounts::default()).collect());
        let Some(counts) = counts.get(route) else { return };
        let duration_us = duration.as_micros() as u64;
        let of_status = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len());
        let of_duration = BOUNDS_US.iter().position(|bound| duration_us <= *bound).unwrap_or(BOUNDS_US.len());
        counts.by_status[of_status].fetch_add(1, Ordering::Relaxed);
        counts.by_duration[of_duration].fetch_add(1, Ordering::Relaxed);
        counts.duration_us.fetch_add(duration_us, Ordering::Relaxed);
    }

    /// What was counted for the route at this place; none if it was never called.
    pub fn totals(&self, route: usize) -> Option<RouteTotals> {
        let counts: Vec<&RouteCounts> =
            self.cores.iter().filter_map(OnceLock::get).filter_map(|counts| counts.get(route)).collect();
        let sum = |of: &dyn Fn(&RouteCounts) -> &AtomicU64| {
            counts.iter().map(|counts| of(counts).load(Ordering::Relaxed)).sum::<u64>()
        };
        let statuses = STATUSES.iter().copied().chain([0]).enumerate();
        let by_status = statuses.map(|(place, status)| (status, sum(&|counts| &counts.by_status[place])));
        let by_status: Vec<(u16, u64)> = by_status.filter(|(_, count)| *count > 0).collect();
        if by_status.is_empty() {
            return None;
        }
        let mut count = 0;
        let within_bounds = (0..=BOUNDS_US.len()).map(|place| {
            count += sum(&|counts| &counts.by_duration[place]);
            count
        });
        let within_bounds = within_bounds.collect();
        let duration = Duration::from_micros(sum(&|counts| &counts.duration_us));
        Some(RouteTotals { by_status, within_bounds, duration })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_added_up() {
        let requests = Requests::new(2);
        let count = |core, status, ms| requests.count(core, (1, 3), status, Duration::from_millis(ms));
        assert_eq!(requests.totals(1), None);
        count(0, 200, 1);
        count(1, 200, 30);
        count(1, 418, 60_000);
        count(7, 200, 1);
        let totals = requests.totals(1).unwrap();
        assert_eq!(totals.by_status, [(200, 2), (0, 1)]);
        assert_eq!((totals.within_bounds[0], totals.within_bounds[3], totals.within_bounds[13]), (1, 2, 2));
        assert_eq!((totals.within_bounds[14], totals.duration), (3, Duration::from_millis(60_031)));
        assert_eq!((requests.totals(0), requests.totals(9)), (None, None));
    }
}
