//! The sources of vectors, and which fields each of them takes and needs.

use serde_json::{Map, Value};

/// Who makes vectors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    OpenAi,
    HuggingFace,
    Ollama,
    UserProvided,
    Rest,
    Composite,
}

/// Of which embedder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Nesting {
    /// One of its own.
    None,
    /// The part of a composite one that makes vectors of searches.
    Search,
    /// The part that makes vectors of documents.
    Indexing,
}

/// What a field is to a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    Mandatory,
    Allowed,
    Disallowed,
}

/// In JSON, in the order of messages.
pub const SOURCES: [&str; 6] = ["openAi", "huggingFace", "ollama", "userProvided", "rest", "composite"];

/// All fields of embedders, in the order in which they are shown.
pub const FIELDS: [&str; 18] = [
    "source",
    "model",
    "revision",
    "pooling",
    "apiKey",
    "dimensions",
    "binaryQuantized",
    "documentTemplate",
    "documentTemplateMaxBytes",
    "url",
    "indexingFragments",
    "searchFragments",
    "request",
    "response",
    "headers",
    "searchEmbedder",
    "indexingEmbedder",
    "distribution",
];

/// The same in the order in which messages list them.
const IN_MESSAGES: [&str; 18] = [
    "source",
    "model",
    "revision",
    "pooling",
    "apiKey",
    "dimensions",
    "documentTemplate",
    "documentTemplateMaxBytes",
    "url",
    "indexingFragments",
    "searchFragments",
    "request",
    "response",
    "headers",
    "searchEmbedder",
    "indexingEmbedder",
    "distribution",
    "binaryQuantized",
];

impl Nesting {
    /// How messages name the part of an embedder.
    pub(super) fn name_of(self, embedder: &str) -> String {
        match self {
            Self::None => embedder.to_owned(),
            Self::Search => format!("{embedder}.searchEmbedder"),
            Self::Indexing => format!("{embedder}.indexingEmbedder"),
        }
    }

    /// What messages say behind the source.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Search => " for the search embedder",
            Self::Indexing => " for the indexing embedder",
        }
    }
}

impl Source {
    /// In the order of [`SOURCES`].
    const ALL: [Self; 6] =
        [Self::OpenAi, Self::HuggingFace, Self::Ollama, Self::UserProvided, Self::Rest, Self::Composite];

    /// In JSON.
    pub(super) fn name(self) -> &'static str {
        let place = Self::ALL.iter().position(|source| *source == self).unwrap_or_default();
        SOURCES[place]
    }

    /// The source of an embedder; the default one where it names none.
    pub(super) fn of(value: &Value) -> Self {
        let place = SOURCES.iter().position(|name| value == name);
        place.map_or(Self::OpenAi, |place| Self::ALL[place])
    }

    /// What a field is to this source.
    pub(super) fn status(self, field: &str, nesting: Nesting) -> Status {
        let if_any = |is_allowed: bool| if is_allowed { Status::Allowed } else { Status::Disallowed };
        let of_documents = nesting != Nesting::Search;
        match field {
            "source" => Status::Allowed,
            "distribution" | "binaryQuantized" => if_any(nesting == Nesting::None),
            "model" if self == Self::Ollama => Status::Mandatory,
            "model" => if_any(matches!(self, Self::OpenAi | Self::HuggingFace)),
            "revision" | "pooling" => if_any(self == Self::HuggingFace),
            "dimensions" if self == Self::UserProvided => Status::Mandatory,
            "dimensions" => if_any(matches!(self, Self::OpenAi | Self::Ollama | Self::Rest)),
            "documentTemplate" | "documentTemplateMaxBytes" => {
                if_any(of_documents && !matches!(self, Self::UserProvided | Self::Composite))
            }
            "url" if self == Self::Rest => Status::Mandatory,
            "apiKey" => if_any(matches!(self, Self::OpenAi | Self::Ollama | Self::Rest)),
            "url" => if_any(matches!(self, Self::OpenAi | Self::Ollama)),
            "indexingFragments" => if_any(self == Self::Rest && of_documents),
            "searchFragments" => if_any(self == Self::Rest && nesting != Nesting::Indexing),
            "request" | "response" if self == Self::Rest => Status::Mandatory,
            "headers" => if_any(self == Self::Rest),
            "searchEmbedder" | "indexingEmbedder" if self == Self::Composite => Status::Mandatory,
            _ => Status::Disallowed,
        }
    }

    /// Whether a field stays as it was when an embedder gets this source.
    pub(super) fn keeps(self, field: &str) -> bool {
        let is_of_all = matches!(field, "apiKey" | "distribution" | "binaryQuantized");
        is_of_all || (field.starts_with("documentTemplate") && self.status(field, Nesting::None) == Status::Allowed)
    }

    /// What a field is where it was not set.
    pub(super) fn default(self, field: &str, embedder: &Map<String, Value>) -> Option<&'static str> {
        match (self, field) {
            (Self::OpenAi, "model") => Some("text-embedding-3-small"),
            (Self::HuggingFace, "model") => Some("BAAI/bge-base-en-v1.5"),
            (Self::HuggingFace, "revision") if !embedder.contains_key("model") => {
                Some("617ca489d9e86b49b8167676d8220688b99db36e")
            }
            (Self::HuggingFace, "pooling") => Some("useModel"),
            _ => None,
        }
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Who takes a field that this source does not take, and what it takes instead, for messages.
pub(super) fn notes_on_disallowed(source: Source, field: &str, nesting: Nesting) -> String {
    let (name, suffix) = (source.name(), nesting.suffix());
    let takers = Source::ALL.iter().filter(|source| source.status(field, nesting) != Status::Disallowed);
    let takers = listed(takers.map(|source| source.name()));
    let taken = IN_MESSAGES.into_iter().filter(|field| source.status(field, nesting) != Status::Disallowed);
    let elsewhere = nesting != Nesting::None && source.status(field, Nesting::None) != Status::Disallowed;
    let notes = [
        (!takers.is_empty()).then(|| format!("`{field}` is available for sources: {takers}")),
        Some(format!("available fields for source `{name}`{suffix}: {}", listed(taken))),
        elsewhere.then(|| format!("`{field}` is available when source `{name}` is not{suffix}")),
    ];
    notes.into_iter().flatten().flat_map(|note| ["\n  - note: ".to_owned(), note]).collect()
}
