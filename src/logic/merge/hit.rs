//! What a client may see of a hit: no marker, score details only when asked for, nothing of hidden attributes.
//!
//! A hit is walked once, when it comes to the head of its node's list. Most of it goes to the client as it is.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::MergeError;
use super::facet_values::FacetValues;
use super::rank::Rank;
use crate::logic::json::{Malformed, Member, ObjectWriter, Part, members, offset_of};
use crate::logic::marker::{FIELD, strip};
use crate::meili::fields::{Selection, select};
use crate::meili::search::{Displayed, Retrieved, Share};

/// A hit that was walked.
#[derive(Debug)]
pub struct Hit<'a> {
    text: &'a str,
    /// The members that do not go to the client as they are, in order.
    special: Vec<(Special, Slice<'a>)>,
}

/// Why a member does not go to the client as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Special {
    Marker,
    Formatted,
    MatchesPosition,
    Score,
    ScoreDetails,
}

/// Of a member.
#[derive(Clone, Copy, Debug)]
struct Slice<'a> {
    member: &'a str,
    value: &'a str,
}

impl<'a> Hit<'a> {
    /// Walks the hit that `text` begins with, and reads its rank. Without score details the rank is empty, equal to every
    /// other.
    pub fn read(text: &'a str) -> Result<(Self, Rank<'a>), MergeError> {
        let mut special = Vec::with_capacity(4);
        let mut details = None;
        let mut members = members(text);
        for member in members.by_ref() {
            let Member { key, text, value } = member?;
            let why = match key.as_ref() {
                FIELD => Special::Marker,
                "_formatted" => Special::Formatted,
                "_matchesPosition" => Special::MatchesPosition,
                "_rankingScore" => Special::Score,
                "_rankingScoreDetails" => Special::ScoreDetails,
                _ => continue,
            };
            if matches!(why, Special::Score | Special::ScoreDetails) {
                // A document may have a field of that name: the engine's comes after it.
                special.retain(|(before, _)| *before != why);
            }
            special.push((why, Slice { member: text, value: value.text }));
            if why == Special::ScoreDetails {
                details = Some(value.text);
            }
        }
        let rank = details.map(Rank::of_details).transpose()?.unwrap_or_default();
        Ok((Self { text: &text[..members.end()?], special }, rank))
    }

    /// The values of `_rankingScore` and `_rankingScoreDetails`, if they are there.
    pub fn scores(&self) -> Option<(&'a str, &'a str)> {
        let value = |wanted: Special| self.special.iter().find(|(why, _)| *why == wanted).map(|(_, slice)| slice.value);
        Some((value(Special::Score)?, value(Special::ScoreDetails)?))
    }

    /// As its node sent it.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The values of an attribute, given by its path.
    ///
    /// # Errors
    /// [`MergeError::Malformed`].
    pub fn facet_values(&self, path: &str) -> Result<FacetValues, MergeError> {
        let mut values = FacetValues::default();
        for member in members(self.text) {
            let member = member?;
            if path.starts_with(member.key.as_ref()) {
                let value: Value = serde_json::from_str(member.value.text).map_err(|_| MergeError::Malformed)?;
                values.collect_member(&member.key, &value, path);
            }
        }
        Ok(values)
    }
}

/// The hits of one node, each walked when its turn comes.
#[derive(Debug)]
pub struct Hits<'a> {
    /// From the bracket or comma before the next hit on.
    rest: &'a str,
}

impl<'a> Hits<'a> {
    /// From the text of an array.
    pub fn new(array: &'a str) -> Self {
        Self { rest: array }
    }

    /// The next hit and its rank; none behind the last.
    pub fn next_hit(&mut self) -> Result<Option<(Hit<'a>, Rank<'a>)>, MergeError> {
        let text = self.rest.trim_start_matches(is_space);
        let next = text.get(1..).ok_or(MergeError::Malformed)?.trim_start_matches(is_space);
        match text.as_bytes()[0] {
            b']' => Ok(None),
            b'[' if next.starts_with(']') => Ok(None),
            b'[' | b',' => {
                let (hit, rank) = Hit::read(next)?;
                self.rest = &next[hit.text.len()..];
                Ok(Some((hit, rank)))
            }
            _ => Err(MergeError::Malformed),
        }
    }
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\n' | '\r' | '\t')
}

