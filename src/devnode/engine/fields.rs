//! Numbers for the flattened names of fields, given in the order in which an index meets them and never taken back.

use std::collections::HashMap;

/// The number of a field of one index.
pub(super) type FieldId = u16;

/// Names and numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    names: Vec<String>,
    ids: HashMap<String, FieldId>,
}

impl Fields {
    /// The number of a name, if it was met.
    pub(super) fn id(&self, name: &str) -> Option<FieldId> {
        self.ids.get(name).copied()
    }

    /// The number of a name, new if it was not met. Past 65,535 names all share the last number.
    pub(super) fn id_or_insert(&mut self, name: &str) -> FieldId {
        if let Some(id) = self.id(name) {
            return id;
        }
        let id = FieldId::try_from(self.names.len()).unwrap_or(FieldId::MAX);
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        id
    }

    /// Numbers and names, in the order of the numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (FieldId, &str)> {
        self.names.iter().enumerate().map(|(id, name)| (id as FieldId, name.as_str()))
    }
}
