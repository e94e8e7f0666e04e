//! Searches by vectors, and by words and vectors.
//!
//! Words are made a vector once, by one of the nodes, and all are asked with it. A search by both is two searches over all
//! nodes (see [`crate::meili::search::SearchKind`]); where hits by words may be good enough they are awaited first.

use super::super::core::PartialPolicy;
use super::super::gather::both;
use super::super::reading::{Refusal, bodies_of, check_complete, node_error};
use super::super::scatter::{Scattered, scatter};
use super::super::upstream::NodeRequest;
use super::{Attempt, SearchAnswer, Searching, SemanticHits, merge_failed};
use crate::logic::ids::Monotonic;
use crate::logic::merge::answer::NodeAnswer;
use crate::logic::merge::distinct::{Kept, Walk};
use crate::logic::merge::distinct_totals::{DistinctTotal, ValueCounts};
use crate::logic::merge::hybrid::{Combined, Common, ScoredHits, Source, can_words_be_enough};
use crate::logic::merge::page::Page;
use crate::logic::merge::{AnswerFrame, MergeError, Merged, Question, write};
use crate::logic::snapshot::{CoverPart, CoveringSet};
use crate::meili::error::{ApiError, Code};
use crate::meili::search::{
    Asked, NodeQuery, Paging, SearchRequest, Semantic, Used, query_vector_of, query_vector_text,
};

/// A search by both.
struct Lists {
    words: List,
    vectors: List,
    /// How much vectors count.
    ratio: f32,
    vector: Vec<f32>,
}

/// One of the two lists of a search by both.
struct List {
    request: SearchRequest,
    source: Source,
    attempt: Attempt,
    answered: Option<Scattered>,
}

