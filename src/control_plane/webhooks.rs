//! Webhooks: who they are, and the thread that tells them of finished tasks.
//!
//! The store notes every task that ends while there is a webhook, in the transaction that ends it. The thread takes what is
//! noted, sends it to all of them at once, tries again where that fails, and only then lets the store forget it: a crash
//! in between may tell of a task twice, never not at all. Who cannot be told in [`ATTEMPTS`] tries is not told of these
//! tasks; the others are.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use serde_json::{Value, json};
use ureq::Agent;
use uuid::Uuid;

use super::task_desk::api_error;
use super::task_view::task_view;
use crate::bridge::webhooks::WebhookRequest;
use crate::config;
use crate::logic::ids::EntryId;
use crate::meili::error::ApiError;
use crate::meili::webhooks::{Webhook, Webhooks, immutable_webhook, shown_webhook, webhook_not_found};
use crate::store::{Store, StoreError};

/// Tasks that are told of with one request.
const TASKS_MAX: usize = 1_000;
/// Between two looks at what has finished.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// For one request, as one server waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Tries for one webhook and the same tasks.
const ATTEMPTS: u32 = 4;
/// After the first try that failed; doubled after each.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The webhook that the configuration names.
pub fn configured(settings: &config::WebhookSettings) -> Option<Webhook> {
    let url = settings.url.as_ref()?.expose().to_owned();
    let authorization = settings.authorization.iter();
    let headers = authorization.map(|value| ("Authorization".to_owned(), value.expose().to_owned())).collect();
    Some(Webhook { url, headers })
}

/// The webhooks, as stored.
pub struct Registry {
    store: Arc<dyn Store>,
    all: Mutex<Webhooks>,
    changed: Sender<()>,
    changes: Receiver<()>,
}

impl Registry {
    /// Reads what is stored. The webhook of the configuration takes the place of the one that was configured before.
    pub fn open(store: Arc<dyn Store>, configured: Option<Webhook>) -> Result<Self, StoreError> {
        let mut all = store.webhooks()?;
        let before = all.clone();
        all.remove(&Uuid::nil());
        all.extend(configured.map(|webhook| (Uuid::nil(), webhook)));
        if all != before {
            store.save_webhooks(&all)?;
        }
        let (changed, changes) = bounded(1);
        Ok(Self { store, all: Mutex::new(all), changed, changes })
    }

    /// Does what a client asks for; what is to be shown of it.
    ///
    /// # Errors
    /// `webhook_not_found`, `immutable_webhook`, those of a bad webhook, and those of the store.
    pub fn answer(&self, request: WebhookRequest) -> Result<Value, ApiError> {
        let mut all = self.all.lock();
        match request {
            WebhookRequest::List => {
                let results: Vec<Value> = all.iter().map(|(uuid, webhook)| shown_webhook(*uuid, webhook)).collect();
                Ok(json!({ "results": results }))
            }
            WebhookRequest::Get(uuid) => {
                all.get(&uuid).map(|webhook| shown_webhook(uuid, webhook)).ok_or_else(|| webhook_not_found(uuid))
            }
            WebhookRequest::Create(settings) => {
                let uuid = Uuid::new_v4();
                let webhook = settings.create(uuid, &all)?;
                self.put(&mut all, uuid, Some(webhook))
            }
            WebhookRequest::Change(uuid, settings) => {
                let webhook = settings.change(uuid, editable(&all, uuid)?.clone())?;
                self.put(&mut all, uuid, Some(webhook))
            }
            WebhookRequest::Delete(uuid) => {
                editable(&all, uuid)?;
                self.put(&mut all, uuid, None)
            }
        }
    }

    fn put(&self, all: &mut Webhooks, uuid: Uuid, webhook: Option<Webhook>) -> Result<Value, ApiError> {
        let mut changed = all.clone();
        let shown = webhook.as_ref().map_or(Value::Null, |webhook| shown_webhook(uuid, webhook));
        match webhook {
            Some(webhook) => changed.insert(uuid, webhook),
            None => changed.remove(&uuid),
        };
        self.store.save_webhooks(&changed).map_err(|error| api_error(&error))?;
        *all = changed;
        // A full channel says the same already.
        let _ = self.changed.try_send(());
        Ok(shown)
    }
}

fn editable(all: &Webhooks, uuid: Uuid) -> Result<&Webhook, ApiError> {
    if uuid.is_nil() {
        return Err(immutable_webhook(uuid));
    }
    all.get(&uuid).ok_or_else(|| webhook_not_found(uuid))
}

