//! Who may use an endpoint: keys that are kept as digests and compared in constant time.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The header that carries a key, beside `Authorization: Bearer`.
const X_API_KEY: &str = "x-api-key";

/// A key, as its SHA-256, and the name of who uses it.
#[derive(Clone)]
pub struct ApiKey {
    name: String,
    digest: [u8; 32],
}

impl ApiKey {
    /// Takes the key's digest; white space around the key does not belong to it.
    #[must_use]
    pub fn new(name: impl Into<String>, key: &str) -> Self {
        Self { name: name.into(), digest: Sha256::digest(key.trim().as_bytes()).into() }
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The keys that are good now. Cheap to clone; all clones are one, so a Secret that changes needs no restart.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys(Arc<RwLock<Vec<ApiKey>>>);

impl ApiKeys {
    /// From now on these are good, and no others.
    pub fn replace(&self, keys: impl IntoIterator<Item = ApiKey>) {
        let mut keys: Vec<_> = keys.into_iter().collect();
        // An empty value in the Secret must not open the endpoint to an empty header.
        let empty: [u8; 32] = Sha256::digest(b"").into();
        keys.retain(|key| key.digest != empty);
        *self.0.write() = keys;
    }

    /// The name of the key that the request carries.
    ///
    /// # Errors
    /// When it carries none, or one that is not good.
    pub fn check(&self, headers: &HeaderMap) -> Result<String, Denied> {
        let presented = presented(headers).ok_or(Denied::NoKey)?;
        let digest: [u8; 32] = Sha256::digest(presented).into();
        let keys = self.0.read();
        // Every key is looked at, so the time says nothing about which one was nearly right.
        let found =
            keys.iter().fold(None, |found, key| if bool::from(key.digest.ct_eq(&digest)) { Some(key) } else { found });
        found.map(|key| key.name.clone()).ok_or(Denied::WrongKey)
    }
}

impl ApiKeys {
    /// The digests of all keys in an order of their own: what other secrets may be derived from.
    #[must_use]
    pub fn digests(&self) -> Vec<[u8; 32]> {
        let mut digests: Vec<_> = self.0.read().iter().map(|key| key.digest).collect();
        digests.sort_unstable();
        digests
    }
}

impl FromIterator<ApiKey> for ApiKeys {
    fn from_iter<T: IntoIterator<Item = ApiKey>>(keys: T) -> Self {
        let made = Self::default();
        made.replace(keys);
        made
    }
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It carries no key.
    NoKey,
    /// Its key is not known.
    WrongKey,
}

fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(key) = headers.get(X_API_KEY) {
        return Some(key.as_bytes().trim_ascii());
    }
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(axum::http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn a_key_is_taken_from_either_header() {
        let keys: ApiKeys = [ApiKey::new("shop", "s3cret\n"), ApiKey::new("till", "other")].into_iter().collect();
        assert_eq!(keys.check(&with("x-api-key", "other")), Ok("till".to_owned()));
        assert_eq!(keys.check(&with("authorization", "Bearer s3cret")), Ok("shop".to_owned()));
        assert_eq!(keys.check(&with("authorization", "bearer s3cret")), Ok("shop".to_owned()));
        assert_eq!(keys.check(&with("authorization", "Basic s3cret")), Err(Denied::NoKey));
        assert_eq!(keys.check(&with("x-api-key", "s3cre")), Err(Denied::WrongKey));
        assert_eq!(keys.check(&HeaderMap::new()), Err(Denied::NoKey));
    }

    #[test]
    fn an_empty_key_opens_nothing_and_no_keys_let_nobody_in() {
        let keys: ApiKeys = [ApiKey::new("empty", " \n")].into_iter().collect();
        assert_eq!(keys.check(&with("x-api-key", "")), Err(Denied::WrongKey));
        assert_eq!(keys.check(&with("authorization", "Bearer ")), Err(Denied::WrongKey));
        assert_eq!(ApiKeys::default().check(&with("x-api-key", "x")), Err(Denied::WrongKey));
    }

    #[test]
    fn keys_can_be_replaced_while_they_are_used() {
        let keys: ApiKeys = [ApiKey::new("shop", "old")].into_iter().collect();
        let served = keys.clone();
        keys.replace([ApiKey::new("shop", "new")]);
        assert_eq!(served.check(&with("x-api-key", "old")), Err(Denied::WrongKey));
        assert!(served.check(&with("x-api-key", "new")).is_ok());
    }
}
