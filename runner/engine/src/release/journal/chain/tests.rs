use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::record::{Conclusion, Deed};
use super::*;

fn intent(sequence: u64) -> Record {
    Record::Intent(Intent {
        release: Uuid::from_u128(u128::from(sequence)),
        sequence,
        action: Deed::Deploy,
        at: Timestamp::UNIX_EPOCH,
        by: "hoist 0.1.0 as someone".to_owned(),
        run: None,
        services: Vec::new(),
        hooks: vec!["migrate".to_owned()],
        actions: vec![format!("web is replaced: release {sequence}")],
        gates: Vec::new(),
        forced: false,
    })
}

fn outcome(sequence: u64, serves: u64) -> Record {
    let result = match serves == sequence {
        true => Conclusion::Passed,
        false => Conclusion::Failed {
            message: "web is unhealthy".to_owned(),
            fallback: format!("release {serves} serves"),
        },
    };
    Record::Outcome(Outcome {
        sequence,
        at: Timestamp::UNIX_EPOCH,
        result,
        serving: [("web".to_owned(), serves)].into(),
        hooks_run: Vec::new(),
        left_out: BTreeMap::new(),
    })
}

/// A history with these entries.
fn files(records: impl IntoIterator<Item = Record>) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for record in records {
        append(&mut files, record);
    }
    files
}

fn append(files: &mut BTreeMap<String, Vec<u8>>, record: Record) {
    let last = read(files).last;
    let number = last.as_ref().map_or(1, |last| last.0 + 1);
    let previous = last.map(|last| last.1);
    let bytes = write(number, previous.as_deref(), &record).unwrap();
    assert!(files.insert(name(number), bytes).is_none(), "a new file");
}

/// So many releases that all came to be.
fn passed(releases: u64) -> BTreeMap<String, Vec<u8>> {
    files((1..=releases).flat_map(|number| [intent(number), outcome(number, number)]))
}

#[test]
fn what_was_written_is_read() {
    let mut history = passed(2);
    let known = read(&history);
    assert_eq!(known.faults, []);
    assert_eq!(known.entries.len(), 4);
    assert_eq!(known.sequence(), 2);
    assert_eq!(known.open(), None);
    assert_eq!(known.serving(), [("web".to_owned(), 2)].into());

    append(&mut history, intent(3));
    let known = read(&history);
    assert_eq!(known.open().map(|open| open.sequence), Some(3));
    assert_eq!(known.sequence(), 3);

    append(&mut history, outcome(3, 2));
    let known = read(&history);
    assert_eq!(known.open(), None);
    assert_eq!(known.sequence(), 3, "a number is not given twice");
    let (last, outcome) = known.last_passed().unwrap();
    assert_eq!((last.sequence, outcome.sequence), (2, 2));
    assert_eq!(known.serving(), [("web".to_owned(), 2)].into());
    assert_eq!(known.release(1).unwrap().release, Uuid::from_u128(1));
    assert_eq!(known.release(4), None);
}

#[test]
fn without_files_nothing_is_known_and_nothing_is_wrong() {
    let strange = [
        ("lost+found", ""),
        ("1.json", "{}"),
        ("000000.json", "{}"),
        ("-00001.json", "{}"),
    ];
    let strange = strange.map(|(name, text)| (name.to_owned(), text.into()));
    assert_eq!(read(&strange.into()), Known::default());
}

#[test]
fn an_entry_is_json_and_names_the_hash_of_the_one_before() {
    let history = passed(1);
    let second: serde_json::Value = serde_json::from_slice(&history["000002.json"]).unwrap();
    assert_eq!(
        second["entry"]["previous"],
        blake3::hash(&history["000001.json"]).to_hex().as_str()
    );
    assert_eq!(second["entry"]["record"]["outcome"]["sequence"], 1);
}

#[test]
fn a_last_entry_that_was_cut_off_is_ignored_and_the_next_one_follows_it() {
    let mut history = passed(2);
    let whole = history["000004.json"].clone();
    for length in 0..whole.len() {
        history.insert(name(4), whole[..length].to_vec());
        let known = read(&history);
        assert_eq!(known.entries.len(), 3);
        assert_eq!(known.faults, [Fault::BrokenLast(4)]);
        assert_eq!(known.open().map(|open| open.sequence), Some(2));
    }
    append(&mut history, outcome(2, 2));
    append(&mut history, intent(3));
    let known = read(&history);
    assert_eq!(known.faults, [Fault::CutOff(4)]);
    assert!(known.faults[0].is_harmless());
    assert_eq!(known.open().map(|open| open.sequence), Some(3));
    assert_eq!(known.last_passed().unwrap().0.sequence, 2);
}

