//! What goes and what stays, by example and for any things at all.

use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3600;
const NOW: i64 = 1_000 * HOUR;

fn item(kind: Kind, id: &str, hours_ago: i64, bytes: u64) -> Item {
    Item {
        kind,
        id: id.to_owned(),
        name: id.to_owned(),
        group: String::new(),
        bytes,
        budget: None,
        used: Timestamp::from_second(NOW - hours_ago * HOUR).unwrap(),
        held: None,
        needed_by: Vec::new(),
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn policy(keep: usize, max_age: i64, max_size: Option<u64>) -> Policy {
    Policy {
        keep,
        max_age: Duration::from_secs(u64::try_from(max_age * HOUR).unwrap()),
        max_size,
        caches: BTreeMap::new(),
        every: None,
    }
}

fn going(items: Vec<Item>, policy: &Policy) -> Vec<String> {
    let collection = collect(items, policy, now());
    let going = collection.going().map(|(item, _)| item.id.clone());
    going.collect()
}

#[test]
fn what_is_old_goes_but_for_the_newest() {
    let runs = |ages: &[i64]| {
        let runs = ages
            .iter()
            .map(|age| item(Kind::Run, &age.to_string(), *age, 1));
        runs.collect::<Vec<_>>()
    };
    assert_eq!(
        going(runs(&[5, 30, 20, 10]), &policy(1, 15, None)),
        ["30", "20"]
    );
    assert_eq!(going(runs(&[30, 20]), &policy(1, 15, None)), ["30"]);
    assert_eq!(going(runs(&[30, 20]), &policy(2, 15, None)), [""; 0]);
}

#[test]
fn beyond_the_ceiling_the_oldest_go_until_it_fits() {
    let caches = vec![
        item(Kind::Cache, "a", 3, 40),
        item(Kind::Cache, "b", 2, 40),
        item(Kind::Cache, "c", 1, 40),
    ];
    assert_eq!(going(caches.clone(), &policy(0, 99, Some(100))), ["a"]);
    assert_eq!(going(caches.clone(), &policy(0, 99, Some(80))), ["a"]);
    assert_eq!(going(caches.clone(), &policy(0, 99, Some(79))), ["a", "b"]);
    assert_eq!(
        going(caches, &policy(3, 99, Some(0))),
        [""; 0],
        "the floor stands"
    );
}

#[test]
fn a_cache_beyond_its_own_budget_loses_its_oldest_whatever_the_floor_says() {
    let mut caches = vec![
        item(Kind::Cache, "pip-1", 3, 40),
        item(Kind::Cache, "pip-2", 2, 40),
        item(Kind::Cache, "pip-3", 1, 40),
        item(Kind::Cache, "npm-1", 9, 400),
    ];
    for item in &mut caches {
        item.group = item.id.split('-').next().unwrap().to_owned();
        item.budget = (item.group == "pip").then_some(80);
    }
    let policy = policy(5, 99, None);
    let collection = collect(caches.clone(), &policy, now());
    let going: Vec<_> = collection
        .going()
        .map(|(item, reason)| (item.id.as_str(), reason))
        .collect();
    assert_eq!(going, [("pip-1", Reason::Budget)]);
    caches[0].held = Some(Held::Run);
    assert_eq!(super::tests::going(caches.clone(), &policy), ["pip-2"]);
    caches[2].bytes = 81;
    assert_eq!(super::tests::going(caches, &policy), ["pip-2", "pip-3"]);
}

#[test]
fn the_floor_is_counted_in_each_group() {
    let mut items = vec![
        item(Kind::Cache, "pip-1", 40, 1),
        item(Kind::Cache, "pip-2", 30, 1),
    ];
    items.push(item(Kind::Cache, "npm-1", 50, 1));
    for item in &mut items {
        item.group = item.id.split('-').next().unwrap().to_owned();
    }
    assert_eq!(going(items, &policy(1, 10, None)), ["pip-1"]);
}

#[test]
fn what_is_in_use_stays() {
    for held in [
        Held::Container("web".to_owned()),
        Held::Run,
        Held::Deploy("staging".to_owned()),
        Held::Name("mine".to_owned()),
    ] {
        let mut image = item(Kind::Image, "i", 500, 9);
        image.held = Some(held);
        assert_eq!(going(vec![image], &policy(0, 1, Some(0))), [""; 0]);
    }
}

#[test]
fn an_image_goes_with_the_last_run_that_refers_to_it() {
    let image = |runs: &[&str]| {
        let mut image = item(Kind::Image, "i", 90, 9);
        image.needed_by = runs.iter().map(ToString::to_string).collect();
        image
    };
    let runs = [item(Kind::Run, "old", 50, 1), item(Kind::Run, "new", 5, 1)];
    let with = |image| [runs.to_vec(), vec![image]].concat();
    assert_eq!(
        going(with(image(&["old"])), &policy(0, 10, None)),
        ["old", "i"]
    );
    assert_eq!(
        going(with(image(&["old", "new"])), &policy(0, 10, None)),
        ["old"]
    );
    let all = going(with(image(&["old", "new"])), &policy(0, 10, Some(0)));
    assert_eq!(all, ["old", "new", "i"]);
}

fn things() -> impl Strategy<Value = Vec<Item>> {
    let kind = prop_oneof![
        Just(Kind::Run),
        Just(Kind::Image),
        Just(Kind::Cache),
        Just(Kind::Release)
    ];
    let one = (
        kind,
        0..3_u8,
        0..100_i64,
        0..50_u64,
        any::<u8>(),
        prop::option::weighted(0.2, 0..100_u64),
        prop::collection::vec(0..20_usize, 0..3),
    );
    prop::collection::vec(one, 0..20).prop_map(|all| {
        let all = all.into_iter().enumerate();
        let all = all.map(
            |(at, (kind, group, hours, bytes, held, budget, needed_by))| {
                let mut made = item(kind, &at.to_string(), hours, bytes);
                made.group = group.to_string();
                made.budget = budget.filter(|_| kind == Kind::Cache);
                made.held = (held < 40).then_some(Held::Run);
                if kind != Kind::Run {
                    made.needed_by = needed_by.iter().map(ToString::to_string).collect();
                }
                made
            },
        );
        all.collect()
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    (0..4_usize, 0..100_i64, prop::option::of(0..300_u64))
        .prop_map(|(keep, age, size)| policy(keep, age, size))
}

proptest! {
    #[test]
    fn whatever_there_is(items in things(), policy in policies()) {
        let collection = collect(items.clone(), &policy, now());
        prop_assert_eq!(collection.items.len(), items.len(), "each is decided once");
        let going: Vec<&Item> = collection.going().map(|(item, _)| item).collect();
        let staying = |run: &String| collection.items.iter().any(|(item, decision)| {
            item.kind == Kind::Run && item.id == *run && matches!(decision, Decision::Stays(_))
        });
        for item in &going {
            prop_assert!(item.held.is_none(), "in use: {item:?}");
            prop_assert!(!item.needed_by.iter().any(staying), "referred to: {item:?}");
        }
        // Never under the floor: as many stay of each group as there are, or as are to be kept, and
        // none that goes was used after one that stays only for that.
        for item in &items {
            let of_group = |other: &&Item| other.kind == item.kind && other.group == item.group;
            let there = items.iter().filter(of_group).count();
            let gone = going.iter().copied().filter(of_group).count();
            let budget = items.iter().filter(of_group).any(|item| item.budget.is_some());
            prop_assert!(budget || there - gone >= there.min(policy.keep));
        }
        // Under the ceiling, unless all that is left has a reason to stay.
        let left = collection.bytes() - collection.freed();
        let spare = collection.items.iter().any(|(_, decision)| *decision == Decision::Stays(Stay::Within));
        if let Some(most) = policy.max_size {
            prop_assert!(left <= most || !spare, "{left} of {most}");
        }
        // Nothing goes without a reason.
        for (item, reason) in collection.going() {
            match reason {
                Reason::Age => prop_assert!(age(item, now()) > policy.max_age),
                Reason::Budget => {
                    let of_group = |other: &&Item| other.kind == item.kind && other.group == item.group;
                    let taken = sum(items.iter().filter(of_group));
                    prop_assert!(item.budget.is_some_and(|most| taken > most));
                }
                Reason::Size => prop_assert!(policy.max_size.is_some_and(|most| collection.bytes() > most)),
            }
        }
        // Doing it again finds nothing more.
        let left: Vec<Item> = collection.items.iter()
            .filter(|(_, decision)| matches!(decision, Decision::Stays(_)))
            .map(|(item, _)| item.clone())
            .collect();
        prop_assert_eq!(collect(left, &policy, now()).going().count(), 0);
    }
}
