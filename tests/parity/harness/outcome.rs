//! What comes of a case: its differences, each with the class that explains it or without.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::case::Case;
use super::classes::CLASSES;
use super::compare::{Difference, shortened};
use super::evidence::Evidence;
use super::queries::Object;
use super::servers::Sides;
use super::world::Searched;
use crate::support::Answer;

/// Of one case.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The one server found something.
    pub has_hits: bool,
    /// The one server refused it.
    pub is_refused: bool,
    /// Something in it has `matchingStrategy: frequency`.
    pub has_frequency: bool,
    /// Classes that explain differences.
    pub explained: BTreeSet<&'static str>,
    /// Differences that no class explains.
    pub unexplained: Vec<String>,
}

impl Outcome {
    /// Of a request that was answered like this, before it is compared.
    pub fn of(one: &Answer) -> Self {
        let is_filled = |answer: &Value| {
            ["hits", "facetHits"].iter().any(|name| answer[*name].as_array().is_some_and(|hits| !hits.is_empty()))
        };
        let has_hits = is_filled(&one.json) || one.json["results"].as_array().into_iter().flatten().any(is_filled);
        Self { has_hits, is_refused: one.status != 200, ..Self::default() }
    }

    /// Adds a difference that no class explains.
    pub fn add_unexplained(&mut self, request: &Value, difference: &Difference, one: &Value, miroir: &Value) {
        let Difference { aspect, text } = difference;
        let sides = format!("one server: {}\n    miroir: {}", shortened(one), shortened(miroir));
        self.unexplained.push(format!("{request}\n    {aspect:?}: {text}\n    {sides}"));
    }
}

/// A search and what both answered.
pub struct Answered<'a> {
    /// What was searched.
    pub searched: &'a Searched<'a>,
    /// The search alone.
    pub body: &'a Object,
    /// The body of the server's answer.
    pub one: &'a Value,
    /// The body of Miroir's answer.
    pub miroir: &'a Value,
    /// What Miroir says of its answer: `facets`, `totals`.
    pub approximate: &'a str,
}

impl<'a> Answered<'a> {
    /// What can be found out about it.
    pub fn evidence(&self, sides: Sides<'a>) -> Evidence<'a> {
        Evidence {
            case: Case { corpus: self.searched.corpus, body: self.body },
            dictionary: &self.searched.dictionary,
            known: &self.searched.known,
            sides,
            one: self.one,
            miroir: self.miroir,
            approximate: self.approximate,
            first_hits: OnceCell::new(),
        }
    }

    /// Which class explains each of these differences, all found in one search.
    pub fn explain(&self, sides: Sides<'a>, found: &[Difference]) -> Vec<Option<&'static str>> {
        let evidence = self.evidence(sides);
        let class = |difference: &Difference| {
            CLASSES.iter().find(|class| (class.explains)(&evidence, difference.aspect)).map(|class| class.name)
        };
        found.iter().map(class).collect()
    }

    /// Adds these differences to the outcome, which is that of this request.
    pub fn add_to(&self, outcome: &mut Outcome, sides: Sides<'a>, found: &[Difference], request: &Value) {
        outcome.has_frequency |= self.body.get("matchingStrategy").is_some_and(|strategy| strategy == "frequency");
        for (difference, class) in found.iter().zip(self.explain(sides, found)) {
            match class {
                Some(class) => drop(outcome.explained.insert(class)),
                None => outcome.add_unexplained(request, difference, self.one, self.miroir),
            }
        }
    }
}

/// A request as the output names it.
pub fn described(form: &str, index: &str, body: &Object) -> Value {
    json!({"form": form, "index": index, "body": body})
}
