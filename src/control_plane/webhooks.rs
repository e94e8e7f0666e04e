//! Webhooks: who they are. [`Announcer`] tells them of finished tasks.

use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use serde_json::{Value, json};
use uuid::Uuid;

use super::task_desk::api_error;
use crate::bridge::webhooks::WebhookRequest;
use crate::config;
use crate::meili::error::ApiError;
use crate::meili::webhooks::{Webhook, Webhooks, immutable_webhook, shown_webhook, webhook_not_found};
use crate::store::{Store, StoreError};

mod announcer;

pub use announcer::Announcer;

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

#[cfg(test)]
mod tests;