impl Searching<'_> {
    /// The answer where vectors decide alone.
    pub(super) async fn by_vector(
        &self,
        set: &CoveringSet,
        semantic: &Semantic,
        started: Monotonic,
    ) -> Result<SearchAnswer, ApiError> {
        // A node that is alone makes the vector itself.
        let vector = match &semantic.vector {
            None if set.parts.len() > 1 => Some(self.embed(set, &semantic.embedder).await??),
            given => given.clone(),
        };
        let request = vector.as_ref().map_or_else(|| self.request.clone(), |vector| self.request.by_vector(vector));
        let shown = vector.as_ref().filter(|_| request.retrieves_vectors()).map(|vector| query_vector_text(vector));
        let searching = Searching { request: &request, semantic: SemanticHits::All(shown.as_deref()), ..*self };
        let answer = searching.list(set, started).await?;
        Ok(SearchAnswer { used: vector.map_or(Used::AsAsked, Used::Vector), ..answer })
    }

    /// The answer where words and vectors decide.
    pub(super) async fn by_both(
        &self,
        set: &CoveringSet,
        (semantic, ratio): (&Semantic, f32),
        started: Monotonic,
    ) -> Result<SearchAnswer, ApiError> {
        if let Some(answer) = self.by_one_node(set, started).await? {
            return Ok(answer);
        }
        let (offset, limit) = self.request.paging.window(self.settings.max_total_hits());
        let wanted = offset + limit;
        let attempt = Attempt { walk: Walk::Here, may_be_bare: false, ..self.first_attempt() };
        let list = |request, source| List { request, source, attempt, answered: None };
        let mut words = list(self.request.by_words().scored(), Source::Words);
        let vector = if wanted > 0 && !can_words_be_enough(ratio) {
            let (asked, vector) = both(self.ask_list(set, &mut words), self.vector(set, semantic)).await;
            asked?;
            Some(vector?)
        } else {
            None
        };
        if self.are_words_enough(set, &mut words, (wanted, ratio)).await? {
            return self.by_words(set, words, started).await;
        }
        let vector = match vector {
            Some(vector) => vector,
            None => self.vector(set, semantic).await?,
        };
        // Without a vector the engine makes do with words.
        let Some(vector) = vector else { return self.by_words(set, words, started).await };
        let vectors = list(self.request.beside_words(&vector).scored(), Source::Vectors);
        let mut lists = Lists { words, vectors, ratio, vector };
        loop {
            self.ask_list(set, &mut lists.vectors).await?;
            match self.combine(set, &lists, started).await? {
                Ok(answer) => return Ok(answer),
                Err(error) => lists.vectors.ask_again(error)?,
            }
        }
    }

    /// What the only node of the set says, if one was asked as such.
    async fn by_one_node(&self, set: &CoveringSet, started: Monotonic) -> Result<Option<SearchAnswer>, ApiError> {
        let attempt = self.first_attempt();
        // Where the vectors of documents are not displayed the node is not asked for that of the query, either.
        let displayed = &self.settings.displayed;
        let lacks_vector = self.request.retrieves_vectors() && !self.request.retrieves_vectors_of_hits(displayed);
        // A rule that only the node has would decide between its lists, too.
        let is_whole = self.asked(attempt, true) == Asked::Page && self.hidden_rule().is_none();
        if set.parts.len() != 1 || !is_whole || lacks_vector {
            return Ok(None);
        }
        let scattered = self.ask(set, attempt).await.map_err(Refusal::for_client)?;
        if !scattered.is_alone() {
            return Ok(None);
        }
        check_complete(&scattered, self.policy)?;
        self.request.check_facets(&self.scope.index.settings)?;
        let merged = self.finish(&scattered, attempt, None, started).await?.map_err(merge_failed)?;
        let Merged { body, approximate } = merged;
        Ok(Some(SearchAnswer { body, missing: scattered.missing, approximate, used: Used::AsAsked }))
    }

    /// The client's vector, or one of the words; none where no embedder makes one.
    async fn vector(&self, set: &CoveringSet, semantic: &Semantic) -> Result<Option<Vec<f32>>, ApiError> {
        match &semantic.vector {
            Some(vector) => Ok(Some(vector.clone())),
            None => Ok(self.embed(set, &semantic.embedder).await?.ok()),
        }
    }

    /// The vector that one of the nodes makes of the words; inside, why there is none.
    async fn embed(&self, set: &CoveringSet, embedder: &str) -> Result<Result<Vec<f32>, ApiError>, ApiError> {
        let target = format!("/indexes/{}/search", self.scope.index.node_uid);
        let make =
            |_: &CoverPart, _: bool| NodeRequest::post_read(target.clone(), self.request.embedding_body(embedder));
        let one = CoveringSet { parts: set.parts.iter().take(1).cloned().collect(), missing: Vec::new() };
        let answered = match scatter(self.core, self.scope, &one, make).await {
            Ok(answered) => answered,
            Err(refusal) => return Ok(Err(node_error(&refusal.response.body, self.scope.index))),
        };
        check_complete(&answered, PartialPolicy::Partial)?;
        let bodies = bodies_of(&answered, self.scope.snapshot)?;
        let vector = bodies.first().and_then(|body| query_vector_of(body));
        let none = || ApiError::new(Code::Internal, "A node made no vector of the words.");
        Ok(vector.ok_or_else(none))
    }

    /// Asks for a list, unless that was done.
    async fn ask_list(&self, set: &CoveringSet, list: &mut List) -> Result<(), ApiError> {
        if list.answered.is_some() {
            return Ok(());
        }
        let needed = self.needed_of_lists();
        let searching = Searching { request: &list.request, ..*self };
        let body = |part: &CoverPart, _: bool| {
            list.request.node_body(NodeQuery {
                marker_filter: part.filter.as_deref(),
                asked: Asked::First(list.attempt.first_hits),
                displayed: &self.settings.displayed,
                needed: &needed,
                distinct: self.distinct().filter(|_| list.attempt.walk.is_pushed_down()),
                is_bare: false,
            })
        };
        let answered = searching.scatter(set, body).await.map_err(Refusal::for_client)?;
        check_complete(&answered, self.policy)?;
        list.answered = Some(answered);
        Ok(())
    }

    fn needed_of_lists(&self) -> Vec<&str> {
        self.distinct().into_iter().chain(self.scope.index.primary_key.as_deref()).collect()
    }

    /// Whether hits by words make vectors needless. Asks for as many of them as that takes, and for those of the page.
    async fn are_words_enough(
        &self,
        set: &CoveringSet,
        words: &mut List,
        (wanted, ratio): (u64, f32),
    ) -> Result<bool, ApiError> {
        loop {
            self.ask_list(set, words).await?;
            match self.scored(words, wanted, |hits| hits.are_good_enough(wanted, ratio))? {
                Ok(is_enough) => return Ok(is_enough),
                Err(error) => words.ask_again(error)?,
            }
        }
    }

    /// Looks at the first hits of a list.
    fn scored<T>(
        &self,
        list: &List,
        wanted: u64,
        look: impl FnOnce(ScoredHits<'_>) -> T,
    ) -> Result<Result<T, MergeError>, ApiError> {
        let bodies = list.bodies(self)?;
        Ok(self.timed(|| {
            let answers = read(&bodies)?;
            self.hits_of(list, &answers, wanted).map(look)
        }))
    }

    /// The first hits of a list.
    fn hits_of<'h>(&self, list: &List, answers: &[NodeAnswer<'h>], wanted: u64) -> Result<ScoredHits<'h>, MergeError> {
        let distinct = self.distinct().map(|attribute| self.distinct_by(attribute, list.attempt.walk));
        let primary_key = self.scope.index.primary_key.as_deref().unwrap_or_default();
        let hidden_rule = self.hidden_rule();
        let pinned = self.pinned();
        let common = Common { primary_key, distinct, hidden_rule: hidden_rule.as_deref(), pinned };
        ScoredHits::of(answers, list.source, common, list.attempt.first_hits, wanted)
    }

    /// The answer of words alone: as of any search by words, but that it says that there was no vector.
    async fn by_words(&self, set: &CoveringSet, words: List, started: Monotonic) -> Result<SearchAnswer, ApiError> {
        let request = self.request.by_words();
        let searching = Searching { request: &request, semantic: SemanticHits::None, ..*self };
        let Some(answered) = words.answered.filter(|_| self.distinct().is_none()) else {
            let answer = searching.list(set, started).await?;
            return Ok(SearchAnswer { used: Used::Words, ..answer });
        };
        // What is there is what would be asked for, with a score more in each hit.
        self.request.check_facets(&self.scope.index.settings)?;
        let searching = Searching { hides_score: !request.shows_score(), ..searching };
        let asked = (Asked::First(words.attempt.first_hits), &*self.needed_of_lists());
        let merged = searching.merge(&answered, asked, words.attempt, None, started).await?;
        let Merged { body, approximate } = merged.map_err(merge_failed)?;
        Ok(SearchAnswer { body, missing: answered.missing, approximate, used: Used::Words })
    }

    async fn combine(
        &self,
        set: &CoveringSet,
        lists: &Lists,
        started: Monotonic,
    ) -> Result<Result<SearchAnswer, MergeError>, ApiError> {
        let Lists { words, vectors, ratio, vector } = lists;
        let (Some(words_answered), Some(vectors_answered)) = (&words.answered, &vectors.answered) else {
            return Ok(Err(MergeError::Malformed));
        };
        let (offset, limit) = self.request.paging.window(self.settings.max_total_hits());
        let wanted = offset + limit;
        let (word_bodies, vector_bodies) = (words.bodies(self)?, vectors.bodies(self)?);
        let combined = self.timed(|| {
            let (of_words, of_vectors) = (read(&word_bodies)?, read(&vector_bodies)?);
            let word_hits = self.hits_of(words, &of_words, wanted)?;
            let vector_hits = self.hits_of(vectors, &of_vectors, wanted)?;
            let is_cut_off = word_hits.is_cut_off || vector_hits.is_cut_off;
            let vector_kept = vector_hits.kept.clone();
            let combined = Combined::of(vector_hits, word_hits, *ratio, self.distinct(), wanted)?;
            let may_lack_hits = [words, vectors].iter().any(|list| list.attempt.walk == Walk::NodesAnyway);
            let Combined { hits, kept, are_pins_unsure } = combined;
            let mut page = Page { hits, is_cut_off, may_lack_hits, are_pins_unsure, ..Page::default() };
            page.count_by_vector();
            let distinct = self.distinct().map(|attribute| self.distinct_by(attribute, Walk::Here));
            let dropped = page.cut(distinct, offset)?;
            Ok((of_vectors, page, dropped, (kept, vector_kept)))
        });
        let (answers, mut page, dropped, kept) = match combined {
            Ok(combined) => combined,
            Err(error) => return Ok(Err(error)),
        };
        self.request.check_facets(&self.scope.index.settings)?;
        let searching = Searching { request: &vectors.request, ..*self };
        page.total = searching.count_values(set).await?.map(|counts| total(&counts, kept, (wanted, dropped)));
        let facets = self.facets(&answers, vectors_answered).await.map_err(merge_failed)?;
        let mut missing = [&words_answered.missing[..], &vectors_answered.missing].concat();
        missing.sort_unstable();
        missing.dedup();
        let frame = AnswerFrame {
            processing_time_ms: self.core.now().0.saturating_sub(started.0),
            is_degraded: !missing.is_empty(),
            facets,
            query_vector: self.request.retrieves_vectors().then(|| query_vector_text(vector)),
            semantic_hit_count: Some(page.semantic_hit_count()),
        };
        let needed = self.needed_of_lists();
        let hidden_rule = self.hidden_rule();
        let question = Question {
            request: self.request,
            settings: self.settings,
            asked: Asked::First(vectors.attempt.first_hits),
            distinct: None,
            pinned: None,
            retrieved: &self.request.retrieved(&self.settings.displayed, &needed),
            hidden_rule: hidden_rule.as_deref(),
            hides_score: !self.request.shows_score(),
        };
        let Merged { body, approximate } =
            self.timed(|| write(&question, &answers, &page, None, &frame)).map_err(merge_failed)?;
        Ok(Ok(SearchAnswer { body, missing, approximate, used: Used::Both(vector.clone()) }))
    }
}

