//! `embedders`: only such whose vectors the user brings along.

use serde_json::{Map, Value, json};

use super::parse::Located;
use crate::meili::bad_value;
use crate::meili::error::{ApiError, Code};
use crate::meili::settings::{EMBEDDER_FIELDS, EMBEDDER_SOURCES};

/// An embedder with `source: userProvided`.
#[derive(Clone, PartialEq, Debug)]
pub struct Embedder {
    /// False where only a part of it is known: a patch of one that is set elsewhere.
    pub is_whole: bool,
    /// Numbers in a vector.
    pub dimensions: usize,
    /// Which similarities the embedder gives.
    pub distribution: Option<Distribution>,
    /// As it was sent: vectors are never quantized here.
    pub binary_quantized: Option<bool>,
}

/// Mean and standard deviation of the similarities that an embedder gives.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Distribution {
    /// From 0 to 1.
    pub mean: f32,
    /// Above 0, up to 1.
    pub sigma: f32,
}

fn unsupported(what: &str) -> ApiError {
    ApiError::new(Code::MiroirNotSupported, format!("The embedded node does not support {what}."))
}

/// Somebody else than the user makes the vectors.
pub(super) fn other_source() -> ApiError {
    unsupported("embedders but those with `source: userProvided`")
}

/// The embedder after a patch of its fields.
pub(super) fn patched(old: Option<&Embedder>, at: Located<'_>) -> Result<Embedder, ApiError> {
    let is_patch = old.is_none_or(|old| !old.is_whole);
    let mut source = (!is_patch).then(|| "userProvided".to_owned());
    let mut dimensions = old.map(|old| old.dimensions);
    let mut distribution = old.and_then(|old| old.distribution);
    let mut binary_quantized = old.and_then(|old| old.binary_quantized);
    let mut foreign = None;
    at.each(|key, field| {
        let null = field.value.is_null();
        match key {
            "source" => source = Some(read_source(field)?),
            "dimensions" if null => dimensions = None,
            "dimensions" => dimensions = Some(field.count()? as usize),
            "binaryQuantized" => binary_quantized = if null { None } else { Some(field.flag()?) },
            "distribution" => distribution = if null { None } else { Some(read_distribution(field)?) },
            _ if !EMBEDDER_FIELDS.contains(&key) => return Err(at.unknown_field(key, &EMBEDDER_FIELDS)),
            _ if null => {}
            _ => foreign = Some(key.to_owned()),
        }
        Ok(())
    })?;
    let refused = |message: String| Err(ApiError::new(at.code, format!("`.{}{message}", at.path)));
    if source.as_deref().is_some_and(|source| source != "userProvided") {
        return Err(other_source());
    }
    if let Some(key) = foreign {
        return refused(format!("`: Field `{key}` unavailable for source `userProvided`."));
    }
    if binary_quantized == Some(true) {
        return Err(unsupported("`binaryQuantized`"));
    }
    match dimensions {
        Some(0) => refused(".dimensions`: `dimensions` cannot be zero".to_owned()),
        Some(dimensions) => Ok(Embedder { is_whole: source.is_some(), dimensions, distribution, binary_quantized }),
        None if source.is_none() => Ok(Embedder { is_whole: false, dimensions: 0, distribution, binary_quantized }),
        None => refused(
            "`: Missing field `dimensions` (note: this field is mandatory for source `userProvided`)".to_owned(),
        ),
    }
}

fn read_source(at: Located<'_>) -> Result<String, ApiError> {
    let source = at.text()?;
    if EMBEDDER_SOURCES.contains(&source.as_str()) {
        return Ok(source);
    }
    Err(bad_value::unknown_value(at.code, &format!(".{}", at.path), &source, &EMBEDDER_SOURCES))
}

fn read_distribution(at: Located<'_>) -> Result<Distribution, ApiError> {
    let (mut mean, mut sigma) = (None, None);
    at.each(|key, field| {
        let number = || field.value.as_f64().map(|number| number as f32).ok_or_else(|| field.wrong("a number"));
        match key {
            "mean" => mean = Some(number()?),
            "sigma" => sigma = Some(number()?),
            _ => return Err(at.unknown_field(key, &["mean", "sigma"])),
        }
        Ok(())
    })?;
    let location = format!(".{}", at.path);
    let missing = |field| bad_value::missing_field(at.code, &location, field);
    let distribution =
        Distribution { mean: mean.ok_or_else(|| missing("mean"))?, sigma: sigma.ok_or_else(|| missing("sigma"))? };
    let out_of_range = |name: &str, range: &str, found: f32| {
        let reason = format!("the distribution {name} must be in the range {range}, got {found}");
        Err(bad_value::unexpected(at.code, &location, &reason))
    };
    if !(0.0..=1.0).contains(&distribution.mean) {
        return out_of_range("mean", "[0, 1]", distribution.mean);
    }
    if distribution.sigma <= 0.0 || distribution.sigma > 1.0 {
        return out_of_range("sigma", "]0, 1]", distribution.sigma);
    }
    Ok(distribution)
}

impl Embedder {
    /// The embedder as the settings show it.
    pub(super) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("source".to_owned(), "userProvided".into());
        fields.insert("dimensions".to_owned(), self.dimensions.into());
        if let Some(binary_quantized) = self.binary_quantized {
            fields.insert("binaryQuantized".to_owned(), binary_quantized.into());
        }
        if let Some(Distribution { mean, sigma }) = self.distribution {
            // With the digits of single precision.
            let number = |number: f32| number.to_string().parse::<f64>().unwrap_or_default();
            fields.insert("distribution".to_owned(), json!({"mean": number(mean), "sigma": number(sigma)}));
        }
        fields.into()
    }
}
