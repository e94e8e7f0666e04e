//! How fast documents are hashed, and cut by shard, on one core.

use miroir::logic::entry::PutMode;
use miroir::logic::shard_hash::{id_hash, shard_of_hash};
use miroir::logic::split::{DocumentSplitter, SplitRules};
use miroir::meili::formats::{DocumentFormat, DocumentReader};

/// Ids as clients have them.
pub fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("product-{:08}", number * 7919)).collect()
}

/// A JSON array of so many documents of about so many bytes each.
pub fn body(count: usize, bytes: usize) -> Vec<u8> {
    let text = "The quick brown fox jumps over the lazy dog, again and again, until it is told to stop. ";
    let documents: Vec<String> = ids(count)
        .iter()
        .enumerate()
        .map(|(number, id)| {
            let head = format!(
                "{{\"id\":\"{id}\",\"title\":\"Product {number}\",\"price\":{}.5,\"tags\":[\"a{}\",\"b{}\"],\"stock\":{{\"store\":{number},\"web\":true}},\"overview\":\"",
                number % 1000,
                number % 17,
                number % 5,
            );
            let fill = bytes.saturating_sub(head.len() + 2);
            let overview: String = text.chars().cycle().skip(number % 40).take(fill).collect();
            format!("{head}{overview}\"}}")
        })
        .collect();
    format!("[{}]", documents.join(",\n")).into_bytes()
}

/// Hashes ids to shards.
pub fn hash(ids: &[String], shard_count: u16) -> usize {
    ids.iter().map(|id| usize::from(shard_of_hash(id_hash(id), shard_count).0)).sum()
}

/// Reads, checks and cuts a body as a write does, and copies it into its payload; the payload's bytes.
pub fn split(body: &[u8], shard_count: u16) -> usize {
    let rules = SplitRules {
        shard_count,
        mode: PutMode::Replace,
        primary_key: Some("id".to_owned()),
        merges_duplicate_keys: true,
    };
    let mut reader = DocumentReader::new(body, DocumentFormat::Json).expect("the body is UTF-8");
    let mut splitter = DocumentSplitter::new(rules);
    let mut fields = Vec::new();
    while let Some(document) = reader.next_document(&mut fields).expect("the body is JSON") {
        splitter.push(document, &mut fields).expect("no document has the reserved field");
    }
    let mut assembly = splitter.finish().assembly;
    while !assembly.step(1 << 20) {}
    assembly.into_payload().bytes.len()
}
