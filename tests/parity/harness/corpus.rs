//! Generated corpora: which fields the documents of an index have, and the documents.
//!
//! A corpus is a list of fields, each with a kind of value: short and long texts, labels, numbers, booleans, all of these
//! mixed, lists, objects, lists of objects, keys with points in them. Any of them may be missing from a document. Few
//! corpora are empty, most have some hundred documents, some have thousands, and a list field with up to 20,000 values.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::features::{Feature, is_on};
use super::settings;
use super::vectors::{self, Embedder};
use super::vocabulary::{Vocabulary, capitalised};
use crate::support::Random;

/// A corpus and how its index is set up.
pub struct Corpus {
    /// The name of its index.
    pub index: String,
    /// Which field is the id.
    pub primary_key: &'static str,
    /// The index's settings.
    pub settings: Map<String, Value>,
    /// All documents.
    pub documents: Vec<Value>,
    /// Words to ask for.
    pub vocabulary: Vocabulary,
    /// Every attribute of the documents, by its path.
    pub attributes: Vec<Attribute>,
    /// Documents have `_geo`.
    pub has_places: bool,
    /// Whose vectors documents have.
    pub embedders: Vec<Embedder>,
    by_id: HashMap<String, usize>,
}

/// An attribute as a path from the document's root.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// `owner.name`.
    pub path: String,
    /// Some of its numbers, texts and booleans; none if it holds objects only.
    pub values: Vec<Value>,
}

impl Attribute {
    /// Whether it holds numbers in some documents and texts in others.
    pub fn is_mixed(&self) -> bool {
        self.values.iter().any(Value::is_number) && !self.values.iter().all(Value::is_number)
    }
}

impl Corpus {
    /// The document with this id.
    pub fn document(&self, id: &Value) -> Option<&Value> {
        self.by_id.get(&id.to_string()).map(|place| &self.documents[*place])
    }

    /// Settings come before documents or behind some of them: both ways lead to the same index.
    pub fn has_late_settings(&self) -> bool {
        self.documents.len() % 3 == 1
    }

    /// The setting's texts; none if it was left out.
    pub fn setting_texts(&self, key: &str) -> Option<Vec<&str>> {
        let list = self.settings.get(key)?.as_array()?;
        Some(list.iter().filter_map(Value::as_str).collect())
    }
}

/// What a field holds.
enum Kind {
    Words {
        max: usize,
    },
    LongText,
    Label(Vec<String>),
    Integer {
        low: i64,
        high: i64,
    },
    Float,
    Boolean,
    /// One of so many values.
    Code(usize),
    /// Anything.
    Mixed,
    List {
        of: Box<Kind>,
        max: usize,
    },
    Object(Vec<Field>),
    Objects(Vec<Field>),
}

struct Field {
    name: String,
    kind: Kind,
    /// In so many percent of all documents.
    percent: usize,
}

/// How many documents there are, and how they differ.
struct Shape {
    documents: usize,
    /// One field has thousands of values.
    has_many_values: bool,
}

fn shape(random: &mut Random) -> Shape {
    let documents = match random.below(40) {
        0 => 0,
        1..=2 => 1 + random.below(15),
        3..=4 => 15 + random.below(30),
        5..=25 => 45 + random.below(400),
        26..=35 => 400 + random.below(1_000),
        _ => 1_500 + random.below(3_000),
    };
    Shape { documents, has_many_values: documents >= 400 && random.percent(35) }
}

/// The corpus of this name.
pub fn generate(random: &mut Random, index: &str) -> Corpus {
    let vocabulary = Vocabulary::generate(random);
    let Shape { documents: count, has_many_values } = shape(random);
    let fields = fields(random, &vocabulary, has_many_values);
    let has_places = random.percent(45);
    let embedders = if is_on(Feature::Vectors) { vectors::embedders(random) } else { Vec::new() };
    let primary_key = *random.pick(&["id", "id", "key", "movie_id"]);
    let has_text_ids = random.percent(40);
    let documents: Vec<Value> = (0..count)
        .map(|number| {
            let mut document = Map::new();
            document.insert(primary_key.to_owned(), id(random, number, has_text_ids));
            for field in &fields {
                field.add_to(&mut document, random, &vocabulary);
            }
            if has_places {
                add_place(&mut document, random);
            }
            if !embedders.is_empty() {
                document.insert("_vectors".to_owned(), vectors::of_document(random, &embedders));
            }
            document.into()
        })
        .collect();
    let attributes = attributes(&documents, primary_key);
    let by_id =
        documents.iter().enumerate().map(|(place, document)| (document[primary_key].to_string(), place)).collect();
    let mut corpus = Corpus {
        index: index.to_owned(),
        primary_key,
        settings: Map::new(),
        documents,
        vocabulary,
        attributes,
        has_places,
        embedders,
        by_id,
    };
    corpus.settings = settings::generate(random, &corpus);
    corpus
}

