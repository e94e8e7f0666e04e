//! Settings that somebody else has changed on a node: nodes answer with what they were sent, and with nothing else; what
//! differs is put right or reported, and clients' own changes are never mixed up with it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use miroir::control_plane::node_client::NodeWrite;
use miroir::logic::ids::NodeIndexUid;
use miroir::meili::settings::{Object, check_merged, differences, merge, node_settings, parse_patch};
use miroir::meili::tasks::TaskStatus;
use serde_json::{Value, json};

use crate::node_calls::Spoken;
use crate::support::fleet::{Fleet, FleetOptions, node_index};
use crate::support::{Client, Random, real_meilisearch, rounds, seed, wait_for};

/// For one answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Until a change is found and put right: some looks, and a node that indexes.
const FOUND: Duration = Duration::from_mins(2);

/// Every language by two letters, and by three the ones that have no other name.
const LANGUAGES: &str = "af ak am ar az be bn bg ca cs da de el en eo et fi fr gu he hi hr hu hy id it jv ja kn ka km ko la lv \
                         lt ml mr mk my ne nl nb or pa fa pl pt ro ru si sk sl sn es sr sv ta te tl th tk tr uk ur uz vi yi zh \
                         zu cmn zho fra";

/// Values of each setting, most of which nodes bring into another form.
fn patches() -> Vec<Value> {
    let rule =
        |features: Value| json!({"filterableAttributes": [{"attributePatterns": ["a*", "*b"], "features": features}]});
    vec![
        json!({"displayedAttributes": ["title", "id", "title"]}),
        json!({"displayedAttributes": []}),
        json!({"searchableAttributes": ["title", "body", "title"]}),
        json!({"searchableAttributes": ["body.text", "*"]}),
        json!({"searchableAttributes": []}),
        json!({"filterableAttributes": ["price", "_geo", "price", "a.b"]}),
        json!({"filterableAttributes": ["*"]}),
        rule(json!({})),
        rule(json!({"facetSearch": true, "filter": {"comparison": true}})),
        rule(json!({"filter": {"equality": false}})),
        json!({"filterableAttributes": []}),
        json!({"sortableAttributes": ["price", "date", "_geo", "price"]}),
        json!({"sortableAttributes": []}),
        json!({"rankingRules": ["sort", "words", "price:desc", "a.b:asc", "exactness"]}),
        json!({"rankingRules": ["attribute", "words"]}),
        json!({"rankingRules": []}),
        json!({"stopWords": ["the", "The", "a", "é", "e\u{301}", "", "的", "4", "x-y"]}),
        json!({"stopWords": []}),
        json!({"nonSeparatorTokens": ["@", "#", "_"]}),
        json!({"separatorTokens": ["&sep", "|", ""]}),
        json!({"dictionary": ["J. R. R.", "c++", "C++"]}),
        json!({"synonyms": {"Wolverine": ["X-Men", "logan"], "logan": ["wolverine", "wolverine"], "b": [], "": ["x"]}}),
        json!({"synonyms": {}}),
        json!({"proximityPrecision": "byAttribute"}),
        json!({"typoTolerance": {"enabled": false}}),
        json!({"typoTolerance": {"minWordSizeForTypos": {"oneTypo": 4}}}),
        json!({"typoTolerance": {"minWordSizeForTypos": {"twoTypos": 255}, "disableOnNumbers": true}}),
        json!({"typoTolerance": {"disableOnWords": ["Shrek", "ÉCOLE", "a b", "shrek", "2024", "東京"], "disableOnAttributes": ["z", "a"]}}),
        json!({"typoTolerance": {"disableOnWords": [], "enabled": true, "minWordSizeForTypos": {"oneTypo": 0, "twoTypos": 0}}}),
        json!({"faceting": {"maxValuesPerFacet": 20_000}}),
        json!({"faceting": {"sortFacetValuesBy": {"price": "count", "*": "alpha"}}}),
        json!({"faceting": {"maxValuesPerFacet": 0}}),
        json!({"pagination": {"maxTotalHits": 5}}),
        json!({"pagination": {"maxTotalHits": u64::MAX}}),
        json!({"searchCutoffMs": 150}),
        json!({"searchCutoffMs": 0}),
        json!({"localizedAttributes": [{"attributePatterns": ["*_ja", "title"], "locales": ["jpn", "ja", "eng"]}]}),
        json!({"localizedAttributes": [{"attributePatterns": ["a"], "locales": LANGUAGES.split(' ').collect::<Vec<_>>()}]}),
        json!({"localizedAttributes": [{"attributePatterns": [], "locales": []}]}),
        json!({"localizedAttributes": []}),
        json!({"facetSearch": false}),
        json!({"facetSearch": true}),
        json!({"prefixSearch": "disabled"}),
        json!({"prefixSearch": "indexingTime"}),
    ]
}

