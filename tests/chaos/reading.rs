//! Readers: searches, lists of searches, lists of documents and single ones, each compared with what it may show.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stage::{Moment, Stage};
use crate::support::{Answer, Client, Random, now};
use crate::writing::{GROUPS, IDS, Lane, word};

/// Ids that a search by a range of ids asks for.
const RANGE: u64 = 30;

/// A search, and the documents that it finds as far as they are there.
struct Question<'a> {
    lane: &'a Lane,
    body: Value,
    ids: Vec<u64>,
}

impl<'a> Question<'a> {
    fn random(lanes: &'a [Lane], random: &mut Random) -> Self {
        let lane = random.pick(lanes);
        let group = random.below(GROUPS as usize) as u64;
        let filter = format!("group = {}", lane.group(group));
        match random.below(3) {
            0 => Self {
                lane,
                body: json!({"filter": filter, "sort": ["id:asc"], "limit": 100, "facets": ["group"]}),
                ids: lane.ids_of(group),
            },
            1 => Self {
                lane,
                body: json!({"q": word(lane.group(group)), "page": 1, "hitsPerPage": 100}),
                ids: lane.ids_of(group),
            },
            _ => {
                let first = lane.ids().next().expect("there are some") + random.below((IDS - RANGE) as usize) as u64;
                let filter = format!("id >= {first} AND id < {}", first + RANGE);
                let body = json!({"filter": filter, "sort": ["id:desc"], "limit": 100});
                Self { lane, body, ids: (first..first + RANGE).collect() }
            }
        }
    }

    /// As one of several.
    fn query(&self) -> Value {
        let mut query = self.body.clone();
        query["indexUid"] = self.lane.index.into();
        query
    }

    /// Is this right, and complete unless it says that it is not?
    fn check(&self, answer: &Value, begun: Instant, is_complete: bool) -> Result<(), String> {
        let hits = answer["hits"].as_array().ok_or("no hits")?;
        if let Some(total) = answer["totalHits"].as_u64().filter(|total| *total != hits.len() as u64) {
            return Err(format!("totalHits is {total} with {} hits", hits.len()));
        }
        if let Some(facets) = answer["facetDistribution"]["group"].as_object() {
            let counted: u64 = facets.values().filter_map(Value::as_u64).sum();
            if counted != hits.len() as u64 {
                return Err(format!("{} hits, but the facets are {facets:?}", hits.len()));
            }
        }
        let shown: Vec<u64> = hits.iter().filter_map(|hit| hit["id"].as_u64()).collect();
        let is_in_order = match self.body["sort"][0].as_str() {
            Some("id:asc") => shown.is_sorted(),
            Some(_) => shown.is_sorted_by(|one, next| one >= next),
            None => true,
        };
        if !is_in_order {
            return Err(format!("not in order: {shown:?}"));
        }
        self.lane.ledger().check(&self.ids, hits, begun, is_complete)
    }
}

/// Does the answer say that it lacks something?
fn is_part(answer: &Answer) -> bool {
    answer.header("x-miroir-degraded").is_some() || answer.text.contains("\"degraded\":true")
}

/// One request of a reader: what is asked, what was going on, and the answer.
pub struct Asked {
    /// When it was sent.
    pub at: Instant,
    moment: Moment,
    /// What came.
    pub answer: Answer,
    is_complete: bool,
}

/// Asks; none: it failed, as it may.
pub fn ask(
    stage: &Stage,
    client: &Client,
    kind: &str,
    method: &str,
    target: &str,
    body: Option<&Value>,
) -> Option<Asked> {
    let (at, moment) = (now(), stage.moment());
    let answer = client.try_ask(method, target, body);
    if kind.contains("searches") && !stage.excuses_read(&moment) {
        stage.record(&moment, at.elapsed());
    }
    if !stage.accepts(kind, &moment, &answer) {
        // Whoever does not answer at once is not asked all the time.
        stage.pause(Duration::from_millis(50));
        return None;
    }
    let answer = answer.expect("it was accepted");
    let is_complete = !is_part(&answer);
    stage.count(kind);
    if !is_complete {
        stage.count("answers that said that they are a part");
        if !stage.excuses_read(&moment) {
            stage.find(&format!("{kind}: a part only during {}: {}", moment.fault, answer.text));
        }
    }
    Some(Asked { at, moment, answer, is_complete })
}

impl Asked {
    /// Notes an error of the answer, with the answer.
    pub fn judge(&self, stage: &Stage, what: &str, result: Result<(), String>) {
        let said = result.map_err(|error| {
            let headers = &self.answer.headers;
            format!("{error}\nduring {}, {headers:?}: {}", self.moment.fault, self.answer.text)
        });
        stage.judge(what, said);
    }
}

