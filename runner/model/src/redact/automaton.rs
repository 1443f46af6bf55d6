//! The search for all patterns at once, resumable at every byte. What is masked is decided by the
//! caller.

use std::collections::HashMap;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::{contiguous, noncontiguous};
use aho_corasick::{Anchored, MatchKind};

use super::spelling::Patterns;

/// Where a search stands between two bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Place(StateID);

/// All patterns. Not as a DFA: that is ten times as large and, measured, no faster here.
pub(super) struct Automaton {
    nfa: contiguous::NFA,
    start: StateID,
    /// How many bytes each state has seen of a pattern that may go on.
    depths: HashMap<StateID, usize>,
}

impl Automaton {
    /// Makes the machine; `None` when the patterns are too many for one.
    pub(super) fn new(patterns: &Patterns) -> Option<Self> {
        let nfa = noncontiguous::Builder::new()
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(patterns)
            .ok()?;
        let nfa = contiguous::Builder::new()
            .build_from_noncontiguous(&nfa)
            .ok()?;
        let start = nfa.start_state(Anchored::No).ok()?;
        // A machine that has read the beginning of a pattern is in the state of exactly that
        // beginning: no other that fits is longer. One that has read a whole pattern need not wait:
        // what may begin inside of that is masked with it.
        let mut depths = HashMap::new();
        for pattern in patterns {
            let mut state = start;
            for (depth, &byte) in (1..pattern.len()).zip(pattern) {
                state = nfa.next_state(Anchored::No, state, byte);
                depths.insert(state, depth);
            }
        }
        Some(Self { nfa, start, depths })
    }

    /// Before the first byte.
    pub(super) fn start(&self) -> Place {
        Place(self.start)
    }

    /// Goes on over `bytes`. Wherever patterns end, `found` gets the end, counted from the first of
    /// `bytes`, and the length of the longest, which may have begun before it.
    pub(super) fn scan(
        &self,
        from: Place,
        bytes: &[u8],
        mut found: impl FnMut(usize, usize),
    ) -> Place {
        let nfa = &self.nfa;
        let mut state = from.0;
        for (at, &byte) in bytes.iter().enumerate() {
            state = nfa.next_state(Anchored::No, state, byte);
            if nfa.is_special(state) && nfa.is_match(state) {
                let lengths = (0..nfa.match_len(state))
                    .map(|index| nfa.pattern_len(nfa.match_pattern(state, index)));
                found(at + 1, lengths.max().unwrap_or(0));
            }
        }
        Place(state)
    }

    /// The length of the longest end of what was scanned with which a pattern begins and goes on.
    pub(super) fn depth(&self, place: Place) -> usize {
        self.depths.get(&place.0).copied().unwrap_or(0)
    }
}
