//! What an import came to: for people, and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::compare::{Examples, Sum};

/// What an import came to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// By name.
    pub indexes: Vec<IndexReport>,
    /// See there.
    pub keys: KeysReport,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// One index.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexReport {
    /// Its name.
    pub uid: String,
    /// What its documents come to in the source.
    pub source: Compared,
    /// What they come to in Miroir.
    pub miroir: Compared,
    /// Some documents that differ.
    pub examples: Examples,
    /// The names of settings that differ.
    pub settings: Vec<String>,
    /// Somebody wrote to the source's index while it was copied.
    pub changed_meanwhile: bool,
}

/// What documents come to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Compared {
    /// How many.
    pub documents: u64,
    /// 32 hexadecimal digits.
    pub hash: String,
}

impl From<Sum> for Compared {
    fn from(sum: Sum) -> Self {
        Self { documents: sum.documents, hash: format!("{:032x}", sum.hash) }
    }
}

/// What came of the keys.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeysReport {
    /// They are in Miroir, with the same uid.
    pub copied: u64,
    /// Of these, those whose value is another one: the master keys differ.
    pub with_other_value: u64,
    /// Uids of keys that are in Miroir and are not the same there.
    pub differ: Vec<String>,
    /// Miroir has no master key, so there are no keys.
    pub no_master_key: bool,
}

impl IndexReport {
    /// The same documents and settings.
    pub fn is_equal(&self) -> bool {
        self.source == self.miroir && self.settings.is_empty()
    }
}

impl Report {
    /// All that was copied is in Miroir as in the source.
    pub fn is_equal(&self) -> bool {
        self.has_equal_indexes() && self.keys.differ.is_empty() && !self.keys.no_master_key
    }

    /// Keys aside.
    pub fn has_equal_indexes(&self) -> bool {
        self.indexes.iter().all(IndexReport::is_equal)
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |words: std::fmt::Arguments<'_>| {
            writeln!(text, "{words}").expect("writing to a text cannot fail");
        };
        for index in &self.indexes {
            let (uid, source, miroir) = (&index.uid, &index.source, &index.miroir);
            if source == miroir {
                line(format_args!("index `{uid}`: {} documents, equal ({})", source.documents, source.hash));
            } else {
                let counts = (source.documents, miroir.documents);
                line(format_args!(
                    "index `{uid}`: documents DIFFER: {} in the source, {} in Miroir",
                    counts.0, counts.1
                ));
                let lists = [
                    ("missing in Miroir, or others there", &index.examples.missing_or_other),
                    ("in Miroir only", &index.examples.only_in_miroir),
                ];
                for (words, ids) in lists.into_iter().filter(|(_, ids)| !ids.is_empty()) {
                    line(format_args!("  {words}, some: {}", ids.join(", ")));
                }
                if index.changed_meanwhile {
                    line(format_args!(
                        "  the source was written to while it was copied: stop that, and bring Miroir up to it with --update"
                    ));
                } else {
                    line(format_args!("  the same command with --update makes them as the source's"));
                }
            }
            if !index.settings.is_empty() {
                line(format_args!("index `{uid}`: settings DIFFER: {}", index.settings.join(", ")));
            }
        }
        let keys = &self.keys;
        line(format_args!("keys: {} copied", keys.copied));
        if keys.with_other_value > 0 {
            line(format_args!(
                "  the values of {} of them are other ones, since the master keys differ: clients need the new ones (GET /keys), \
                 and new tenant tokens",
                keys.with_other_value
            ));
        }
        if keys.no_master_key {
            line(format_args!(
                "  Miroir has no master_key, so it has no keys: set one and give the same command again"
            ));
        }
        for uid in &keys.differ {
            line(format_args!("  the key {uid} is in Miroir already and DIFFERS"));
        }
        text
    }
}
