//! What clients ask about webhooks.

use uuid::Uuid;

use crate::meili::webhooks::WebhookSettings;

/// A request about webhooks; answered as JSON, with null after a deletion.
#[derive(Debug)]
pub enum WebhookRequest {
    /// All of them.
    List,
    /// One.
    Get(Uuid),
    /// A new one.
    Create(WebhookSettings),
    /// Another address or other headers for one.
    Change(Uuid, WebhookSettings),
    /// One that is to go.
    Delete(Uuid),
}
