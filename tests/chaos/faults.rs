//! The faults: what each does to the fleet, and what clients may notice of it.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::disks::{checkpoint, damage, empty, fill, free};
use crate::network::{Loss, drop_packets, pass_packets};
use crate::stage::Stage;
use crate::support::fleet::START_LIMIT;
use crate::support::{Fleet, Process, Random, now};

/// One kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// kill -9 of a node, which is started again.
    NodeKilled,
    /// SIGSTOP of a node, and SIGCONT.
    NodePaused,
    /// A node is killed again and again before it has caught up.
    NodeLoops,
    /// A node comes back without its data.
    NodeEmptied,
    /// The disk of a node is full.
    NodeFull,
    /// No packet passes between Miroir and a node.
    NodeCutOff,
    /// No packet reaches a node, or none comes from it.
    NodeOneWay,
    /// Many packets are lost.
    NodeLossy,
    /// kill -9 of Miroir.
    MiroirKilled,
    /// SIGSTOP of Miroir, and SIGCONT.
    MiroirPaused,
    /// Miroir is killed again and again.
    MiroirLoops,
    /// The disk of Miroir is full.
    MiroirFull,
    /// Miroir's database is damaged while it is down: it must not start before the good one is put back.
    StoreDamaged,
}

/// What a kind needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Nothing but processes.
    Nothing,
    /// Small disks.
    Disks,
    /// Networks for the nodes.
    Networks,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::NodeKilled,
        Self::NodePaused,
        Self::NodeLoops,
        Self::NodeEmptied,
        Self::NodeFull,
        Self::NodeCutOff,
        Self::NodeOneWay,
        Self::NodeLossy,
        Self::MiroirKilled,
        Self::MiroirPaused,
        Self::MiroirLoops,
        Self::MiroirFull,
        Self::StoreDamaged,
    ];

    /// What it is called in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::NodeKilled => "node killed",
            Self::NodePaused => "node paused",
            Self::NodeLoops => "node restarts again and again",
            Self::NodeEmptied => "node without its data",
            Self::NodeFull => "disk of a node full",
            Self::NodeCutOff => "node cut off",
            Self::NodeOneWay => "node cut off one way",
            Self::NodeLossy => "packets to a node lost",
            Self::MiroirKilled => "miroir killed",
            Self::MiroirPaused => "miroir paused",
            Self::MiroirLoops => "miroir restarts again and again",
            Self::MiroirFull => "disk of miroir full",
            Self::StoreDamaged => "store of miroir damaged",
        }
    }

    /// What it needs.
    pub fn need(self) -> Need {
        match self {
            Self::NodeFull | Self::MiroirFull => Need::Disks,
            Self::NodeCutOff | Self::NodeOneWay | Self::NodeLossy => Need::Networks,
            Self::NodeKilled
            | Self::NodePaused
            | Self::NodeLoops
            | Self::NodeEmptied
            | Self::MiroirKilled
            | Self::MiroirPaused
            | Self::MiroirLoops
            | Self::StoreDamaged => Need::Nothing,
        }
    }

    /// May reads, and writes, fail meanwhile? Never for what happens to one node.
    fn excuses(self) -> (bool, bool) {
        match self {
            Self::NodeKilled
            | Self::NodePaused
            | Self::NodeLoops
            | Self::NodeEmptied
            | Self::NodeFull
            | Self::NodeCutOff
            | Self::NodeOneWay
            | Self::NodeLossy => (false, false),
            Self::MiroirFull => (false, true),
            Self::MiroirKilled | Self::MiroirPaused | Self::MiroirLoops | Self::StoreDamaged => (true, true),
        }
    }
}

/// Does faults to a fleet.
pub struct Faults<'a> {
    /// All processes.
    pub fleet: Fleet,
    /// What is told of it.
    pub stage: &'a Stage,
    /// Which node, and how long.
    pub random: Random,
    /// How long everything may take to be in its place again.
    pub limit: Duration,
}

