//! What a reader may see while one writer writes: of each document a state at least as new as what was reported when the
//! request began, and none that was not sent before the answer came.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{Answer, Client, Random};
use crate::writes::{Document, INDEX, Shape, Write, stop_words, word};

/// All that was written, in order; writes are numbered from 1.
#[derive(Debug)]
pub struct History {
    shape: Shape,
    /// Of each id its states after the writes that changed it; absent before the first.
    states: Vec<Vec<(u64, Option<Document>)>>,
    /// The last of [`Write::Settings`].
    settings: Option<usize>,
    sent: u64,
    reported: u64,
}

impl History {
    /// Nothing is written yet.
    pub fn new(shape: Shape) -> Self {
        Self { shape, states: vec![Vec::new(); shape.ids], settings: None, sent: 0, reported: 0 }
    }

    /// Notes a write that is about to be sent, and gives its number.
    pub fn send(&mut self, write: &Write) -> u64 {
        self.sent += 1;
        if let Write::Settings(version) = write {
            self.settings = Some(*version);
        }
        for id in write.ids(self.shape) {
            let states = &mut self.states[id];
            let after = write.apply(states.last().and_then(|(_, state)| *state));
            states.push((self.sent, after));
        }
        self.sent
    }

    /// What the last change of settings that was sent has set; none when there was none.
    pub fn settings(&self) -> Option<Value> {
        self.settings.map(stop_words)
    }

    /// All writes up to this one were reported as succeeded.
    pub fn report(&mut self, number: u64) {
        self.reported = number;
    }

    /// The last write that is known to be reported.
    pub fn reported(&self) -> u64 {
        self.reported
    }

    /// What may be seen by a request that began when `reported` were reported, and whose answer is there.
    pub fn since(&self, reported: u64) -> Window<'_> {
        Window { history: self, reported }
    }
}

/// What one request may see.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    history: &'a History,
    reported: u64,
}

impl Window<'_> {
    /// The states that a document may have.
    pub fn allowed(self, id: usize) -> impl Iterator<Item = Option<Document>> {
        let states = &self.history.states[id];
        let later = states.partition_point(|(number, _)| *number <= self.reported);
        let reported = later.checked_sub(1).and_then(|last| states[last].1);
        std::iter::once(reported).chain(states[later..].iter().map(|(_, state)| *state))
    }

    /// How many documents there may be, at least and at most.
    pub fn total(self) -> (usize, usize) {
        let ids = 0..self.history.shape.ids;
        let least = ids.clone().filter(|id| self.allowed(*id).all(|state| state.is_some())).count();
        let most = ids.filter(|id| self.allowed(*id).any(|state| state.is_some())).count();
        (least, most)
    }

    /// Is this what all of these documents may be, each of them at most once?
    pub fn check(self, ids: &[usize], shown: &[Value]) -> Result<(), String> {
        let mut found = BTreeMap::new();
        for document in shown {
            let (id, document) = Document::parse(document, self.history.shape)?;
            if found.insert(id, document).is_some() {
                return Err(format!("document {id} is there twice"));
            }
        }
        let asked: BTreeSet<usize> = ids.iter().copied().collect();
        if let Some(id) = found.keys().find(|id| !asked.contains(id)) {
            return Err(format!("document {id} was not asked for"));
        }
        for id in asked {
            let state = found.get(&id).copied();
            if !self.allowed(id).any(|allowed| allowed == state) {
                let allowed: Vec<_> = self.allowed(id).collect();
                let all = &self.history.states[id];
                return Err(format!(
                    "document {id} is {state:?}, allowed are {allowed:?}; {} reported at the begin, all: {all:?}",
                    self.reported
                ));
            }
        }
        Ok(())
    }
}

/// One request of a reader.
#[derive(Clone, Copy, Debug)]
pub enum Read {
    /// A search by a filter.
    Group(usize),
    /// A search by a word.
    Word(usize),
    /// A placeholder search for a slice of all ids, sorted downwards.
    Range(usize),
    /// A document.
    One(usize),
    /// The list of a group.
    List(usize),
    /// How many documents there are.
    Total,
}

/// Ids in one [`Read::Range`].
const RANGE: usize = 60;

impl Read {
    /// Any, with the expensive ones seldom.
    pub fn random(random: &mut Random, shape: Shape) -> Self {
        let (group, id) = (random.below(shape.groups), random.below(shape.ids));
        match random.below(100) {
            0..30 => Self::Group(group),
            30..50 => Self::Word(group),
            50..70 => Self::Range(id),
            70..85 => Self::One(id),
            85..98 => Self::List(group),
            _ => Self::Total,
        }
    }

    /// Asks; the error is one of the connection.
    pub fn send(self, client: &Client) -> Result<Answer, ureq::Error> {
        let search = |body: Value| client.try_ask("POST", &format!("/indexes/{INDEX}/search"), Some(&body));
        match self {
            Self::Group(group) => {
                let filter = format!("group = {group}");
                search(json!({"filter": filter, "sort": ["id:asc"], "limit": 1000, "facets": ["group"]}))
            }
            Self::Word(group) => search(json!({"q": word(group), "page": 1, "hitsPerPage": 1000})),
            Self::Range(low) => {
                let filter = format!("id >= {low} AND id < {}", low + RANGE);
                search(json!({"filter": filter, "sort": ["id:desc"], "limit": 1000}))
            }
            Self::One(id) => client.try_ask("GET", &format!("/indexes/{INDEX}/documents/{id}"), None),
            Self::List(group) => {
                // Without `sort` a list is read in two steps, between which documents may come and go.
                let body = json!({"filter": format!("group = {group}"), "sort": ["id:asc"], "limit": 1000});
                client.try_ask("POST", &format!("/indexes/{INDEX}/documents/fetch"), Some(&body))
            }
            Self::Total => search(json!({"page": 1, "hitsPerPage": 1})),
        }
    }