fn patched(user: &Object, patch: &Value) -> Object {
    merge(user, &parse_patch(patch.to_string().as_bytes()).unwrap_or_else(|error| panic!("{patch}: {error}")))
}

/// The node gets the settings derived from the user's, and answers with these.
fn check(server: &Spoken, index: &NodeIndexUid, user: &Object, what: &Value) {
    let view = server.write(index, &NodeWrite::Settings(&node_settings(user)));
    assert_eq!(view.status, TaskStatus::Succeeded, "{what}: {view:?}");
    let found = server.client.settings(index, TIMEOUT).expect("they are shown");
    assert_eq!(differences(user, &found), [""; 0], "{what}: {}", json!(found));
}

/// Goal: no false alarm. Method: each setting alone, then random ones together with resets, are sent and read back.
#[test]
fn nodes_answer_with_the_settings_that_they_were_sent() {
    for server in Spoken::all() {
        let documents = [json!({"id": 1, "title": "a", "price": 3}), json!({"id": 2, "_geo": {"lat": 1, "lng": 2}})];
        let index = server.index("a", "id", &json!({}), &documents);
        let patches = patches();
        for patch in &patches {
            let user = patched(&Object::new(), patch);
            check(&server, &index, &user, patch);
            let reset: Object =
                patch.as_object().expect("an object").keys().map(|key| (key.clone(), Value::Null)).collect();
            check(&server, &index, &merge(&user, &reset), &json!({"reset": reset}));
        }
        let mut random = Random::new(seed());
        let mut user = Object::new();
        for round in 0..rounds(40) {
            for _ in 0..=random.below(6) {
                let next = patched(&user, &patches[random.below(patches.len())]);
                // Two patches together may be refused, where each alone is not.
                user = if check_merged(&next).is_ok() { next } else { user };
            }
            let forgotten = user.keys().nth(random.below(20)).cloned();
            if let Some(key) = forgotten {
                user = merge(&user, &Object::from_iter([(key, Value::Null)]));
            }
            check(&server, &index, &user, &json!({"round": round, "seed": seed(), "user": user}));
        }
    }
}

/// Goal: nothing is overlooked. Method: every setting is changed by hand, one at a time.
#[test]
fn whatever_is_changed_by_hand_shows() {
    for server in Spoken::all() {
        let index = server.index("a", "id", &json!({}), &[]);
        let user = patched(&Object::new(), &json!({"stopWords": ["of"], "filterableAttributes": ["price"]}));
        let http = server.node.client();
        for (setting, value) in [
            ("displayedAttributes", json!(["id"])),
            ("searchableAttributes", json!(["title"])),
            ("filterableAttributes", json!(["price"])),
            ("sortableAttributes", json!(["price"])),
            ("rankingRules", json!(["words"])),
            ("stopWords", json!(["off"])),
            ("nonSeparatorTokens", json!(["@"])),
            ("separatorTokens", json!(["|"])),
            ("dictionary", json!(["c++"])),
            ("synonyms", json!({"a": ["b"]})),
            ("distinctAttribute", json!("sku")),
            ("proximityPrecision", json!("byAttribute")),
            ("typoTolerance", json!({"disableOnNumbers": true})),
            ("faceting", json!({"sortFacetValuesBy": {"*": "count"}})),
            ("pagination", json!({"maxTotalHits": 7})),
            ("embedders", json!({"e": {"source": "userProvided", "dimensions": 3}})),
            ("searchCutoffMs", json!(99)),
            ("localizedAttributes", json!([{"attributePatterns": ["*"], "locales": ["jpn"]}])),
            ("facetSearch", json!(false)),
            ("prefixSearch", json!("disabled")),
        ] {
            server.write(&index, &NodeWrite::Settings(&node_settings(&user)));
            http.write_well("PATCH", "/indexes/a/settings", Some(&json!({ setting: value })));
            let found = server.client.settings(&index, TIMEOUT).expect("they are shown");
            assert_eq!(differences(&user, &found), [setting], "{}", json!(found));
        }
    }
}

