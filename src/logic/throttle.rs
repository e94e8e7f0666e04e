//! How fast moves may go: bytes per second over all, a share of each target's time, and hours of the day.
//!
//! It says when copies may begin. One that has begun is read and sent as fast as it goes, since writes wait for it. So
//! everything may go into debt: a copy is never too large, and how long a batch keeps a node busy is known only when it
//! has ended. No other copy begins until the debt is paid. What was not used is kept for one second. Integers only, so
//! that long runs do not drift.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{Monotonic, NodeId, Timestamp};

/// Unused allowance is kept for so long.
const KEPT_MS: u64 = 1000;

/// What an operator may set, at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThrottleLimits {
    /// Copied by all moves together, over many copies: each one goes as fast as it can, and the next ones wait; none: as much
    /// as goes.
    pub bytes_per_second: Option<u64>,
    /// Of its time that a target may spend on batches of moves, 1 to 100. A batch slows searches whatever is in it, so
    /// this is what clients feel.
    pub busy_percent: u8,
    /// When shards may move that have all their replicas; none: always. Those that lack some are copied at any hour.
    pub hours: Option<HourSpan>,
}

impl Default for ThrottleLimits {
    fn default() -> Self {
        Self { bytes_per_second: None, busy_percent: 25, hours: None }
    }
}

impl ThrottleLimits {
    /// Whether an hour of the day is one at which shards may move that have all their replicas.
    pub fn is_open(&self, hour: u8) -> bool {
        self.hours.is_none_or(|hours| hours.contains(hour))
    }
}

/// Hours of the day, 0 to 23: from the beginning of one up to that of another, over midnight when that comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HourSpan {
    /// The first hour.
    pub from: u8,
    /// The first hour that is not part of it any more. The same as `from`: the whole day.
    pub to: u8,
}

impl HourSpan {
    /// Whether an hour of the day is part of it.
    pub fn contains(self, hour: u8) -> bool {
        if self.from < self.to { (self.from..self.to).contains(&hour) } else { hour >= self.from || hour < self.to }
    }
}

/// Of the day, UTC.
pub fn hour_of(now: Timestamp) -> u8 {
    const HOUR: i64 = 3_600 * 1_000_000;
    now.0.div_euclid(HOUR).rem_euclid(24) as u8
}

/// Whether the next copy may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It may.
    Now,
    /// Not before this, as things are; a change of the limits may alter it.
    At(Monotonic),
}

/// So many units per second, counted in thousandths.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    rate: u64,
    balance: i128,
    at: Monotonic,
}

impl Bucket {
    fn new(rate: u64, now: Monotonic) -> Self {
        Self { rate, balance: 0, at: now }
    }

    fn balance_at(&self, now: Monotonic) -> i128 {
        let earned = i128::from(self.rate) * i128::from(now.0.saturating_sub(self.at.0));
        (self.balance + earned).min(i128::from(self.rate) * i128::from(KEPT_MS))
    }

    fn spend(&mut self, units: u64, now: Monotonic) {
        self.balance = self.balance_at(now) - i128::from(units) * 1000;
        self.at = self.at.max(now);
    }

    /// Spends the time from `began` to now, which itself earns, however long it is.
    fn spend_time(&mut self, began: Monotonic, now: Monotonic) {
        let unearned = self.at.max(began);
        let earned = i128::from(self.rate) * i128::from(now.0.saturating_sub(unearned.0));
        self.balance = self.balance_at(unearned) + earned - i128::from(now.0.saturating_sub(began.0)) * 1000;
        self.at = self.at.max(now);
    }

    fn set_rate(&mut self, rate: u64, now: Monotonic) {
        self.spend(0, now);
        self.rate = rate;
    }

