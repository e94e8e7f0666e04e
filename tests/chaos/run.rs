//! A whole run: fleet, load, faults one after the other, and the end.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use serde_json::json;

use crate::disks::Disks;
use crate::ending::{check_by_verify, check_documents, check_indexes, check_setting, check_tasks, wait_for_tasks};
use crate::faults::{Faults, Kind, Need};
use crate::ledger::Ledger;
use crate::network::Networks;
use crate::reading::{list, search, search_many};
use crate::setting;
use crate::shelves::Shelves;
use crate::stage::{EndAtEnd, Stage};
use crate::support::fleet::{MASTER_KEY, START_LIMIT};
use crate::support::{Client, Fleet, FleetOptions, Random, fleet::Node, now, wait_for};
use crate::writing::Lane;

/// Quick with a node that is gone, patient with one that is slow because the machine is busy: when the prober holds all for
/// unreachable, searches do not wait for them long, and lack shards.
const CONFIGURATION: &str = "feeder: {quarantine: 3s}\nprobe: {interval: 300ms, timeout: 10s}\n\
    search: {deadline: 50s}\ndrift: {interval: 30s}\nverify: {interval: off}\n";

/// From the begin of one fault to that of the next, unless the fleet needs longer.
const PERIOD: Duration = Duration::from_secs(15);

/// Two lanes share an index; the last one is that of the writes that are canceled.
const INDEXES: [&str; 5] = ["red", "red", "blue", "blue", CANCELED];

/// Where writes are canceled.
const CANCELED: &str = "green";

/// What is to be run.
pub struct Plan {
    /// How many nodes.
    pub nodes: usize,
    /// R.
    pub replicas: usize,
    /// Real nodes instead of embedded ones.
    pub meilisearch: Option<PathBuf>,
    /// Everything that is left to chance follows from it.
    pub seed: u64,
    /// These kinds, those that cannot be done left out.
    pub kinds: Vec<Kind>,
    /// None: each of the kinds once, in order.
    pub length: Option<Duration>,
}

impl Plan {
    /// How long everything may take to be in its place, or a task to end. Generous: the machine may be busy.
    fn limit(&self) -> Duration {
        Duration::from_mins(if self.meilisearch.is_some() { 15 } else { 3 })
    }

    /// A batch of a real node takes a second or two, on a busy machine longer; a replica that lags when its peer dies is no
    /// fault of anybody.
    fn configuration(&self) -> String {
        let in_sync_timeout = if self.meilisearch.is_some() { 10 } else { 3 };
        format!("in_sync_timeout: {in_sync_timeout}s\n{CONFIGURATION}")
    }

    fn wants(&self, need: Need) -> bool {
        self.kinds.iter().any(|kind| kind.need() == need)
    }

    /// Runs it.
    ///
    /// # Panics
    /// With all findings, the seed and what is kept.
    pub fn run(mut self) {
        eprintln!("seed {}, {} nodes, {} replicas, {:?}", self.seed, self.nodes, self.replicas, self.meilisearch);
        let networks = self.networks();
        let mut options = FleetOptions {
            nodes: self.nodes,
            replication_factor: self.replicas,
            shards: 12,
            meilisearch: self.meilisearch.clone(),
            configuration: self.configuration(),
            ..FleetOptions::new()
        };
        options.networks = networks.iter().flat_map(|networks| networks.list.clone()).collect();
        let mut fleet = Fleet::prepare(&options, MASTER_KEY);
        let mut disks = self.disks(&fleet);
        fleet.nodes.iter_mut().for_each(Node::start);
        fleet.nodes.iter().for_each(|node| node.client().wait_until_healthy(START_LIMIT));
        fleet.start_miroir();
        fleet.client().wait_until_healthy(START_LIMIT);
        set_up(&fleet.client());

        // A node catches up with what is written meanwhile, in a short run soon.
        let rest = if self.length.is_some() && self.meilisearch.is_none() { 60 } else { 400 };
        let rest = Duration::from_millis(rest);
        let stage = Stage::new(rest);
        let mut fleet = self.run_with(fleet, &stage);
        eprintln!("{}", stage.report());
        let findings = stage.findings();
        if findings.is_empty() {
            fleet.nodes.clear();
            fleet.miroir = None;
            // Before the folder, which cannot go while they are there.
            drop(disks);
            return;
        }
        fleet.folder.disable_cleanup(true);
        disks.are_kept = true;
        let (seed, folder, history) = (self.seed, fleet.folder.path().display(), stage.history());
        panic!("seed {seed}; logs and data are in {folder}\n{history}\n{}", findings.join("\n"));
    }

