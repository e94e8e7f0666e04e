//! Which part of a text a crop keeps: the interval of matches with the most different words of the query, grown in both
//! directions to the asked number of words.

use charabia::{SeparatorKind, Token, TokenKind};

use super::text::TextMatch;

/// Words farther apart count as this far.
const GAP_MAX: usize = 7;

/// First and last byte to keep.
pub(super) fn bounds(text: &str, tokens: &[Token<'_>], matches: &[TextMatch], words: usize) -> (usize, usize) {
    let mut window = match best_interval(matches, words) {
        Some((first, last)) => Window::around(tokens, first, last, words),
        None => Window { tokens, left: 0, after: After::Forward(0), missing: words },
    };
    window.grow();
    let start = window.before().map_or(0, |token| token.byte_end);
    let end = window.following().map_or(text.len(), |token| token.byte_start);
    (start, end)
}

/// What comes after the window, and in which direction it is eaten.
enum After {
    /// From this token on.
    Forward(usize),
    /// Backwards from this token: a single match longer than the crop loses its end.
    Backward(Option<usize>),
}

struct Window<'a, 't> {
    tokens: &'a [Token<'t>],
    /// Tokens before the window.
    left: usize,
    after: After,
    /// Words still to take (or, backwards, to lose).
    missing: usize,
}

impl<'a, 't> Window<'a, 't> {
    fn around(tokens: &'a [Token<'t>], first: &TextMatch, last: &TextMatch, words: usize) -> Self {
        let size = last.words.1 - first.words.0 + 1;
        let behind = (last.tokens.1 + 1).min(tokens.len());
        if words >= size {
            Self { tokens, left: first.tokens.0, after: After::Forward(behind), missing: words - size }
        } else {
            let from = behind.min(tokens.len().saturating_sub(1));
            Self { tokens, left: 0, after: After::Backward(Some(from)), missing: size - words }
        }
    }

    fn before(&self) -> Option<&'a Token<'t>> {
        self.left.checked_sub(1).map(|place| &self.tokens[place])
    }

    fn following(&self) -> Option<&'a Token<'t>> {
        match self.after {
            After::Forward(place) => self.tokens.get(place),
            After::Backward(place) => place.and_then(|place| self.tokens.get(place)),
        }
    }

    fn step_left(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    fn step_right(&mut self) {
        self.after = match self.after {
            After::Forward(place) => After::Forward(place + 1),
            After::Backward(place) => After::Backward(place.and_then(|place| place.checked_sub(1))),
        };
    }

    fn grow(&mut self) {
        while self.missing > 0 {
            match (self.before().map(separator), self.following().map(separator)) {
                (Some(Some(before)), Some(Some(after))) => {
                    if before == after {
                        self.step_left();
                        // No separator between the last word and the crop marker.
                        if self.missing > 1 {
                            self.step_right();
                        }
                    } else if before == SeparatorKind::Hard {
                        self.step_right();
                    } else {
                        self.step_left();
                    }
                }
                (Some(None), Some(Some(_))) => {
                    self.step_left();
                    self.missing -= 1;
                }
                (Some(Some(_)), Some(None)) => {
                    self.step_right();
                    self.missing -= 1;
                }
                (Some(None), Some(None)) => {
                    self.step_left();
                    self.missing -= 1;
                    if self.missing > 0 {
                        self.step_right();
                        self.missing -= 1;
                    }
                }
                (Some(before), None) => {
                    self.step_left();
                    self.missing -= usize::from(before.is_none());
                }
                (None, Some(after)) => {
                    self.step_right();
                    self.missing -= usize::from(after.is_none());
                }
                (None, None) => return,
            }
        }
    }
}

fn separator(token: &Token<'_>) -> Option<SeparatorKind> {
    match token.kind {
        TokenKind::Separator(kind) => Some(kind),
        TokenKind::Word | TokenKind::StopWord | TokenKind::Unknown => None,
    }
}

/// The first and last match of the best interval of at most `words` words.
fn best_interval(matches: &[TextMatch], words: usize) -> Option<(&TextMatch, &TextMatch)> {
    let mut best: Option<((usize, usize), [i64; 3])> = None;
    let mut consider = |first: usize, last: usize| {
        let score = interval_score(&matches[first..=last]);
        if best.is_none_or(|(_, other)| score > other) {
            best = Some(((first, last), score));
        }
    };
    let mut first = 0;
    for (place, next) in matches.iter().enumerate() {
        if next.words.1 - matches[first].words.0 < words {
            continue;
        }
        if place > 0 {
            consider(first, place - 1);
        }
        // Moves the beginning on until the match fits.
        while first + 1 < matches.len() {
            first += 1;
            let start = matches[first].words.0;
            if start > next.words.1 || next.words.1 - start < words {
                break;
            }
        }
    }
    let last = matches.len().checked_sub(1)?;
    let (start, end) = matches[first].words;
    if first != last || end - start + 1 < words {
        consider(first, last);
    }
    let (first, last) = best.map_or((0, 0), |(interval, _)| interval);
    Some((&matches[first], &matches[last]))
}

/// Different words of the query, then nearness, then order.
fn interval_score(matches: &[TextMatch]) -> [i64; 3] {
    let (mut distance, mut order) = (0i64, 0i64);
    let mut ids: Vec<u16> = Vec::new();
    for (place, found) in matches.iter().enumerate() {
        let inside = (found.words.1 - found.words.0) as i64;
        order += inside;
        distance -= inside;
        if let Some(next) = matches.get(place + 1) {
            order += i64::from(next.query_positions.0 > found.query_positions.0);
            distance -= (next.words.0 - found.words.1).min(GAP_MAX) as i64;
        }
        ids.extend(found.query_positions.0..=found.query_positions.1);
    }
    ids.sort_unstable();
    ids.dedup();
    [ids.len() as i64, distance, order]
}