/// A corpus with these documents, which have an `id`, and default settings.
pub fn tiny(documents: Vec<Value>) -> Corpus {
    let by_id = documents.iter().enumerate().map(|(place, document)| (document["id"].to_string(), place)).collect();
    Corpus {
        index: "tiny".to_owned(),
        primary_key: "id",
        settings: Map::new(),
        attributes: attributes(&documents, "id"),
        documents,
        vocabulary: Vocabulary::generate(&mut Random::new(1)),
        has_places: false,
        embedders: Vec::new(),
        by_id,
    }
}

fn id(random: &mut Random, number: usize, is_text: bool) -> Value {
    if is_text {
        let beginning = ["doc", "a_b", "X", "0"][number % 4];
        json!(format!("{beginning}-{number}"))
    } else if number % 50 == 49 {
        json!(9_007_199_254_740_000_u64 + number as u64)
    } else {
        json!(number * 3 + random.below(3))
    }
}

fn fields(random: &mut Random, vocabulary: &Vocabulary, has_many_values: bool) -> Vec<Field> {
    let mut fields = vec![
        field("title", 97, Kind::Words { max: 5 }),
        field("body", 85, if random.percent(30) { Kind::LongText } else { Kind::Words { max: 40 } }),
        field("kind", 90, Kind::Label(labels(random, vocabulary, 8))),
        field("price", 80, Kind::Integer { low: 0, high: 120 }),
    ];
    let mut more = vec![
        field("rating", 70, Kind::Float),
        field("seen", 60, Kind::Boolean),
        field("anything", 75, Kind::Mixed),
        field("tags", 80, Kind::List { of: Box::new(Kind::Label(labels(random, vocabulary, 30))), max: 6 }),
        field("sizes", 70, Kind::List { of: Box::new(Kind::Integer { low: -20, high: 20 }), max: 4 }),
        field("mixed_list", 60, Kind::List { of: Box::new(Kind::Mixed), max: 4 }),
        field("year", 90, Kind::Integer { low: 1900, high: 2030 }),
        field("größe", 50, Kind::Float),
        field("dotted.key", 50, Kind::Label(labels(random, vocabulary, 5))),
        field("comment", 30, Kind::Words { max: 15 }),
        field("rare", 2, Kind::Words { max: 3 }),
        field(
            "owner",
            80,
            Kind::Object(vec![
                field("name", 95, Kind::Words { max: 2 }),
                field("age", 80, Kind::Integer { low: 1, high: 99 }),
                field(
                    "address",
                    60,
                    Kind::Object(vec![field("city", 90, Kind::Label(labels(random, vocabulary, 12)))]),
                ),
            ]),
        ),
        field(
            "parts",
            70,
            Kind::Objects(vec![
                field("color", 85, Kind::Label(labels(random, vocabulary, 6))),
                field("weight", 85, Kind::Integer { low: 1, high: 40 }),
                field("note", 30, Kind::Words { max: 4 }),
            ]),
        ),
    ];
    for _ in 0..2 + random.below(7) {
        let chosen = random.below(more.len());
        fields.push(more.swap_remove(chosen));
    }
    if has_many_values {
        let count = *random.pick(&[300, 3_000, 20_000]);
        fields.push(field("codes", 95, Kind::List { of: Box::new(Kind::Code(count)), max: 16 }));
        fields.push(field("code", 90, Kind::Code(count)));
    }
    fields
}

fn field(name: &str, percent: usize, kind: Kind) -> Field {
    Field { name: name.to_owned(), kind, percent }
}

fn labels(random: &mut Random, vocabulary: &Vocabulary, max: usize) -> Vec<String> {
    let count = 1 + random.below(max);
    let mut labels: Vec<String> = Vec::new();
    while labels.len() < count {
        let label = match random.below(8) {
            0 => format!("{} {}", vocabulary.any_word(random), vocabulary.any_word(random)),
            1 => vocabulary.any_word(random).to_uppercase(),
            2 | 3 => capitalised(vocabulary.any_word(random)),
            4 => random.between(0, 50).to_string(),
            _ => vocabulary.any_word(random).to_owned(),
        };
        // One spelling of each: which of several is shown is another matter.
        if !labels.iter().any(|other| other.to_lowercase() == label.to_lowercase()) {
            labels.push(label);
        }
    }
    labels
}

impl Field {
    fn add_to(&self, object: &mut Map<String, Value>, random: &mut Random, vocabulary: &Vocabulary) {
        if random.percent(self.percent) {
            object.insert(self.name.clone(), self.kind.value(random, vocabulary));
        }
    }
}

