#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn subject() -> Subject {
    Subject {
        source: "abc".to_owned(),
        file: "orders.csv".to_owned(),
        to: "http://127.0.0.1:8080/orders".to_owned(),
        selection: "rows 1..".to_owned(),
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("journal")
    }

    fn open(&self) -> Journal {
        Journal::open(&self.path(), subject(), true).unwrap()
    }
}

fn settle(journal: &mut Journal, ordinals: impl IntoIterator<Item = u64>) {
    for ordinal in ordinals {
        journal.stage(ordinal);
        journal.count(Settled { accepted: 1, ..Settled::default() });
    }
    journal.commit(0).unwrap();
}

fn done(journal: &Journal) -> Vec<(u64, u64)> {
    journal.done().iter().collect()
}

#[test]
fn what_was_committed_is_there_again() {
    let folder = Folder::new();
    let mut journal = folder.open();
    settle(&mut journal, [0, 2, 4]);
    settle(&mut journal, [1]);
    journal.stage(9);
    drop(journal);
    let journal = folder.open();
    assert_eq!(done(&journal), [(0, 3), (4, 5)]);
    assert_eq!(journal.settled().accepted, 4);
    assert!(!journal.is_complete());
}

#[test]
fn a_journal_cut_at_any_byte_gives_a_prefix_of_what_was_committed() {
    let folder = Folder::new();
    let mut journal = folder.open();
    let mut lengths = vec![(std::fs::metadata(folder.path()).unwrap().len(), 0)];
    for round in 0..5_u64 {
        settle(&mut journal, (round * 10)..(round * 10 + 7));
        lengths.push((std::fs::metadata(folder.path()).unwrap().len(), journal.done().len()));
    }
    drop(journal);
    let whole = std::fs::read(folder.path()).unwrap();
    for cut in lengths[0].0..=whole.len() as u64 {
        std::fs::write(folder.path(), &whole[..usize::try_from(cut).unwrap()]).unwrap();
        let expected = lengths.iter().rev().find(|(length, _)| *length <= cut).unwrap().1;
        let mut journal = folder.open();
        assert_eq!(journal.done().len(), expected, "cut at {cut}");
        settle(&mut journal, [1_000]);
        drop(journal);
        assert_eq!(folder.open().done().len(), expected + 1, "a line behind a torn one is read");
    }
}

#[test]
fn a_flipped_bit_ends_what_is_believed() {
    let folder = Folder::new();
    let mut journal = folder.open();
    let first = std::fs::metadata(folder.path()).unwrap().len();
    settle(&mut journal, 0..10);
    settle(&mut journal, 10..20);
    drop(journal);
    let mut bytes = std::fs::read(folder.path()).unwrap();
    let at = usize::try_from(first).unwrap() + 5;
    bytes[at] ^= 1;
    std::fs::write(folder.path(), bytes).unwrap();
    assert_eq!(folder.open().done().len(), 0);
}

#[test]
fn a_journal_stays_small_however_long_it_lives() {
    let folder = Folder::new();
    let mut journal = folder.open();
    for round in 0..60_u64 {
        // Every second row first, as two lanes would settle them, so that the lines are long.
        settle(&mut journal, (round * 20_000..(round + 1) * 20_000).step_by(2));
        settle(&mut journal, (round * 20_000 + 1..(round + 1) * 20_000).step_by(2));
    }
    assert!(std::fs::metadata(folder.path()).unwrap().len() < 2 * COMPACT_BYTES);
    drop(journal);
    let journal = folder.open();
    assert_eq!(done(&journal), [(0, 1_200_000)]);
    assert_eq!(journal.settled().accepted, 1_200_000);
}

#[test]
fn a_complete_journal_says_so() {
    let folder = Folder::new();
    let mut journal = folder.open();
    settle(&mut journal, 0..10);
    journal.complete().unwrap();
    drop(journal);
    let journal = folder.open();
    assert!(journal.is_complete());
    assert_eq!(done(&journal), [(0, 10)]);
}

#[test]
fn a_journal_of_something_else_is_refused_with_what_differs() {
    let folder = Folder::new();
    drop(folder.open());
    let changes: [(&str, fn(&mut Subject)); 3] = [
        ("content", |subject| subject.source = "def".to_owned()),
        ("endpoint", |subject| subject.to = "http://other/".to_owned()),
        ("choice of rows", |subject| subject.selection = "rows 5..".to_owned()),
    ];
    for (expected, change) in changes {
        let mut other = subject();
        change(&mut other);
        let error = Journal::open(&folder.path(), other, true).unwrap_err();
        assert!(matches!(error, SendError::JournalMismatch { what, .. } if what == expected), "{error}");
    }
    let mut renamed = subject();
    renamed.file = "moved/orders.csv".to_owned();
    assert!(Journal::open(&folder.path(), renamed, true).is_ok(), "a file may be moved");
}

#[test]
fn an_existing_journal_is_never_overwritten_by_accident() {
    let folder = Folder::new();
    drop(folder.open());
    let error = Journal::open(&folder.path(), subject(), false).unwrap_err();
    assert!(matches!(error, SendError::JournalExists { .. }), "{error}");
    std::fs::write(folder.path(), "line,code\n").unwrap();
    let error = Journal::open(&folder.path(), subject(), true).unwrap_err();
    assert!(matches!(error, SendError::NotAJournal { .. }), "{error}");
}

#[test]
fn two_clients_cannot_share_a_journal_also_after_it_was_written_anew() {
    let folder = Folder::new();
    let mut journal = folder.open();
    let busy = || matches!(Journal::open(&folder.path(), subject(), true), Err(SendError::JournalBusy { .. }));
    assert!(busy());
    journal.complete().unwrap();
    assert!(busy());
    drop(journal);
    assert!(folder.open().is_complete());
}