#[test]
fn primary_keys_are_told_of_all_indexes_and_of_one() {
    for server in Spoken::all() {
        let with_key = server.index("a", "id", &json!({}), &[]);
        server.node.client().write_well("POST", "/indexes", Some(&json!({"uid": "b"})));
        let expected = [(with_key.clone(), Some("id".to_owned())), (NodeIndexUid::new("b"), None)];
        assert_eq!(server.client.primary_keys(TIMEOUT).expect("listed"), expected.into());
        assert_eq!(server.client.primary_key(&with_key, TIMEOUT), Ok(Some("id".to_owned())));
        server.node.client().write_well("PATCH", "/indexes/b", Some(&json!({"primaryKey": "key"})));
        assert_eq!(server.client.primary_key(&NodeIndexUid::new("b"), TIMEOUT), Ok(Some("key".to_owned())));
    }
}

/// A fleet that looks every second.
fn fleet(action: &str) -> Fleet {
    let configuration = format!("drift: {{action: {action}, interval: 1s}}\nfeeder: {{quarantine: 2s}}\n");
    Fleet::start(&FleetOptions { configuration, meilisearch: real_meilisearch(), ..FleetOptions::new() })
}

/// Somebody changes the node while Miroir is down, and takes the traces away.
fn meddle(fleet: &mut Fleet, node: usize, change: impl FnOnce(&Client)) {
    fleet.kill_miroir();
    let client = fleet.nodes[node].client();
    change(&client);
    let deletion = client.ask("DELETE", "/tasks?statuses=succeeded,failed,canceled", None).expect(200);
    client.wait_for_task(deletion.json["taskUid"].as_u64().expect("it is a task"));
    fleet.start_miroir();
    fleet.client().wait_until_healthy(FOUND);
}

/// Every node has what Miroir's clients set.
fn are_right(fleet: &Fleet) -> Result<(), String> {
    let user = fleet.client().get("/indexes/films/settings").expect(200).json;
    let user = user.as_object().expect("an object");
    for node in &fleet.nodes {
        let client = node.client();
        // While it is rebuilt the index is not there for a moment.
        let index = node_index(&client, "films").ok_or_else(|| format!("{}: no films", node.id))?;
        let found = client.get(&format!("/indexes/{index}/settings"));
        let found = found.json.as_object().filter(|_| found.status == 200).ok_or(found.text)?;
        let differing = differences(user, found);
        if !differing.is_empty() {
            return Err(format!("{}: {differing:?}", node.id));
        }
    }
    Ok(())
}

fn status(fleet: &Fleet) -> Value {
    fleet.admin().get("/_miroir/status").expect(200).json
}

/// Ends the writer, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Changes documents, and the settings of an index through Miroir, until it is told to end; every change must succeed.
/// Gives the last number that it set.
fn write(client: &Client, index: &str, is_over: &AtomicBool) -> u64 {
    let mut number = 0;
    while !is_over.load(Ordering::Acquire) {
        number += 1;
        let documents = json!([{"id": number, "text": format!("text {number}")}, {"id": 0, "number": number}]);
        client.write_well("POST", "/indexes/films/documents", Some(&documents));
        let patch = json!({"stopWords": [format!("word{number}")], "pagination": {"maxTotalHits": 1000 + number}});
        client.write_well("PATCH", &format!("/indexes/{index}/settings"), Some(&patch));
    }
    number
}

