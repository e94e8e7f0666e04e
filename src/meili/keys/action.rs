//! What a key may be allowed to do: Meilisearch's actions, those with a star, and what they stand for.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What an action means for a key that is for some indexes only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// It concerns the whole server: only keys for all indexes may have it.
    Server,
    /// Routes without an index in their path show, or change, what the key is for.
    Sifted,
    /// Only routes of one index ask for it.
    Index,
    /// It stands for several others.
    Several,
}

macro_rules! actions {
    ($(($variant:ident, $name:literal, $scope:ident, $is_read:literal),)*) => {
        /// One action; the order is that of error messages.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[expect(missing_docs, reason = "the names are Meilisearch's and say what they mean")]
        pub enum Action {
            $($variant,)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in the API.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// See [`Scope`].
            pub fn scope(self) -> Scope {
                match self { $(Self::$variant => Scope::$scope,)* }
            }

            /// Whether `*.get` stands for it, too.
            fn is_read(self) -> bool {
                match self { $(Self::$variant => $is_read,)* }
            }
        }
    };
}

actions! {
    (All, "*", Several, false),
    (Search, "search", Sifted, true),
    (DocumentsAll, "documents.*", Several, false),
    (DocumentsAdd, "documents.add", Index, false),
    (DocumentsGet, "documents.get", Sifted, true),
    (DocumentsDelete, "documents.delete", Index, false),
    (IndexesAll, "indexes.*", Several, false),
    (IndexesCreate, "indexes.create", Sifted, false),
    (IndexesGet, "indexes.get", Sifted, true),
    (IndexesUpdate, "indexes.update", Index, false),
    (IndexesDelete, "indexes.delete", Index, false),
    (IndexesSwap, "indexes.swap", Sifted, false),
    (TasksAll, "tasks.*", Several, false),
    (TasksCancel, "tasks.cancel", Sifted, false),
    (TasksDelete, "tasks.delete", Sifted, false),
    (TasksGet, "tasks.get", Sifted, true),
    (SettingsAll, "settings.*", Several, false),
    (SettingsGet, "settings.get", Sifted, true),
    (SettingsUpdate, "settings.update", Index, false),
    (StatsAll, "stats.*", Sifted, false),
    (StatsGet, "stats.get", Sifted, true),
    (MetricsAll, "metrics.*", Server, false),
    (MetricsGet, "metrics.get", Server, true),
    (DumpsAll, "dumps.*", Server, false),
    (DumpsCreate, "dumps.create", Server, false),
    (SnapshotsAll, "snapshots.*", Server, false),
    (SnapshotsCreate, "snapshots.create", Server, false),
    (Version, "version", Server, true),
    (KeysCreate, "keys.create", Server, false),
    (KeysGet, "keys.get", Server, false),
    (KeysUpdate, "keys.update", Server, false),
    (KeysDelete, "keys.delete", Server, false),
    (ExperimentalFeaturesGet, "experimental.get", Server, true),
    (ExperimentalFeaturesUpdate, "experimental.update", Server, false),
    (Export, "export", Server, true),
    (NetworkGet, "network.get", Server, true),
    (NetworkUpdate, "network.update", Server, false),
    (ChatCompletions, "chatCompletions", Sifted, false),
    (ChatsAll, "chats.*", Server, false),
    (ChatsGet, "chats.get", Server, true),
    (ChatsDelete, "chats.delete", Server, false),
    (ChatsSettingsAll, "chatsSettings.*", Server, false),
    (ChatsSettingsGet, "chatsSettings.get", Server, true),
    (ChatsSettingsUpdate, "chatsSettings.update", Server, false),
    (AllGet, "*.get", Several, false),
    (WebhooksGet, "webhooks.get", Server, true),
    (WebhooksUpdate, "webhooks.update", Server, false),
    (WebhooksDelete, "webhooks.delete", Server, false),
    (WebhooksCreate, "webhooks.create", Server, false),
    (WebhooksAll, "webhooks.*", Server, false),
    (IndexesCompact, "indexes.compact", Index, false),
    (FieldsPost, "fields.post", Index, true),
    (TasksCompact, "tasks.compact", Server, false),
    (DynamicSearchRulesGet, "dynamicSearchRules.get", Server, true),
    (DynamicSearchRulesCreate, "dynamicSearchRules.create", Server, false),
    (DynamicSearchRulesUpdate, "dynamicSearchRules.update", Server, false),
    (DynamicSearchRulesDelete, "dynamicSearchRules.delete", Server, false),
    (DynamicSearchRulesAll, "dynamicSearchRules.*", Server, false),
}

