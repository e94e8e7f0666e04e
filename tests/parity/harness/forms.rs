//! The forms that cases have: one search, in a body or in a query string; lists of searches; facet search; walks over pages.

use super::outcome::Outcome;
use super::world::Asker;
use super::{facet_search, federated, lists, pages, similar, single};

/// One of them.
pub struct Form {
    /// For the report.
    pub name: &'static str,
    /// How many of a hundred cases have it.
    pub percent: usize,
    /// Asks one case of it.
    pub ask: fn(asker: &mut Asker<'_>) -> Outcome,
}

/// All of them; together a hundred percent.
pub const FORMS: &[Form] = &[
    Form { name: "search", percent: 52, ask: single::post },
    Form { name: "search in a query string", percent: 10, ask: single::get },
    Form { name: "facet search", percent: 12, ask: facet_search::ask },
    Form { name: "list of searches", percent: 5, ask: lists::ask },
    Form { name: "federated search", percent: 13, ask: federated::ask },
    Form { name: "similar", percent: 4, ask: similar::ask },
    Form { name: "walk over pages", percent: 4, ask: pages::ask },
];

/// The form of one case.
pub fn pick(asker: &mut Asker<'_>) -> &'static Form {
    let mut left = asker.random.below(100);
    for form in FORMS {
        if left < form.percent {
            return form;
        }
        left -= form.percent;
    }
    &FORMS[0]
}
