//! How fast shards move, beside one stream of reading and writing straight between two nodes.
//!
//! The same index each time: all its documents go from one node to an empty one that has its settings already, until the
//! last task there is over. Miroir also compares both sides, publishes each step and answers clients meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use argh::FromArgs;
use miroir::telemetry::clock;
use serde_json::json;

use crate::Failure;
use crate::corpus;
use crate::fleet::{Front, Node, Nodes, Server};

/// Documents in one write of the load, and in one page of the straight stream.
const PAGE: usize = 1_000;

/// measure how fast shards move beside a straight copy
#[derive(FromArgs)]
#[argh(subcommand, name = "copy-rate")]
pub struct CopyRate {
    /// documents (default 50000)
    #[argh(option, default = "50_000")]
    documents: usize,
    /// whole rounds, each with fresh nodes (default 2)
    #[argh(option, default = "2")]
    rounds: usize,
    /// a Meilisearch server; embedded nodes without it
    #[argh(option)]
    meilisearch: Option<PathBuf>,
}

/// Loads documents through Miroir.
pub fn load(front: &Server, documents: usize) -> Result<(), Failure> {
    let mut last = front.write("POST", "/indexes", r#"{"uid":"bench","primaryKey":"id"}"#.to_owned())?;
    front.write("PATCH", "/indexes/bench/settings", corpus::SETTINGS.to_owned())?;
    let ids: Vec<usize> = (0..documents).collect();
    for ids in ids.chunks(PAGE) {
        last = front.write("POST", "/indexes/bench/documents", corpus::documents(ids.iter().copied(), 0))?;
    }
    front.wait_for_task(last)
}

/// The only index of a node, by its name there.
fn index_of(node: &Server) -> Result<String, Failure> {
    let indexes = node.json("GET", "/indexes", None)?;
    indexes["results"][0]["uid"].as_str().map(str::to_owned).ok_or_else(|| "the node has no index".into())
}

struct Copied {
    bytes: usize,
    took: Duration,
}

/// Reads page after page and writes each without waiting for its task; only the last is waited for.
fn straight(source: &Server, target: &Server, index: &str) -> Result<Copied, Failure> {
    target.write("POST", "/indexes", json!({"uid": index, "primaryKey": "id"}).to_string())?;
    let settings = source.ask("GET", &format!("/indexes/{index}/settings"), None)?;
    let task = target.write("PATCH", &format!("/indexes/{index}/settings"), settings)?;
    target.wait_for_task(task)?;
    let begun = clock::instant();
    let (mut bytes, mut offset, mut last) = (0, 0, None);
    loop {
        let page = json!({"offset": offset, "limit": PAGE, "retrieveVectors": true}).to_string();
        let answer = source.ask("POST", &format!("/indexes/{index}/documents/fetch"), Some(page))?;
        let (first, end) = (answer.find('[').ok_or("no list")?, answer.rfind(']').ok_or("no list")?);
        let list = &answer[first..=end];
        if list.len() <= 2 {
            break;
        }
        bytes += list.len();
        offset += PAGE;
        last = Some(target.write("POST", &format!("/indexes/{index}/documents"), list.to_owned())?);
    }
    target.wait_for_task(last.ok_or("the source is empty")?)?;
    Ok(Copied { bytes, took: begun.elapsed() })
}

/// How long the second replica of everything takes, the new node's indexes being there already.
fn doubled(front: &Front) -> Result<Duration, Failure> {
    front.admin.wait_until(|| {
        let status = front.admin.json("GET", "/_miroir/rebalance", None)?;
        Ok(status["bootstraps"] == json!([]))
    })?;
    let begun = clock::instant();
    front.rebalance("PUT", "/_miroir/replication-factor", &json!({"value": 2}))?;
    Ok(begun.elapsed())
}

fn count(node: &Node, index: &str) -> Result<u64, Failure> {
    let stats = node.server.json("GET", &format!("/indexes/{index}/stats"), None)?;
    stats["numberOfDocuments"].as_u64().ok_or_else(|| stats.to_string().into())
}

impl CopyRate {
    /// Measures and prints.
    pub fn run(self) -> crate::Outcome {
        println!("| way | documents/s | MB/s | seconds | of the straight stream |\n|---|---|---|---|---|");
        for _ in 0..self.rounds {
            self.round()?;
        }
        Ok(())
    }

    fn round(&self) -> Result<(), Failure> {
        let nodes = Nodes::new(self.meilisearch.clone())?;
        let source = [nodes.start("source")?];
        let front = nodes.front(&source, 1)?;
        load(&front.server, self.documents)?;
        let index = index_of(&source[0].server)?;

        let by_hand = straight(&source[0].server, &nodes.start("straight")?.server, &index)?;
        self.print("straight, one stream", by_hand.bytes, by_hand.took, by_hand.took);

        let limits = |percent: u64| {
            front.admin.json("PATCH", "/_miroir/rebalance/limits", Some(json!({"busyPercent": percent})))
        };
        let (full, gentle) = (nodes.start("full")?, nodes.start("gentle")?);
        let usual = front.admin.json("GET", "/_miroir/rebalance", None)?["limits"]["busyPercent"].clone();
        limits(100)?;
        front.add(&full)?;
        let took = doubled(&front)?;
        self.check(&full, &index)?;
        self.print("moves, busyPercent 100", by_hand.bytes, took, by_hand.took);

        limits(usual.as_u64().ok_or("no usual limit")?)?;
        let change = json!({"id": gentle.id, "url": format!("http://{}", gentle.address)});
        let begun = clock::instant();
        front.rebalance("POST", "/_miroir/nodes/full/replace", &change)?;
        self.check(&gentle, &index)?;
        self.print(&format!("moves, busyPercent {usual} (default)"), by_hand.bytes, begun.elapsed(), by_hand.took);
        Ok(())
    }

    fn check(&self, node: &Node, index: &str) -> Result<(), Failure> {
        let found = count(node, index)?;
        if found == self.documents as u64 { Ok(()) } else { Err(format!("{found} documents on {}", node.id).into()) }
    }

    fn print(&self, way: &str, bytes: usize, took: Duration, straight: Duration) {
        let seconds = took.as_secs_f64();
        println!(
            "| {way} | {:.0} | {:.2} | {seconds:.1} | {:.2} |",
            self.documents as f64 / seconds,
            bytes as f64 / seconds / 1e6,
            straight.as_secs_f64() / seconds
        );
    }
}
