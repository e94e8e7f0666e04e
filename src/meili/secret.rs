//! What is shown of a secret.

/// Its beginning, as much of it as one server shows.
pub(super) fn shown_secret(secret: &str) -> String {
    shown_secret_from(secret, 0)
}

/// The same of a secret that stands behind so many bytes, which are shown.
pub(super) fn shown_secret_from(text: &str, prefix: usize) -> String {
    let (kept, mark) = match text.len().saturating_sub(prefix) {
        0..10 => (0, "XXX..."),
        10..20 => (2, "XXXX..."),
        20..30 => (3, "XXXXX..."),
        _ => (5, "XXXXXX..."),
    };
    let end = text.ceil_char_boundary(prefix + kept);
    format!("{}{mark}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_a_secret_the_more_of_it_is_shown() {
        for (secret, shown) in [
            ("", "XXX..."),
            ("123456789", "XXX..."),
            ("1234567890", "12XXXX..."),
            ("12345678901234567890", "123XXXXX..."),
            ("123456789012345678901234567890", "12345XXXXXX..."),
            ("1üü4567890", "1üXXXX..."),
        ] {
            assert_eq!(shown_secret(secret), shown);
        }
    }
}
