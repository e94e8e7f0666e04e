//! The key desk: the thread that changes API keys.
//!
//! A change is durable before cores hear of it, and answered when every core goes by it: whoever has the answer can use a
//! new key everywhere, and nobody can use a deleted one any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, select};
use uuid::Uuid;

use super::journal::error_code;
use super::publisher::Publisher;
use crate::bridge::Bridge;
use crate::bridge::keys::KeyChange;
use crate::bridge::reply::Reply;
use crate::config::Secret;
use crate::logic::ids::Epoch;
use crate::meili::error::{ApiError, Code};
use crate::meili::keys::{ApiKey, KeyRing, key_not_found};
use crate::store::{KeyChanges, Store, StoreError};
use crate::telemetry::clock;

#[cfg(test)]
mod tests;

/// Changes that may wait; past this they are refused.
pub const JOBS_MAX: usize = 64;
/// Between two looks whether all cores go by what was published.
const READERS_POLL: Duration = Duration::from_millis(1);

/// Work for the desk.
#[derive(Debug)]
pub struct KeyJob {
    /// What is to be changed.
    pub change: Box<KeyChange>,
    /// Who waits.
    pub reply: Reply<Result<ApiKey, ApiError>>,
}

impl KeyJob {
    /// Answers that there is no time for it.
    pub fn refuse(self) {
        let message = "Too many changes of keys wait. Try again later.";
        self.reply.send(Err(ApiError::new(Code::MiroirOverloaded, message)));
    }
}

/// The state of the thread.
pub struct KeyDesk {
    store: Arc<dyn Store>,
    publisher: Arc<Publisher>,
    bridge: Arc<Bridge>,
    /// None: keys are kept, but nobody is asked for them.
    master_key: Option<Secret>,
    /// As they are stored.
    keys: BTreeMap<Uuid, ApiKey>,
}

impl KeyDesk {
    /// Reads the keys and publishes them. Where there are none at all the default ones are made, as on one server.
    ///
    /// # Errors
    /// The store failed.
    pub fn open(
        store: Arc<dyn Store>,
        publisher: Arc<Publisher>,
        bridge: Arc<Bridge>,
        master_key: Option<Secret>,
    ) -> Result<Self, StoreError> {
        let mut keys = store.keys()?;
        if keys.is_empty() {
            let uids = std::array::from_fn(|_| Uuid::new_v4());
            keys = ApiKey::defaults(uids, clock::timestamp()).into();
            store.change_keys(&KeyChanges { written: keys.clone(), ..KeyChanges::default() })?;
        }
        let keys = keys.into_iter().map(|key| (key.uid, key)).collect();
        let desk = Self { store, publisher, bridge, master_key, keys };
        desk.publish();
        Ok(desk)
    }

    /// Works until `stop` is closed.
    pub fn run(mut self, jobs: &Receiver<KeyJob>, stop: &Receiver<()>) {
        loop {
            let job = select! {
                recv(stop) -> _ => return,
                recv(jobs) -> job => job,
            };
            let Ok(KeyJob { change, reply }) = job else {
                // The journal died, and is mourned under its own name.
                let _ = stop.recv();
                return;
            };
            let changed = self.change(*change);
            // Whoever waits hears of the end if the process stops meanwhile.
            if changed.is_err() || self.await_readers(stop) {
                reply.send(changed);
            }
        }
    }

    fn change(&mut self, change: KeyChange) -> Result<ApiKey, ApiError> {
        let now = clock::timestamp();
        let known = |uid: Uuid| self.keys.get(&uid).cloned().ok_or_else(|| key_not_found(&uid.to_string()));
        let mut changes = KeyChanges::default();
        let key = match change {
            KeyChange::Create(request) => {
                let uid = request.uid.unwrap_or_else(Uuid::new_v4);
                if self.keys.contains_key(&uid) {
                    let message = format!("`uid` field value `{uid}` is already an existing API key.");
                    return Err(ApiError::new(Code::ApiKeyAlreadyExists, message));
                }
                let key = request.into_key(uid, now);
                changes.written.push(key.clone());
                key
            }
            KeyChange::Patch(uid, patch) => {
                let mut key = known(uid)?;
                patch.apply(&mut key, now);
                changes.written.push(key.clone());
                key
            }
            KeyChange::Delete(uid) => {
                changes.removed.push(uid);
                known(uid)?
            }
        };
        self.store.change_keys(&changes).map_err(|error| ApiError::new(error_code(&error), error.to_string()))?;
        self.keys.retain(|uid, _| !changes.removed.contains(uid));
        self.keys.extend(changes.written.into_iter().map(|key| (key.uid, key)));
        self.publish();
        Ok(key)
    }

    fn publish(&self) -> Epoch {
        let ring = self.master_key.as_ref().map(|key| KeyRing::new(self.keys.values().cloned(), key.expose()));
        self.publisher.publish_keys(ring.unwrap_or_default())
    }

    /// Waits until all cores go by the newest snapshot; false when the process stops first.
    fn await_readers(&self, stop: &Receiver<()>) -> bool {
        let epoch = self.bridge.snapshot.load().epoch;
        while self.bridge.progress().acknowledged < epoch {
            if stop.recv_timeout(READERS_POLL) != Err(RecvTimeoutError::Timeout) {
                return false;
            }
        }
        true
    }
}
