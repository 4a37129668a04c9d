//! A set of ordinals as half-open ranges.

use std::collections::BTreeMap;

use super::Ordinal;

/// Sorted, disjoint ranges `[start, end)` that do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RangeSet {
    ranges: BTreeMap<Ordinal, Ordinal>,
}

impl RangeSet {
    pub(crate) fn insert(&mut self, start: Ordinal, end: Ordinal) {
        if start >= end {
            return;
        }
        let (mut start, mut end) = (start, end);
        // The last range that begins at or before `end` is the only one that may reach beyond; ranges before it
        // are swallowed as long as they touch.
        while let Some((&other, &other_end)) = self.ranges.range(..=end).next_back() {
            if other_end < start {
                break;
            }
            self.ranges.remove(&other);
            start = start.min(other);
            end = end.max(other_end);
        }
        self.ranges.insert(start, end);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ordinal, Ordinal)> + '_ {
        self.ranges.iter().map(|(start, end)| (*start, *end))
    }

    /// How many ordinals are in the set.
    pub(crate) fn len(&self) -> u64 {
        self.iter().map(|(start, end)| end - start).sum()
    }

    pub(crate) fn contains(&self, ordinal: Ordinal) -> bool {
        self.ranges.range(..=ordinal).next_back().is_some_and(|(_, end)| ordinal < *end)
    }

    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
    }

    /// `gap+length,…`: each range by its distance from the end of the one before.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        let mut last = 0;
        for (start, end) in self.iter() {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(&format!("{}+{}", start - last, end - start));
            last = end;
        }
        if text.is_empty() { "-".to_owned() } else { text }
    }

    /// Adds the ranges of a text. False, with nothing promised about the set, when it is no such text.
    pub(crate) fn add_text(&mut self, text: &str) -> bool {
        let mut last: Ordinal = 0;
        for part in text.split(',').filter(|_| text != "-") {
            let range = part.split_once('+').and_then(|(gap, length)| {
                let start = last.checked_add(gap.parse().ok()?)?;
                Some((start, start.checked_add(length.parse().ok()?)?))
            });
            let Some((start, end)) = range else { return false };
            self.insert(start, end);
            last = end;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn ranges_that_touch_become_one() {
        let mut set = RangeSet::default();
        for (start, end) in [(5, 7), (0, 2), (9, 9), (2, 5), (20, 30), (7, 8)] {
            set.insert(start, end);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [(0, 8), (20, 30)]);
        assert_eq!(set.to_text(), "0+8,12+10");
    }

    proptest! {
        #[test]
        fn the_set_holds_exactly_what_was_put_in(pieces in proptest::collection::vec((0u64..200, 0u64..20), 0..60)) {
            let mut set = RangeSet::default();
            let mut model = BTreeSet::new();
            for (start, length) in pieces {
                set.insert(start, start + length);
                model.extend(start..start + length);
            }
            prop_assert_eq!(set.len(), model.len() as u64);
            for ordinal in 0..230 {
                prop_assert_eq!(set.contains(ordinal), model.contains(&ordinal));
            }
            let ranges: Vec<_> = set.iter().collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{:?}", ranges);
            let mut again = RangeSet::default();
            prop_assert!(again.add_text(&set.to_text()));
            prop_assert_eq!(again, set);
        }

        #[test]
        fn any_other_text_is_refused_without_harm(text in "[-+0-9,]{0,20}") {
            let _ = RangeSet::default().add_text(&text);
        }
    }
}
