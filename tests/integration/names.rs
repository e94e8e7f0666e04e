//! Indexes that change their names while clients read and write.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::fleet::START_LIMIT;
use crate::support::{Client, Fleet, FleetOptions, real_meilisearch, rounds};

/// What two searches of one request find: the marks of the documents of `a` and of `b`.
fn seen(client: &Client) -> (Vec<Value>, Vec<Value>) {
    let query = |uid: &str| json!({"indexUid": uid, "limit": 100});
    let answer = client.post("/multi-search", &json!({"queries": [query("a"), query("b")]})).expect(200).json;
    let marks = |place: usize| -> Vec<Value> {
        let hits = answer["results"][place]["hits"].as_array().expect("hits");
        let mut marks: Vec<Value> = hits.iter().map(|hit| hit["mark"].clone()).collect();
        marks.dedup();
        marks
    };
    (marks(0), marks(1))
}

/// Goal: no search sees half a swap, and what is written after a swap is not seen under the name of before. Method: two
/// indexes are swapped again and again while others search both with one request; between two swaps a document is written
/// that says in which index it belongs. `MIROIR_TEST_ROUNDS` swaps.
#[test]
fn readers_see_a_swap_as_a_whole_or_not_at_all() {
    let mut fleet = Fleet::start(&FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() });
    let client = fleet.client();
    let of = |mark: &str| -> Value { (0..12).map(|id| json!({"id": id, "mark": mark})).collect() };
    client.write_well("POST", "/indexes/a/documents", Some(&of("first")));
    client.write_well("POST", "/indexes/b/documents", Some(&of("second")));
    let is_over = AtomicBool::new(false);
    let swaps = rounds(8);
    std::thread::scope(|scope| {
        let reader = || {
            let client = fleet.client();
            let mut looks = 0;
            while !is_over.load(Ordering::Acquire) {
                let (a, b) = seen(&client);
                assert!(a.len() == 1 && b.len() == 1 && a != b, "a is {a:?}, b is {b:?}");
                looks += 1;
            }
            looks
        };
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(reader)).collect();
        let mut last = 0;
        for round in 0..swaps {
            let swap = json!([{"indexes": ["a", "b"]}]);
            last = client.post("/swap-indexes", &swap).expect(202).json["taskUid"].as_u64().expect("a number");
            // Accepted after the swap: `a` is what `b` was.
            let (in_a, in_b) = if round % 2 == 0 { ("second", "first") } else { ("first", "second") };
            for (uid, mark) in [("a", in_a), ("b", in_b)] {
                let document = json!([{"id": 20 + round, "mark": mark}]);
                last = client.post(&format!("/indexes/{uid}/documents"), &document).expect(202).json["taskUid"]
                    .as_u64()
                    .expect("a number");
            }
            if round % 3 == 2 {
                client.wait_for_task(last);
            }
        }
        client.wait_for_task(last);
        is_over.store(true, Ordering::Release);
        let looks: usize = readers.into_iter().map(|reader| reader.join().expect("no reader saw half a swap")).sum();
        assert!(looks > swaps, "{looks} looks at {swaps} swaps");
    });
    let count = |uid: &str| client.get(&format!("/indexes/{uid}/documents?limit=0")).expect(200).json["total"].clone();
    assert_eq!([count("a"), count("b")], [json!(12 + swaps), json!(12 + swaps)]);
    let failed = client.get("/tasks?statuses=failed,canceled").expect(200).json;
    assert_eq!(failed["total"], 0, "{failed}");

    // The names are what they were after a restart, and those of the tasks too.
    let tasks = |client: &Client| client.get("/tasks?limit=1000").expect(200).json;
    let (before, seen_before) = (tasks(&client), seen(&client));
    fleet.kill_miroir();
    fleet.start_miroir();
    fleet.client().wait_until_healthy(START_LIMIT);
    assert_eq!((tasks(&fleet.client()), seen(&fleet.client())), (before, seen_before));
}

/// Goal: swaps that were accepted take effect once, whenever Miroir dies. Method: it is killed at once after a swap was
/// accepted, over and over; the number of swaps says what the names are.
#[test]
fn an_accepted_swap_takes_effect_once_whenever_miroir_dies() {
    let mut fleet = Fleet::start(&FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() });
    let of = |mark: &str| json!([{"id": 1, "mark": mark}]);
    fleet.client().write_well("POST", "/indexes/a/documents", Some(&of("first")));
    fleet.client().write_well("POST", "/indexes/b/documents", Some(&of("second")));
    for round in 1..=4 {
        let client = fleet.client();
        let swap = client.post("/swap-indexes", &json!([{"indexes": ["a", "b"]}])).expect(202).json;
        fleet.kill_miroir();
        fleet.start_miroir();
        let client = fleet.client();
        client.wait_until_healthy(START_LIMIT);
        let task = client.wait_for_task(swap["taskUid"].as_u64().expect("a number"));
        assert_eq!(task["status"], "succeeded", "{task}");
        let expected = if round % 2 == 0 { ("first", "second") } else { ("second", "first") };
        assert_eq!(seen(&client), (vec![json!(expected.0)], vec![json!(expected.1)]), "after {round} swaps");
        let puts = client.get("/tasks?types=documentAdditionOrUpdate&reverse=true").expect(200).json;
        let names = [0, 1].map(|place| puts["results"][place]["indexUid"].clone());
        let expected = if round % 2 == 0 { ["a", "b"] } else { ["b", "a"] };
        assert_eq!(names, expected.map(|name| json!(name)), "after {round} swaps");
    }
}
