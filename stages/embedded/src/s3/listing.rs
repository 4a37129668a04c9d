//! Listing: which entries and common prefixes make a page, and where the next page begins.

use super::index::Walk;

/// What a list asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    pub(super) prefix: Vec<u8>,
    pub(super) delimiter: Vec<u8>,
    pub(super) max: usize,
}

/// An entry of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listed<T> {
    Key(Vec<u8>, T),
    Prefix(Vec<u8>),
}

impl<T> Listed<T> {
    /// The key, or the common prefix.
    pub(super) fn name(&self) -> &[u8] {
        match self {
            Self::Key(name, _) | Self::Prefix(name) => name,
        }
    }
}

/// A page that is being filled in the order of the keys.
#[derive(Debug)]
pub(super) struct Page<T> {
    query: Query,
    pub(super) entries: Vec<Listed<T>>,
    pub(super) truncated: bool,
}

impl<T> Page<T> {
    pub(super) fn new(query: Query) -> Self {
        Self { query, entries: Vec::new(), truncated: false }
    }

    /// Takes the next key and says where to go on.
    pub(super) fn take(&mut self, key: &[u8], value: T) -> Walk {
        if !key.starts_with(&self.query.prefix) {
            // Keys before the prefix are not visited, so this is the end of it.
            return Walk::Stop;
        }
        if self.entries.len() >= self.query.max {
            self.truncated = self.query.max > 0;
            return Walk::Stop;
        }
        let Some(common) = self.common_prefix(key) else {
            self.entries.push(Listed::Key(key.to_vec(), value));
            return Walk::On;
        };
        let next = after_all_with(&common);
        self.entries.push(Listed::Prefix(common));
        next.map_or(Walk::Stop, Walk::SeekTo)
    }

    fn common_prefix(&self, key: &[u8]) -> Option<Vec<u8>> {
        if self.query.delimiter.is_empty() {
            return None;
        }
        let start = self.query.prefix.len();
        let at = find(&key[start..], &self.query.delimiter)?;
        Some(key[..start + at + self.query.delimiter.len()].to_vec())
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The first key after all that begin with `prefix`; `None` when there can be none.
pub(super) fn after_all_with(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

/// The first key after `key`.
pub(super) fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// Encodes a name as `encoding-type=url` asks for it: everything but letters, digits and `-_.~/`.
pub(super) fn url_encode(name: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'/') {
            out.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Walks sorted keys as the index does.
    fn walk(keys: &BTreeSet<Vec<u8>>, mut start: Vec<u8>, page: &mut Page<()>) {
        'seek: loop {
            for key in keys.range(start.clone()..) {
                match page.take(key, ()) {
                    Walk::On => {}
                    Walk::Stop => return,
                    Walk::SeekTo(next) => {
                        start = next;
                        continue 'seek;
                    }
                }
            }
            return;
        }
    }

    /// Lists everything page by page.
    fn list_all(keys: &BTreeSet<Vec<u8>>, query: &Query) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        let mut start = query.prefix.clone();
        loop {
            let mut page = Page::new(query.clone());
            walk(keys, start.clone(), &mut page);
            names.extend(page.entries.iter().map(|entry| entry.name().to_vec()));
            if !page.truncated {
                return names;
            }
            start = match page.entries.last().unwrap() {
                Listed::Key(key, ()) => after(key),
                Listed::Prefix(prefix) => after_all_with(prefix).unwrap(),
            };
        }
    }

    proptest! {
        #[test]
        fn pages_of_any_size_name_each_key_and_each_common_prefix_once(
            keys in proptest::collection::btree_set("[ab/]{1,6}", 0..40),
            prefix in "[ab/]{0,2}",
            delimiter in "/?",
            max in 1_usize..5,
        ) {
            let keys: BTreeSet<Vec<u8>> = keys.into_iter().map(String::into_bytes).collect();
            let query = Query { prefix: prefix.clone().into_bytes(), delimiter: delimiter.clone().into_bytes(), max };
            let expected: BTreeSet<Vec<u8>> = keys
                .iter()
                .filter(|key| key.starts_with(prefix.as_bytes()))
                .map(|key| {
                    let rest = &key[prefix.len()..];
                    match rest.iter().position(|byte| *byte == b'/').filter(|_| !delimiter.is_empty()) {
                        Some(at) => key[..prefix.len() + at + 1].to_vec(),
                        None => key.clone(),
                    }
                })
                .collect();
            let listed = list_all(&keys, &query);
            prop_assert!(listed.is_sorted());
            prop_assert_eq!(listed.len(), expected.len());
            prop_assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }

    #[test]
    fn names_are_encoded_for_xml_10() {
        assert_eq!(url_encode("a/b c+é\u{1}"), "a/b%20c%2B%C3%A9%01");
    }
}