/// How hits of one search are shown.
#[derive(Clone, Copy, Debug)]
pub struct HitView<'a> {
    /// The user's `displayedAttributes`.
    pub displayed: &'a Displayed,
    /// What only the merge needs.
    pub retrieved: &'a Retrieved,
    /// The client asked for `_rankingScoreDetails`.
    pub shows_details: bool,
    /// A ranking rule that is not the user's.
    pub hidden_rule: Option<&'a str>,
    /// No other ranking rule is shown.
    pub only_rule: Option<&'a str>,
    /// `_rankingScore` is not for the client.
    pub hides_score: bool,
    /// The value of `_federation`, where the hit is one of several queries.
    pub federation: Option<&'a str>,
    /// The place that a rule has pinned the hit to.
    pub pin: Option<u32>,
}

impl<'a> HitView<'a> {
    /// Shows nothing but the document.
    pub fn of(displayed: &'a Displayed, retrieved: &'a Retrieved) -> Self {
        Self {
            displayed,
            retrieved,
            shows_details: false,
            hidden_rule: None,
            only_rule: None,
            hides_score: false,
            federation: None,
            pin: None,
        }
    }
}

impl HitView<'_> {
    /// Appends the hit as the client may see it.
    ///
    /// # Errors
    /// [`MergeError::Malformed`].
    pub fn write(&self, hit: &Hit<'_>, text: &mut String) -> Result<(), MergeError> {
        if self.retrieved.visible(false).is_none() {
            return Ok(self.write_shown(hit, text)?);
        }
        let shown = self.without_added(hit.text, false)?;
        let (hit, _) = Hit::read(&shown)?;
        Ok(self.write_shown(&hit, text)?)
    }

    /// The object without the attributes that only the merge needs.
    fn without_added(&self, object: &str, is_formatted: bool) -> Result<String, MergeError> {
        let mut shown = ObjectWriter::with_capacity(object.len());
        for member in members(object) {
            let member = member?;
            if !is_formatted && member.key == "_formatted" && member.value.text.starts_with('{') {
                shown.push(&member.key, &self.without_added(member.value.text, true)?);
                continue;
            }
            match self.retrieved.share(&member.key, is_formatted) {
                Share::Whole => shown.push_text(member.text),
                Share::Nothing => {}
                Share::Part => {
                    let value = serde_json::from_str(member.value.text).map_err(|_| MergeError::Malformed)?;
                    let whole: Map<String, Value> = [(member.key.into_owned(), value)].into_iter().collect();
                    let visible = self.retrieved.visible(is_formatted).unwrap_or_default();
                    let paths: Vec<&str> = visible.iter().map(String::as_str).collect();
                    let selection = if is_formatted { Selection::Formatted } else { Selection::Document };
                    for (key, part) in select(&whole, &paths, selection) {
                        shown.push(&key, &part.to_string());
                    }
                }
            }
        }
        Ok(shown.finish())
    }

    fn write_shown(&self, hit: &Hit<'_>, text: &mut String) -> Result<(), Malformed> {
        text.push('{');
        let mut is_first = true;
        let mut unread = 1;
        let mut federation = self.federation;
        for (why, slice) in &hit.special {
            let start = offset_of(hit.text, slice.member);
            push(text, &mut is_first, &hit.text[unread..start]);
            unread = start + slice.member.len();
            if *why != Special::Marker
                && let Some(federation) = federation.take()
            {
                push_member(text, &mut is_first, "_federation", federation);
            }
            match why {
                Special::Marker => {}
                Special::Score if self.hides_score => {}
                Special::Score => push_member(text, &mut is_first, "_rankingScore", slice.value),
                Special::ScoreDetails if !self.shows_details => {}
                Special::ScoreDetails => {
                    push_member(text, &mut is_first, "_rankingScoreDetails", &self.visible_details(slice.value)?);
                }
                Special::Formatted => push_member(text, &mut is_first, "_formatted", &strip_object(slice.value)?),
                Special::MatchesPosition => {
                    push_member(text, &mut is_first, "_matchesPosition", &self.visible_positions(slice.value)?);
                }
            }
        }
        push(text, &mut is_first, &hit.text[unread..hit.text.len() - 1]);
        if let Some(federation) = federation {
            push_member(text, &mut is_first, "_federation", federation);
        }
        text.push('}');
        Ok(())
    }

    fn visible_positions<'a>(&self, positions: &'a str) -> Result<Cow<'a, str>, Malformed> {
        if !positions.starts_with('{') {
            return Ok(Cow::Borrowed(positions));
        }
        let mut visible = ObjectWriter::with_capacity(positions.len());
        for member in members(positions) {
            let member = member?;
            if member.key != FIELD && self.displayed.shows(&member.key) {
                visible.push_text(member.text);
            }
        }
        Ok(Cow::Owned(visible.finish()))
    }

    /// Sort rules on hidden attributes show neither name nor value.
    fn visible_details<'a>(&self, details: &'a str) -> Result<Cow<'a, str>, Malformed> {
        if let Some(position) = self.pin {
            // Its node says something else than the rule.
            return Ok(Cow::Owned(format!("{{\"pin\":{{\"order\":0,\"position\":{position}}}}}")));
        }
        if *self.displayed == Displayed::All && self.hidden_rule.is_none() && self.only_rule.is_none() {
            return Ok(Cow::Borrowed(details));
        }
        let mut visible = ObjectWriter::with_capacity(details.len());
        for member in members(details) {
            let member = member?;
            if self.hidden_rule == Some(member.key.as_ref()) || self.only_rule.is_some_and(|only| only != member.key) {
                continue;
            }
            if self.only_rule.is_some() {
                visible.push(&member.key, &as_first_rule(member.value)?);
                continue;
            }
            let attribute = member.key.strip_suffix(":asc").or_else(|| member.key.strip_suffix(":desc"));
            match attribute {
                Some(attribute) if !attribute.starts_with("_geoPoint(") && !self.displayed.lists(attribute) => {
                    let order = order_of(member.value)?;
                    let hidden = format!("{{\"order\":{order},\"value\":\"<hidden>\"}}");
                    visible.push(&format!("<hidden-rule-{order}>"), &hidden);
                }
                Some(_) | None => visible.push_text(member.text),
            }
        }
        Ok(Cow::Owned(visible.finish()))
    }
}