    fn leave_out(&mut self, need: Need, error: &str) {
        eprintln!("left out, what needs {need:?}: {error}");
        self.kinds.retain(|kind| kind.need() != need);
    }

    fn networks(&mut self) -> Option<Networks> {
        if !self.wants(Need::Networks) {
            return None;
        }
        Networks::new(self.nodes).map_err(|error| self.leave_out(Need::Networks, &error)).ok()
    }

    fn disks(&mut self, fleet: &Fleet) -> Disks {
        let megabytes = if self.meilisearch.is_some() { 1024 } else { 192 };
        let mut disks = Disks::default();
        if self.wants(Need::Disks) {
            let nodes = fleet.nodes.iter().map(|node| (node.data(), megabytes));
            let folders: Vec<_> = nodes.chain([(fleet.folder.path().join("miroir"), 768)]).collect();
            let mounted = folders.iter().try_for_each(|(folder, megabytes)| disks.mount(folder, *megabytes));
            let _ = mounted.map_err(|error| self.leave_out(Need::Disks, &error));
        }
        disks
    }

    /// The faults one after the other.
    fn strike(&self, faults: &mut Faults<'_>) {
        let stage = faults.stage;
        let mut deck: Vec<Kind> = Vec::new();
        let mut is_first = true;
        loop {
            if deck.is_empty() {
                if !is_first && self.length.is_none() {
                    return;
                }
                deck.extend(self.kinds.iter().rev());
                if self.length.is_some() {
                    faults.random.shuffle(&mut deck);
                }
            }
            let is_over = self.length.is_some_and(|length| stage.elapsed() >= length);
            let Some(kind) = deck.pop().filter(|_| stage.goes_on() && !is_over) else { return };
            // Without its data is what a node may be only while the others have theirs.
            let may_be_hasty = !is_first && self.length.is_some() && kind != Kind::NodeEmptied;
            let is_hasty = may_be_hasty && faults.random.percent(15);
            while !is_hasty && stage.goes_on() {
                faults.wait_until_in_place();
                stage.pause(Duration::from_secs(1));
                if faults.out_of_place().is_none() {
                    break;
                }
            }
            is_first = false;
            let begun = now();
            if stage.goes_on() {
                faults.strike(kind, is_hasty);
            }
            if self.length.is_some() {
                stage.pause(PERIOD.saturating_sub(begun.elapsed()));
            }
        }
    }

    fn run_with(&self, fleet: Fleet, stage: &Stage) -> Fleet {
        let load = Load::new(fleet.client(), self.seed);
        let mut faults = Faults { fleet, stage, random: load.random(99), limit: self.limit() };
        let shelves = std::thread::scope(|scope| {
            let _end = EndAtEnd(stage);
            let (threads, shelves) = load.start(scope, stage);
            // In this thread: embedded nodes end with the one that started them.
            if catch_unwind(AssertUnwindSafe(|| self.strike(&mut faults))).is_err() {
                stage.find("the thread of the faults has panicked");
            }
            stage.end();
            for thread in threads {
                if thread.join().is_err() {
                    stage.find("a thread of the load has panicked");
                }
            }
            shelves.join().unwrap_or_default()
        });
        if stage.findings().is_empty() {
            let end = || self.check_the_end(&faults, &load, &shelves);
            match catch_unwind(AssertUnwindSafe(end)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => stage.find(&error),
                Err(panic) => {
                    let said = panic.downcast_ref::<String>().map_or("it panicked", String::as_str);
                    stage.find(&format!("the end: {said}"));
                }
            }
        }
        faults.fleet
    }

