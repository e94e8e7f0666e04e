//! What stands in the way is named, and what differs is found, whatever the order.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::compare::{Examples, examples, fingerprint};
use super::plan::{EmbedderKey, Plan, Wanted};
use super::source::{EachPage, Object, Page, Source, SourceIndex};
use super::*;
use crate::meili::features::Features;

/// Documents in memory.
struct Remembered(Vec<String>);

impl Source for Remembered {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn kind(&self) -> String {
        "memory".to_owned()
    }

    fn features(&self) -> Result<Vec<String>, ImportError> {
        Ok(Vec::new())
    }

    fn keys(&self) -> Result<Vec<Object>, ImportError> {
        Ok(Vec::new())
    }

    fn webhooks(&self) -> Result<Vec<Object>, ImportError> {
        Ok(Vec::new())
    }

    fn indexes(&self) -> Result<Vec<SourceIndex>, ImportError> {
        Ok(vec![index()])
    }

    fn settings(&self, _uid: &str) -> Result<Object, ImportError> {
        Ok(Object::new())
    }

    fn documents(&self, _index: &SourceIndex, from: u64, each: &mut EachPage<'_>) -> Result<(), ImportError> {
        let documents = self.0.iter().skip(from as usize).map(|text| Cow::Borrowed(text.as_str())).collect();
        each(Page { documents, from })
    }
}

fn index() -> SourceIndex {
    let text = |text: &str| text.to_owned();
    SourceIndex {
        uid: text("films"),
        primary_key: Some(text("id")),
        created_at: text("C"),
        updated_at: text("U"),
        documents: 0,
    }
}

fn numbered(ids: impl Iterator<Item = u32>) -> Remembered {
    Remembered(ids.map(|id| json!({"id": id, "title": format!("film {id}")}).to_string()).collect())
}

#[test]
fn what_differs_is_found_whatever_the_order() {
    let first = numbered(0..1000);
    let mut second = numbered((0..1000).rev());
    let sum = |source: &Remembered| fingerprint(source, &index(), &mut |_| Ok(())).unwrap();
    assert_eq!(sum(&first), sum(&second));
    assert_eq!(sum(&first).total().documents, 1000);

    second.0.retain(|text| !text.contains("film 7\""));
    second.0.push(json!({"id": 5000}).to_string());
    second.0.iter_mut().for_each(|text| *text = text.replace("film 8\"", "film eight\""));
    let ranges = sum(&first).differing(&sum(&second));
    assert_eq!(ranges.len(), 3);
    let Examples { mut missing_or_other, only_in_miroir } = examples((&first, &second), &index(), &ranges).unwrap();
    missing_or_other.sort_unstable();
    assert_eq!((missing_or_other, only_in_miroir), (vec!["7".to_owned(), "8".to_owned()], vec!["5000".to_owned()]));
}

#[test]
fn a_document_that_is_there_twice_is_no_other_one() {
    // As when somebody writes while pages are read: the numbers differ, not the documents.
    let twice = numbered((0..10).chain(3..4));
    let sum = |source: &Remembered| fingerprint(source, &index(), &mut |_| Ok(())).unwrap();
    assert_ne!(sum(&twice).total(), sum(&numbered(0..10)).total());
}

/// What is taken of the settings, and what stands in the way.
fn taken(settings: Value, embedder_keys: Vec<EmbedderKey>) -> (Object, Vec<String>) {
    let mut plan = Plan::default();
    let Value::Object(settings) = settings else { panic!("settings are an object") };
    let wanted = Wanted { embedder_keys, ..Wanted::default() };
    let taken = plan.settings_of("films", settings, Features::default(), &wanted);
    let obstacles = plan.check().err().map(|error| error.to_string()).unwrap_or_default();
    (taken, obstacles.lines().filter_map(|line| line.strip_prefix("* ")).map(str::to_owned).collect())
}

#[test]
fn only_what_miroir_does_not_take_stands_in_the_way() {
    let own = json!({"source": "userProvided", "dimensions": 3});
    let template = |template: &str| json!({"source": "ollama", "model": "m", "documentTemplate": template});
    let settings = json!({
        "synonyms": {"a": ["b"]},
        "ofLaterVersions": null,
        "alsoOfLaterVersions": {"on": true},
        "embedders": {"own": own, "some": template("{{ doc.title }}"), "all": template("{{ doc }}")},
    });
    let (settings, obstacles) = taken(settings, Vec::new());
    assert_eq!(Value::Object(settings.clone()).pointer("/synonyms"), Some(&json!({"a": ["b"]})));
    assert!(!settings.contains_key("ofLaterVersions") && !settings.contains_key("alsoOfLaterVersions"));
    let embedders: Vec<&String> = settings["embedders"].as_object().unwrap().keys().collect();
    assert_eq!(embedders, ["own", "some"]);
    assert_eq!(obstacles.len(), 2, "{obstacles:?}");
    assert!(obstacles[0].starts_with("index `films`, setting `alsoOfLaterVersions`: "));
    assert!(obstacles[1].starts_with("index `films`, embedder `all`: "));
}

#[test]
fn a_key_that_is_not_shown_in_full_is_asked_for() {
    let embedder = json!({"source": "openAi", "model": "text-embedding-3-small", "apiKey": "sk-abXXXXXX..."});
    let settings = json!({ "embedders": { "far": embedder } });
    let (without, obstacles) = taken(settings.clone(), Vec::new());
    assert!(without["embedders"].as_object().unwrap().is_empty());
    assert!(obstacles.len() == 1 && obstacles[0].contains("--embedder-key films/far=KEY"), "{obstacles:?}");
    let (with, obstacles) = taken(settings, vec!["films/far=sk-abc".parse().unwrap()]);
    assert_eq!(Value::Object(with).pointer("/embedders/far/apiKey"), Some(&json!("sk-abc")));
    assert_eq!(obstacles, [""; 0]);
    assert!("films=sk".parse::<EmbedderKey>().is_err());
}

#[test]
fn the_report_says_what_differs_and_what_to_do() {
    let sum = |documents| report::Compared { documents, hash: "0".repeat(32) };
    let mut report = Report::default();
    report.keys.with_other_value = 2;
    report.indexes.push(report::IndexReport {
        uid: "films".to_owned(),
        source: sum(3),
        miroir: sum(2),
        examples: Examples { missing_or_other: vec!["7".to_owned()], only_in_miroir: Vec::new() },
        settings: vec!["synonyms".to_owned()],
        changed_meanwhile: true,
    });
    assert!(!report.is_equal());
    let text = report.text();
    for words in [
        "DIFFER: 3 in the source, 2 in Miroir",
        "some: 7",
        "--update",
        "settings DIFFER: synonyms",
        "master keys differ",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    let names: BTreeMap<String, Value> = serde_json::from_value(json!(report)).unwrap();
    assert!(names.contains_key("indexes") && names.contains_key("keys"));
}
