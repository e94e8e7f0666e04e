//! Liquid as nodes read it: a template cut into texts, outputs and tags, and these into words.
//!
//! Of a template that a node takes, every piece outside of `raw` and `comment` is what it is there. Of one that no node takes,
//! outputs and tags may have words where there is nothing to be read.

/// A piece of a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece<'a> {
    /// Is rendered as it is.
    Text(&'a str),
    /// `{{ … }}`
    Output(Markup<'a>),
    /// `{% … %}`
    Tag(Markup<'a>),
    /// The rest, whose first braces are not closed.
    Unclosed(&'a str),
}

/// An output or a tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Markup<'a> {
    /// With its braces.
    pub text: &'a str,
    /// What is between them.
    pub tokens: Vec<Token<'a>>,
}

/// A part of an output or a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token<'a> {
    /// The beginning of a variable, or a word of a tag.
    Name(&'a str),
    /// `.name`, `["name"]` or `[0]` behind a variable.
    Field,
    /// A number that nodes cannot hold: they panic.
    TooLarge,
    /// Another literal, or a symbol.
    Other,
}

impl<'a> Piece<'a> {
    /// All of it.
    pub fn text(&self) -> &'a str {
        match self {
            Self::Text(text) | Self::Unclosed(text) => text,
            Self::Output(markup) | Self::Tag(markup) => markup.text,
        }
    }
}

impl<'a> Markup<'a> {
    /// What kind of tag it is.
    pub fn name(&self) -> Option<&'a str> {
        if let Some(Token::Name(name)) = self.tokens.first() { Some(name) } else { None }
    }

    /// Whether there is nothing but the name.
    pub fn is_bare(&self) -> bool {
        self.tokens.len() == 1
    }

    /// How deep what is looked up by what is looked up can be.
    pub fn depth_max(&self) -> usize {
        self.text.matches('[').count()
    }

    /// Whether something could begin within its text, if it should not be what it seems to be.
    pub fn is_nested(&self) -> bool {
        let inside = &self.text[2..];
        inside.contains("{{") || inside.contains("{%")
    }
}

/// Cuts a template.
pub fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut text_start, mut at) = (0, 0);
    while let Some(brace) = template[at..].find('{') {
        let start = at + brace;
        let rest = &template[start..];
        let close = match rest.as_bytes().get(1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(_) | None => {
                at = start + 1;
                continue;
            }
        };
        if text_start < start {
            pieces.push(Piece::Text(&template[text_start..start]));
        }
        let Some(length) = length(rest, close) else {
            pieces.push(Piece::Unclosed(rest));
            return pieces;
        };
        let text = &rest[..length];
        let inside = &text[2..length - 2];
        let inside = inside.strip_prefix('-').unwrap_or(inside);
        let inside = inside.strip_suffix('-').unwrap_or(inside);
        let is_tag = close == "%}";
        let markup = Markup { text, tokens: tokens(inside, is_tag) };
        pieces.push(if is_tag { Piece::Tag(markup) } else { Piece::Output(markup) });
        at = start + length;
        text_start = at;
    }
    if text_start < template.len() {
        pieces.push(Piece::Text(&template[text_start..]));
    }
    pieces
}

/// Bytes up to the closing braces, which do not count within quotes.
fn length(markup: &str, close: &str) -> Option<usize> {
    let mut at = 2;
    loop {
        let rest = markup.get(at..)?;
        let step = rest.find(['"', '\'', '}', '%'])?;
        let found = &rest[step..];
        if found.starts_with(close) {
            return Some(at + step + 2);
        }
        at += step + 1;
        if let quote @ ('"' | '\'') = found.chars().next()? {
            at += found[1..].find(quote)? + 1;
        }
    }
}

/// Reads the parts. The name of a tag is a word, whatever its letters.
fn tokens(inside: &str, is_tag: bool) -> Vec<Token<'_>> {
    const LITERALS: [&str; 6] = ["nil", "null", "empty", "blank", "true", "false"];
    let mut tokens = Vec::new();
    let mut rest = inside.trim_start_matches(WHITE);
    while let Some(first) = rest.chars().next() {
        let literal = LITERALS.iter().find(|literal| rest.starts_with(**literal) && !(is_tag && tokens.is_empty()));
        let (word, number) = (word_length(rest), number_length(rest));
        let (token, length) = match (first, literal) {
            // A literal ends where it ends: `nildoc` is `nil` and `doc`.
            (_, Some(literal)) => (Token::Other, literal.len()),
            ('"' | '\'', None) => (Token::Other, string_length(rest)),
            _ if number > 0 => (if is_held(&rest[..number]) { Token::Other } else { Token::TooLarge }, number),
            _ if word > 0 => (Token::Name(&rest[..word]), word),
            ('.', None) if rest.starts_with("..") => (Token::Other, 2),
            ('.', None) if word_length(&rest[1..]) > 0 => (Token::Field, 1 + word_length(&rest[1..])),
            ('[', None) => index_length(rest).map_or((Token::Other, 1), |length| (Token::Field, length)),
            _ => (Token::Other, first.len_utf8()),
        };
        tokens.push(token);
        rest = rest[length..].trim_start_matches(WHITE);
    }
    tokens
}

