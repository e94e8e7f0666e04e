//! A bound on how many do something at a time on one executor; who comes later waits, first come first served.
//!
//! Cancel safety: a wait that is dropped leaves the queue; a place that it was just given goes to the next.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// So many places.
pub struct Places {
    free: Cell<u32>,
    max: u32,
    queue: RefCell<VecDeque<Rc<Ticket>>>,
}

/// One that waits.
#[derive(Default)]
struct Ticket {
    is_called: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A place, given back by the drop.
pub struct Place<'a>(&'a Places);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let next = self.0.queue.borrow_mut().pop_front();
        let Some(next) = next else { return self.0.free.set(self.0.free.get() + 1) };
        // The place is the next one's now: nobody gets in between.
        next.is_called.set(true);
        if let Some(waker) = next.waker.take() {
            waker.wake();
        }
    }
}

impl Places {
    /// All free.
    pub fn new(max: u32) -> Self {
        Self { free: Cell::new(max), max, queue: RefCell::default() }
    }

    /// How many have one.
    pub fn taken(&self) -> u32 {
        self.max - self.free.get()
    }

    /// How many wait.
    pub fn waiting(&self) -> u32 {
        self.queue.borrow().len() as u32
    }

    /// A place, at once when one is free.
    pub async fn enter(&self) -> Place<'_> {
        if let Some(left) = self.free.get().checked_sub(1) {
            self.free.set(left);
            return Place(self);
        }
        let ticket = Rc::new(Ticket::default());
        self.queue.borrow_mut().push_back(ticket.clone());
        Waiting { places: self, ticket }.await
    }
}

struct Waiting<'a> {
    places: &'a Places,
    ticket: Rc<Ticket>,
}

impl<'a> Future for Waiting<'a> {
    type Output = Place<'a>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Place<'a>> {
        if self.ticket.is_called.take() {
            return Poll::Ready(Place(self.places));
        }
        *self.ticket.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.ticket.is_called.get() {
            drop(Place(self.places));
        }
        self.places.queue.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.ticket));
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn is_in<'a>(mut wait: Pin<&mut impl Future<Output = Place<'a>>>) -> Option<Place<'a>> {
        match wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    #[test]
    fn who_comes_later_waits_in_order_and_may_leave_the_queue() {
        let places = Places::new(1);
        let first = is_in(pin!(places.enter())).expect("it is free");
        let mut second = Box::pin(places.enter());
        let mut third = Box::pin(places.enter());
        let mut fourth = Box::pin(places.enter());
        for wait in [&mut second, &mut third, &mut fourth] {
            assert!(is_in(wait.as_mut()).is_none());
        }
        assert_eq!((places.taken(), places.waiting()), (1, 3));
        // One leaves while it waits, one just when it is called.
        drop(third);
        drop(first);
        drop(second);
        assert_eq!((places.taken(), places.waiting()), (1, 0));
        let fourth = is_in(fourth.as_mut()).expect("it is its turn");
        assert!(is_in(pin!(places.enter())).is_none());
        drop(fourth);
        assert_eq!((places.taken(), places.waiting()), (0, 0));
    }
}