impl Action {
    /// The action of this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.name() == name)
    }

    /// Whether only whoever manages keys needs it: there is no such thing on a server without a master key.
    pub fn is_about_keys(self) -> bool {
        self.name().starts_with("keys.")
    }

    /// Whether a key that lists this action may do the other one.
    fn stands_for(self, other: Self) -> bool {
        // The widest one holds all, but for the one that would only narrow it.
        if self == Self::All {
            return other != Self::AllGet;
        }
        if self == Self::AllGet {
            return other.is_read();
        }
        match self.name().strip_suffix('*') {
            // `documents.*` is no part of itself: where it is asked for, only `*` will do.
            Some(group) => self != other && other.name().starts_with(group),
            None => self == other,
        }
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| D::Error::custom(format!("`{name}` is no action")))
    }
}

/// Actions, one bit for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActionSet(u64);

const _: () = assert!(Action::ALL.len() <= u64::BITS as usize, "an action has a bit");

impl ActionSet {
    /// Everything that a key with this list may do.
    pub fn of(listed: &[Action]) -> Self {
        let allowed = Action::ALL.iter().filter(|action| listed.iter().any(|own| own.stands_for(**action)));
        Self(allowed.fold(0, |bits, action| bits | 1 << *action as u32))
    }

    /// Is it among them?
    pub fn has(self, action: Action) -> bool {
        self.0 & (1 << action as u32) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listed: &[Action]) -> Vec<&'static str> {
        let set = ActionSet::of(listed);
        Action::ALL.iter().filter(|action| set.has(**action)).map(|action| action.name()).collect()
    }

    #[test]
    fn an_action_with_a_star_stands_for_its_group() {
        for (action, expected) in [
            (Action::DocumentsAll, &["documents.add", "documents.get", "documents.delete"][..]),
            (
                Action::IndexesAll,
                &[
                    "indexes.create",
                    "indexes.get",
                    "indexes.update",
                    "indexes.delete",
                    "indexes.swap",
                    "indexes.compact",
                ],
            ),
            (Action::TasksAll, &["tasks.cancel", "tasks.delete", "tasks.get", "tasks.compact"]),
            (Action::SettingsAll, &["settings.get", "settings.update"]),
            (Action::StatsAll, &["stats.get"]),
            (Action::MetricsAll, &["metrics.get"]),
            (Action::DumpsAll, &["dumps.create"]),
            (Action::SnapshotsAll, &["snapshots.create"]),
            (Action::ChatsAll, &["chats.get", "chats.delete"]),
            (Action::ChatsSettingsAll, &["chatsSettings.get", "chatsSettings.update"]),
            (Action::WebhooksAll, &["webhooks.get", "webhooks.update", "webhooks.delete", "webhooks.create"]),
            (Action::Search, &["search"]),
            (
                Action::AllGet,
                &[
                    "search",
                    "documents.get",
                    "indexes.get",
                    "tasks.get",
                    "settings.get",
                    "stats.get",
                    "metrics.get",
                    "version",
                    "experimental.get",
                    "export",
                    "network.get",
                    "chats.get",
                    "chatsSettings.get",
                    "webhooks.get",
                    "fields.post",
                    "dynamicSearchRules.get",
                ],
            ),
        ] {
            assert_eq!(names(&[action]), expected, "{}", action.name());
        }
        assert_eq!(names(&[Action::All]).len(), Action::ALL.len() - 1);
        assert!(names(&[Action::All]).contains(&"documents.*") && !names(&[Action::All]).contains(&"*.get"));
        assert_eq!(names(&[Action::AllGet, Action::KeysGet]).len(), 17);
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn names_are_read_back() {
        for action in Action::ALL {
            assert_eq!(Action::from_name(action.name()), Some(*action));
        }
        assert_eq!(Action::from_name("documents"), None);
        assert!(serde_json::from_str::<Action>("\"nothing\"").is_err());
        assert_eq!(serde_json::to_string(&Action::IndexesCreate).unwrap(), "\"indexes.create\"");
    }
}
