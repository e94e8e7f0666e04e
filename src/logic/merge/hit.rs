//! What a client may see of a hit: no marker, score details only when asked for, nothing of hidden attributes.

use std::borrow::Cow;

use crate::logic::marker::{FIELD, Member, NotAnObject, ObjectWriter, members, strip};
use crate::meili::search::Displayed;

/// How hits of one search are shown.
#[derive(Clone, Copy, Debug)]
pub struct HitView<'a> {
    /// The user's `displayedAttributes`.
    pub displayed: &'a Displayed,
    /// The client asked for `_rankingScoreDetails`.
    pub shows_details: bool,
}

impl HitView<'_> {
    /// Appends the hit as the client may see it.
    pub fn write(&self, hit: &str, text: &mut String) -> Result<(), NotAnObject> {
        text.push('{');
        let mut is_first = true;
        let mut pending_details: Option<Member<'_>> = None;
        for member in members(hit) {
            let member = member?;
            match member.key.as_ref() {
                FIELD => {}
                "_rankingScoreDetails" => {
                    // The engine's comes after a document's field of the same name.
                    if let Some(field) = pending_details.replace(member) {
                        push(text, &mut is_first, field.text);
                    }
                }
                "_formatted" => {
                    let formatted = strip_object(member.value)?;
                    push_member(text, &mut is_first, "_formatted", &formatted);
                }
                "_matchesPosition" => {
                    let positions = self.visible_positions(member.value)?;
                    push_member(text, &mut is_first, "_matchesPosition", &positions);
                }
                _ => push(text, &mut is_first, member.text),
            }
        }
        if let Some(details) = pending_details
            && self.shows_details
        {
            let details = self.visible_details(details.value)?;
            push_member(text, &mut is_first, "_rankingScoreDetails", &details);
        }
        text.push('}');
        Ok(())
    }

    fn visible_positions<'a>(&self, positions: &'a str) -> Result<Cow<'a, str>, NotAnObject> {
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
    fn visible_details<'a>(&self, details: &'a str) -> Result<Cow<'a, str>, NotAnObject> {
        if *self.displayed == Displayed::All {
            return Ok(Cow::Borrowed(details));
        }
        let mut visible = ObjectWriter::with_capacity(details.len());
        for member in members(details) {
            let member = member?;
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

fn order_of(rule: &str) -> Result<&str, NotAnObject> {
    for member in members(rule) {
        let member = member?;
        if member.key == "order" {
            return Ok(member.value);
        }
    }
    Err(NotAnObject)
}

fn strip_object(object: &str) -> Result<Cow<'_, str>, NotAnObject> {
    if object.starts_with('{') { strip(object) } else { Ok(Cow::Borrowed(object)) }
}

fn push(text: &mut String, is_first: &mut bool, member: &str) {
    if !std::mem::take(is_first) {
        text.push(',');
    }
    text.push_str(member);
}

fn push_member(text: &mut String, is_first: &mut bool, key: &str, value: &str) {
    push(text, is_first, "\"");
    text.push_str(key);
    text.push_str("\":");
    text.push_str(value);
}
