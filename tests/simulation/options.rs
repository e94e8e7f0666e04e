//! What a run of the simulation is made of, apart from its seed.

use miroir::logic::feeder::Rules;

/// What there is more of than usual.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Storm {
    Mixed,
    /// Indexes that change their names.
    Names,
    /// Those, and dumps.
    Dumps,
    /// Restarts of the orchestrator, which stores little of its own accord.
    Restarts,
    /// Those, and settings that nodes reject.
    Votes,
    /// Lost answers, and settings.
    Losses,
    /// Nodes that lose their data, or come back with older data.
    Wipes,
    /// Changes of the plan.
    Plans,
    /// Both, nodes that are gone for good, and maintenance.
    Upheaval,
    /// Changes of the plan, and replicas that are put right though nothing is wrong with them.
    Audits,
    /// Changes of the plan, and copies that are not what was read.
    Slips,
    /// Documents that nobody has written, or that are gone, on one replica of a shard.
    Damage,
    /// Batches that fail for a service that a node asks, on one node and not on another.
    Embedders,
}

/// A deliberate bug in what surrounds the protocol, which the checks must find.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    None,
    /// A crash may take the last transaction back.
    SkipsFsync,
    /// A request whose answer got lost is sent again at once.
    SendsAtOnce,
    DropsDeletions,
    /// Replicas that are out of sync are read.
    ReadsLagging,
    /// Tasks are reported before the cores have followed.
    ReportsEarly,
}

impl Storm {
    pub fn has_plans(self) -> bool {
        match self {
            Self::Plans | Self::Upheaval | Self::Audits | Self::Slips => true,
            Self::Mixed
            | Self::Names
            | Self::Dumps
            | Self::Restarts
            | Self::Votes
            | Self::Losses
            | Self::Wipes
            | Self::Damage
            | Self::Embedders => false,
        }
    }

    pub fn has_losses_of_data(self) -> bool {
        match self {
            Self::Wipes | Self::Upheaval | Self::Audits => true,
            Self::Mixed
            | Self::Names
            | Self::Dumps
            | Self::Restarts
            | Self::Votes
            | Self::Losses
            | Self::Plans
            | Self::Slips
            | Self::Damage
            | Self::Embedders => false,
        }
    }

    /// All replicas are compared now and then.
    pub fn has_audits(self) -> bool {
        match self {
            Self::Wipes | Self::Plans | Self::Upheaval | Self::Slips | Self::Damage => true,
            Self::Mixed | Self::Names | Self::Dumps | Self::Restarts | Self::Votes | Self::Losses | Self::Audits => {
                false
            }
            Self::Embedders => false,
        }
    }
}

/// What a run is made of, apart from its seed.
#[derive(Clone, Copy)]
pub struct Options {
    pub rules: Rules,
    pub bug: Bug,
    pub storm: Storm,
    /// Lost requests may register after the quarantine.
    pub is_far: bool,
    /// Verdicts that those change are no excuse.
    pub is_strict: bool,
    /// Partitions, nodes that stand still or take nothing, a store without space, a clock that leaps.
    pub has_weather: bool,
    /// Settings are sent again now and then, and indexes compacted.
    pub has_upkeep: bool,
    pub operations: usize,
    pub is_traced: bool,
}

impl Options {
    /// One server does not tell what becomes of a task, or when.
    pub fn is_without_oracle(&self) -> bool {
        self.is_far || self.storm == Storm::Embedders
    }
}
