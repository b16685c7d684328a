//! `pattern`, as the validator applies it: the expression as ECMA 262 has it, and its work counted.
//!
//! Short texts are the validator's own engine's: it is fast, and its worst case is soon over. On a long one that can take seconds, and cannot
//! be interrupted, so those are read by an automaton, a piece at a time, and what it had to work out is counted as well as what it read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jsonschema::{Keyword, ValidationError, Validator};
use regex_automata::Input;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use serde_json::{Value, json};

use super::ecma::translate;
use super::instance::{Payload, spend, spend_short};
use super::patterns::{BYTES_MAX, LIGHT_BYTES_MAX, compiles_within, engine};
use crate::json::Node;

/// Up to so many bytes a text or name is short. The worst expression that is taken reads so many in 4 ms.
const SHORT_BYTES_MAX: usize = 512;

/// How much an automaton remembers of what it has worked out. Ordinary expressions need some kilobytes, classes of Unicode some hundred.
const CACHE_BYTES: usize = 1024 * 1024;

/// So many bytes are read before they are counted.
const PIECE_BYTES: usize = 1024;

/// So many bytes read count as one step. Measured: 2 ns each, where a look at a value takes 10 to 20.
const BYTES_A_STEP: usize = 8;

/// So many bytes of what was worked out count as one step. Measured: 2 to 10 ns each, and up to 6,500 of them for one byte of text.
const WORKED_OUT_BYTES_A_STEP: usize = 4;

/// For so many bytes of an expression each byte of the worst long name counts a step. `[ab]*a[ab]{500}c` has 12,636 and reads a byte of random
/// `a` and `b` in 1.5 to 4.5 us; so the longest look at a name that is begun takes about a second.
const SIZE_A_STEP: usize = 128;

/// How large all expressions of a bundle may be together. Those of one that was admitted are smaller: its own 64, and the drafts' few.
pub(super) const EXPRESSIONS_BYTES_MAX: usize = 72 * BYTES_MAX;

/// What is said of more.
pub(super) const TOO_MUCH: &str = "its regular expressions are too many and too large";

/// How many sixteenths of a step a byte of a short text counts under an expression. Large ones are so for classes of Unicode, mostly, and as
/// fast as others; those that are not are stopped by the clock.
const LIGHT: usize = 1;
const HEAVY: usize = 8;

/// The expressions of a bundle; each is compiled once, wherever it stands.
#[derive(Default)]
pub(super) struct Matchers(Mutex<HashMap<String, Arc<Matcher>>>);

/// A compiled expression.
struct Matcher {
    text: String,
    engine: Validator<Payload>,
    /// How many sixteenths of a step a byte of a short text counts.
    weight: usize,
    /// Made for the first long text; none where the expression is one that the engine counts without an automaton.
    automaton: OnceLock<Option<Automaton>>,
}

/// An expression that a text must match.
struct Pattern(Arc<Matcher>);

impl Matchers {
    /// The keyword with this value.
    pub fn keyword<'a>(&self, value: &'a Value) -> Result<Box<dyn for<'i> Keyword<'i, Payload>>, ValidationError<'a>> {
        let text = value.as_str().unwrap_or_default();
        let mut matchers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let matcher = match matchers.get(text) {
            Some(matcher) => Arc::clone(matcher),
            None if weight(&matchers) > EXPRESSIONS_BYTES_MAX => return Err(ValidationError::schema(TOO_MUCH)),
            None => {
                let matcher = Matcher::compile(text).ok_or_else(|| ValidationError::schema("is no regular expression that is taken"))?;
                Arc::clone(matchers.entry(text.to_owned()).or_insert(Arc::new(matcher)))
            }
        };
        Ok(Box::new(Pattern(matcher)))
    }
}

