//! Round trips, preferences, and bodies that are not what they say.

use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue};

use super::*;

fn encoded(coding: Coding, plain: &[u8]) -> Vec<u8> {
    let Some(mut encoding) = Encoding::new(coding) else { return zstd::stream::encode_all(plain, 3).unwrap() };
    plain.chunks(STEP_BYTES).for_each(|piece| encoding.push(piece));
    encoding.finish()
}

fn decoded(coding: Coding, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut decoding = Decoding::new(coding, body)?;
    while let Some(bytes) = decoding.step()? {
        assert!(bytes <= STEP_BYTES);
    }
    Ok(decoding.into_decoded())
}

#[test]
fn what_is_compressed_is_read_again() {
    let long: Vec<u8> = (0..200_000_u32).flat_map(|number| (number % 1_000).to_le_bytes()).collect();
    for coding in Coding::ALL {
        for plain in [&b"short"[..], &long] {
            assert_eq!(decoded(coding, &encoded(coding, plain)).unwrap(), plain, "{coding:?}");
        }
    }
    let members = [encoded(Coding::Gzip, b"one "), encoded(Coding::Gzip, b"two")].concat();
    assert_eq!(decoded(Coding::Gzip, &members).unwrap(), b"one two");
}

/// Goal: no step stalls its core, whatever the body. Method: bodies that go on and come to nothing, each end of a member,
/// frame or block at another place within a portion.
#[test]
fn what_comes_to_nothing_is_read_in_steps_too() {
    let empty_blocks = |begin: &[u8], block: &[u8], end: &[u8]| [begin, &block.repeat(100_000), end].concat();
    let bodies = [
        (Coding::Gzip, encoded(Coding::Gzip, b"").repeat(50_000)),
        (Coding::Zstd, encoded(Coding::Zstd, b"").repeat(50_000)),
        // A frame that is to be skipped.
        (Coding::Zstd, [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7].repeat(100_000)),
        (Coding::Deflate, empty_blocks(&[0x78, 0x01], &[0, 0, 0, 0xff, 0xff], &[3, 0, 0, 0, 0, 1])),
        // A window of 64 KiB, and metadata of no bytes.
        (Coding::Brotli, empty_blocks(&[0x0c], &[0x06], &[0x03])),
    ];
    for (coding, body) in bodies {
        let mut decoding = Decoding::new(coding, &body).unwrap();
        let mut steps = 0;
        while let Some(bytes) = decoding.step().unwrap_or_else(|error| panic!("{coding:?}: {error}")) {
            assert_eq!(bytes, 0, "{coding:?}");
            steps += 1;
        }
        assert!(steps >= body.len() / STEP_BYTES_TAKEN, "{coding:?}: {steps} steps for {} bytes", body.len());
    }
}

#[test]
fn what_is_cut_or_no_compressed_body_is_an_error() {
    for coding in Coding::ALL {
        let whole = encoded(coding, &vec![7; 100_000]);
        assert!(decoded(coding, &whole[..whole.len() - 2]).is_err(), "{coding:?} cut");
        assert!(decoded(coding, b"{\"q\": \"not compressed\"}").is_err(), "{coding:?} plain");
    }
    assert!(decoded(Coding::Brotli, &[0x11, 0x1e, 0, 0, 0]).is_err(), "a window of a gigabyte");
    // Magic number, a frame of one window of 2^31 bytes, and an empty last block.
    let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
    assert!(decoded(Coding::Zstd, &window).is_err(), "a window of two gigabytes");
}

#[test]
fn a_client_gets_the_coding_that_it_likes_best() {
    let coding = |text: &'static str| {
        let headers: HeaderMap = [(ACCEPT_ENCODING, HeaderValue::from_static(text))].into_iter().collect();
        Accepted::of(&headers).map(|accepted| accepted.coding.map_or("plain", Coding::name))
    };
    let table = [
        ("", Some("plain")),
        ("gzip", Some("gzip")),
        ("GZip, deflate", Some("gzip")),
        ("gzip, deflate, br", Some("br")),
        ("gzip, deflate, br, zstd", Some("br")),
        ("gzip, zstd", Some("gzip")),
        ("zstd", Some("plain")),
        ("deflate;q=1, gzip;q=0.5", Some("deflate")),
        ("br;q=0, gzip;q=0.1", Some("gzip")),
        ("*", Some("plain")),
        ("identity, gzip;q=0.5", Some("plain")),
        ("identity;q=0, lz4", None),
        ("*;q=0", None),
        ("*;q=0, gzip", Some("gzip")),
        ("lz4", Some("plain")),
        ("gzip;q=nonsense", Some("plain")),
    ];
    for (text, expected) in table {
        assert_eq!(coding(text), expected, "{text}");
    }
    assert_eq!(Accepted::of(&HeaderMap::new()), Some(Accepted { coding: None, is_plain_accepted: true }));
}

#[test]
fn unknown_codings_of_a_body_are_ignored() {
    let coding = |text: &'static str| {
        Coding::of_body(&[(CONTENT_ENCODING, HeaderValue::from_static(text))].into_iter().collect())
    };
    assert_eq!(coding(" GZIP "), Some(Coding::Gzip));
    assert_eq!(coding("br"), Some(Coding::Brotli));
    assert_eq!((coding("identity"), coding("gzip, br"), coding("lz4")), (None, None, None));
}