impl List {
    /// Looks for what helps against the error.
    fn ask_again(&mut self, error: MergeError) -> Result<(), ApiError> {
        self.attempt = self.attempt.after(error).ok_or_else(|| merge_failed(error))?;
        self.answered = None;
        Ok(())
    }

    fn bodies(&self, searching: &Searching<'_>) -> Result<Vec<&str>, ApiError> {
        self.answered.as_ref().map_or(Ok(Vec::new()), |answered| bodies_of(answered, searching.scope.snapshot))
    }
}

fn read<'a>(bodies: &[&'a str]) -> Result<Vec<NodeAnswer<'a>>, MergeError> {
    bodies.iter().map(|body| NodeAnswer::read(body)).collect()
}

/// Every match less those that are left out for the sake of a hit up to the end of the page. What hits by vectors that are not
/// among these leave out, too, cannot be told from what words find among it; and where there are hits behind the page, which
/// of both lists leaves out what is chance.
fn total(counts: &ValueCounts, (mut kept, of_vectors): (Kept, Kept), (wanted, dropped): (u64, u64)) -> DistinctTotal {
    let is_whole = kept.hits < wanted;
    let has_others = kept.adopt(&of_vectors);
    kept.has_all_ties = true;
    let total = counts.total(Paging::Window { offset: 0, limit: 0 }, &kept, 0);
    let is_exact = total.is_exact && is_whole && !has_others;
    DistinctTotal { total: total.total.saturating_sub(dropped), is_exact }
}
