//! What nodes suffer beside crashes, what lies between them and the orchestrator, and what the orchestrator's own machine
//! does: partitions, servers that stand still or take nothing, a store without space, a clock that leaps.

use miroir::logic::feeder::Changes;

use crate::random::Random;
use crate::world::{QUARANTINE, World};

/// How often something begins, in each tick.
const BEGINS: f64 = 0.01;

/// What is wrong with a node, for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// Nothing gets through, in either direction.
    Cut,
    /// No request arrives.
    Deaf,
    /// Requests arrive and take effect; no answer does.
    Mute,
    /// It stands still. What is sent arrives before long, or never.
    Paused,
    /// It answers and takes tasks, and does not get on with any.
    Stuck,
    /// It has no space: it refuses requests, and its batches fail.
    Full,
    /// Its task queue is full: it refuses requests.
    Refusing,
    /// What lies before it sends every request twice.
    Echoing,
}

const TROUBLES: [Trouble; 8] = [
    Trouble::Cut,
    Trouble::Deaf,
    Trouble::Mute,
    Trouble::Paused,
    Trouble::Stuck,
    Trouble::Full,
    Trouble::Refusing,
    Trouble::Echoing,
];

impl Trouble {
    /// Whoever asks gets an answer.
    pub fn lets_answer(self) -> bool {
        match self {
            Self::None | Self::Stuck | Self::Full | Self::Refusing | Self::Echoing => true,
            Self::Cut | Self::Deaf | Self::Mute | Self::Paused => false,
        }
    }

    /// It works on its tasks.
    pub fn lets_work(self) -> bool {
        !matches!(self, Self::Paused | Self::Stuck)
    }
}

/// See the module.
pub struct Weather {
    /// Not the world's, so that seeds without it stay what they are.
    pub random: Random,
    /// By node: until when its trouble lasts.
    ends: Vec<u64>,
    store_is_full_until: u64,
    /// Taken from the fleet, and tried again until it is stored.
    pub unstored: Option<(Changes, u64)>,
}

impl Weather {
    pub fn new(random: Random) -> Self {
        Self { random, ends: Vec::new(), store_is_full_until: 0, unstored: None }
    }

    /// What a crash of the orchestrator leaves.
    pub fn crash(&mut self) {
        self.unstored = None;
    }
}

impl World {
    /// The store takes nothing at the moment.
    pub fn is_store_full(&self) -> bool {
        self.now < self.weather.store_is_full_until
    }

    /// Some change is not stored yet.
    pub fn has_unstored(&self) -> bool {
        self.fleet.has_changes() || self.weather.unstored.is_some()
    }

    /// One step.
    pub fn change_weather(&mut self) {
        self.weather.ends.resize(self.nodes.len(), 0);
        for (node, &end) in self.nodes.iter_mut().zip(&self.weather.ends) {
            if self.now >= end {
                node.trouble = Trouble::None;
            }
        }
        if !self.weather.random.chance(BEGINS) {
            return;
        }
        let most = self.weather.random.pick(&[10, 60, 300]);
        let end = self.now + self.weather.random.between(1, most);
        match self.weather.random.below(10) {
            0 => {
                self.log(|| format!("the store is full until {end}"));
                self.weather.store_is_full_until = end;
            }
            1 => {
                let leap = self.weather.random.between(1, 4 * QUARANTINE);
                self.log(|| format!("the clock leaps by {leap}"));
                self.now += leap;
            }
            _ => {
                let node = self.weather.random.below(self.nodes.len());
                let trouble = self.weather.random.pick(&TROUBLES);
                self.log(|| format!("n{node} is {trouble:?} until {end}"));
                self.nodes[node].trouble = trouble;
                self.weather.ends[node] = end;
            }
        }
    }

    /// Everything is well from now on.
    pub fn calm(&mut self) {
        self.weather.store_is_full_until = 0;
        self.nodes.iter_mut().for_each(|node| node.trouble = Trouble::None);
    }
}
