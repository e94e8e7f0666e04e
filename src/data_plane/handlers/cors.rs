//! Cross-origin requests: browsers search directly, from pages of any origin. The keys protect, not the origin.

use http::Method;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN, VARY,
};

use crate::http_types::{Request, Response};

/// What the answer depends on, for caches.
const VARIES_BY: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
const EVERY_METHOD: HeaderValue =
    HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS, CONNECT, TRACE");
/// A day, in seconds.
const REMEMBERED_FOR: HeaderValue = HeaderValue::from_static("86400");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// What every answer to a request with this head says to browsers.
pub fn headers(head: &Request) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = vec![(VARY, VARIES_BY)];
    if head.headers.contains_key(ORIGIN) {
        headers.push((ACCESS_CONTROL_ALLOW_ORIGIN, ANY));
    }
    headers
}

/// The answer to a browser that asks whether it may send a request; none if this asks nothing like that. No key is needed,
/// and no path has to exist.
pub(super) fn preflight(request: &Request) -> Option<Response> {
    let method = request.headers.get(ACCESS_CONTROL_REQUEST_METHOD);
    let is_preflight = method.is_some_and(|method| Method::from_bytes(method.as_bytes()).is_ok());
    if request.method != Method::OPTIONS || !is_preflight {
        return None;
    }
    let mut response = Response::empty(200)
        .with_header(ACCESS_CONTROL_ALLOW_METHODS, EVERY_METHOD)
        .with_header(ACCESS_CONTROL_MAX_AGE, REMEMBERED_FOR);
    if let Some(asked) = request.headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        response = response.with_header(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    if !request.headers.contains_key(ORIGIN) {
        response = response.with_header(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_may_ask_for_anything_and_is_told_so() {
        let asks = |method: Method| {
            Request::new(method, "/nowhere")
                .with_header(ORIGIN, HeaderValue::from_static("http://a.example"))
                .with_header(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"))
                .with_header(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("authorization,x-own"))
        };
        let answer = preflight(&asks(Method::OPTIONS)).expect("a preflight");
        assert_eq!((answer.status, answer.header("access-control-max-age")), (200, Some("86400")));
        assert_eq!(answer.header("access-control-allow-headers"), Some("authorization,x-own"));
        assert!(answer.header("access-control-allow-methods").is_some_and(|methods| methods.contains("PATCH")));
        assert!(headers(&asks(Method::OPTIONS)).contains(&(ACCESS_CONTROL_ALLOW_ORIGIN, ANY)));
        assert_eq!(preflight(&asks(Method::POST)), None);
        let plain = Request::new(Method::OPTIONS, "/indexes");
        assert_eq!(preflight(&plain), None, "it asks nothing");
        assert_eq!(headers(&plain), [(VARY, VARIES_BY)]);
    }
}
