//! The environment of the process, read once: the only place that does so.

use std::collections::BTreeMap;

/// Every variable of ours begins with this.
pub const PREFIX: &str = "MIROIR_";

/// Variables of the test suites, which are no configuration.
const TEST_PREFIX: &str = "MIROIR_TEST_";

/// The `MIROIR_…` variables, by name. Tests make their own instead of changing those of the process.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Environment(pub BTreeMap<String, String>);

impl Environment {
    /// The variables of this process. A value that is no UTF-8 is kept with replacement characters, so that its key's own
    /// check refuses it by name.
    pub fn of_process() -> Self {
        let ours = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let is_ours = name.starts_with(PREFIX) && !name.starts_with(TEST_PREFIX);
            is_ours.then(|| (name, value.to_string_lossy().into_owned()))
        });
        Self(ours.collect())
    }
}
