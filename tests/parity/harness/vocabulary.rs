//! Words and texts of generated corpora: frequent and rare words, several scripts, near misses of one another, compounds.

use crate::support::Random;

const WORDS: &str = "night river stone garden winter silent shadow morning letter bridge captain island mirror thunder \
    forest golden harbor window summer danger station journey memory empire crystal desert ocean hunter whisper dragon \
    machine secret battle midnight colony voyage signal autumn return prison village doctor teacher soldier robot \
    planet galaxy comet engine father mother daughter brother stranger detective murder justice freedom castle kingdom \
    princess warrior sword arrow horse tiger wolves raven falcon spider serpent lantern candle fire water earth heaven \
    library painter music dancer singer theatre circus carnival festival wedding funeral birthday holiday mountain \
    valley canyon glacier volcano meadow orchard vineyard market baker butcher tailor merchant pirate sailor fisher \
    lighthouse submarine airplane railway highway tunnel tower palace temple church monastery hospital laboratory \
    university academy orphan widow beggar thief banker lawyer judge senator president general colonel sergeant";

/// Words of other shapes: accents, other scripts, numbers, hyphens, apostrophes.
const UNUSUAL: &[&str] = &[
    "Amélie",
    "Ångström",
    "naïve",
    "façade",
    "crème",
    "São",
    "Zürich",
    "señor",
    "Œuvre",
    "Straße",
    "東京",
    "京都タワー",
    "北京大学",
    "안녕하세요",
    "привет",
    "мир",
    "Ἀθῆναι",
    "שלום",
    "مرحبا",
    "สวัสดี",
    "2024",
    "3.14",
    "007",
    "mid-air",
    "don't",
    "l'été",
    "C++",
    "x86_64",
    "émigré",
    "iPhone",
    "🚀",
];

const SMALL: &[&str] = &["the", "of", "and", "in", "a", "to", "with"];

const CJK: &[&str] =
    &["東京都", "日本語", "寿司", "学校", "電車", "北京", "中国", "图书馆", "苹果", "上海", "ひらがな", "カタカナ"];

/// The words of one corpus, the frequent ones first.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    words: Vec<String>,
}

impl Vocabulary {
    /// With some hundred words, or with so many invented ones that what a typo may mean is many of them.
    pub fn generate(random: &mut Random) -> Self {
        let mut words: Vec<String> = WORDS.split_whitespace().map(str::to_owned).collect();
        // Which of them are frequent differs from corpus to corpus.
        for place in (1..words.len()).rev() {
            words.swap(place, random.below(place + 1));
        }
        for word in UNUSUAL {
            words.insert(random.below(words.len()), (*word).to_owned());
        }
        for _ in 0..random.below(8) {
            let compound = format!("{}{}", random.pick(&words[..60]), random.pick(&words[..60]));
            words.insert(random.below(words.len()), compound);
        }
        let invented = *random.pick(&[0, 0, 200, 200, 3_000]);
        for _ in 0..invented {
            words.push(invented_word(random));
        }
        Self { words }
    }

    /// A word, the first ones more often.
    pub fn word(&self, random: &mut Random) -> &str {
        random.pick_skewed::<String>(&self.words)
    }

    /// Any word, all equally often.
    pub fn any_word(&self, random: &mut Random) -> &str {
        random.pick::<String>(&self.words)
    }

    /// So many words with small ones between them and punctuation here and there.
    pub fn sentence(&self, random: &mut Random, length: usize) -> String {
        let mut text = String::new();
        for place in 0..length {
            if place > 0 {
                text.push_str(match random.below(30) {
                    0 => ". ",
                    1 => ", ",
                    2 => "-",
                    3 => " (",
                    4 => "; ",
                    _ => " ",
                });
            }
            match random.below(100) {
                0..20 => text.push_str(random.pick::<&str>(SMALL)),
                20..23 => (0..=random.below(3)).for_each(|_| text.push_str(random.pick::<&str>(CJK))),
                23..28 => text.push_str(&capitalised(self.word(random))),
                28..30 => text.push_str(&self.word(random).to_uppercase()),
                _ => text.push_str(self.word(random)),
            }
        }
        text
    }
}

/// With its first letter in upper case.
pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn invented_word(random: &mut Random) -> String {
    const ONSETS: &[&str] = &["b", "br", "c", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "st", "t", "v"];
    const VOWELS: &[&str] = &["a", "e", "i", "o", "u"];
    let syllable = |random: &mut Random| format!("{}{}", random.pick(ONSETS), random.pick(VOWELS));
    (0..2 + random.below(3)).map(|_| syllable(random)).collect()
}

/// The word with one letter dropped, doubled, replaced or swapped with the next; the first letter stays, mostly.
pub fn typo(random: &mut Random, word: &str) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    if letters.len() < 2 {
        return word.to_owned();
    }
    let at = if random.percent(10) { 0 } else { 1 + random.below(letters.len() - 1) };
    match random.below(4) {
        0 => drop(letters.remove(at)),
        1 => letters.insert(at, letters[at]),
        2 if at + 1 < letters.len() => letters.swap(at, at + 1),
        _ => letters[at] = *random.pick(&['x', 'e', 'a', 'o']),
    }
    letters.into_iter().collect()
}

/// The first letters of a word.
pub fn prefix(random: &mut Random, word: &str) -> String {
    let letters: Vec<char> = word.chars().collect();
    letters[..=random.below(letters.len())].iter().collect()
}
