//! The query string of a request: decoded pairs, taken out one by one.
//!
//! Of a parameter that occurs twice the last value counts. What nobody took is unknown and refused.

use percent_encoding::percent_decode_str;

use super::bad_value::{bad_parameter, unknown_parameter};
use super::error::{ApiError, Code};

/// The parameters of one request.
#[derive(Clone, Debug, Default)]
pub struct QueryString(Vec<(String, String)>);

/// Decodes one part: `+` is a space.
fn decode(text: &str) -> String {
    if text.contains(['%', '+']) {
        percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
    } else {
        text.to_owned()
    }
}

impl QueryString {
    /// Reads the part behind the `?`, not decoded.
    ///
    /// # Errors
    /// `bad_request` with the first parameter that is not among `allowed`.
    pub fn parse(query: &str, allowed: &[&str]) -> Result<Self, ApiError> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name);
            if !allowed.contains(&name.as_str()) {
                return Err(unknown_parameter(Code::BadRequest, &name, allowed));
            }
            parameters.push((name, decode(value)));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Its value as a number.
    ///
    /// # Errors
    /// `code`.
    pub fn number<T: std::str::FromStr>(&self, name: &str, code: Code) -> Result<Option<T>, ApiError> {
        self.get(name).map(|value| parse_number(name, value, code)).transpose()
    }

    /// Its value as `true` or `false`.
    ///
    /// # Errors
    /// `code`.
    pub fn boolean(&self, name: &str, code: Code) -> Result<Option<bool>, ApiError> {
        let parse = |value: &str| {
            value.parse::<bool>().map_err(|_| {
                let reason = format!("could not parse `{value}` as a boolean, expected either `true` or `false`");
                bad_parameter(code, name, &reason)
            })
        };
        self.get(name).map(parse).transpose()
    }

    /// Its value as a list between commas, each item read by `read`; none when it is absent or holds a `*`.
    ///
    /// # Errors
    /// The first of `read`.
    pub fn list<T>(&self, name: &str, read: impl Fn(&str) -> Result<T, ApiError>) -> Result<Option<Vec<T>>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let mut items = Vec::new();
        let mut has_star = false;
        for item in value.split(',').filter(|_| !value.is_empty()) {
            if item == "*" {
                has_star = true;
            } else {
                items.push(read(item)?);
            }
        }
        Ok((!has_star).then_some(items))
    }
}

/// A positive integer of a parameter.
///
/// # Errors
/// `code`.
pub fn parse_number<T: std::str::FromStr>(name: &str, value: &str, code: Code) -> Result<T, ApiError> {
    value.parse().map_err(|_| bad_parameter(code, name, &format!("could not parse `{value}` as a positive integer")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_the_last_one_counts() {
        let query = QueryString::parse("a=1&b=x+y%2B&a=2&c", &["a", "b", "c"]).expect("known");
        assert_eq!(
            (query.get("a"), query.get("b"), query.get("c"), query.get("d")),
            (Some("2"), Some("x y+"), Some(""), None)
        );
        assert_eq!(query.number::<u32>("a", Code::BadRequest), Ok(Some(2)));
        let error = query.number::<u32>("b", Code::InvalidTaskLimit).expect_err("no number");
        assert_eq!(error.message, "Invalid value in parameter `b`: could not parse `x y+` as a positive integer");
    }

    #[test]
    fn unknown_parameters_are_refused() {
        let error = QueryString::parse("limitt=1", &["offset", "limit"]).expect_err("unknown");
        assert_eq!(
            error.message,
            "Unknown parameter `limitt`: did you mean `limit`? expected one of `offset`, `limit`"
        );
    }

    #[test]
    fn a_star_takes_the_restriction_away() {
        let query = QueryString::parse("a=1,*&b=&c=3,4", &["a", "b", "c"]).expect("known");
        let list = |name| query.list(name, |item| parse_number::<u32>(name, item, Code::BadRequest));
        assert_eq!(
            (list("a"), list("b"), list("c"), list("d")),
            (Ok(None), Ok(Some(vec![])), Ok(Some(vec![3, 4])), Ok(None))
        );
    }
}
