//! The end of a run: every task has ended as was seen, every document is what the acknowledged writes made of it, on each of
//! its nodes and on no other, and `miroir-ctl verify` says so too.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::replicas::{hash, wait_until_equal};
use crate::setting::stored_setting;
use crate::shelves::{NAMES, expected};
use crate::support::fleet::{ADMIN_KEY, node_index};
use crate::support::process::miroir_ctl;
use crate::support::{Client, Fleet, now, wait_for};
use crate::writing::Lane;

/// Tasks of one request.
const PAGE: usize = 1000;

/// Waits until no task is unfinished.
pub fn wait_for_tasks(client: &Client, limit: Duration) {
    wait_for("all tasks to end", limit, || {
        let target = "/tasks?statuses=enqueued,processing&limit=3";
        let answer = client.try_ask("GET", target, None).map_err(|error| error.to_string())?;
        if answer.json["total"] == 0 { Ok(()) } else { Err(answer.text) }
    });
}

/// All tasks there are, oldest first.
fn all_tasks(client: &Client) -> Vec<Value> {
    let mut tasks = Vec::new();
    let mut from = 0;
    loop {
        let page = client.get(&format!("/tasks?reverse=true&limit={PAGE}&from={from}")).expect(200).json;
        let found = page["results"].as_array().expect("a list").clone();
        tasks.extend(found);
        match page["next"].as_u64() {
            Some(next) => from = next,
            None => return tasks,
        }
    }
}

/// By which its writer knows it.
fn label(task: &Value) -> Option<&str> {
    task["customMetadata"].as_str().or_else(|| task["details"]["stopWords"][0].as_str())
}

/// Compares all tasks with the ledgers and the list of the index thread; gives how many there are.
pub fn check_tasks(client: &Client, ledgers: &mut [&mut Ledger], of_indexes: &[u64]) -> Result<usize, String> {
    let tasks = all_tasks(client);
    let mut labelled: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut by_number = BTreeMap::new();
    for task in &tasks {
        if let Some(label) = label(task) {
            labelled.entry(label.to_owned()).or_default().push(task.clone());
        }
        let uid = task["uid"].as_u64().ok_or_else(|| format!("no number: {task}"))?;
        if by_number.insert(uid, task).is_some() {
            return Err(format!("task {uid} is there twice"));
        }
        if task["type"] == "taskCancelation" && task["status"] != "succeeded" {
            return Err(format!("a cancelation failed: {task}"));
        }
    }
    for ledger in ledgers {
        ledger.settle(&labelled, now())?;
    }
    for uid in of_indexes {
        let task = by_number.get(uid).ok_or_else(|| format!("task {uid} is lost"))?;
        if task["status"] != "succeeded" {
            return Err(format!("task {uid} had succeeded, or must: {task}"));
        }
    }
    Ok(tasks.len())
}

/// The documents of some lanes in one index, on the nodes and for clients. Gives how many there are.
pub fn check_documents(fleet: &Fleet, index: &str, lanes: &[&Lane], replicas: usize) -> Result<usize, String> {
    let found = wait_until_equal(fleet, index, "id", replicas);
    let mut count = 0;
    for lane in lanes {
        let ledger = lane.ledger();
        for id in lane.ids() {
            let allowed = ledger.allowed(id, now());
            let [state] = &allowed[..] else {
                return Err(format!("all has ended, and document {id} may be {allowed:?}; {}", ledger.story(id)));
            };
            let on_nodes = found.get(&id.to_string()).copied();
            if on_nodes != state.as_ref().map(hash) {
                return Err(format!("on the nodes document {id} is not {state:?}; {}", ledger.story(id)));
            }
            count += usize::from(state.is_some());
        }
    }
    if found.len() != count {
        return Err(format!("the nodes have {} documents of {index}, not {count}", found.len()));
    }
    let total = fleet.client().post(&format!("/indexes/{index}/documents/fetch"), &json!({"limit": 0})).expect(200);
    if total.json["total"] == count { Ok(count) } else { Err(format!("{} instead of {count}", total.text)) }
}

/// The setting, for clients and on each node.
pub fn check_setting(fleet: &Fleet, index: &str, ledger: &Ledger) -> Result<(), String> {
    let allowed = ledger.allowed(0, now());
    let target = |index: &str| format!("/indexes/{index}/settings/stop-words");
    let mut shown = vec![("clients".to_owned(), fleet.client().get(&target(index)).expect(200).json)];
    for node in &fleet.nodes {
        let uid = node_index(&node.client(), index).ok_or_else(|| format!("{} has no index {index}", node.id))?;
        shown.push((node.id.clone(), node.client().get(&target(&uid)).expect(200).json));
    }
    for (who, value) in shown {
        let state = (value != json!([])).then(|| stored_setting(&value));
        if allowed != [state] {
            return Err(format!("{who} have stop words {value}, allowed are {allowed:?}; {}", ledger.story(0)));
        }
    }
    Ok(())
}

/// The indexes that came and went: what is there, and that no node has more.
pub fn check_indexes(fleet: &Fleet, there: &BTreeMap<&'static str, Option<u64>>) -> Result<(), String> {
    for name in NAMES {
        let answer = fleet.client().get(&format!("/indexes/{name}/documents"));
        let found = if answer.status == 404 { Value::Null } else { answer.expect(200).json["results"].clone() };
        let expected = expected(there[name]);
        if found != expected {
            return Err(format!("index {name} holds {found}, not {expected}"));
        }
    }
    let names = |client: &Client| {
        let answer = client.get("/indexes?limit=1000").expect(200).json;
        let names = answer["results"].as_array().expect("a list").iter().map(|index| index["uid"].clone());
        names.filter(|name| name != "miroir-identity").collect::<Vec<_>>()
    };
    let known = names(&fleet.client());
    for node in &fleet.nodes {
        let found = names(&node.client());
        if found.len() != known.len() {
            return Err(format!("clients have {known:?}, but {} has {found:?}", node.id));
        }
    }
    Ok(())
}

/// What operators ask.
pub fn check_by_verify(fleet: &Fleet) -> Result<(), String> {
    let mut command = miroir_ctl();
    command.args(["--admin", &fleet.admin_port.url(), "--admin-key", ADMIN_KEY, "verify"]);
    let output = command.output().map_err(|error| error.to_string())?;
    let said = || String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("miroir-ctl verify: {}: {}", output.status, said())) }
}
