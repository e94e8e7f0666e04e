//! Words and quoted texts.

use super::{Failure, Fault, Kind, Parser, Token, escape};

const KEYWORDS: [&str; 14] = [
    "AND",
    "OR",
    "IN",
    "NOT",
    "TO",
    "EXISTS",
    "IS",
    "NULL",
    "EMPTY",
    "CONTAINS",
    "STARTS",
    "WITH",
    "_geoRadius",
    "_geoBoundingBox",
];

/// The word at the beginning, perhaps empty.
pub(super) fn word(text: &str) -> &str {
    let end = text.find(|character: char| !is_word_character(character)).unwrap_or(text.len());
    &text[..end]
}

fn is_word_character(character: char) -> bool {
    character.is_alphanumeric() || ['_', '-', '.'].contains(&character)
}

/// What an error shows as the value: up to the next piece of syntax.
fn up_to_syntax(text: &str) -> &str {
    let ends = |character: char| character.is_whitespace() || ['(', ')', '=', '<', '>', '!'].contains(&character);
    &text[..text.find(ends).unwrap_or(text.len())]
}

impl Parser<'_> {
    /// A word that is no keyword, or a quoted text; white space around it is skipped.
    pub(super) fn value(&mut self) -> Result<Token, Failure> {
        let rest = self.rest();
        self.place += rest.len() - rest.trim_start().len();
        self.refuse_geo_as_value().map_err(Failure::Fatal)?;
        let start = self.place;
        let token = if let Some(quote @ ('\'' | '"')) = self.rest().chars().next() {
            self.quoted(quote)?
        } else {
            let word = word(self.rest());
            if word.is_empty() || KEYWORDS.contains(&word) {
                return Err(Failure::NoMatch(self.no_value(!word.is_empty())));
            }
            self.place += word.len();
            self.token(start, self.place, word)
        };
        self.skip_spaces();
        unescape(token)
    }

    fn no_value(&self, is_keyword: bool) -> Fault {
        let found = up_to_syntax(self.rest());
        let kind = if found.trim().is_empty() {
            Kind::MissingValue
        } else if is_keyword {
            Kind::KeywordAsValue(escape(found))
        } else {
            Kind::NoValue(escape(found))
        };
        self.error(found, kind)
    }

    /// A text in quotes; a quote inside is written with a backslash before it.
    pub(super) fn quoted(&mut self, quote: char) -> Result<Token, Failure> {
        let whole = self.rest();
        let inner = &whole[1..];
        let mut characters = inner.char_indices();
        let mut has_escaped_quote = false;
        while let Some((place, character)) = characters.next() {
            if character == quote {
                let start = self.place + 1;
                let written = &inner[..place];
                self.place = start + place + 1;
                let text = if has_escaped_quote {
                    written.replace(&format!("\\{quote}"), &quote.to_string())
                } else {
                    written.to_owned()
                };
                return Ok(self.token(start, start + place, &text));
            }
            if character == '\\' {
                match characters.next() {
                    Some((_, escaped)) => has_escaped_quote |= escaped == quote,
                    None => return Err(Failure::Fatal(self.error(inner, Kind::MalformedValue(escape(inner))))),
                }
            }
        }
        Err(Failure::Fatal(self.error(whole, Kind::MissingClosingDelimiter(escape(whole), quote))))
    }
}

/// Resolves `\n`, `\u00e9`, `\x41` and the like.
pub(super) fn unescape(mut token: Token) -> Result<Token, Failure> {
    if !token.text.contains('\\') {
        return Ok(token);
    }
    let shown = escape(&token.text);
    let kind = match unescape_text(&token.text) {
        Ok(text) => {
            token.text = text;
            return Ok(token);
        }
        Err(BrokenEscape::Unfinished) => Kind::Incomplete,
        Err(BrokenEscape::Number) => Kind::InvalidEscapedNumber(shown),
        Err(BrokenEscape::Character) => Kind::MalformedValue(shown),
    };
    Err(Failure::NoMatch(Fault { kind, place: token.place, cited_from: token.cited_from }))
}

enum BrokenEscape {
    Unfinished,
    Number,
    Character,
}

fn unescape_text(text: &str) -> Result<String, BrokenEscape> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        plain.push(match characters.next().ok_or(BrokenEscape::Unfinished)? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            same @ ('\'' | '"' | '\\' | '/') => same,
            'u' if characters.peek() == Some(&'{') => {
                characters.next();
                let digits: String = characters.by_ref().take_while(|&digit| digit != '}').collect();
                code_point(&digits, 16)?
            }
            'u' => code_point(&take_digits(&mut characters, 4, 16)?, 16)?,
            'x' => code_point(&take_digits(&mut characters, 2, 16)?, 16)?,
            digit @ '0'..='7' => {
                let mut digits = digit.to_string();
                while digits.len() < 3
                    && let Some(more) = characters.next_if(|next| next.is_digit(8))
                {
                    digits.push(more);
                }
                code_point(&digits, 8)?
            }
            _ => return Err(BrokenEscape::Character),
        });
    }
    Ok(plain)
}

fn take_digits(characters: &mut impl Iterator<Item = char>, count: usize, radix: u32) -> Result<String, BrokenEscape> {
    let digits: String = characters.take(count).collect();
    if digits.chars().count() < count {
        return Err(BrokenEscape::Unfinished);
    }
    if digits.chars().all(|digit| digit.is_digit(radix)) { Ok(digits) } else { Err(BrokenEscape::Number) }
}

fn code_point(digits: &str, radix: u32) -> Result<char, BrokenEscape> {
    let number = u32::from_str_radix(digits, radix).map_err(|_| BrokenEscape::Number)?;
    char::from_u32(number).ok_or(BrokenEscape::Character)
}
