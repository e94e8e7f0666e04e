//! Embedders that nodes ask: a little server plays one. On real nodes only: the embedded node asks nobody.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Fleet, FleetOptions, real_meilisearch, wait_for};

/// Makes of a text the vector (letters a, letters b, 1), and counts how often it is asked.
struct Embedder {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Embedder {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/embed", listener.local_addr().expect("an address"));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = count.clone();
                std::thread::spawn(move || serve(&stream, &count));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn serve(stream: &TcpStream, count: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body: Value = serde_json::from_slice(&body).ok()?;
        let texts = body["texts"].as_array()?;
        assert!(!body.to_string().contains("_miroir"), "the marker is rendered: {body}");
        count.fetch_add(texts.len(), Ordering::SeqCst);
        let letters = |text: &Value, letter: char| text.as_str().unwrap_or_default().matches(letter).count();
        let vectors: Vec<Value> =
            texts.iter().map(|text| json!([letters(text, 'a') as f32, letters(text, 'b') as f32, 1.0])).collect();
        let answer = json!({"vectors": vectors}).to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len());
        let mut stream = stream;
        stream.write_all(format!("{head}{answer}").as_bytes()).ok()?;
    }
}

/// Goal: documents get vectors by the nodes, a query is made a vector once for all nodes, keys are not shown, and copies of
/// shards bring their vectors along.
#[test]
fn nodes_make_vectors_of_documents_and_one_of_them_that_of_a_query() {
    let Some(meilisearch) = real_meilisearch() else { return };
    let embedder = Embedder::start();
    let options = FleetOptions { replication_factor: 1, meilisearch: Some(meilisearch), ..FleetOptions::new() };
    let fleet = Fleet::start(&options);
    let client = fleet.client();
    let rest = json!({
        "source": "rest", "url": embedder.url, "apiKey": "a-very-secret-key", "dimensions": 3,
        "request": {"texts": ["{{text}}", "{{..}}"]}, "response": {"vectors": ["{{embedding}}", "{{..}}"]},
    });
    let task = client.write_well("PATCH", "/indexes/words/settings", Some(&json!({"embedders": {"r": rest}})));
    assert_eq!(task["details"]["embedders"]["r"]["apiKey"], "a-XXXX...");
    let shown = client.get("/indexes/words/settings/embedders").expect(200).json;
    assert_eq!(shown["r"]["apiKey"], "a-XXXX...");
    assert!(shown["r"]["documentTemplate"].as_str().is_some_and(|text| !text.contains("_miroir")), "{shown}");

    let documents: Vec<Value> = (0..30).map(|id| json!({"id": id, "text": "b".repeat(1 + id as usize)})).collect();
    client.write_well("POST", "/indexes/words/documents", Some(&Value::from(documents)));
    assert_eq!(embedder.asked(), 30, "each document is made a vector once for each of its replicas");

    let query = json!({
        "q": "bbbbbbbbbbbb", "hybrid": {"embedder": "r", "semanticRatio": 1.0}, "limit": 3, "retrieveVectors": true,
    });
    let answer = client.post("/indexes/words/search", &query).expect(200).json;
    assert_eq!(embedder.asked(), 31, "the query once: {answer}");
    assert_eq!(answer["queryVector"], json!([0.0, 12.0, 1.0]));
    let hits = answer["hits"].as_array().expect("hits");
    assert_eq!(hits.len(), 3);
    assert!(hits.iter().all(|hit| hit["_vectors"]["r"]["regenerate"] == json!(true)), "{answer}");
    let hybrid = json!({"q": "bbb", "hybrid": {"embedder": "r", "semanticRatio": 0.9}, "limit": 5});
    let answer = client.post("/indexes/words/search", &hybrid).expect(200).json;
    assert_eq!((embedder.asked(), answer["hits"].as_array().map(Vec::len)), (32, Some(5)));

    let other = json!({"embedders": {"r": {"source": "rest", "url": embedder.url}}});
    let refused = client.ask("PATCH", "/indexes/words/settings", Some(&other));
    assert_eq!((refused.status, refused.code()), (400, "invalid_settings_embedders"));

    fleet.admin().post("/_miroir/drift/check", &json!({})).expect(200);
    let status = wait_for("the settings of all nodes to be looked at", Duration::from_mins(1), || {
        let status = fleet.admin().get("/_miroir/status").expect(200).json;
        if status["driftCheckedAt"].is_null() { Err(status.to_string()) } else { Ok(status) }
    });
    assert_eq!(status["drift"], json!([]), "what nodes show of an embedder is what they were sent");
}
