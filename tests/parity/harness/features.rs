//! What Miroir can do, as far as cases are generated for it. A feature that is not in the list yet is not asked for.

/// A part of the API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    /// The parameter `distinct`.
    Distinct,
    /// The setting `distinctAttribute`.
    DistinctSetting,
    /// Facets with both numbers and texts among their values.
    MixedFacets,
    /// Texts that are written as numbers, in attributes with numbers.
    NumbersAsTexts,
    /// Embedders, and searches by vectors.
    Vectors,
    /// `queryVectors` in federated answers.
    QueryVectors,
}

/// What is asked for.
const ON: &[Feature] = &[Feature::Distinct, Feature::DistinctSetting, Feature::Vectors];

/// Whether it is.
pub fn is_on(feature: Feature) -> bool {
    ON.contains(&feature)
}
