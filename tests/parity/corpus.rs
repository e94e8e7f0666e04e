//! Corpora, generated from a seed: films (text, arrays, nested objects, several scripts), cities (places, numbers, missing
//! fields), and prices (small, but more documents than the engine counts one by one for a facet).

use serde_json::{Map, Value, json};

use crate::support::Random;

/// A corpus and how its index is set up.
pub struct Corpus {
    /// The name of its index.
    pub index: &'static str,
    /// Which field is the id.
    pub primary_key: &'static str,
    /// The index's settings.
    pub settings: Value,
    /// All documents.
    pub documents: Vec<Value>,
    /// Words to ask for, the frequent ones first.
    pub words: Vec<String>,
    /// What can be filtered and sorted, and how.
    pub fields: Fields,
}

/// Attributes by what queries may do with them.
pub struct Fields {
    /// Filterable texts, with some of their values.
    pub texts: Vec<(&'static str, Vec<String>)>,
    /// Filterable numbers, with their range.
    pub numbers: Vec<(&'static str, i64, i64)>,
    /// Sortable.
    pub sortable: Vec<&'static str>,
    /// Displayed.
    pub displayed: Vec<&'static str>,
    /// Searchable.
    pub searchable: Vec<&'static str>,
    /// There are places to look near to.
    pub has_places: bool,
}

const WORDS: &str = "night river stone garden winter silent shadow morning letter bridge captain island mirror thunder \
    forest golden harbor window summer danger station journey memory empire crystal desert ocean hunter whisper dragon \
    machine secret battle midnight colony voyage signal autumn return prison village doctor teacher soldier robot \
    planet galaxy comet engine father mother daughter brother stranger detective murder justice freedom castle kingdom \
    princess warrior sword arrow horse tiger wolves raven falcon spider serpent lantern candle fire water earth heaven \
    library painter music dancer singer theatre circus carnival festival wedding funeral birthday holiday mountain \
    valley canyon glacier volcano meadow orchard vineyard market baker butcher tailor merchant pirate sailor fisher \
    lighthouse submarine airplane railway highway tunnel tower palace temple church monastery hospital laboratory \
    university academy orphan widow beggar thief banker lawyer judge senator president general colonel sergeant";

const ACCENTED: &[&str] =
    &["Amélie", "Ångström", "naïve", "façade", "crème", "São", "Zürich", "señor", "東京", "京都", "привет", "мир"];

const GENRES: &[&str] =
    &["Drama", "Comedy", "Science Fiction", "Horror", "Action", "Romance", "Documentary", "Film Noir"];

const PEOPLE: &[&str] =
    &["Ada Berg", "Boris Clay", "Chloé Dumas", "Dai Evans", "Eva Fischer", "Fumi Goto", "Gus van Holt"];

const SMALL: &[&str] = &["the", "of", "and", "in", "a", "to", "with"];

fn vocabulary() -> Vec<String> {
    WORDS.split_whitespace().chain(ACCENTED.iter().copied()).map(str::to_owned).collect()
}

fn sentence(random: &mut Random, words: &[String], length: usize) -> String {
    let mut text: Vec<&str> = Vec::new();
    while text.len() < length {
        let word: &str =
            if random.percent(25) { random.pick::<&str>(SMALL) } else { random.pick_skewed::<String>(words) };
        text.push(word);
    }
    text.join(" ")
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Films.
pub fn films(seed: u64, count: usize) -> Corpus {
    let random = &mut Random::new(seed);
    let words = vocabulary();
    let film = |id: usize| {
        let mut film = Map::new();
        film.insert("id".to_owned(), json!(id));
        let length = 1 + random.below(4);
        film.insert("title".to_owned(), json!(capitalised(&sentence(random, &words, length))));
        let length = 8 + random.below(25);
        let overview = format!("{}. {}", sentence(random, &words, length), sentence(random, &words, 6));
        film.insert("overview".to_owned(), json!(overview));
        let mut genres: Vec<&str> = (0..random.below(4)).map(|_| *random.pick_skewed(GENRES)).collect();
        genres.sort_unstable();
        genres.dedup();
        film.insert("genres".to_owned(), json!(genres));
        film.insert("year".to_owned(), json!(random.between(1920, 2025)));
        match random.below(10) {
            0 => {}
            1 => drop(film.insert("rating".to_owned(), Value::Null)),
            _ => drop(film.insert("rating".to_owned(), json!(random.between(0, 100) as f64 / 10.0))),
        }
        film.insert(
            "director".to_owned(),
            json!({"name": random.pick_skewed(PEOPLE), "born": random.between(1900, 1990)}),
        );
        film.insert("seen".to_owned(), json!(random.percent(40)));
        Value::from(film)
    };
    Corpus {
        index: "films",
        primary_key: "id",
        settings: json!({
            "searchableAttributes": ["title", "overview", "genres", "director.name"],
            "filterableAttributes": ["genres", "year", "rating", "director.name", "director.born", "seen", "id"],
            "sortableAttributes": ["year", "rating", "title", "director.born"],
            "stopWords": ["the", "of"],
            "synonyms": {"robot": ["machine"], "machine": ["robot"], "planet": ["heaven"]},
            "faceting": {"maxValuesPerFacet": 50},
        }),
        documents: (0..count).map(film).collect(),
        words,
        fields: Fields {
            texts: vec![
                ("genres", GENRES.iter().map(|text| (*text).to_owned()).collect()),
                ("director.name", PEOPLE.iter().map(|text| (*text).to_owned()).collect()),
                ("seen", vec!["true".to_owned(), "false".to_owned()]),
            ],
            numbers: vec![("year", 1920, 2025), ("rating", 0, 10), ("director.born", 1900, 1990)],
            sortable: vec!["year", "rating", "title", "director.born"],
            displayed: vec!["id", "title", "overview", "genres", "year", "rating", "director", "director.name"],
            searchable: vec!["title", "overview", "genres", "director.name"],
            has_places: false,
        },
    }
}

/// Cities.
pub fn cities(seed: u64, count: usize) -> Corpus {
    const COUNTRIES: &[&str] =
        &["France", "Deutschland", "日本", "Brasil", "Kenya", "Ísland", "New Zealand", "Perú", "Chad"];
    const TAGS: &[&str] = &["port", "capital", "old town", "university", "airport", "spa"];
    let random = &mut Random::new(seed ^ 0x00C1_71E5);
    let words = vocabulary();
    let city = |number: usize| {
        let mut city = Map::new();
        city.insert("key".to_owned(), json!(format!("city-{number}")));
        let ending = ["ville", "burg", "ton", " Harbor", " Springs", "-sur-Mer", ""];
        let word: &String = random.pick_skewed(&words);
        let name = format!("{}{}", capitalised(word), random.pick(&ending));
        city.insert("name".to_owned(), json!(name));
        city.insert("country".to_owned(), json!(random.pick_skewed(COUNTRIES)));
        if random.percent(85) {
            city.insert("population".to_owned(), json!(random.between(1, 400) * 1000));
        }
        if random.percent(92) {
            let (lat, lng) =
                (random.between(-8500, 8500) as f64 / 100.0, random.between(-17_900, 17_900) as f64 / 100.0);
            city.insert("_geo".to_owned(), json!({"lat": lat, "lng": lng}));
        }
        if random.percent(50) {
            city.insert("altitude".to_owned(), json!(random.between(-40, 4000) as f64 / 2.0));
        }
        let tags: Vec<&str> = TAGS.iter().copied().filter(|_| random.percent(30)).collect();
        if random.percent(80) {
            city.insert("tags".to_owned(), json!(tags));
        }
        city.insert("about".to_owned(), json!(sentence(random, &words, 10)));
        Value::from(city)
    };
    Corpus {
        index: "cities",
        primary_key: "key",
        settings: json!({
            "filterableAttributes": ["country", "population", "altitude", "tags", "name", "_geo"],
            "sortableAttributes": ["population", "altitude", "name", "_geo"],
            "rankingRules": ["words", "typo", "proximity", "attributeRank", "sort", "wordPosition", "exactness", "population:desc"],
        }),
        documents: (0..count).map(city).collect(),
        words,
        fields: Fields {
            texts: vec![
                ("country", COUNTRIES.iter().map(|text| (*text).to_owned()).collect()),
                ("tags", TAGS.iter().map(|text| (*text).to_owned()).collect()),
            ],
            numbers: vec![("population", 0, 400_000), ("altitude", -20, 2000)],
            sortable: vec!["population", "altitude", "name"],
            displayed: vec!["key", "name", "country", "population", "_geo", "tags", "about"],
            searchable: vec!["name", "country", "about"],
            has_places: true,
        },
    }
}

/// Prices: facets of numbers with more values than are shown. Filters by `part` find any share of the documents.
pub fn prices(seed: u64, count: usize) -> Corpus {
    let random = &mut Random::new(seed ^ 0x0000_9B1C);
    let price = |id: usize| {
        let price = random.between(-500, 40_000) as f64 / 4.0;
        let (code, label) = (random.between(0, 5000), format!("label {}", random.below(150)));
        json!({"id": id, "price": price, "code": code, "label": label, "stock": random.below(60), "part": random.below(100)})
    };
    Corpus {
        index: "prices",
        primary_key: "id",
        settings: json!({"filterableAttributes": ["price", "code", "label", "stock", "part"]}),
        documents: (0..count).map(price).collect(),
        words: Vec::new(),
        fields: Fields {
            texts: Vec::new(),
            numbers: vec![("price", -125, 10_000), ("code", 0, 5000), ("stock", 0, 60), ("part", 0, 100)],
            sortable: Vec::new(),
            displayed: vec!["id"],
            searchable: vec!["label"],
            has_places: false,
        },
    }
}
