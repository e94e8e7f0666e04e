//! Compressed bodies, both ways: what a client sends compressed is read, and answers are compressed for who accepts it.
//!
//! Both work in steps between which other requests get their turn. A step of a decoder is bounded both ways, in what it
//! makes and in what it takes, for a body may go on for ever and come to nothing (empty members, frames and blocks). What a
//! body comes to is counted while it grows, and the decoders of a core that are at work at a time are few: a body of some
//! bytes that comes to gigabytes, or asks for a window of gigabytes, costs no more than any other.

use std::cell::Cell;
use std::io::{self, BufRead, Read, Write};
use std::rc::Rc;

use flate2::Compression;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};

/// Bytes that a decoder makes, or an encoder takes, in one step: about half a millisecond.
pub const STEP_BYTES: usize = 32 * 1024;
/// Compressed bytes that a decoder takes in one step: what comes to nothing costs up to a microsecond a byte.
const STEP_BYTES_TAKEN: usize = 4 * 1024;
/// The largest window of zstd that is read: 8 MiB, which every decoder should take.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Window of brotli when answers are written: 256 KiB.
const BROTLI_WINDOW_LOG: u32 = 18;
const BROTLI_QUALITY: u32 = 3;

/// A content coding that both sides know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// `br`
    Brotli,
    /// `gzip`
    Gzip,
    /// `deflate`, which is the zlib format
    Deflate,
    /// `zstd`
    Zstd,
}

impl Coding {
    /// Bodies of requests in any of these are read.
    pub const ALL: [Self; 4] = [Self::Brotli, Self::Gzip, Self::Deflate, Self::Zstd];
    /// Answers are written in these, as one server writes them; the one that is preferred comes first.
    pub const OF_ANSWERS: [Self; 3] = [Self::Brotli, Self::Gzip, Self::Deflate];

    /// As headers write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|coding| coding.name().eq_ignore_ascii_case(name))
    }

    /// How the body of a request is compressed. Like one server, this ignores what nobody knows.
    pub fn of_body(headers: &HeaderMap) -> Option<Self> {
        Self::from_name(headers.get(CONTENT_ENCODING)?.to_str().ok()?.trim())
    }
}

/// What a client takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The best of the codings that it takes, if it likes any as much as none.
    pub coding: Option<Coding>,
    /// It takes a plain body too.
    pub is_plain_accepted: bool,
}

/// One element of `Accept-Encoding`.
struct Preference<'a> {
    name: &'a str,
    /// In thousandths.
    quality: u16,
}

impl<'a> Preference<'a> {
    fn parse(element: &'a str) -> Option<Self> {
        let element = element.trim();
        let quality = element.rsplit_once(';').map(|(name, quality)| (name.trim(), quality.trim()));
        let Some((name, quality)) = quality else {
            return (!element.is_empty()).then_some(Self { name: element, quality: 1000 });
        };
        let quality = quality.strip_prefix("q=").or_else(|| quality.strip_prefix("Q="))?;
        let quality: f32 = quality.parse().ok().filter(|quality| (0.0..=1.0).contains(quality))?;
        Some(Self { name, quality: (quality * 1000.0) as u16 })
    }

    fn rank(&self) -> usize {
        if self.quality == 0 {
            return usize::MAX;
        }
        let place = Coding::OF_ANSWERS.iter().position(|coding| coding.name().eq_ignore_ascii_case(self.name));
        place.unwrap_or(Coding::OF_ANSWERS.len())
    }

    /// The coding, if answers are written in it.
    fn coding(&self) -> Option<Coding> {
        Coding::OF_ANSWERS.get(self.rank()).copied()
    }
}

impl Accepted {
    /// Reads `Accept-Encoding`; none: nothing that can be sent is taken.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let mut preferences: Vec<Preference> =
            texts.flat_map(|text| text.split(',')).filter_map(Preference::parse).collect();
        preferences.sort_by_key(|preference| (std::cmp::Reverse(preference.quality), preference.rank()));
        let is_plain = |preference: &Preference| preference.name.eq_ignore_ascii_case("identity");
        let plain = preferences.iter().find(|preference| is_plain(preference) || preference.name == "*");
        let is_plain_accepted = plain.is_none_or(|preference| preference.quality > 0);
        let wanted = preferences.iter().filter(|preference| preference.quality > 0);
        let best = wanted.map(|preference| (is_plain(preference), preference.coding()));
        let coding = match best.into_iter().find(|(is_plain, coding)| *is_plain || coding.is_some()) {
            Some((_, coding)) => coding,
            None if is_plain_accepted => None,
            None => return None,
        };
        Some(Self { coding, is_plain_accepted })
    }
}