    fn check_the_end(&self, faults: &Faults<'_>, load: &Load, (there, of_indexes): &Found) -> Result<(), String> {
        let (stage, fleet, client) = (faults.stage, &faults.fleet, &load.client);
        let begun = now();
        wait_for_tasks(client, self.limit());
        wait_for("all in its place", self.limit(), || faults.out_of_place().map_or(Ok(()), Err));
        stage.tell(&format!("all tasks have ended, all is in its place, after {:.1?}", begun.elapsed()));
        {
            let mut settings = load.settings.lock().map_err(|error| error.to_string())?;
            let mut lanes: Vec<_> = load.lanes.iter().map(Lane::ledger).collect();
            let mut ledgers: Vec<&mut Ledger> = lanes.iter_mut().map(|ledger| &mut **ledger).collect();
            ledgers.push(&mut settings);
            let tasks = check_tasks(client, &mut ledgers, of_indexes)?;
            let acknowledged: usize = ledgers.iter().map(|ledger| ledger.acknowledged()).sum();
            stage.tell(&format!("{acknowledged} writes, {} changes of indexes, {tasks} tasks", of_indexes.len()));
            check_setting(fleet, "red", &settings)?;
        }
        for index in ["red", "blue", "green"] {
            let lanes: Vec<&Lane> = load.lanes.iter().filter(|lane| lane.index == index).collect();
            let count = check_documents(fleet, index, &lanes, self.replicas)?;
            stage.tell(&format!("{count} documents in {index}, equal on all replicas"));
        }
        check_indexes(fleet, there)?;
        check_by_verify(fleet)
    }
}

/// What the index thread gives: the indexes that must be there, and its tasks.
type Found = (BTreeMap<&'static str, Option<u64>>, Vec<u64>);

/// A reader of lanes.
type Reader = fn(&Stage, &Client, &[Lane], &mut Random);

/// What the threads of the load write and read.
struct Load {
    client: Client,
    lanes: Vec<Lane>,
    settings: Mutex<Ledger>,
    seed: u64,
}

impl Load {
    fn new(client: Client, seed: u64) -> Self {
        let lanes = INDEXES.iter().zip(0..).map(|(index, number)| Lane::new(index, number)).collect();
        Self { client, lanes, settings: Mutex::new(Ledger::new("settings")), seed }
    }

    /// A stream of its own for each thread.
    fn random(&self, number: u64) -> Random {
        Random::new(self.seed ^ (number << 32))
    }

    /// All threads; that of the indexes gives something.
    fn start<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        stage: &'env Stage,
    ) -> (Vec<ScopedJoinHandle<'scope, ()>>, ScopedJoinHandle<'scope, Found>) {
        let mut threads = Vec::new();
        for (lane, number) in self.lanes.iter().zip(0..) {
            threads.push(scope.spawn(move || {
                let _end = EndAtEnd(stage);
                if lane.index == CANCELED {
                    lane.write_and_cancel(stage, &self.client, &mut self.random(number));
                } else {
                    lane.write(stage, &self.client, &mut self.random(number));
                }
            }));
        }
        let readers: [Reader; 4] = [search, search, search_many, list];
        for (read, number) in readers.into_iter().zip(10..) {
            threads.push(scope.spawn(move || {
                let _end = EndAtEnd(stage);
                read(stage, &self.client, &self.lanes, &mut self.random(number));
            }));
        }
        threads.push(scope.spawn(move || {
            let _end = EndAtEnd(stage);
            setting::change(stage, &self.client, "red", &self.settings, &mut self.random(20));
        }));
        let shelves = scope.spawn(move || {
            let _end = EndAtEnd(stage);
            Shelves::new(stage, &self.client).work(&mut self.random(21))
        });
        (threads, shelves)
    }
}

/// The indexes of the lanes.
fn set_up(client: &Client) {
    for index in ["red", "blue", "green"] {
        client.write_well("POST", "/indexes", Some(&json!({"uid": index, "primaryKey": "id"})));
        let settings = json!({"filterableAttributes": ["group", "id"], "sortableAttributes": ["id"],
            "searchableAttributes": ["word"]});
        client.write_well("PATCH", &format!("/indexes/{index}/settings"), Some(&settings));
    }
}
