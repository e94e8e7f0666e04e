//! Documents and searches for measurements: texts of a made-up vocabulary in which some words are common and most are rare,
//! the same in every run.

use std::fmt::Write;

/// Words of the vocabulary.
const WORDS: u64 = 5_000;

/// Words of one document's text.
const TEXT_WORDS: usize = 50;

/// A number that looks random and depends on its two arguments alone (the finalizer of splitmix64).
fn mixed(seed: u64, number: u64) -> u64 {
    let mut value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.wrapping_mul(0xd1b5_4a32_d192_ed03);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A word; small numbers are common ones, as in a text of a natural language.
fn word(random: u64) -> String {
    const SYLLABLES: [&str; 20] = [
        "ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va", "we", "xi",
        "yo", "za",
    ];
    // The product of two even draws: small ones are more likely.
    let (first, second) = (random % WORDS, (random >> 32) % WORDS);
    let mut rank = first * second / WORDS;
    let mut text = String::new();
    for _ in 0..3 {
        text.push_str(SYLLABLES[(rank % 20) as usize]);
        rank /= 20;
    }
    text
}

/// One document of about 500 bytes.
fn document(id: usize, version: u64) -> String {
    let draw = |place: usize| mixed(version, (id * 64 + place) as u64);
    let text: Vec<String> = (0..TEXT_WORDS).map(|place| word(draw(place))).collect();
    let (title, overview) = text.split_at(4);
    let (year, genre) = (1950 + draw(60) % 75, draw(61) % 12);
    let (title, overview) = (title.join(" "), overview.join(" "));
    format!(
        r#"{{"id":{id},"title":"{title}","year":{year},"genre":"genre-{genre}","rating":{},"overview":"{overview}"}}"#,
        draw(62) % 100
    )
}

/// A JSON array of the documents with these ids.
pub fn documents(ids: impl IntoIterator<Item = usize>, version: u64) -> String {
    let mut body = String::new();
    for id in ids {
        write!(body, "{}{}", if body.is_empty() { "[" } else { "," }, document(id, version))
            .expect("writing to a text cannot fail");
    }
    body.push(']');
    body
}

/// The settings that the searches need.
pub const SETTINGS: &str = r#"{"filterableAttributes":["genre","year"],"sortableAttributes":["year","rating"]}"#;

/// The body of one search: one or two words; some with a filter, facets or a sort.
pub fn search(number: u64) -> String {
    let draw = |place: u64| mixed(99, number * 8 + place);
    let query = if draw(0).is_multiple_of(2) { word(draw(1)) } else { format!("{} {}", word(draw(1)), word(draw(2))) };
    let more = match draw(3) % 4 {
        0 => format!(r#","filter":"genre = genre-{}""#, draw(4) % 12),
        1 => r#","facets":["genre"]"#.to_owned(),
        2 => r#","sort":["year:desc"]"#.to_owned(),
        _ => String::new(),
    };
    format!(r#"{{"q":"{query}","limit":20{more}}}"#)
}