/// A compressed body of which each step gets a portion. Behind the portion it says that it would have to wait, which every
/// decoder passes on and survives.
struct Portioned<'a> {
    rest: &'a [u8],
    portion: Rc<Cell<usize>>,
}

impl BufRead for Portioned<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let portion = self.portion.get().min(self.rest.len());
        if portion == 0 && !self.rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(&self.rest[..portion])
    }

    fn consume(&mut self, taken: usize) {
        self.rest = &self.rest[taken..];
        self.portion.set(self.portion.get() - taken);
    }
}

impl Read for Portioned<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

/// A body that is being read.
pub struct Decoding<'a> {
    reader: Box<dyn Read + 'a>,
    /// What the reader may still take in this step.
    portion: Rc<Cell<usize>>,
    decoded: Vec<u8>,
}

impl<'a> Decoding<'a> {
    /// Nothing is read yet.
    ///
    /// # Errors
    /// The body asks for more memory than is given.
    pub fn new(coding: Coding, body: &'a [u8]) -> io::Result<Self> {
        let portion = Rc::new(Cell::new(STEP_BYTES_TAKEN));
        let portioned = Portioned { rest: body, portion: portion.clone() };
        let reader: Box<dyn Read + 'a> = match coding {
            Coding::Gzip => Box::new(MultiGzDecoder::new(portioned)),
            Coding::Deflate => Box::new(ZlibDecoder::new(portioned)),
            // The mark of the extension to windows of a gigabyte.
            Coding::Brotli if body.first().is_some_and(|first| first & 0x7f == 0x11) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the window is too large"));
            }
            Coding::Brotli => Box::new(brotli::Decompressor::new(portioned, STEP_BYTES_TAKEN)),
            Coding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(portioned)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
        };
        Ok(Self { reader, portion, decoded: Vec::new() })
    }

    /// Reads on; the bytes that it came to, which may be 0, none at the end.
    ///
    /// # Errors
    /// The body is not what it says.
    pub fn step(&mut self) -> io::Result<Option<usize>> {
        self.portion.set(STEP_BYTES_TAKEN);
        let before = self.decoded.len();
        let end = self.reader.by_ref().take(STEP_BYTES as u64).read_to_end(&mut self.decoded);
        let read = self.decoded.len() - before;
        match end {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(read)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Some(read)),
            Err(error) => Err(error),
        }
    }

    /// What was read.
    pub fn into_decoded(self) -> Vec<u8> {
        self.decoded
    }
}

/// A body that is being compressed.
pub enum Encoding {
    /// Into brotli.
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    /// Into gzip.
    Gzip(GzEncoder<Vec<u8>>),
    /// Into zlib.
    Deflate(ZlibEncoder<Vec<u8>>),
}

impl Encoding {
    /// Nothing is compressed yet; none for what answers are not written in. As fast as one server does it.
    pub fn new(coding: Coding) -> Option<Self> {
        let out = Vec::new();
        Some(match coding {
            Coding::Brotli => {
                let writer = brotli::CompressorWriter::new(out, STEP_BYTES, BROTLI_QUALITY, BROTLI_WINDOW_LOG);
                Self::Brotli(Box::new(writer))
            }
            Coding::Gzip => Self::Gzip(GzEncoder::new(out, Compression::fast())),
            Coding::Deflate => Self::Deflate(ZlibEncoder::new(out, Compression::fast())),
            Coding::Zstd => return None,
        })
    }

    /// Takes some more of the body, best [`STEP_BYTES`].
    pub fn push(&mut self, plain: &[u8]) {
        let taken = match self {
            Self::Brotli(encoder) => encoder.write_all(plain),
            Self::Gzip(encoder) => encoder.write_all(plain),
            Self::Deflate(encoder) => encoder.write_all(plain),
        };
        taken.expect("writing to memory does not fail");
    }

    /// The whole compressed body.
    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Brotli(encoder) => encoder.into_inner(),
            Self::Gzip(encoder) => encoder.finish().expect("writing to memory does not fail"),
            Self::Deflate(encoder) => encoder.finish().expect("writing to memory does not fail"),
        }
    }
}

#[cfg(test)]
mod tests;
