//! A node that answers every search at once with the same 20 hits, about 5 KB, on may_minihttp.
//!
//! With `showRankingScoreDetails` in the request the hits carry score details as a Meilisearch node would send them, so
//! that a merge has its real work. Hits of different nodes interleave. Nothing is read, stored or searched.

use std::io::{self, Read};
use std::net::SocketAddr;

use argh::FromArgs;
use may_minihttp::{HttpServer, HttpService, Request, Response};
use miroir::logic::ids::ShardId;
use miroir::logic::marker;
use serde_json::{Value, json};

/// Hits of an answer.
pub const HITS: usize = 20;

/// a simulated node
#[derive(FromArgs)]
#[argh(subcommand, name = "node")]
pub struct Node {
    /// where it listens
    #[argh(option)]
    listen: SocketAddr,
    /// its number: decides ids and scores
    #[argh(option, default = "0")]
    number: usize,
}

#[derive(Clone)]
struct Canned {
    plain: &'static str,
    detailed: &'static str,
}

fn hit(node: usize, rank: usize, with_details: bool) -> Value {
    let id = rank * 10 + node;
    // Strictly falling, and interleaved with the hits of other nodes.
    let score = 0.99 - (id as f64) * 0.004;
    let mut hit = json!({
        "_miroir": marker::marker(ShardId((id % 64) as u16), 64),
        "id": id,
        "title": format!("A film about number {id} and what became of it"),
        "overview": "A storm is coming and a town at the sea has one night to decide who stays and who goes before the water comes.",
        "genres": ["Drama", "Adventure"],
        "release_date": 1_279_238_400 + id,
    });
    if with_details {
        hit["_rankingScore"] = json!(score);
        hit["_rankingScoreDetails"] = json!({
            "words": {"order": 0, "matchingWords": 2, "maxMatchingWords": 2, "score": 1.0},
            "typo": {"order": 1, "typoCount": 0, "maxTypoCount": 2, "score": 1.0},
            "proximity": {"order": 2, "score": score},
            "attribute": {"order": 3, "attributeRankingOrderScore": 1.0, "queryWordDistanceScore": score, "score": score},
            "exactness": {"order": 4, "matchType": "noExactMatch", "matchingWords": 2, "maxMatchingWords": 2, "score": 0.33},
        });
    }
    hit
}

fn canned(node: usize, with_details: bool) -> &'static str {
    let hits: Vec<Value> = (0..HITS).map(|rank| hit(node, rank, with_details)).collect();
    let answer = json!({
        "hits": hits, "query": "storm film", "processingTimeMs": 1, "limit": HITS, "offset": 0, "estimatedTotalHits": 321,
    });
    // Two texts per process, for its whole life.
    Box::leak(answer.to_string().into_boxed_str())
}

impl HttpService for Canned {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        response.header("Content-Type: application/json");
        if !request.path().contains("/search") {
            response.body(r#"{"status":"available"}"#);
            return Ok(());
        }
        let mut body = Vec::new();
        request.body().read_to_end(&mut body)?;
        let wants_details = memchr::memmem::find(&body, b"\"showRankingScoreDetails\":true").is_some();
        response.body(if wants_details { self.detailed } else { self.plain });
        Ok(())
    }
}

impl Node {
    /// Serves until it is killed.
    pub fn run(self) -> crate::Outcome {
        may::config().set_workers(1).set_worker_pin(false);
        let service = Canned { plain: canned(self.number, false), detailed: canned(self.number, true) };
        let server = HttpServer(service).start(self.listen)?;
        println!("{} bytes plain, {} with details", canned(0, false).len(), canned(0, true).len());
        server.join().map_err(|_| "the server panicked")?;
        Ok(())
    }
}
