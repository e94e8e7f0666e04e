//! Tenant tokens, made as a client's server makes them.

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};

/// A key that tokens are made of.
#[derive(Clone, Debug)]
pub struct Signer {
    /// Of the key.
    pub uid: String,
    /// Its value.
    pub value: String,
}

impl Signer {
    /// A token with these rules that does not end.
    pub fn token(&self, rules: &Value) -> String {
        self.sign("HS256", &json!({"searchRules": rules, "apiKeyUid": self.uid}))
    }

    /// Any token.
    pub fn sign(&self, algorithm: &str, claims: &Value) -> String {
        let header = json!({"alg": algorithm, "typ": "JWT"});
        let message = format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
        let signature = match algorithm {
            "HS384" => mac::<Hmac<Sha384>>(&self.value, &message),
            "HS512" => mac::<Hmac<Sha512>>(&self.value, &message),
            _ => mac::<Hmac<Sha256>>(&self.value, &message),
        };
        format!("{message}.{}", encoded(&signature))
    }
}

fn mac<M: Mac + KeyInit>(secret: &str, message: &str) -> Vec<u8> {
    let mac = <M as KeyInit>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

/// Base64 for URLs, without padding.
fn encoded(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        let digit = |place: usize| char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]);
        text.extend((0..=group.len()).map(digit));
    }
    text
}
