//! How `jsonwebtoken` is to check signatures: by HMAC with SHA-2, from the libraries that keys are made with.
//!
//! Its own providers bring RSA and elliptic curves along, which no token of a client may be signed with anyhow.

use std::sync::Once;

use hmac::{Hmac, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwkUtils, JwtVerifier};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey};
use sha2::{Sha256, Sha384, Sha512};

static PROVIDER: CryptoProvider = CryptoProvider {
    // Nothing is signed here.
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory: |algorithm, key| verifier(*algorithm, key),
    jwk_utils: JwkUtils::new_unimplemented(),
};

/// To be called before a token is decoded.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        PROVIDER.install_default().expect("nobody else in this process checks tokens");
    });
}

fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    let secret = key.try_get_hmac_secret()?;
    match algorithm {
        Algorithm::HS256 => boxed::<Hmac<Sha256>>(algorithm, secret),
        Algorithm::HS384 => boxed::<Hmac<Sha384>>(algorithm, secret),
        Algorithm::HS512 => boxed::<Hmac<Sha512>>(algorithm, secret),
        Algorithm::ES256
        | Algorithm::ES384
        | Algorithm::RS256
        | Algorithm::RS384
        | Algorithm::RS512
        | Algorithm::PS256
        | Algorithm::PS384
        | Algorithm::PS512
        | Algorithm::EdDSA => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

fn boxed<M: Mac + hmac::digest::KeyInit + Clone + 'static>(
    algorithm: Algorithm,
    secret: &[u8],
) -> Result<Box<dyn JwtVerifier>> {
    let mac = <M as hmac::digest::KeyInit>::new_from_slice(secret).map_err(|_| ErrorKind::InvalidKeyFormat)?;
    Ok(Box::new(HmacVerifier { mac, algorithm }))
}

struct HmacVerifier<M> {
    mac: M,
    algorithm: Algorithm,
}

impl<M: Mac + Clone> Verifier<Vec<u8>> for HmacVerifier<M> {
    /// Takes a time that does not depend on what is equal.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), SignatureError> {
        self.mac.clone().chain_update(message).verify_slice(signature).map_err(|_| SignatureError::new())
    }
}

impl<M: Mac + Clone> JwtVerifier for HmacVerifier<M> {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