/// Searches until the run is over.
pub fn search(stage: &Stage, client: &Client, lanes: &[Lane], random: &mut Random) {
    while stage.goes_on() {
        let question = Question::random(lanes, random);
        let target = format!("/indexes/{}/search", question.lane.index);
        let Some(asked) = ask(stage, client, "searches", "POST", &target, Some(&question.body)) else { continue };
        let result = question.check(&asked.answer.json, asked.at, asked.is_complete);
        asked.judge(stage, &question.body.to_string(), result);
        stage.pause(Duration::from_millis(2));
    }
}

/// Lists of searches until the run is over: each for itself, and merged.
pub fn search_many(stage: &Stage, client: &Client, lanes: &[Lane], random: &mut Random) {
    while stage.goes_on() {
        if random.percent(60) {
            let questions = [(); 3].map(|()| Question::random(lanes, random));
            let body = json!({"queries": questions.iter().map(Question::query).collect::<Vec<_>>()});
            let asked = ask(stage, client, "multi-searches", "POST", "/multi-search", Some(&body));
            let Some(asked) = asked else { continue };
            for (number, question) in questions.iter().enumerate() {
                let result = question.check(&asked.answer.json["results"][number], asked.at, asked.is_complete);
                asked.judge(stage, &body.to_string(), result);
            }
        } else {
            search_merged(stage, client, lanes, random);
        }
        stage.pause(Duration::from_millis(10));
    }
}

/// One group of each lane, in one list.
fn search_merged(stage: &Stage, client: &Client, lanes: &[Lane], random: &mut Random) {
    let groups: Vec<u64> = lanes.iter().map(|_| random.below(GROUPS as usize) as u64).collect();
    let query = |(lane, group): (&Lane, &u64)| json!({"indexUid": lane.index, "filter": format!("group = {}", lane.group(*group))});
    let queries: Vec<Value> = lanes.iter().zip(&groups).map(query).collect();
    let body = json!({"federation": {"limit": 1000}, "queries": queries});
    let asked = ask(stage, client, "federated searches", "POST", "/multi-search", Some(&body));
    let Some(asked) = asked else { return };
    let Some(hits) = asked.answer.json["hits"].as_array() else {
        return asked.judge(stage, "a federated search", Err("no hits".to_owned()));
    };
    if let Some(hit) = hits.iter().find(|hit| !lanes.iter().any(|lane| lane.has(hit))) {
        asked.judge(stage, "a federated search", Err(format!("nobody wrote {hit}")));
    }
    for (lane, group) in lanes.iter().zip(groups) {
        let own = hits.iter().filter(|hit| lane.has(hit)).map(without_federation).collect::<Vec<_>>();
        let result = lane.ledger().check(&lane.ids_of(group), &own, asked.at, asked.is_complete);
        asked.judge(stage, &body.to_string(), result);
    }
}

fn without_federation(hit: &Value) -> Value {
    let mut hit = hit.clone();
    hit.as_object_mut().map(|hit| hit.shift_remove("_federation"));
    hit
}

/// Lists of documents and single ones until the run is over.
pub fn list(stage: &Stage, client: &Client, lanes: &[Lane], random: &mut Random) {
    while stage.goes_on() {
        let lane = random.pick(lanes);
        let path = format!("/indexes/{}/documents", lane.index);
        if random.percent(50) {
            let group = random.below(GROUPS as usize) as u64;
            // Without `sort` a list may be read in two steps, between which documents come and go.
            let filter = format!("group = {}", lane.group(group));
            let body = json!({"filter": filter, "sort": ["id:asc"], "limit": 100});
            let asked = ask(stage, client, "lists of documents", "POST", &format!("{path}/fetch"), Some(&body));
            let Some(asked) = asked else { continue };
            let Some(found) = asked.answer.json["results"].as_array() else {
                asked.judge(stage, &path, Err("no results".to_owned()));
                continue;
            };
            let result = lane.ledger().check(&lane.ids_of(group), found, asked.at, asked.is_complete);
            asked.judge(stage, &body.to_string(), result);
        } else {
            let id = lane.ids().next().expect("there are some") + random.below(IDS as usize) as u64;
            let target = format!("{path}/{id}");
            let Some(asked) = ask(stage, client, "single documents", "GET", &target, None) else { continue };
            let shown = match asked.answer.status {
                200 => std::slice::from_ref(&asked.answer.json),
                _ => &[],
            };
            let result = lane.ledger().check(&[id], shown, asked.at, asked.is_complete);
            asked.judge(stage, &target, result);
        }
        stage.pause(Duration::from_millis(5));
    }
}
