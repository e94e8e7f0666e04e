//! The body of a search request, parameter by parameter.

use serde_json::{Map, Value};

use super::{Hybrid, MatchingStrategy, SearchQuery};
use crate::meili::bad_value;
use crate::meili::error::{ApiError, Code};
use crate::meili::search::{code_of_parameter, parameter_names};
use crate::meili::settings::LOCALES;

/// A parameter with its name, for messages.
struct Parameter<'a> {
    name: &'a str,
    value: &'a Value,
    code: Code,
}

impl Parameter<'_> {
    fn wrong(&self, path: &str, value: &Value, expected: &str) -> ApiError {
        bad_value::wrong_type(self.code, &format!(".{path}"), expected, value)
    }

    fn text(&self) -> Result<String, ApiError> {
        self.value.as_str().map(str::to_owned).ok_or_else(|| self.wrong(self.name, self.value, "a string"))
    }

    fn flag(&self) -> Result<bool, ApiError> {
        self.value.as_bool().ok_or_else(|| self.wrong(self.name, self.value, "a boolean"))
    }

    fn count(&self) -> Result<usize, ApiError> {
        let count = self.value.as_u64().ok_or_else(|| self.wrong(self.name, self.value, "a positive integer"))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    fn texts(&self) -> Result<Vec<String>, ApiError> {
        let list = self.value.as_array().ok_or_else(|| self.wrong(self.name, self.value, "an array"))?;
        list.iter()
            .enumerate()
            .map(|(place, value)| {
                let path = format!("{}[{place}]", self.name);
                value.as_str().map(str::to_owned).ok_or_else(|| self.wrong(&path, value, "a string"))
            })
            .collect()
    }

    /// Without dictionaries of languages they change nothing here.
    fn check_locales(&self) -> Result<(), ApiError> {
        for (place, locale) in self.texts()?.iter().enumerate() {
            if !LOCALES.contains(&locale.as_str()) {
                let path = format!(".{}[{place}]", self.name);
                return Err(bad_value::unknown_value(self.code, &path, locale, LOCALES));
            }
        }
        Ok(())
    }

    /// A number between 0 and 1, called `name` in messages.
    fn ratio(&self, name: &str) -> Result<f64, ApiError> {
        let ratio = self.value.as_f64().ok_or_else(|| self.wrong(self.name, self.value, "a number"))?;
        if (0.0..=1.0).contains(&ratio) {
            return Ok(ratio);
        }
        let reason = format!("the value of `{name}` is invalid, expected a float between `0.0` and `1.0`.");
        Err(bad_value::unexpected(self.code, &format!(".{}", self.name), &reason))
    }

    fn vector(&self) -> Result<Vec<f32>, ApiError> {
        let list = self.value.as_array().ok_or_else(|| self.wrong(self.name, self.value, "an array"))?;
        list.iter()
            .enumerate()
            .map(|(place, value)| {
                let wrong = || self.wrong(&format!("{}[{place}]", self.name), value, "a number");
                value.as_f64().map(|number| number as f32).ok_or_else(wrong)
            })
            .collect()
    }

    fn hybrid(&self) -> Result<Hybrid, ApiError> {
        let fields = self.value.as_object().ok_or_else(|| self.wrong(self.name, self.value, "an object"))?;
        let (mut embedder, mut semantic_ratio) = (None, 0.5);
        for (name, value) in fields {
            let path = format!("{}.{name}", self.name);
            let at = |code| Parameter { name: &path, value, code };
            match name.as_str() {
                "embedder" => embedder = Some(at(Code::InvalidSearchEmbedder).text()?),
                "semanticRatio" if value.is_null() => {}
                "semanticRatio" => semantic_ratio = at(Code::InvalidSearchSemanticRatio).ratio("semanticRatio")? as f32,
                _ => return Err(bad_value::unknown_field(self.code, ".hybrid", name, &["semanticRatio", "embedder"])),
            }
        }
        let embedder = embedder.ok_or_else(|| bad_value::missing_field(self.code, ".hybrid", "embedder"))?;
        Ok(Hybrid { semantic_ratio, embedder })
    }

    fn strategy(&self) -> Result<MatchingStrategy, ApiError> {
        match self.text()?.as_str() {
            "last" => Ok(MatchingStrategy::Last),
            "all" => Ok(MatchingStrategy::All),
            "frequency" => Ok(MatchingStrategy::Frequency),
            other => {
                let allowed = ["last", "all", "frequency"];
                Err(bad_value::unknown_value(self.code, ".matchingStrategy", other, &allowed))
            }
        }
    }
}

