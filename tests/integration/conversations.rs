//! Conversations: a language model answers clients, and searches the whole fleet meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::model::Model;
use crate::support::{Answer, Client, Fleet, FleetOptions, real_meilisearch, wait_for};

const LIMIT: Duration = Duration::from_secs(30);
/// `chats.timeout`.
const PATIENCE: Duration = Duration::from_secs(6);
const FILMS: u64 = 40;
const TARGET: &str = "/chats/w/chat/completions";

/// Three nodes with films of which each document is on some of them, and a workspace. Needs nodes that check settings of
/// chats: real ones.
fn fleet(model: &Model) -> Option<Fleet> {
    let meilisearch = Some(real_meilisearch()?);
    let configuration = "chats: {private_addresses: on, timeout: 6s, max_conversations: 2}\n".to_owned();
    let fleet = Fleet::start(&FleetOptions { meilisearch, configuration, ..FleetOptions::new() });
    let client = fleet.client();
    client.ask("PATCH", "/experimental-features", Some(&json!({"chatCompletions": true}))).expect(200);
    let settings = json!({"filterableAttributes": ["year"], "displayedAttributes": ["id"], "chat": {
        "description": "All films", "documentTemplate": "{{ doc.title }} of {{ doc.year }}", "searchParameters": {"limit": FILMS},
    }});
    finished(&client, &client.ask("PATCH", "/indexes/films/settings", Some(&settings)));
    let films: Vec<Value> =
        (0..FILMS).map(|id| json!({"id": id, "title": format!("Film {id}"), "year": 2000 + id % 2})).collect();
    finished(&client, &client.post("/indexes/films/documents", &json!(films)));
    finished(&client, &client.post("/indexes/books/documents", &json!([{"id": 1}])));
    let workspace =
        json!({"source": "openAi", "apiKey": "secret", "baseUrl": model.url, "prompts": {"system": "Be brief"}});
    client.ask("PATCH", "/chats/w/settings", Some(&workspace)).expect(200);
    Some(fleet)
}

fn finished(client: &Client, answer: &Answer) {
    client.wait_for_task(answer.json["taskUid"].as_u64().expect("a task"));
}

fn question(model: &str, text: &str) -> Value {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {}}});
    let tools = ["_meiliSearchProgress", "_meiliSearchSources", "_meiliAppendConversationMessage"].map(tool);
    json!({"model": model, "stream": true, "messages": [{"role": "user", "content": text}], "tools": tools})
}

/// The data of all events; the last one must be the end.
fn events(answer: &Answer) -> Vec<Value> {
    let text = answer.text.strip_prefix("retry: 10000\n\n").expect("the beginning");
    let text = text.strip_suffix("data: [DONE]\n\n").expect("the end");
    let data = text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect("an event"));
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

/// Calls of the client's tools, with their arguments.
fn told(events: &[Value]) -> Vec<(String, Value)> {
    let call = |event: &Value| {
        let function = &event["choices"][0]["delta"]["tool_calls"][0]["function"];
        let arguments = serde_json::from_str(function["arguments"].as_str()?).expect("JSON");
        Some((function["name"].as_str()?.to_owned(), arguments))
    };
    events.iter().filter_map(call).collect()
}

fn said(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
}