#[test]
fn what_a_newer_hoist_wrote_is_not_guessed_at() {
    let mut history = passed(1);
    let body = r#"{"version":3,"number":3,"previous":null,"record":{"purge":1}}"#;
    let [before, between, after] = FRAME;
    let own = hash(body.as_bytes());
    history.insert(
        name(3),
        format!("{before}{own}{between}{body}{after}").into_bytes(),
    );
    let newer = Fault::Newer {
        number: 3,
        version: 3,
    };
    assert_eq!(read(&history).faults, [newer]);
}

#[test]
fn faults_name_the_entry() {
    let mut history = passed(3);
    let taken = [history.remove(&name(2)), history.remove(&name(3))];
    assert!(taken.iter().all(Option::is_some));
    let said = |history: &BTreeMap<_, _>| {
        let faults = read(history).faults;
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(said(&history), ["entries 2 to 3 are missing"]);
    history.insert(name(2), taken[0].clone().unwrap());
    assert_eq!(said(&history), ["entry 3 is missing"]);
    history.insert(name(3), history[&name(5)].clone());
    assert_eq!(
        said(&history),
        [
            "entry 5 stands in the place of entry 3",
            "entry 4 was not written after the one before it"
        ]
    );
}

/// Names one of the places.
fn one_of(places: &[u64], choice: usize) -> u64 {
    places[choice % places.len()]
}

proptest! {
    #[test]
    fn a_flipped_bit_is_found_wherever_it_is(
        releases in 1_u64..4,
        choice: usize,
        at: usize,
        bit in 0_u32..8,
    ) {
        let mut history = passed(releases);
        let place = one_of(&(1..=releases * 2).collect::<Vec<_>>(), choice);
        let bytes = history.get_mut(&name(place)).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let faults = read(&history).faults;
        let fault = match place == releases * 2 {
            true => Fault::BrokenLast(place),
            false => Fault::Changed(place),
        };
        prop_assert_eq!(faults, [fault]);
    }

    /// That the last is gone can be seen from the objects alone: nothing comes after it.
    #[test]
    fn a_missing_entry_is_found(releases in 1_u64..5, choice: usize) {
        let mut history = passed(releases);
        let place = one_of(&(1..releases * 2).collect::<Vec<_>>(), choice);
        history.remove(&name(place));
        prop_assert_eq!(read(&history).faults, [Fault::Missing(place, place)]);
    }

    #[test]
    fn two_entries_in_each_other_s_place_are_found(
        releases in 1_u64..5,
        one: usize,
        other: usize,
    ) {
        let mut history = passed(releases);
        let places: Vec<u64> = (1..=releases * 2).collect();
        let one = one_of(&places, one);
        let others: Vec<u64> = places.into_iter().filter(|place| *place != one).collect();
        let other = one_of(&others, other);
        let bytes = [&history[&name(one)], &history[&name(other)]].map(Clone::clone);
        let [first, second] = bytes;
        history.insert(name(one), second);
        history.insert(name(other), first);
        let faults = read(&history).faults;
        let misplaced = [(one, other), (other, one)];
        for (place, number) in misplaced {
            let misplaced = Fault::Misplaced { place, number };
            prop_assert!(faults.contains(&misplaced), "{:?}", faults);
        }
    }

    /// Whoever changes an entry and its own hash is told by the entry after it.
    #[test]
    fn an_entry_that_was_written_again_is_found(releases in 2_u64..5, choice: usize) {
        let mut history = passed(releases);
        let place = one_of(&(1..releases * 2).collect::<Vec<_>>(), choice);
        let previous = place.checked_sub(1).filter(|before| *before > 0);
        let previous = previous.map(|before| hash(&history[&name(before)]));
        let bytes = write(place, previous.as_deref(), &intent(99)).unwrap();
        history.insert(name(place), bytes);
        prop_assert_eq!(read(&history).faults, [Fault::Unlinked(place + 1)]);
    }

    #[test]
    fn any_bytes_are_read_without_harm(files: BTreeMap<u64, Vec<u8>>) {
        let files = files.into_iter().map(|(number, bytes)| (name(number), bytes));
        let known = read(&files.collect());
        prop_assert_eq!(known.entries, []);
    }
}