    fn ready_at(&self, now: Monotonic) -> Monotonic {
        match (-self.balance_at(now)).max(0).unsigned_abs() {
            0 => now,
            debt if self.rate > 0 => {
                now.plus_ms(u64::try_from(debt.div_ceil(u128::from(self.rate))).unwrap_or(u64::MAX))
            }
            _ => Monotonic(u64::MAX),
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    limits: ThrottleLimits,
    /// None: no limit.
    bytes: Option<Bucket>,
    /// Milliseconds of each target that was ever busy.
    busy: BTreeMap<NodeId, Bucket>,
}

impl Throttle {
    /// Nothing is owed yet.
    pub fn new(limits: ThrottleLimits, now: Monotonic) -> Self {
        let mut throttle = Self::default();
        throttle.set_limits(limits, now);
        throttle
    }

    /// Those in force.
    pub fn limits(&self) -> ThrottleLimits {
        self.limits
    }

    /// From now on these limits hold. What is owed stays, and is paid at the new rates.
    pub fn set_limits(&mut self, limits: ThrottleLimits, now: Monotonic) {
        self.limits = limits;
        self.bytes = limits.bytes_per_second.map(|rate| {
            let mut bucket = self.bytes.unwrap_or(Bucket::new(rate, now));
            bucket.set_rate(rate, now);
            bucket
        });
        let rate = self.busy_rate();
        self.busy.values_mut().for_each(|bucket| bucket.set_rate(rate, now));
    }

    fn busy_rate(&self) -> u64 {
        u64::from(self.limits.busy_percent.clamp(1, 100)) * 10
    }

    /// Whether a copy to a target may begin, whatever the hour.
    pub fn turn(&self, target: &NodeId, now: Monotonic) -> Turn {
        let buckets = self.bytes.iter().chain(self.busy.get(target));
        match buckets.map(|bucket| bucket.ready_at(now)).max() {
            Some(ready) if ready > now => Turn::At(ready),
            Some(_) | None => Turn::Now,
        }
    }

    /// So many bytes went out.
    pub fn sent(&mut self, bytes: u64, now: Monotonic) {
        if let Some(bucket) = &mut self.bytes {
            bucket.spend(bytes, now);
        }
    }

    /// A batch with chunks of moves in it kept this target busy for so long, and has ended just now.
    pub fn was_busy(&mut self, target: &NodeId, milliseconds: u64, now: Monotonic) {
        let rate = self.busy_rate();
        let began = Monotonic(now.0.saturating_sub(milliseconds));
        self.busy.entry(target.clone()).or_insert(Bucket::new(rate, began)).spend_time(began, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name)
    }

    fn limits(bytes_per_second: Option<u64>, busy_percent: u8) -> ThrottleLimits {
        ThrottleLimits { bytes_per_second, busy_percent, hours: None }
    }

    /// What happens at a millisecond.
    enum Event {
        Sent(u64),
        Busy(&'static str, u64),
        Limits(Option<u64>, u8),
        /// May node `a` get something?
        Asked(Turn),
    }

    fn play(first: ThrottleLimits, events: &[(u64, Event)]) {
        let mut throttle = Throttle::new(first, Monotonic(0));
        for (at, event) in events {
            let now = Monotonic(*at);
            match event {
                Event::Sent(bytes) => throttle.sent(*bytes, now),
                Event::Busy(target, milliseconds) => throttle.was_busy(&node(target), *milliseconds, now),
                Event::Limits(bytes, percent) => throttle.set_limits(limits(*bytes, *percent), now),
                Event::Asked(turn) => assert_eq!(throttle.turn(&node("a"), now), *turn, "at {at}"),
            }
        }
    }

    fn at(milliseconds: u64) -> Event {
        Event::Asked(Turn::At(Monotonic(milliseconds)))
    }

    const NOW: Event = Event::Asked(Turn::Now);

    #[test]
    fn bytes_are_paid_before_more_go_out() {
        play(
            limits(Some(1000), 100),
            &[
                (0, NOW),
                (0, Event::Sent(500)),
                (0, at(500)),
                (499, at(500)),
                (500, NOW),
                // Idle for long: one second's worth is kept, no more.
                (10_000, Event::Sent(3000)),
                (10_000, at(12_000)),
                (12_000, NOW),
            ],
        );
        play(limits(None, 100), &[(0, Event::Sent(u64::MAX)), (0, NOW)]);
        // A third of a byte a millisecond: rounded up, and nothing gets lost over time.
        play(limits(Some(333), 100), &[(0, Event::Sent(1)), (0, at(4)), (4, Event::Sent(1)), (4, at(7))]);
    }

    #[test]
    fn a_target_rests_three_times_as_long_as_it_worked_at_a_quarter() {
        play(
            limits(None, 25),
            &[
                (0, NOW),
                (1000, Event::Busy("a", 1000)),
                (1000, at(4000)),
                (2000, Event::Busy("b", 2000)),
                (2000, at(4000)),
                (4000, NOW),
                // A second batch that came before its time is paid as well.
                (4000, Event::Busy("a", 100)),
                (4000, at(4400)),
            ],
        );
        play(limits(None, 100), &[(5000, Event::Busy("a", 5000)), (5000, NOW)]);
        // 0 would be never: it counts as 1.
        play(limits(None, 0), &[(1000, Event::Busy("a", 1000)), (1000, at(100_000))]);
    }

    #[test]
    fn limits_change_while_something_is_owed() {
        play(
            limits(Some(1000), 25),
            &[
                (0, Event::Sent(2000)),
                (500, at(2000)),
                (500, Event::Limits(Some(3000), 25)),
                (500, at(1000)),
                (600, Event::Limits(None, 25)),
                (600, NOW),
                (600, Event::Limits(Some(1000), 25)),
                (600, NOW),
                (2000, Event::Busy("a", 1000)),
                (2000, Event::Limits(Some(1000), 75)),
                (2000, at(3000)),
            ],
        );
    }

    #[test]
    fn hours_may_run_over_midnight() {
        for (from, to, inside, outside) in [
            (1, 5, vec![1, 4], vec![0, 5, 23]),
            (22, 6, vec![22, 23, 0, 5], vec![6, 21]),
            (7, 7, vec![0, 7, 23], vec![]),
        ] {
            let limits = ThrottleLimits { hours: Some(HourSpan { from, to }), ..ThrottleLimits::default() };
            assert!(inside.into_iter().all(|hour| limits.is_open(hour)), "{from} to {to}");
            assert!(!outside.into_iter().any(|hour| limits.is_open(hour)), "{from} to {to}");
        }
        assert!(ThrottleLimits::default().is_open(0));
        assert_eq!((hour_of(Timestamp(7_200_000_000 - 1)), hour_of(Timestamp(-1))), (1, 23));
    }

    #[test]
    fn over_long_the_rates_are_met() {
        let mut throttle = Throttle::new(limits(Some(1_000_003), 25), Monotonic(0));
        let (mut now, mut bytes, mut busy) = (Monotonic(0), 0_u64, 0_u64);
        for chunk in 0..10_000_u64 {
            if let Turn::At(later) = throttle.turn(&node("a"), now) {
                assert!(later > now);
                now = later;
            }
            let (size, milliseconds) = (chunk * 7919 % 200_000, chunk % 40);
            throttle.sent(size, now);
            now = now.plus_ms(milliseconds);
            throttle.was_busy(&node("a"), milliseconds, now);
            bytes += size;
            busy += milliseconds;
        }
        assert!(bytes <= (now.0 + 2000) * 1_000_003 / 1000, "{bytes} in {now:?}");
        assert!(busy * 4 <= now.0 + 2000, "{busy} in {now:?}");
    }
}
