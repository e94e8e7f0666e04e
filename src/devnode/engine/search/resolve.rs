//! Which documents a term, or a whole query graph, finds.

use roaring::RoaringBitmap;

use super::context::Context;
use super::graph::{END, NodeId, QueryGraph, START};
use super::terms::TermSubset;
use crate::devnode::engine::fields::FieldId;

impl Context<'_> {
    /// Documents of `universe` (all when `None`) that hold what is left of a term.
    pub(super) fn subset_documents(&mut self, universe: Option<&RoaringBitmap>, subset: TermSubset) -> RoaringBitmap {
        let mut found = RoaringBitmap::new();
        for word in self.single_words(subset) {
            self.add_word_documents(universe, word, &mut found);
        }
        for phrase in self.all_phrases(subset) {
            found |= &*self.phrase_documents(phrase);
        }
        if let Some(prefix) = self.cached_prefix(subset) {
            self.add_prefix_documents(universe, prefix, &mut found);
        }
        match universe {
            Some(universe) => found & universe,
            None => found,
        }
    }

    /// Documents that hold what is left of a term in a field.
    pub(super) fn subset_documents_in_field(
        &mut self,
        universe: &RoaringBitmap,
        subset: TermSubset,
        field: FieldId,
    ) -> RoaringBitmap {
        let mut found = RoaringBitmap::new();
        if !self.is_searched(field) {
            return found;
        }
        let postings = &self.index.postings;
        let in_field = |word| postings.postings(word).and_then(|entry| entry.by_field.get(&field));
        for word in self.single_words(subset) {
            if let Some(documents) = in_field(word.word) {
                found |= documents & universe;
            }
        }
        for phrase in self.all_phrases(subset) {
            let first = self.phrase(phrase).iter().flatten().next().copied();
            if let Some(documents) = first.and_then(in_field) {
                found |= &*self.phrase_documents(phrase) & (documents & universe);
            }
        }
        if let Some(prefix) = self.cached_prefix(subset)
            && let Some(documents) = self.prefix(prefix.word).by_field.get(&field)
        {
            found |= documents & universe;
        }
        found
    }

    /// Documents that hold what is left of a term at a bucketed position, whatever the field.
    pub(super) fn subset_documents_at_position(
        &mut self,
        universe: &RoaringBitmap,
        subset: TermSubset,
        position: u16,
    ) -> RoaringBitmap {
        let mut found = RoaringBitmap::new();
        let postings = &self.index.postings;
        let at_position = |word| postings.postings(word).and_then(|entry| entry.by_position.get(&position));
        for word in self.single_words(subset) {
            if let Some(documents) = at_position(word.word) {
                found |= documents & universe;
            }
        }
        for phrase in self.all_phrases(subset) {
            // Where the other words of a phrase stand is not known: the first one decides.
            let first = self.phrase(phrase).iter().flatten().next().copied();
            if let Some(documents) = first.and_then(at_position) {
                found |= &*self.phrase_documents(phrase) & (documents & universe);
            }
        }
        if let Some(prefix) = self.cached_prefix(subset)
            && let Some(documents) = self.prefix(prefix.word).by_position.get(&position)
        {
            found |= documents & universe;
        }
        found
    }

    /// Documents of `universe` that hold all terms of some path of the graph.
    pub(super) fn graph_documents(&mut self, graph: &QueryGraph, universe: &RoaringBitmap) -> RoaringBitmap {
        let mut found: Vec<Option<RoaringBitmap>> = vec![None; graph.nodes.len()];
        found[START] = Some(universe.clone());
        self.node_documents(graph, END, &mut found)
    }

    fn node_documents(
        &mut self,
        graph: &QueryGraph,
        node: NodeId,
        found: &mut Vec<Option<RoaringBitmap>>,
    ) -> RoaringBitmap {
        if let Some(documents) = &found[node] {
            return documents.clone();
        }
        let mut before = RoaringBitmap::new();
        for previous in &graph.nodes[node].before {
            before |= self.node_documents(graph, *previous, found);
        }
        let documents = match graph.nodes[node].term {
            Some(term) => self.subset_documents(Some(&before), term.subset),
            None => before,
        };
        found[node] = Some(documents.clone());
        documents
    }
}
