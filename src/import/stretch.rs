//! Which documents a put of an import carries, as its task's `customMetadata` says it. By this an import goes on where an
//! earlier one stopped.

use serde::{Deserialize, Serialize};

use super::source::SourceIndex;

/// The documents of one put.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stretch {
    /// Of which source, see [`super::Source::kind`].
    pub import: String,
    /// Of the source's index: another index of the same name is another one.
    pub created_at: String,
    /// Of the source's index when the stretch was read: whether it has changed since.
    pub updated_at: String,
    /// The place of the first document.
    pub from: u64,
    /// The place behind the last document.
    pub to: u64,
}

impl Stretch {
    /// As a text.
    pub fn metadata(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are always valid JSON")
    }

    /// None: the task is somebody else's.
    pub fn parse(metadata: &str) -> Option<Self> {
        serde_json::from_str(metadata).ok()
    }

    /// Whether it is one of this index.
    pub fn is_of(&self, kind: &str, index: &SourceIndex) -> bool {
        self.import == kind && self.created_at == index.created_at
    }
}

/// The place up to which no document is missing in these stretches.
pub fn covered(mut stretches: Vec<&Stretch>) -> u64 {
    stretches.sort_unstable_by_key(|stretch| stretch.from);
    stretches.iter().fold(0, |end, stretch| if stretch.from <= end { end.max(stretch.to) } else { end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(from: u64, to: u64) -> Stretch {
        let text = |text: &str| text.to_owned();
        Stretch { import: text("server"), created_at: text("C"), updated_at: text("U"), from, to }
    }

    #[test]
    fn an_import_goes_on_at_the_first_gap() {
        for (stretches, end) in [
            (vec![], 0),
            (vec![(0, 10), (10, 30)], 30),
            (vec![(20, 30), (0, 10)], 10),
            (vec![(10, 20)], 0),
            // Sent again, in other pieces.
            (vec![(0, 10), (10, 20), (5, 12), (12, 40)], 40),
        ] {
            let stretches: Vec<Stretch> = stretches.iter().map(|(from, to)| stretch(*from, *to)).collect();
            assert_eq!(covered(stretches.iter().collect()), end, "{stretches:?}");
        }
    }

    #[test]
    fn what_a_task_says_is_read_again_and_nothing_else_is() {
        let some = stretch(3, 5);
        assert_eq!(Stretch::parse(&some.metadata()), Some(some));
        for text in ["", "{}", "mine", r#"{"import": "server"}"#] {
            assert_eq!(Stretch::parse(text), None);
        }
    }
}