/// Goal: what somebody changes on a node is put right under clients that change settings, and no change of theirs is lost.
/// Method: settings are changed by hand, first so that no task tells of it, then while everything runs.
#[test]
fn settings_that_were_changed_by_hand_are_put_right_under_a_writer() {
    let mut fleet = fleet("repair");
    let client = fleet.client();
    client.write_well("POST", "/indexes/films/documents", Some(&json!([{"id": 1}, {"id": 2}, {"id": 3}])));
    client.write_well("PATCH", "/indexes/films/settings", Some(&json!({"synonyms": {"a": ["b"]}})));
    let by_hand = json!({"synonyms": null, "filterableAttributes": null, "searchCutoffMs": 7});
    let change = |node: &Client| {
        let path = format!("/indexes/{}/settings", node_index(node, "films").expect("there is one"));
        node.write_well("PATCH", &path, Some(&by_hand));
    };
    meddle(&mut fleet, 1, change);
    let under_a_writer = |index: &str, expected: &dyn Fn()| {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| write(&client, index, &is_over));
            let over = Over(&is_over);
            expected();
            drop(over);
            writer.join().expect("every change succeeds")
        })
    };
    // The next change of its own settings would put them right anyway.
    under_a_writer("others", &|| {
        wait_for("settings to be put right", FOUND, || match status(&fleet) {
            status if status["driftPutRight"].as_u64() >= Some(1) => are_right(&fleet),
            status => Err(status.to_string()),
        });
    });
    let last = under_a_writer("films", &|| {
        change(&fleet.nodes[2].client());
        wait_for("settings to be put right again", FOUND, || are_right(&fleet));
    });
    wait_for("all nodes to have the same", FOUND, || are_right(&fleet));
    let settings = client.get("/indexes/films/settings").expect(200).json;
    assert_eq!(settings["stopWords"], json!([format!("word{last}")]));
    assert_eq!(settings["pagination"]["maxTotalHits"], 1000 + last);
    assert_eq!(settings["synonyms"], json!({"a": ["b"]}));
    wait_for("nothing to be found any more", FOUND, || {
        let status = status(&fleet);
        let is_well = status["drift"] == json!([]) && status["nodes"]["outOfSync"] == 0;
        if is_well { Ok(()) } else { Err(status.to_string()) }
    });
}

/// Goal: with `report` nothing is changed. Method: settings, a missing index and one too many, each on another node.
#[test]
fn what_is_only_reported_stays_as_it_is() {
    let mut fleet = fleet("report");
    let client = fleet.client();
    client.write_well("POST", "/indexes/films/documents", Some(&json!([{"id": 1}, {"id": 2}, {"id": 3}])));
    let index = node_index(&fleet.nodes[0].client(), "films").expect("there is one");
    let path = format!("/indexes/{index}/settings");
    meddle(&mut fleet, 0, |node| {
        node.write_well("PATCH", &path, Some(&json!({"stopWords": ["x"], "synonyms": {"a": ["b"]}})));
    });
    meddle(&mut fleet, 1, |node| {
        node.write_well("DELETE", &format!("/indexes/{index}"), None);
    });
    meddle(&mut fleet, 2, |node| {
        node.write_well("POST", "/indexes", Some(&json!({"uid": "stranger"})));
    });
    let expected = [
        ("node-0", "settings", json!(["stopWords", "synonyms"])),
        ("node-1", "missing", json!([])),
        ("node-2", "unknown", json!([])),
    ];
    let found = || {
        let status = status(&fleet);
        let found = status["drift"].as_array().expect("a list").clone();
        let is_as_expected = |(found, (node, kind, settings)): (&Value, &(&str, &str, Value))| {
            let what = (&found["node"], &found["kind"], &found["settings"], &found["state"]);
            what == (&json!(node), &json!(kind), settings, &json!("reported"))
        };
        let is_all = found.len() == expected.len() && found.iter().zip(&expected).all(is_as_expected);
        if is_all { Ok(status["driftCheckedAt"].clone()) } else { Err(status.to_string()) }
    };
    let first = wait_for("all of it to be found", FOUND, found);
    fleet.admin().post("/_miroir/drift/check", &json!({})).expect(200);
    wait_for("another round of looks", FOUND, || match found()? {
        at if at != first => Ok(()),
        at => Err(at.to_string()),
    });
    let settings = fleet.nodes[0].client().get(&path).expect(200).json;
    assert_eq!(settings["stopWords"], json!(["x"]));
    assert_eq!(status(&fleet)["driftPutRight"], 0);
}
