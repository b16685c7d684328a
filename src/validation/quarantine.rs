//! Which schemas are not validated by as usual, because an event took long under them. Each is one tenant's: another that has the same schema,
//! from the same template perhaps, is not set back by it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::validate::{Declared, SchemaKey};

/// Events of a schema under which several took so long are validated apart from the others. One may have done so because the processor was
/// somebody else's meanwhile.
const COSTLY_TIME: Duration = Duration::from_millis(5);

/// What an event counts that took so long; one that took a fifth of it counts 1 against that.
const LONG_EVENT_SCORE: u32 = 10;

/// A score above it makes a schema costly.
const COSTLY_SCORE: u32 = 20;

/// And it grows no more than to this, so that a schema whose events are quick again is soon as others are.
const SCORE_MAX: u32 = 40;

/// The schemas that are not clear.
#[derive(Debug, Default)]
pub struct Quarantine {
    states: Mutex<HashMap<SchemaKey, State>>,
    /// Whether there is one; nearly always there is none, and nobody waits for the lock.
    is_any: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its events took long lately, by this score.
    Long(u32),
    /// One event at a time: the last one took long.
    Watched,
    /// An event takes long under it, or may; others wait for how that ends.
    Slow,
    /// An event took too long under it; none is tried until then.
    Quarantined(Instant),
}

/// What an event may do that is to be held against a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Begin.
    Clear,
    /// Begin, alone; [`Quarantine::end`] is to be told how that ends.
    Watched,
    /// Wait for how another event's validation ends.
    Slow,
    /// Wait until then.
    Quarantined(Instant),
}

impl Quarantine {
    /// An event is to be held against a schema.
    pub fn enter(&self, key: &SchemaKey) -> Entry {
        if !self.is_any.load(Ordering::Relaxed) {
            return Entry::Clear;
        }
        let mut states = self.states();
        let Some(state) = states.get_mut(key) else { return Entry::Clear };
        if matches!(*state, State::Quarantined(until) if until <= Instant::now()) {
            *state = State::Watched;
        }
        match *state {
            State::Watched => {
                *state = State::Slow;
                Entry::Watched
            }
            State::Long(_) => Entry::Clear,
            State::Slow => Entry::Slow,
            State::Quarantined(until) => Entry::Quarantined(until),
        }
    }

    /// Whether an event may take milliseconds, by what others of its schema took.
    pub fn is_costly(&self, event: &Declared) -> bool {
        self.is_any.load(Ordering::Relaxed)
            && self.states().get(&event.schema_key()).is_some_and(|state| match state {
                State::Long(score) => *score > COSTLY_SCORE,
                State::Watched => true,
                State::Slow | State::Quarantined(_) => false,
            })
    }

    /// An event has ended, after so long.
    pub fn learn(&self, key: &SchemaKey, took: Duration) {
        if took < COSTLY_TIME && !self.is_any.load(Ordering::Relaxed) {
            return;
        }
        let mut states = self.states();
        let score = match states.get(key) {
            None => 0,
            Some(State::Long(score)) => *score,
            // Whoever waits for its end knows more.
            Some(_) => return,
        };
        let score = match took {
            took if took >= COSTLY_TIME => (score + LONG_EVENT_SCORE).min(SCORE_MAX),
            took if took >= COSTLY_TIME / 5 => score,
            _ => score.saturating_sub(1),
        };
        if score > 0 {
            states.insert(key.clone(), State::Long(score))
        } else {
            states.remove(key)
        };
        self.is_any.store(!states.is_empty(), Ordering::Relaxed);
    }

    /// An event takes long.
    pub fn slow(&self, key: &SchemaKey) {
        self.set_unless_quarantined(key, Some(State::Slow));
    }

    /// An event took too long.
    pub fn quarantine(&self, key: &SchemaKey, until: Instant) {
        let mut states = self.states();
        states.insert(key.clone(), State::Quarantined(until));
        self.is_any.store(true, Ordering::Relaxed);
    }

    /// An event has ended that was slow or watched.
    pub fn end(&self, key: &SchemaKey, took_long: bool) {
        self.set_unless_quarantined(key, took_long.then_some(State::Watched));
    }

    fn set_unless_quarantined(&self, key: &SchemaKey, state: Option<State>) {
        let mut states = self.states();
        if matches!(states.get(key), Some(State::Quarantined(_))) {
            return;
        }
        match state {
            Some(state) => _ = states.insert(key.clone(), state),
            None => _ = states.remove(key),
        }
        self.is_any.store(!states.is_empty(), Ordering::Relaxed);
    }

    fn states(&self) -> MutexGuard<'_, HashMap<SchemaKey, State>> {
        // A panic elsewhere leaves the map whole.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_costly_when_several_of_its_events_took_long_until_many_were_quick() {
        let quarantine = Quarantine::default();
        let key = SchemaKey::new("a", "order", 1);
        let state = || quarantine.states().get(&key).copied();
        let (quick, long) = (Duration::from_micros(50), Duration::from_millis(20));
        quarantine.learn(&key, quick);
        assert_eq!(state(), None);
        (0..2).for_each(|_| quarantine.learn(&key, long));
        assert_eq!(state(), Some(State::Long(COSTLY_SCORE)), "not yet");
        (0..5).for_each(|_| quarantine.learn(&key, long));
        assert_eq!((state(), quarantine.enter(&key)), (Some(State::Long(SCORE_MAX)), Entry::Clear));
        (0..SCORE_MAX).for_each(|_| quarantine.learn(&key, quick));
        assert_eq!(state(), None);
        quarantine.slow(&key);
        quarantine.learn(&key, long);
        assert_eq!(state(), Some(State::Slow));
    }

    #[test]
    fn after_an_event_took_long_the_others_of_its_tenants_schema_go_one_at_a_time() {
        let quarantine = Quarantine::default();
        let (key, other) = (SchemaKey::new("a", "order", 1), SchemaKey::new("b", "order", 1));
        let enter = || quarantine.enter(&key);
        assert_eq!((enter(), enter()), (Entry::Clear, Entry::Clear));
        quarantine.slow(&key);
        assert_eq!((enter(), quarantine.enter(&other)), (Entry::Slow, Entry::Clear));
        quarantine.end(&key, true);
        assert_eq!((enter(), enter()), (Entry::Watched, Entry::Slow));
        quarantine.end(&key, false);
        assert_eq!((enter(), enter()), (Entry::Clear, Entry::Clear));
        let later = Instant::now() + Duration::from_mins(10);
        quarantine.quarantine(&key, later);
        quarantine.end(&key, true);
        assert_eq!((enter(), quarantine.enter(&other)), (Entry::Quarantined(later), Entry::Clear));
        quarantine.quarantine(&key, Instant::now());
        assert_eq!((enter(), enter()), (Entry::Watched, Entry::Slow));
    }
}
