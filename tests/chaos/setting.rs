//! One thread that changes a setting which concerns no document, and reads it. In its ledger the setting is a document.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ledger::{Effect, Ledger};
use crate::reading::ask;
use crate::stage::Stage;
use crate::support::{Client, Random};
use crate::writing::{Writing, send, settle};

/// Goes on until the run is over. Its values are words that no document has.
pub fn change(stage: &Stage, client: &Client, index: &str, ledger: &Mutex<Ledger>, random: &mut Random) {
    let target = format!("/indexes/{index}/settings/stop-words");
    let lock = || ledger.lock().expect("no thread panics while it has the lock");
    let mut under_way = VecDeque::new();
    while stage.goes_on() {
        let label = lock().next_label();
        let changes = vec![(0, Effect::Put(stored_setting(&json!([label]))))];
        let writing = Writing::new("changes of settings", "PUT", target.clone(), json!([label]), changes);
        under_way.extend(send(stage, client, ledger, writing));
        settle(stage, client, ledger, &mut under_way, 1);
        if let Some(asked) = ask(stage, client, "reads of settings", "GET", &target, None) {
            let none = asked.answer.json == json!([]);
            let shown: Vec<Value> = (!none).then(|| stored_setting(&asked.answer.json)).into_iter().collect();
            let result = lock().check(&[0], &shown, asked.at, true);
            asked.judge(stage, "settings", result);
        }
        stage.pause(Duration::from_millis(300 + random.below(700) as u64));
    }
}

/// The setting as the ledger knows it.
pub fn stored_setting(value: &Value) -> Value {
    json!({"id": 0, "stopWords": value})
}
