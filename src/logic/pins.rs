//! Which rule has pinned a hit of a node.
//!
//! Nodes judge the conditions of all rules, and pin the documents that they hold. What a rule wants of a document is known
//! here, so a node needs to say no more than which of the pins of a document it has followed: nodes are told small numbers
//! for positions, the *marks*, which tell the pins of one document apart. A node then puts all pins at the beginning of its
//! hits, where they are found however deep a page is, and the whole list is made here.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::ids::{IndexUid, NodeIndexUid};
use crate::meili::search_rules::{SearchRule, SearchRules};

/// Pins of one document that are told apart. More of them share marks, and what they share may be mistaken.
const MARKS_MAX: u32 = 16;

/// Stands for indexes that are not there: no index of a node has this name, for theirs end in a number.
const NOWHERE: &str = "miroir-nowhere";

/// Pins that one server follows in one search at most.
pub const PINS_MAX: usize = 100;

/// Hits beyond the page that nodes are asked for to make room for pins.
const ROOM_MAX: usize = 10;

/// All pins of the rules that are active.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PinBook {
    by_id: HashMap<String, Vec<Marked>>,
    /// Indexes that rules name.
    named: HashSet<String>,
    /// Some pin is for all indexes.
    is_general: bool,
    marks: u32,
}

/// A pin of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Marked {
    index: Option<String>,
    mark: u32,
    pin: FoundPin,
}

/// What a mark stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundPin {
    /// Its place among all pins, in the order in which one server follows them.
    pub order: usize,
    /// Where the rule wants the document.
    pub position: u32,
    /// No other pin has this mark.
    pub is_sure: bool,
}

/// What nodes are called in rules.
pub type NodeNames = HashMap<IndexUid, NodeIndexUid>;

/// What is made of all rules: what nodes are told, and what their marks stand for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ToldRules {
    /// As a node shows them, in its order.
    pub shown: Vec<Value>,
    /// What their marks stand for.
    pub book: PinBook,
}

impl PinBook {
    /// Whether a search of this index may have pins.
    pub fn concerns(&self, index: &str) -> bool {
        self.is_general || self.names(index)
    }

    /// Whether a rule names this index.
    pub fn names(&self, index: &str) -> bool {
        self.named.contains(index)
    }

    /// Hits that nodes are asked for beyond the page.
    pub fn room(&self) -> u64 {
        self.by_id.len().min(ROOM_MAX) as u64 + u64::from(self.marks)
    }

    /// Hits that may stand before a pin in the list of a node, other pins left out.
    pub fn marks(&self) -> u64 {
        u64::from(self.marks)
    }

    /// What a mark on a document of this index stands for; none if no rule is known that gives it.
    pub fn find(&self, index: &str, id: &str, mark: u32) -> Option<FoundPin> {
        let of_index = |of: &&Marked| of.mark == mark && of.index.as_deref().is_none_or(|own| own == index);
        let mut found = self.by_id.get(id)?.iter().filter(of_index);
        let first = found.next()?.pin;
        Some(FoundPin { is_sure: found.next().is_none(), ..first })
    }

    /// Gives a pin its mark.
    fn mark(&mut self, index: Option<&str>, id: &str, pin: FoundPin) -> u32 {
        let others = self.by_id.entry(id.to_owned()).or_default();
        let meet = |of: &&Marked| match (of.index.as_deref(), index) {
            (Some(left), Some(right)) => left == right,
            (None, _) | (_, None) => true,
        };
        let taken: HashSet<u32> = others.iter().filter(meet).map(|of| of.mark).collect();
        let alike = || others.iter().filter(meet).find(|of| of.pin.position == pin.position).map(|of| of.mark);
        let free = (0..MARKS_MAX).find(|mark| !taken.contains(mark));
        let mark = free.or_else(alike).unwrap_or(MARKS_MAX - 1);
        others.push(Marked { index: index.map(str::to_owned), mark, pin });
        self.marks = self.marks.max(mark);
        match index {
            Some(index) => drop(self.named.insert(index.to_owned())),
            None => self.is_general = true,
        }
        mark
    }
}

impl ToldRules {
    /// Of these rules, where indexes have these names on the nodes.
    pub fn of(rules: &SearchRules, names: &NodeNames) -> Self {
        let mut book = PinBook::default();
        let mut actions: HashMap<&str, Vec<Value>> = HashMap::new();
        let mut order = 0;
        for rule in rules.by_precedence().into_iter().filter(|rule| rules.is_active(rule)) {
            let told = actions.entry(&rule.uid).or_default();
            for pin in rule.pins() {
                let found = FoundPin { order, position: pin.position, is_sure: true };
                order += 1;
                let mark = book.mark(pin.index.as_deref(), &pin.id, found);
                let mut selector = json!({});
                if let Some(index) = &pin.index {
                    selector["indexUid"] = names.get(index.as_str()).map_or(NOWHERE, NodeIndexUid::as_str).into();
                }
                selector["id"] = pin.id.into();
                told.push(json!({"selector": selector, "action": {"type": "pin", "position": mark}}));
            }
        }
        let shown = |rule: &SearchRule| {
            let mut shown = rule.shown();
            // Said by every rule: one server does not follow a rule whose precedence was reset.
            shown["precedence"] = rule.precedence().into();
            shown["active"] = rules.is_active(rule).into();
            shown["actions"] = actions.remove(rule.uid.as_str()).unwrap_or_default().into();
            shown
        };
        Self { shown: rules.iter().map(shown).collect(), book }
    }
}

/// What a node is to do with its rules.
#[derive(Clone, PartialEq, Debug)]
pub enum RulesStep {
    /// Delete all.
    Clear,
    /// Delete one.
    Delete(String),
    /// Make one that the node does not have, with these fields.
    Make(String, Value),
}

/// What brings a node nearer to the rules that it is to show, in their order, from those that it shows. What is deleted must be
/// gone before anything else is sent: its places are free then. A new rule comes last, or takes a place that is free: where
/// that makes another order, the node begins anew.
///
/// A rule that changes is deleted and made again. A Meilisearch 1.50 whose rule was given a field that no rule had before (an
/// action for one index where all were for every index) fails at each change of rules from then on.
pub fn steps_to(wanted: &[Value], found: &[Value]) -> Vec<RulesStep> {
    let uid = |rule: &Value| rule["uid"].as_str().unwrap_or_default().to_owned();
    let places: HashMap<String, usize> = wanted.iter().enumerate().map(|(place, rule)| (uid(rule), place)).collect();
    let place_of = |rule: &Value| places.get(&uid(rule)).copied();
    if !found.iter().filter_map(place_of).is_sorted() || wanted.is_empty() && !found.is_empty() {
        return vec![RulesStep::Clear];
    }
    let is_right = |rule: &Value| place_of(rule).is_some_and(|place| wanted[place] == *rule);
    let needless: Vec<RulesStep> =
        found.iter().filter(|rule| !is_right(rule)).map(|rule| RulesStep::Delete(uid(rule))).collect();
    if !needless.is_empty() {
        return needless;
    }
    let found: HashSet<String> = found.iter().map(uid).collect();
    let is_missing = |rule: &&Value| !found.contains(&uid(rule));
    wanted.iter().filter(is_missing).map(|rule| RulesStep::Make(uid(rule), fields_of(rule))).collect()
}

fn fields_of(rule: &Value) -> Value {
    let mut fields = rule.clone();
    if let Some(fields) = fields.as_object_mut() {
        fields.shift_remove("uid");
    }
    fields
}

#[cfg(test)]
mod tests;
