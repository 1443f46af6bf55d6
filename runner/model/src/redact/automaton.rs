//! The search for all patterns at once, resumable at every byte. Which bytes are masked is decided
//! by the caller.

use std::collections::HashMap;

use aho_corasick::automaton::{Automaton as Search, StateID};
use aho_corasick::nfa::{contiguous, noncontiguous};
use aho_corasick::{Anchored, MatchKind, StartKind, dfa};

use super::spelling::Patterns;

/// Where a search stands between two bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Place(StateID);

/// All patterns.
pub(super) struct Automaton {
    machine: Machine,
    start: Place,
    /// How many bytes of a pattern each state has seen.
    depths: HashMap<StateID, usize>,
}

enum Machine {
    /// Fast, and large: a row of all byte classes for each byte of a pattern.
    Fast(dfa::DFA),
    /// Half as fast, and small.
    Small(contiguous::NFA),
}

impl Automaton {
    /// Up to so many bytes of patterns the fast machine is used, which is then at most 4 MiB large.
    const FAST: usize = 8 << 10;

    /// Makes the machine; `None` when the patterns are too many for one.
    pub(super) fn new(patterns: &Patterns) -> Option<Self> {
        let nfa = noncontiguous::Builder::new()
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(patterns)
            .ok()?;
        if patterns.iter().map(Vec::len).sum::<usize>() <= Self::FAST {
            let dfa = dfa::Builder::new()
                .start_kind(StartKind::Unanchored)
                .build_from_noncontiguous(&nfa)
                .ok()?;
            let (start, depths) = depths(&dfa, patterns)?;
            Some(Self {
                machine: Machine::Fast(dfa),
                start,
                depths,
            })
        } else {
            let nfa = contiguous::Builder::new()
                .build_from_noncontiguous(&nfa)
                .ok()?;
            let (start, depths) = depths(&nfa, patterns)?;
            Some(Self {
                machine: Machine::Small(nfa),
                start,
                depths,
            })
        }
    }

    /// Before the first byte.
    pub(super) fn start(&self) -> Place {
        self.start
    }

    /// Goes on over `bytes`. Wherever patterns end, `found` gets the end, counted from the first of
    /// `bytes`, and the length of the longest, which may have begun before it.
    pub(super) fn scan(&self, from: Place, bytes: &[u8], found: impl FnMut(usize, usize)) -> Place {
        match &self.machine {
            Machine::Fast(dfa) => scan(dfa, from, bytes, found),
            Machine::Small(nfa) => scan(nfa, from, bytes, found),
        }
    }

    /// The length of the longest end of what was scanned with which a pattern begins.
    pub(super) fn depth(&self, place: Place) -> usize {
        self.depths.get(&place.0).copied().unwrap_or(0)
    }
}

fn scan<A: Search>(
    machine: &A,
    from: Place,
    bytes: &[u8],
    mut found: impl FnMut(usize, usize),
) -> Place {
    let mut state = from.0;
    for (at, &byte) in bytes.iter().enumerate() {
        state = machine.next_state(Anchored::No, state, byte);
        if machine.is_special(state) && machine.is_match(state) {
            let lengths = (0..machine.match_len(state))
                .map(|index| machine.pattern_len(machine.match_pattern(state, index)));
            found(at + 1, lengths.max().unwrap_or(0));
        }
    }
    Place(state)
}

/// The start, and for each state the length of the way to it. A machine that has read the beginning
/// of a pattern is in the state of exactly that beginning, since no other is longer.
fn depths<A: Search>(machine: &A, patterns: &Patterns) -> Option<(Place, HashMap<StateID, usize>)> {
    let start = machine.start_state(Anchored::No).ok()?;
    let mut depths = HashMap::new();
    for pattern in patterns {
        let mut state = start;
        for (depth, &byte) in pattern.iter().enumerate() {
            state = machine.next_state(Anchored::No, state, byte);
            depths.insert(state, depth + 1);
        }
    }
    Some((Place(start), depths))
}
