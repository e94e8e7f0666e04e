//! A lock that stays broken after a panic of its holder: what the panic left half done must not be gone on with.
//!
//! The mark is set before the lock is released, so whoever gets the lock afterwards sees it. Looking is up to the holder:
//! nothing is sent to a node, stored or reported once it is set.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Fragile<T> {
    value: Mutex<T>,
    is_broken: AtomicBool,
}

/// The lock, held.
pub(super) struct Held<'a, T> {
    // Dropped in this order.
    _mark: Mark<'a>,
    value: MutexGuard<'a, T>,
}

struct Mark<'a>(&'a AtomicBool);

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Release);
        }
    }
}

impl<T> Fragile<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value: Mutex::new(value), is_broken: AtomicBool::new(false) }
    }

    pub(super) fn lock(&self) -> Held<'_, T> {
        Held { value: self.value.lock(), _mark: Mark(&self.is_broken) }
    }

    /// As a panic does.
    pub(super) fn break_for_good(&self) {
        self.is_broken.store(true, Ordering::Release);
    }

    /// A holder panicked.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }
}

impl<T> Held<'_, T> {
    /// Releases the lock until the condition is notified or the time is over.
    pub(super) fn wait(&mut self, condition: &Condvar, limit: Duration) {
        condition.wait_for(&mut self.value, limit);
    }

    /// Releases the lock while `work` runs.
    pub(super) fn unlocked<U>(&mut self, work: impl FnOnce() -> U) -> U {
        MutexGuard::unlocked(&mut self.value, work)
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_holder_breaks_it_and_an_orderly_end_does_not() {
        let lock = Fragile::new(1);
        *lock.lock() += 1;
        assert!(!lock.is_broken());
        std::thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let mut held = lock.lock();
                *held += 1;
                panic!("half done");
            });
            assert!(holder.join().is_err());
        });
        assert!(lock.is_broken());
        assert_eq!(*lock.lock(), 3);
    }
}