const WHITE: [char; 3] = [' ', '\n', '\r'];

/// All of it, if it is not closed.
fn string_length(text: &str) -> usize {
    let quote = &text[..1];
    text[1..].find(quote).map_or(text.len(), |end| end + 2)
}

fn word_length(text: &str) -> usize {
    let is_first = |letter: char| letter.is_ascii_alphabetic() || letter == '_' || letter == '-';
    let is_part = |letter: char| is_first(letter) || letter.is_ascii_digit();
    if text.starts_with(is_first) { text.find(|letter| !is_part(letter)).unwrap_or(text.len()) } else { 0 }
}

fn number_length(text: &str) -> usize {
    let digits = |text: &str| text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let sign = usize::from(text.starts_with(['+', '-']));
    let whole = digits(&text[sign..]);
    if whole == 0 {
        return 0;
    }
    let end = sign + whole;
    let decimals = text[end..].strip_prefix('.').map_or(0, digits);
    if decimals > 0 { end + 1 + decimals } else { end }
}

fn is_held(number: &str) -> bool {
    number.contains('.') || number.parse::<i64>().is_ok()
}

/// Of `[`, a literal, and `]`.
fn index_length(text: &str) -> Option<usize> {
    let inside = text[1..].trim_start_matches(WHITE);
    let literal = if inside.starts_with(['"', '\'']) { string_length(inside) } else { number_length(inside) };
    let rest = inside[literal..].trim_start_matches(WHITE).strip_prefix(']')?;
    let literal = &inside[..literal];
    let is_string = literal.starts_with(['"', '\'']);
    (is_string || (!literal.is_empty() && is_held(literal))).then_some(text.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(template: &str) -> Vec<String> {
        let shown = |piece: &Piece<'_>| match piece {
            Piece::Text(text) => (*text).to_owned(),
            Piece::Output(markup) => format!("output {}", markup.text),
            Piece::Tag(markup) => format!("tag {} {}", markup.name().unwrap_or("?"), markup.text),
            Piece::Unclosed(rest) => format!("unclosed {rest}"),
        };
        pieces(template).iter().map(shown).collect()
    }

    #[test]
    fn templates_are_cut_as_nodes_cut_them() {
        for (template, expected) in [
            ("", vec![]),
            ("a { b } c", vec!["a { b } c"]),
            ("a{{b}}{%-if x-%}", vec!["a", "output {{b}}", "tag if {%-if x-%}"]),
            ("{{ '}}{% raw %}' }}b", vec!["output {{ '}}{% raw %}' }}", "b"]),
            ("{% assign x = \"%}\" %}", vec!["tag assign {% assign x = \"%}\" %}"]),
            ("b{{ a", vec!["b", "unclosed {{ a"]),
            ("{{ 'a }} {{ b }}", vec!["unclosed {{ 'a }} {{ b }}"]),
            ("{%\n-raw-%}", vec!["tag -raw {%\n-raw-%}"]),
        ] {
            assert_eq!(cut(template), expected, "{template}");
        }
    }

    #[test]
    fn tags_are_cut_into_words() {
        use Token::{Field, Name, Other};
        for (inside, expected) in [
            (
                "doc.a | append: doc[ 'b' ].doc",
                vec![Name("doc"), Field, Other, Name("append"), Other, Name("doc"), Field, Field],
            ),
            ("doc[key]", vec![Name("doc"), Other, Name("key"), Other]),
            ("(1..doc.size)", vec![Other, Other, Other, Name("doc"), Field, Other]),
            ("nildoc -1.5 -doc-x", vec![Other, Name("doc"), Other, Name("-doc-x")]),
            ("1doc a..doc", vec![Other, Name("doc"), Name("a"), Other, Name("doc")]),
        ] {
            assert_eq!(tokens(inside, false), expected, "{inside}");
        }
        assert_eq!(tokens("trueish x", true)[0], Name("trueish"));
    }
}