impl Matchers {
    /// What they take, in bytes. Measured: `(\p{Lu}|-)\p{Ll}+$` 275,000.
    pub fn weight(&self) -> usize {
        weight(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn weight(matchers: &HashMap<String, Arc<Matcher>>) -> usize {
    matchers.values().map(|matcher| if matcher.weight == LIGHT { 4 * 1024 } else { LIGHT_BYTES_MAX * 16 }).sum()
}

impl Matcher {
    fn compile(text: &str) -> Option<Self> {
        let schema = json!({ "pattern": translate(text) });
        let compile = |engine| jsonschema::options_for::<Payload>().with_pattern_options(engine).build(&schema).ok();
        let light = compile(engine().size_limit(LIGHT_BYTES_MAX)).map(|engine| (engine, LIGHT));
        let (engine, weight) = light.or_else(|| Some((compile(engine())?, HEAVY)))?;
        Some(Self { text: text.to_owned(), engine, weight, automaton: OnceLock::new() })
    }

    fn is_match(&self, node: &Node<'_>, text: &str) -> bool {
        if text.len() > SHORT_BYTES_MAX
            && let Some(automaton) = self.automaton.get_or_init(|| Automaton::of(&self.text))
        {
            return automaton.is_match(text);
        }
        spend_short(text.len(), self.weight);
        self.engine.is_valid(node)
    }
}

impl<'i> Keyword<'i, Payload> for Pattern {
    fn validate(&self, instance: &'i Node<'i>) -> Result<(), ValidationError<'i>> {
        // Told by the schema's side alone, as all violations are.
        if Keyword::<Payload>::is_valid(self, instance) { Ok(()) } else { Err(ValidationError::custom(self.0.text.clone())) }
    }

    fn is_valid(&self, instance: &'i Node<'i>) -> bool {
        let Node::String(text) = instance else { return true };
        self.0.is_match(instance, text)
    }
}

/// An expression as an automaton whose states are worked out as they are met.
pub(super) struct Automaton(DFA);

impl Automaton {
    /// The automaton of an expression that the engine takes; nothing where that is larger than the engine lets become one.
    pub fn of(pattern: &str) -> Option<Self> {
        let text = jsonschema_regex::to_rust_regex(&translate(pattern)).ok()?.into_owned();
        let states = thompson::Config::new().nfa_size_limit(Some(2 * BYTES_MAX)).which_captures(thompson::WhichCaptures::None);
        let cache = DFA::config().cache_capacity(CACHE_BYTES).skip_cache_capacity_check(true);
        DFA::builder().thompson(states).configure(cache).build(&text).ok().map(Self)
    }

    /// How large the expression is: about so many bytes are looked at for a byte of the worst text.
    pub fn size(&self) -> usize {
        self.0.get_nfa().memory_usage()
    }

    /// Whether a text matches. Where the automaton cannot tell, it does not: there is no expression that is taken for which that is so.
    pub fn is_match(&self, text: &str) -> bool {
        self.search(text).unwrap_or(false)
    }

    fn search(&self, text: &str) -> Option<bool> {
        let mut cache = self.0.create_cache();
        let mut counted = worked_out(&cache);
        let mut state = self.0.start_state_forward(&mut cache, &Input::new(text)).ok()?;
        for piece in text.as_bytes().chunks(PIECE_BYTES) {
            for byte in piece {
                state = self.0.next_state(&mut cache, state, *byte).ok()?;
                if state.is_tagged() && (state.is_match() || state.is_dead()) {
                    return Some(state.is_match());
                }
            }
            let before = std::mem::replace(&mut counted, worked_out(&cache));
            spend(1 + piece.len() / BYTES_A_STEP + counted.saturating_sub(before) / WORKED_OUT_BYTES_A_STEP);
        }
        self.0.next_eoi_state(&mut cache, state).ok().map(|state| state.is_match())
    }
}

/// How many bytes of states were worked out so far, those included that there was no room to remember.
fn worked_out(cache: &Cache) -> usize {
    cache.clear_count() * CACHE_BYTES + cache.memory_usage()
}

/// How much the names of objects count under a bundle's `patternProperties`, whose expressions the validator's own engine applies.
#[derive(Debug, Clone, Copy)]
pub(super) struct NameWeight {
    /// How many sixteenths of a step a byte of a short name counts.
    short: usize,
    /// How many bytes are looked at for a byte of the worst long one.
    long: usize,
}

impl NameWeight {
    /// Of names to which no expression is applied.
    pub const LIGHT: Self = Self { short: 1, long: 0 };

    /// What an expression adds to it; nothing where the engine does not take it.
    pub fn of(pattern: &str) -> Option<Self> {
        let sizes = [(LIGHT_BYTES_MAX, LIGHT), (BYTES_MAX, HEAVY)];
        let (_, short) = sizes.into_iter().find(|(bytes_max, _)| compiles_within(pattern, *bytes_max))?;
        let long = Automaton::of(pattern).map_or(BYTES_MAX, |automaton| automaton.size());
        Some(Self { short, long })
    }

    /// Of names to which the expressions of both are applied.
    pub fn plus(self, other: Self) -> Self {
        Self { short: self.short + other.short, long: self.long + other.long }
    }

    /// How large the expressions are.
    pub fn size(self) -> usize {
        self.long
    }

    /// What they take once they are compiled, in bytes.
    pub fn weight(self) -> usize {
        16 * self.long
    }

    /// The greater of two.
    pub fn max(self, other: Self) -> Self {
        Self { short: self.short.max(other.short), long: self.long.max(other.long) }
    }

    /// Counts a look at a name.
    pub fn spend(self, bytes: usize) {
        if bytes <= SHORT_BYTES_MAX {
            spend_short(bytes, self.short);
        } else {
            spend(1 + bytes / BYTES_A_STEP + bytes * (self.long / SIZE_A_STEP));
        }
    }
}