/// Goal: a model knows what it may search, gets what it asks for out of all shards, and its answer reaches the client; a
/// tenant's model sees what the tenant may see. Method: a model of our own, over three nodes and two replicas.
#[test]
fn a_model_searches_the_whole_fleet_by_the_rights_of_its_client() {
    let model = Model::start();
    let Some(fleet) = fleet(&model) else { return };
    let client = fleet.client();
    let answer =
        client.post(TARGET, &question("search", r#"{"index_uid": "films", "q": "film", "filter": ""}"#)).expect(200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let events_of_client = events(&answer);
    assert_eq!(said(&events_of_client), "It is.");
    let told = told(&events_of_client);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    let append = "_meiliAppendConversationMessage";
    assert_eq!(names, ["_meiliSearchProgress", append, "_meiliSearchSources", append]);
    let sources = told[2].1["sources"].as_array().expect("a list");
    assert_eq!(sources.len() as u64, FILMS);
    assert!(sources.iter().all(|source| source.as_object().is_some_and(|source| source.len() == 1)), "{sources:?}");

    let bodies = model.bodies();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0]["messages"][0], json!({"role": "developer", "content": "Be brief"}));
    let function = &bodies[0]["tools"][0]["function"];
    assert_eq!(function["parameters"]["properties"]["index_uid"]["enum"], json!(["books", "films"]));
    assert!(function["description"].as_str().is_some_and(|text| text.ends_with(" - films: All films\n\n")));
    let filter = function["parameters"]["properties"]["filter"]["description"].as_str().expect("a text");
    assert!(filter.ends_with("\n## Facet distributions of the films index\nyear: 2001, 2000.\n\n"), "{filter}");
    let messages = bodies[1]["messages"].as_array().expect("messages");
    let found = messages[3]["content"].as_str().expect("a text");
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    let mut all: Vec<String> = (0..FILMS).map(|id| format!("Film {id} of {}", 2000 + id % 2)).collect();
    all.sort_unstable();
    assert_eq!(found, all);
    assert!(model.asked.lock().expect("no panics")[0].0.contains("authorization: bearer secret"));

    let key = json!({"actions": ["chatCompletions", "search"], "indexes": ["films"], "expiresAt": null});
    let key = client.post("/keys", &key).expect(201).json["key"].as_str().expect("a key").to_owned();
    let of_key = client.with_key(Some(&key));
    let answer =
        of_key.post(TARGET, &question("search", r#"{"index_uid": "books", "q": "", "filter": ""}"#)).expect(200);
    let events_of_key = events(&answer);
    assert!(events_of_key.iter().any(|event| event["error"]["code"] == "403"), "{}", answer.text);
    let bodies = model.bodies();
    let indexes = &bodies[2]["tools"][0]["function"]["parameters"]["properties"]["index_uid"]["enum"];
    assert_eq!(indexes, &json!(["films"]));
}

/// Goal: what goes wrong is said, in the answer or in the stream, and nothing stays behind of a client that leaves.
#[test]
fn what_goes_wrong_in_a_conversation_is_said_and_nothing_stays_behind() {
    let model = Model::start();
    let Some(fleet) = fleet(&model) else { return };
    let client = fleet.client();
    let error = |name: &str| {
        let answer = client.post(TARGET, &question(name, "hi")).expect(200);
        events(&answer).pop().expect("an event")["error"].clone()
    };
    for status in ["401", "500"] {
        assert_eq!(
            error(status),
            json!({"type": "refusal", "code": "c", "message": "no", "param": null, "event_id": null})
        );
    }
    let hanging = error("hang");
    assert_eq!(hanging["type"], "transport_error");
    assert!(hanging["message"].as_str().is_some_and(|text| text.contains("chats.timeout")), "{hanging}");
    await_left(&model, 1, LIMIT);

    let whole = json!({"model": "answer", "messages": []});
    assert_eq!(client.post(TARGET, &whole).expect(501).code(), "unimplemented_non_streaming_chat_completions");
    let unknown = client.post("/chats/unknown/chat/completions", &question("answer", "hi")).expect(404);
    assert_eq!(unknown.code(), "chat_not_found");

    // One client that leaves, and two that are more than there may be.
    let leaving = begin(&fleet);
    let staying = begin(&fleet);
    assert_eq!(client.post(TARGET, &question("answer", "hi")).expect(503).code(), "miroir_overloaded");
    drop(leaving);
    await_left(&model, 2, PATIENCE / 2);
    assert_eq!(said(&events(&client.post(TARGET, &question("answer", "hi")).expect(200))), "It is.");
    drop(staying);

    client.ask("PATCH", "/experimental-features", Some(&json!({"chatCompletions": false}))).expect(200);
    assert_eq!(client.post(TARGET, &question("answer", "hi")).expect(400).code(), "feature_not_enabled");
}

/// Waits until so many callers have left the model alone.
fn await_left(model: &Model, count: usize, limit: Duration) {
    wait_for("the model to be left alone", limit, || {
        let left = *model.left.lock().expect("no panics");
        if left == count { Ok(()) } else { Err(format!("{left} have left")) }
    });
}

/// A conversation with a model that hangs, whose first words have come.
fn begin(fleet: &Fleet) -> TcpStream {
    let mut stream = TcpStream::connect(fleet.port.address()).expect("Miroir listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
    let (body, key) = (question("hang", "hi").to_string(), fleet.master_key);
    let head = format!(
        "POST {TARGET} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).expect("a request");
    let (mut came, mut buffer) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&came).contains("It ") {
        let count = stream.read(&mut buffer).expect("an answer");
        assert!(count > 0, "{}", String::from_utf8_lossy(&came));
        came.extend_from_slice(&buffer[..count]);
    }
    stream
}
