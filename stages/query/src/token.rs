//! Page tokens: a place in the answer to one question, sealed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use penstock_api::plan::PipelineRef;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{hkdf, hmac};

use crate::problem::{Problem, ProblemKind};

/// A sort key has 1024 bytes at most, and a token some more for its seal and its letters.
pub(crate) const MAX_TOKEN: usize = 2048;
const AFTER: u8 = 1;
const OFFSET: u8 = 2;

/// A place in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// After the item with this sort key, as text; bytes as base64.
    After(String),
    /// After so many lines of an answer that is read whole.
    Offset(u64),
}

/// Seals and opens tokens. The same place in the answer to the same question is the same token, so that a page that has not changed has
/// the same tag: the nonce follows from both (a synthetic initialization vector, as in RFC 5297).
pub(crate) struct Sealer {
    key: LessSafeKey,
    nonces: hmac::Key,
}

/// A key could not be derived, or a token not be sealed with it.
#[derive(Debug, thiserror::Error)]
#[error("page tokens cannot be sealed")]
pub(crate) struct NoSeal;

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl Sealer {
    /// The key follows from the API keys, so it is the same in every pod and after a restart. Without API keys it follows from
    /// names: a token then hides nothing, and still leads nowhere but into its own question.
    pub(crate) fn new(pipeline: &PipelineRef, api: &str, secrets: &[[u8; 32]]) -> Result<Self, NoSeal> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"penstock page token 1");
        let name = format!("{}/{}/{api}", pipeline.namespace, pipeline.name);
        let material = secrets.concat();
        let secret = salt.extract(&material);
        let (to_seal, to_number) = ([b"seal ", name.as_bytes()], [b"nonce", name.as_bytes()]);
        let key = secret.expand(&to_seal, &CHACHA20_POLY1305).map_err(|_| NoSeal)?;
        let nonces = secret.expand(&to_number, hmac::HMAC_SHA256).map_err(|_| NoSeal)?;
        Ok(Self { key: LessSafeKey::new(UnboundKey::from(key)), nonces: hmac::Key::from(nonces) })
    }

    /// A token for the place, good for this question alone.
    pub(crate) fn seal(&self, question: &[u8], cursor: &Cursor) -> Result<String, NoSeal> {
        let mut sealed = match cursor {
            Cursor::After(key) => [&[AFTER], key.as_bytes()].concat(),
            Cursor::Offset(lines) => [&[OFFSET], lines.to_be_bytes().as_slice()].concat(),
        };
        let nonce = self.nonce(question, &sealed)?;
        let used = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(used, Aad::from(question), &mut sealed).map_err(|_| NoSeal)?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// Two tokens share a nonce only when they are the same token.
    fn nonce(&self, question: &[u8], place: &[u8]) -> Result<[u8; NONCE_LEN], NoSeal> {
        let mut context = hmac::Context::with_key(&self.nonces);
        context.update(&(question.len() as u64).to_be_bytes());
        context.update(question);
        context.update(place);
        let tag = context.sign();
        let first = tag.as_ref().get(..NONCE_LEN).ok_or(NoSeal)?;
        first.try_into().map_err(|_| NoSeal)
    }

    /// The place that a token holds.
    pub(crate) fn open(&self, question: &[u8], token: &str) -> Result<Cursor, Problem> {
        self.opened(question, token).ok_or_else(|| {
            let detail = "send `next` as the page before gave it, with the same path and parameters; tokens end with the API keys \
                          that they were made under";
            Problem::new(ProblemKind::BadToken, detail)
        })
    }

    fn opened(&self, question: &[u8], token: &str) -> Option<Cursor> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.key.open_in_place(nonce, Aad::from(question), sealed).ok()?;
        match opened.split_first()? {
            (&AFTER, key) => Some(Cursor::After(std::str::from_utf8(key).ok()?.to_owned())),
            (&OFFSET, lines) => Some(Cursor::Offset(u64::from_be_bytes(lines.try_into().ok()?))),
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealer(secret: u8) -> Sealer {
        let pipeline = PipelineRef { namespace: "shop".to_owned(), name: "orders".to_owned() };
        Sealer::new(&pipeline, "ask", &[[secret; 32]]).unwrap()
    }

    #[test]
    fn a_token_survives_a_restart_and_is_good_for_its_question_alone() {
        let cursors = [Cursor::After("85123A#1".to_owned()), Cursor::Offset(700)];
        for cursor in cursors {
            let token = sealer(1).seal(b"question", &cursor).unwrap();
            assert_eq!(sealer(1).seal(b"question", &cursor).unwrap(), token, "the same page has the same tag");
            assert_eq!(sealer(1).open(b"question", &token), Ok(cursor));
            assert!(sealer(1).open(b"another", &token).is_err());
            assert!(sealer(2).open(b"question", &token).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_token_that_was_changed_is_refused(at in 0_usize..60, letter in "[A-Za-z0-9_-]") {
            let token = sealer(1).seal(b"question", &Cursor::After("85123A#1".to_owned())).unwrap();
            let at = at % token.len();
            let changed = format!("{}{letter}{}", &token[..at], &token[at + 1..]);
            prop_assert!(changed == token || sealer(1).open(b"question", &changed).is_err());
        }

        #[test]
        fn anything_else_is_no_token(text in ".{0,80}") {
            prop_assert!(sealer(1).open(b"question", &text).is_err());
        }
    }
}