impl Faults<'_> {
    /// One fault from its begin to its end. `is_hasty`: what came before may not be made up for yet.
    pub fn strike(&mut self, kind: Kind, is_hasty: bool) {
        let node = self.random.below(self.fleet.nodes.len());
        let (reads, writes) = kind.excuses();
        self.stage.begin(kind.name(), reads || is_hasty, writes);
        let what = if writes { kind.name().to_owned() } else { format!("{}: node-{node}", kind.name()) };
        self.stage.tell(&format!("{what}{}", if is_hasty { " (hasty)" } else { "" }));
        let begun = now();
        match kind {
            Kind::NodeKilled => self.node_killed(node, |_| Ok(())),
            Kind::NodeEmptied => self.node_killed(node, empty),
            Kind::NodePaused => self.node_paused(node),
            Kind::NodeLoops => self.node_loops(node),
            Kind::NodeFull => self.node_full(node),
            Kind::NodeCutOff => self.lose_packets(node, Loss::All),
            Kind::NodeOneWay => {
                let loss = *self.random.pick(&[Loss::Requests, Loss::Answers]);
                self.stage.tell(&format!("  lost: {loss:?}"));
                self.lose_packets(node, loss);
            }
            Kind::NodeLossy => self.lose_packets(node, Loss::Some(25)),
            Kind::MiroirKilled => {
                self.fleet.kill_miroir();
                self.hold(0, 2_000);
                self.fleet.start_miroir();
            }
            Kind::MiroirPaused => self.miroir_paused(),
            Kind::MiroirLoops => self.miroir_loops(),
            Kind::MiroirFull => self.miroir_full(),
            Kind::StoreDamaged => self.store_damaged(),
        }
        self.wait_until_up();
        if writes {
            self.stage.writes_go_on();
        }
        self.stage.count(&format!("fault: {}", kind.name()));
        self.stage.tell(&format!("  over after {:.1?}", begun.elapsed()));
    }

    fn hold(&mut self, least: i64, most: i64) {
        let milliseconds = self.random.between(least, most) as u64;
        self.stage.pause(Duration::from_millis(milliseconds));
    }

    fn node_killed(&mut self, node: usize, meanwhile: impl Fn(&std::path::Path) -> std::io::Result<()>) {
        self.fleet.nodes[node].kill();
        meanwhile(&self.fleet.nodes[node].data()).expect("the temporary folder is writable");
        self.hold(1_000, 8_000);
        self.fleet.nodes[node].start();
    }

    fn signal_node(&self, node: usize, signal: Signal) {
        self.fleet.nodes[node].process.as_ref().expect("it runs").signal(signal);
    }

    fn node_paused(&mut self, node: usize) {
        self.signal_node(node, Signal::SIGSTOP);
        self.hold(2_000, 9_000);
        self.signal_node(node, Signal::SIGCONT);
    }

    fn node_loops(&mut self, node: usize) {
        for _ in 0..5 {
            self.fleet.nodes[node].kill();
            self.hold(0, 500);
            self.fleet.nodes[node].start();
            self.hold(100, 1_500);
        }
    }

    fn node_full(&mut self, node: usize) {
        let folder = self.fleet.nodes[node].data();
        fill(&folder).expect("the disk can be filled");
        self.hold(3_000, 8_000);
        free(&folder).expect("what was filled can be freed");
        self.restart_if_ended(node);
    }

    fn restart_if_ended(&mut self, node: usize) {
        let node = &mut self.fleet.nodes[node];
        if node.process.as_mut().is_none_or(Process::has_ended) {
            self.stage.tell(&format!("  {} had ended", node.id));
            node.kill();
            node.start();
        }
    }

    fn lose_packets(&mut self, node: usize, loss: Loss) {
        let network = self.fleet.nodes[node].network.clone().expect("there are networks");
        drop_packets(&network, loss).expect("packets can be dropped");
        self.hold(3_000, 10_000);
        pass_packets(&network).expect("packets can pass again");
    }

    fn signal_miroir(&self, signal: Signal) {
        self.fleet.miroir.as_ref().expect("it runs").signal(signal);
    }

    fn miroir_paused(&mut self) {
        self.signal_miroir(Signal::SIGSTOP);
        self.hold(1_000, 6_000);
        self.signal_miroir(Signal::SIGCONT);
    }

    fn miroir_loops(&mut self) {
        for _ in 0..5 {
            self.fleet.kill_miroir();
            self.fleet.start_miroir();
            self.hold(100, 2_500);
        }
    }

    fn miroir_full(&mut self) {
        let folder = self.store();
        fill(&folder).expect("the disk can be filled");
        self.hold(3_000, 8_000);
        free(&folder).expect("what was filled can be freed");
        if self.fleet.miroir.as_mut().is_none_or(Process::has_ended) {
            self.stage.tell("  miroir had ended");
            self.fleet.kill_miroir();
            self.fleet.start_miroir();
        }
    }

    fn store(&self) -> std::path::PathBuf {
        self.fleet.folder.path().join("miroir")
    }

    fn store_damaged(&mut self) {
        self.fleet.kill_miroir();
        let (database, good) = (self.store().join("miroir.db"), self.fleet.folder.path().join("miroir.db.good"));
        checkpoint(&database).expect("nobody uses it");
        std::fs::copy(&database, &good).expect("the temporary folder is writable");
        let damaged = damage(&database, &mut self.random).expect("the database is a file");
        self.stage.tell(&format!("  {damaged}"));
        self.must_refuse(&damaged);
        for beside in ["miroir.db-wal", "miroir.db-shm"] {
            let beside = self.store().join(beside);
            if beside.exists() {
                std::fs::remove_file(beside).expect("the temporary folder is writable");
            }
        }
        std::fs::copy(&good, &database).expect("the temporary folder is writable");
        self.fleet.start_miroir();
    }

    /// Started now, it ends by itself, with a message that names the remedy.
    fn must_refuse(&mut self, damaged: &str) {
        let log = self.fleet.folder.path().join("miroir.log");
        let before = std::fs::read(&log).expect("it has run before").len();
        self.fleet.start_miroir();
        let mut process = self.fleet.miroir.take().expect("it was started");
        let end = now() + START_LIMIT;
        while !process.has_ended() && now() < end {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let said = String::from_utf8_lossy(&std::fs::read(&log).expect("it has run")[before..]).into_owned();
        if !process.has_ended() {
            self.stage.find(&format!("miroir has started on a store that was {damaged}; it said: {said}"));
        } else if process.wait(START_LIMIT).success() || !(said.contains("damaged") && said.contains("restore")) {
            self.stage.find(&format!("miroir ended on a store that was {damaged}, with: {said}"));
        }
        process.kill();
    }

    /// Waits until all processes answer.
    fn wait_until_up(&self) {
        let begun = now();
        while self.stage.goes_on() {
            let Some(down) = self.down() else { return };
            if begun.elapsed() > self.limit {
                self.stage.find(&format!("not up after {:?}: {down}", self.limit));
            }
            self.stage.pause(Duration::from_millis(50));
        }
    }

    /// Who does not answer, and how.
    fn down(&self) -> Option<String> {
        let nodes = self.fleet.nodes.iter().map(|node| (node.id.as_str(), node.client()));
        let mut all = nodes.chain([("miroir", self.fleet.client())]);
        all.find_map(|(name, client)| match client.try_ask("GET", "/health", None) {
            Ok(answer) if answer.status == 200 => None,
            Ok(answer) => Some(format!("{name}: {}", answer.text)),
            Err(error) => Some(format!("{name}: {error}")),
        })
    }

    /// Waits until everything is in its place. Then nothing may fail any more.
    pub fn wait_until_in_place(&self) {
        let begun = now();
        while self.stage.goes_on() {
            let Some(seen) = self.out_of_place() else {
                self.stage.calm_down();
                self.stage.tell(&format!("  in place after {:.1?}", begun.elapsed()));
                return;
            };
            if begun.elapsed() > self.limit {
                self.stage.find(&format!("not in place after {:?}: {seen}", self.limit));
            }
            self.stage.pause(Duration::from_millis(100));
        }
    }

    /// What is not in its place.
    pub fn out_of_place(&self) -> Option<String> {
        let admin = self.fleet.admin();
        let ask = |target: &str| admin.try_ask("GET", target, None).map(|answer| answer.json);
        let (status, rebalance) = match (ask("/_miroir/status"), ask("/_miroir/rebalance")) {
            (Ok(status), Ok(rebalance)) => (status, rebalance),
            (Err(error), _) | (_, Err(error)) => return Some(error.to_string()),
        };
        let nodes = &status["nodes"];
        let are_in = nodes["outOfSync"] == 0 && nodes["reachable"] == nodes["total"] && nodes["total"].is_u64();
        let is_quiet = ["owed", "bootstraps"].iter().all(|list| rebalance[*list] == json!([]));
        let is_idle = rebalance["state"] == "idle" && is_quiet;
        let (status, rebalance): (&Value, &Value) = (&status, &rebalance);
        (!(are_in && is_idle)).then(|| format!("{status} {rebalance}"))
    }
}