/// See [`SearchQuery::from_json`].
pub(super) fn from_json(body: &Map<String, Value>) -> Result<SearchQuery, ApiError> {
    let mut query = SearchQuery::default();
    for (name, value) in body {
        let Some(code) = code_of_parameter(name) else {
            return Err(bad_value::unknown_field(Code::BadRequest, "", name, &parameter_names()));
        };
        if !value.is_null() {
            read(&mut query, &Parameter { name, value, code })?;
        }
    }
    Ok(query)
}

fn read(query: &mut SearchQuery, parameter: &Parameter<'_>) -> Result<(), ApiError> {
    match parameter.name {
        "q" => query.q = Some(parameter.text()?),
        "offset" => query.offset = parameter.count()?,
        "limit" => query.limit = parameter.count()?,
        "page" => query.page = Some(parameter.count()?),
        "hitsPerPage" => query.hits_per_page = Some(parameter.count()?),
        "attributesToRetrieve" => query.attributes_to_retrieve = Some(parameter.texts()?),
        "attributesToCrop" => query.attributes_to_crop = parameter.texts()?,
        "cropLength" => query.crop_length = parameter.count()?,
        "cropMarker" => query.crop_marker = parameter.text()?,
        "attributesToHighlight" => query.attributes_to_highlight = parameter.texts()?,
        "highlightPreTag" => query.highlight_pre_tag = parameter.text()?,
        "highlightPostTag" => query.highlight_post_tag = parameter.text()?,
        "showMatchesPosition" => query.show_matches_position = parameter.flag()?,
        "filter" => query.filter = Some(parameter.value.clone()),
        "sort" => query.sort = Some(parameter.texts()?),
        "distinct" => query.distinct = Some(parameter.text()?),
        "facets" => query.facets = Some(parameter.texts()?),
        "matchingStrategy" => query.matching_strategy = parameter.strategy()?,
        "attributesToSearchOn" => query.attributes_to_search_on = Some(parameter.texts()?),
        "rankingScoreThreshold" => query.ranking_score_threshold = Some(parameter.ratio("rankingScoreThreshold")?),
        "locales" => parameter.check_locales()?,
        "retrieveVectors" => query.retrieve_vectors = parameter.flag()?,
        "hybrid" => query.hybrid = Some(parameter.hybrid()?),
        "vector" => query.vector = Some(parameter.vector()?),
        "media" => query.has_media = true,
        "showRankingScore" => query.show_ranking_score = parameter.flag()?,
        "showRankingScoreDetails" => query.show_ranking_score_details = parameter.flag()?,
        other => {
            return Err(ApiError::new(
                Code::MiroirNotSupported,
                format!("The embedded node does not support the search parameter `{other}`."),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wrong_parameters_are_refused_with_their_code() {
        let table = [
            (json!({"q": 4}), "invalid_search_q"),
            (json!({"limit": -1}), "invalid_search_limit"),
            (json!({"matchingStrategy": "x"}), "invalid_search_matching_strategy"),
            (json!({"rankingScoreThreshold": 2}), "invalid_search_ranking_score_threshold"),
            (json!({"facets": ["a", 1]}), "invalid_search_facets"),
            (json!({"nope": 1}), "bad_request"),
            (json!({"hybrid": {}}), "invalid_search_hybrid_query"),
            (json!({"hybrid": {"embedder": 1}}), "invalid_search_embedder"),
            (json!({"hybrid": {"embedder": "e", "semanticRatio": 2}}), "invalid_search_semantic_ratio"),
            (json!({"vector": [1, "a"]}), "invalid_search_vector"),
            (json!({"personalize": {}}), "miroir_not_supported"),
        ];
        for (body, code) in table {
            assert_eq!(from_json(body.as_object().unwrap()).unwrap_err().code.name(), code, "{body}");
        }
    }

    #[test]
    fn null_is_the_default() {
        let body = json!({"q": null, "limit": null, "hybrid": null, "vector": null, "page": 2});
        let query = from_json(body.as_object().unwrap()).unwrap();
        assert_eq!(query, SearchQuery { page: Some(2), ..SearchQuery::default() });
    }
}