fn order_of(rule: Part<'_>) -> Result<&str, Malformed> {
    for member in rule.members()? {
        let member = member?;
        if member.key == "order" {
            return Ok(member.value.text);
        }
    }
    Err(Malformed)
}

/// What the details say of a rule, as if there were no others.
fn as_first_rule(rule: Part<'_>) -> Result<String, Malformed> {
    let mut first = ObjectWriter::with_capacity(rule.text.len());
    for member in rule.members()? {
        let member = member?;
        match member.key.as_ref() {
            "order" => first.push("order", "0"),
            _ => first.push_text(member.text),
        }
    }
    Ok(first.finish())
}

fn strip_object(object: &str) -> Result<Cow<'_, str>, Malformed> {
    if object.starts_with('{') { strip(object) } else { Ok(Cow::Borrowed(object)) }
}

/// Appends members as they stand in the text, without what separates them from others.
fn push(text: &mut String, is_first: &mut bool, members: &str) {
    let members = members.trim_matches(|character| character == ',' || is_space(character));
    if members.is_empty() {
        return;
    }
    if !std::mem::take(is_first) {
        text.push(',');
    }
    text.push_str(members);
}

fn push_member(text: &mut String, is_first: &mut bool, key: &str, value: &str) {
    push(text, is_first, "\"");
    text.push_str(key);
    text.push_str("\":");
    text.push_str(value);
}