impl Kind {
    fn value(&self, random: &mut Random, vocabulary: &Vocabulary) -> Value {
        match self {
            Self::Words { max } => {
                let length = 1 + random.below(*max);
                json!(vocabulary.sentence(random, length))
            }
            Self::LongText => {
                let length = if random.percent(10) { 1_500 } else { 100 };
                let length = random.below(length);
                json!(vocabulary.sentence(random, length))
            }
            Self::Label(labels) => json!(random.pick_skewed::<String>(labels)),
            Self::Integer { low, high } => json!(random.between(*low, *high)),
            Self::Float => json!(random.between(-400, 4_000) as f64 / 8.0),
            Self::Boolean => json!(random.percent(40)),
            Self::Code(count) => {
                let (number, other) = (random.below(*count), random.below(*count));
                // Some are frequent, most are not.
                let number = if random.percent(30) { number * other / count } else { number };
                if number % 3 == 0 { json!(number) } else { json!(format!("c{number}")) }
            }
            Self::Mixed => mixed(random, vocabulary),
            Self::List { of, max } => (0..random.below(max + 1)).map(|_| of.value(random, vocabulary)).collect(),
            Self::Object(fields) => object(fields, random, vocabulary),
            Self::Objects(fields) => (0..random.below(4)).map(|_| object(fields, random, vocabulary)).collect(),
        }
    }
}

fn object(fields: &[Field], random: &mut Random, vocabulary: &Vocabulary) -> Value {
    let mut object = Map::new();
    for field in fields {
        field.add_to(&mut object, random, vocabulary);
    }
    object.into()
}

fn mixed(random: &mut Random, vocabulary: &Vocabulary) -> Value {
    match random.below(12) {
        0 => Value::Null,
        1 => json!(random.percent(50)),
        2 | 3 => json!(random.between(-5, 12)),
        4 => json!(random.between(-40, 80) as f64 / 16.0),
        5 if is_on(Feature::NumbersAsTexts) => json!(random.between(0, 12).to_string()),
        6 => json!(""),
        7 => json!([]),
        8 => json!([random.between(0, 9), vocabulary.word(random)]),
        9 => json!({"inner": random.between(0, 9)}),
        _ => json!(vocabulary.word(random)),
    }
}

/// Around a few centres, so that some places are the same.
fn add_place(document: &mut Map<String, Value>, random: &mut Random) {
    const CENTRES: [(f64, f64); 6] =
        [(48.85, 2.35), (-33.86, 151.2), (35.68, 139.69), (64.1, -21.9), (0.0, 179.9), (-54.8, -68.3)];
    let (lat, lng) = *random.pick(&CENTRES);
    let near = |random: &mut Random| random.between(-300, 300) as f64 / 100.0;
    let (lat, lng) = match random.below(10) {
        0 => (lat, lng),
        1..=3 => (random.between(-8_900, 8_900) as f64 / 100.0, random.between(-17_900, 17_900) as f64 / 100.0),
        _ => (lat + near(random), (lng + near(random)).clamp(-180.0, 180.0)),
    };
    match random.below(20) {
        0 | 1 => {}
        2 => drop(document.insert("_geo".to_owned(), Value::Null)),
        3 => drop(document.insert("_geo".to_owned(), json!({"lat": lat.to_string(), "lng": lng.to_string()}))),
        _ => drop(document.insert("_geo".to_owned(), json!({"lat": lat, "lng": lng}))),
    }
}

/// Of each attribute so many values are kept for filters.
const VALUES_MAX: usize = 60;

fn attributes(documents: &[Value], primary_key: &str) -> Vec<Attribute> {
    let mut found = values_by_path(documents);
    found.retain(|path, _| !path.starts_with("_geo") && !path.starts_with("_vectors"));
    if documents.is_empty() {
        found.insert(primary_key.to_owned(), Vec::new());
    }
    found.into_iter().map(|(path, values)| Attribute { path, values }).collect()
}

/// Every attribute of these documents, by its path.
pub fn paths_of(documents: &[Value]) -> impl Iterator<Item = String> {
    values_by_path(documents).into_keys()
}

fn values_by_path(documents: &[Value]) -> BTreeMap<String, Vec<Value>> {
    let mut found = BTreeMap::new();
    for document in documents {
        walk(document, "", &mut found);
    }
    found.remove("");
    found
}

fn walk(value: &Value, path: &str, found: &mut BTreeMap<String, Vec<Value>>) {
    let values = found.entry(path.to_owned()).or_default();
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(value, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, path, found)),
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            if values.len() < VALUES_MAX {
                values.push(value.clone());
            }
        }
    }
}
