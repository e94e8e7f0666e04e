//! What clients change about API keys.

use uuid::Uuid;

use crate::meili::keys::{CreateKey, PatchKey};

/// One change. It is answered with the key: as it is now, or as it was before it was deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyChange {
    /// A new one.
    Create(CreateKey),
    /// Another name or description.
    Patch(Uuid, PatchKey),
    /// Gone.
    Delete(Uuid),
}
