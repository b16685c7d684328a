//! Which schemas are not validated by as usual, because an event took long under them. Each is one tenant's: another that has the same schema,
//! from the same template perhaps, is not set back by it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::validate::{Declared, SchemaKey};

/// Events of a schema under which one took so long are validated apart from the others.
const COSTLY_TIME: Duration = Duration::from_millis(5);

/// Until so many running took a fifth of that.
const QUICK_EVENTS: u32 = 20;

/// The schemas that are not clear.
#[derive(Debug, Default)]
pub struct Quarantine {
    states: Mutex<HashMap<SchemaKey, State>>,
    /// Whether there is one; nearly always there is none, and nobody waits for the lock.
    is_any: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its events are validated apart; so many running were quick.
    Costly(u32),
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
            State::Costly(_) => Entry::Clear,
            State::Slow => Entry::Slow,
            State::Quarantined(until) => Entry::Quarantined(until),
        }
    }

    /// Whether an event may take milliseconds, by what others of its schema took.
    pub fn is_costly(&self, event: &Declared) -> bool {
        self.is_any.load(Ordering::Relaxed)
            && self.states().get(&event.schema_key()).is_some_and(|state| matches!(state, State::Costly(_) | State::Watched))
    }

    /// An event has ended, after so long.
    pub fn learn(&self, key: &SchemaKey, took: Duration) {
        if took < COSTLY_TIME && !self.is_any.load(Ordering::Relaxed) {
            return;
        }
        let mut states = self.states();
        let state = match states.get(key) {
            None if took >= COSTLY_TIME => Some(State::Costly(0)),
            Some(State::Costly(_)) if took >= COSTLY_TIME / 5 => Some(State::Costly(0)),
            Some(State::Costly(quick)) => (quick + 1 < QUICK_EVENTS).then_some(State::Costly(quick + 1)),
            _ => return,
        };
        match state {
            Some(state) => _ = states.insert(key.clone(), state),
            None => _ = states.remove(key),
        }
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
    fn a_schema_is_costly_until_many_of_its_events_were_quick() {
        let quarantine = Quarantine::default();
        let key = SchemaKey::new("a", "order", 1);
        let state = || quarantine.states().get(&key).copied();
        let (quick, long) = (Duration::from_micros(50), Duration::from_millis(20));
        quarantine.learn(&key, quick);
        assert_eq!(state(), None);
        quarantine.learn(&key, long);
        assert_eq!((state(), quarantine.enter(&key)), (Some(State::Costly(0)), Entry::Clear));
        (0..QUICK_EVENTS - 1).for_each(|_| quarantine.learn(&key, quick));
        quarantine.learn(&key, long);
        assert_eq!(state(), Some(State::Costly(0)), "not yet");
        (0..QUICK_EVENTS).for_each(|_| quarantine.learn(&key, quick));
        assert_eq!(state(), None);
        quarantine.slow(&key);
        quarantine.learn(&key, long);
        assert_eq!(state(), Some(State::Slow), "whoever waits for its end knows more");
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