    /// Is the answer right and complete?
    pub fn check(self, answer: &Answer, window: Window<'_>) -> Result<(), String> {
        let shape = window.history.shape;
        let no_document = matches!(self, Self::One(_)) && answer.code() == "document_not_found";
        if answer.status != 200 && !no_document {
            return Err(format!("it failed with {}", answer.status));
        }
        if answer.header("x-miroir-degraded").is_some() || !answer.json["degraded"].is_null() {
            return Err("it lacks shards".to_owned());
        }
        let hits = || answer.json["hits"].as_array().map(Vec::as_slice).ok_or("no hits");
        let counts = |field: &str, count: usize| {
            let found = &answer.json[field];
            if *found == count { Ok(()) } else { Err(format!("{field} is {found} with {count} documents")) }
        };
        match self {
            Self::Group(group) => {
                let facets = &answer.json["facetDistribution"]["group"];
                let expected = if hits()?.is_empty() { json!({}) } else { json!({group.to_string(): hits()?.len()}) };
                if *facets != expected {
                    return Err(format!("{} documents, but the facets say {facets}", hits()?.len()));
                }
                check_order(hits()?, |one, next| one < next)?;
                window.check(&shape.group(group).collect::<Vec<_>>(), hits()?)
            }
            Self::Word(group) => {
                counts("totalHits", hits()?.len())?;
                window.check(&shape.group(group).collect::<Vec<_>>(), hits()?)
            }
            Self::Range(low) => {
                check_order(hits()?, |one, next| one > next)?;
                window.check(&(low..shape.ids.min(low + RANGE)).collect::<Vec<_>>(), hits()?)
            }
            Self::One(id) if no_document => window.check(&[id], &[]),
            Self::One(id) => window.check(&[id], std::slice::from_ref(&answer.json)),
            Self::List(group) => {
                let results = answer.json["results"].as_array().ok_or("no results")?;
                counts("total", results.len())?;
                window.check(&shape.group(group).collect::<Vec<_>>(), results)
            }
            Self::Total => {
                let total = answer.json["totalHits"].as_u64().ok_or("no total")? as usize;
                let (least, most) = window.total();
                let is_right = (least..=most).contains(&total);
                if is_right { Ok(()) } else { Err(format!("{total} documents instead of {least} to {most}")) }
            }
        }
    }
}

fn check_order(hits: &[Value], is_sorted: impl Fn(u64, u64) -> bool) -> Result<(), String> {
    let ids: Vec<u64> = hits.iter().filter_map(|hit| hit["id"].as_u64()).collect();
    if ids.is_sorted_by(|one, next| is_sorted(*one, *next)) { Ok(()) } else { Err(format!("not in order: {ids:?}")) }
}

/// Goal: the reader's check bites. Method: documents 0, 2 and 4 of one group; the first is reported, updated and the update is
/// under way, the second is deleted and reported, the third is written and not reported; right answers pass, others do not.
#[test]
fn the_check_of_a_reader_finds_lost_stale_early_doubled_and_undead_documents() {
    let shape = Shape { ids: 6, groups: 2, batch: 1 };
    let mut history = History::new(shape);
    for write in [Write::Put(vec![0, 2], 1), Write::Delete(vec![2]), Write::Update(vec![0], 3), Write::Put(vec![4], 4)]
    {
        history.send(&write);
    }
    history.report(2);
    let window = history.since(history.reported());
    let document = |id, put, updated| Document { put, updated }.json(id, shape);
    let (old, new) = (document(0, Some(1), None), document(0, Some(1), Some(3)));
    let (undead, under_way) = (document(2, Some(1), None), document(4, Some(4), None));
    let check = |shown: &[&Value]| window.check(&[0, 2, 4], &shown.iter().copied().cloned().collect::<Vec<_>>());
    check(&[&old]).expect("as reported");
    check(&[&new, &under_way]).expect("as sent");
    check(&[]).expect_err("a lost document");
    check(&[&old, &undead]).expect_err("a deleted document");
    check(&[&old, &new]).expect_err("a document in two versions");
    check(&[&document(0, Some(2), None)]).expect_err("a version that nobody wrote");
    check(&[&document(0, None, Some(3))]).expect_err("an update without what it is based on");
    check(&[&new, &document(1, Some(1), None)]).expect_err("a document of another group");
    let mut foreign = new.clone();
    foreign["word"] = json!("other");
    check(&[&foreign]).expect_err("a field that nobody wrote");
    assert_eq!(window.total(), (1, 2));
    history.report(4);
    let window = history.since(history.reported());
    window.check(&[0, 2, 4], &[new, under_way]).expect("as reported");
    window.check(&[0], &[old]).expect_err("older than reported");
    assert_eq!(window.total(), (2, 2));
}