/// The thread.
pub struct Announcer {
    registry: Arc<Registry>,
    agent: Agent,
}

impl Announcer {
    /// `may_be_private`: whether addresses that are not of the public internet are told, too.
    pub fn new(registry: Arc<Registry>, may_be_private: bool) -> Self {
        let config = Agent::config_builder()
            .user_agent("miroir")
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(ANSWER_TIMEOUT))
            .build();
        Self { registry, agent: super::public_addresses::agent(config, may_be_private) }
    }

    /// Works until `stop` is closed.
    pub fn run(self, stop: &Receiver<()>) {
        loop {
            let is_over = if self.registry.all.lock().is_empty() {
                crossbeam::channel::select! {
                    recv(stop) -> _ => true,
                    recv(self.registry.changes) -> _ => false,
                }
            } else {
                self.announce(stop);
                is_over_after(stop, LOOK_PAUSE)
            };
            if is_over {
                return;
            }
        }
    }

    /// Tells of what has finished, if anything has.
    fn announce(&self, stop: &Receiver<()>) {
        let told = self.registry.store.unannounced(TASKS_MAX).and_then(|ended| {
            if ended.is_empty() {
                return Ok(());
            }
            let body = self.body(&ended)?;
            let webhooks: Vec<(Uuid, Webhook)> = self.registry.all.lock().clone().into_iter().collect();
            if self.tell(&webhooks, &body, stop) {
                self.registry.store.announced(&ended)?;
            }
            Ok(())
        });
        if let Err(error) = told {
            tracing::error!(%error, "webhooks cannot be told of finished tasks; trying again");
        }
    }

    /// The tasks as lines of JSON, compressed, as one server sends them.
    fn body(&self, ended: &[EntryId]) -> Result<Vec<u8>, StoreError> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let failed = |error: std::io::Error| StoreError::Failed(error.to_string());
        for id in ended {
            // One that was deleted altogether has nothing left to tell.
            let Some(record) = self.registry.store.entry(*id)? else { continue };
            let line =
                serde_json::to_string(&task_view(&record)).map_err(|error| StoreError::Failed(error.to_string()))?;
            writeln!(encoder, "{line}").map_err(failed)?;
        }
        encoder.finish().map_err(failed)
    }

    /// Sends a body to all of them, at the same time, again where that fails. False: the process ends, and not all were told.
    fn tell(&self, webhooks: &[(Uuid, Webhook)], body: &[u8], stop: &Receiver<()>) -> bool {
        let mut left: Vec<&(Uuid, Webhook)> = webhooks.iter().collect();
        let mut pause = RETRY_PAUSE;
        for attempt in 1..=ATTEMPTS {
            let failed: Vec<Option<String>> = std::thread::scope(|scope| {
                let requests: Vec<_> =
                    left.iter().map(|(_, webhook)| scope.spawn(|| self.send(webhook, body).err())).collect();
                requests.into_iter().map(|request| request.join().unwrap_or(Some("a panic".to_owned()))).collect()
            });
            for ((uuid, _), reason) in left.iter().zip(&failed) {
                if let Some(reason) = reason {
                    tracing::warn!(webhook = %uuid, attempt, reason, "a webhook could not be told of finished tasks");
                }
            }
            left = left.into_iter().zip(failed).filter(|(_, reason)| reason.is_some()).map(|(one, _)| one).collect();
            if left.is_empty() {
                return true;
            }
            if attempt < ATTEMPTS && is_over_after(stop, pause) {
                return false;
            }
            pause *= 2;
        }
        for (uuid, _) in left {
            tracing::error!(webhook = %uuid, "a webhook was not told of finished tasks; they are given up there");
        }
        true
    }

    fn send(&self, webhook: &Webhook, body: &[u8]) -> Result<(), String> {
        let mut request = self
            .agent
            .post(&webhook.url)
            .header("content-encoding", "gzip")
            .header("content-type", "application/x-ndjson");
        for (name, value) in &webhook.headers {
            request = request.header(name, value);
        }
        request.send(body).map(drop).map_err(|error| error.to_string())
    }
}

/// Waits; true when the thread is to end.
fn is_over_after(stop: &Receiver<()>, pause: Duration) -> bool {
    match stop.recv_timeout(pause) {
        Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
        Err(RecvTimeoutError::Timeout) => false,
    }
}

#[cfg(test)]
mod tests;
