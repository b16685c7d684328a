//! Which schemas are compiled: as many as their weight allows, those that were used last.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use crate::metrics::Metrics;
use crate::schema::{Bundle, Compiled};

/// When there is no room, so much of it is made at once: looking for what was used longest ago takes time.
const ROOM_MADE_DIVISOR: usize = 8;

/// A published schema version with its files; compiled when an event needs it, and again when it was used too long ago to be kept.
#[derive(Debug)]
pub struct Schema {
    bundle: String,
    compiled: Mutex<State>,
    /// By the count of uses of all schemas.
    last_used: AtomicU64,
    room: Arc<CompiledSchemas>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    NotCompiled,
    Compiled(Arc<Compiled>, #[expect(dead_code, reason = "dropped with what it weighs")] Weight),
    /// It never will be: it is the same text each time.
    Failed(String),
}

/// What a compiled schema takes of the room; given back when it is dropped.
#[derive(Debug)]
struct Weight {
    bytes: usize,
    room: Arc<CompiledSchemas>,
}

/// The room for compiled schemas; one for all snapshots of a process.
#[derive(Debug)]
pub struct CompiledSchemas {
    bytes_max: usize,
    bytes: AtomicUsize,
    uses: AtomicU64,
    /// Those that are compiled, or were.
    schemas: Mutex<Vec<Weak<Schema>>>,
    metrics: Option<Arc<Metrics>>,
}

impl Default for CompiledSchemas {
    fn default() -> Self {
        Self { bytes_max: usize::MAX, bytes: AtomicUsize::default(), uses: AtomicU64::default(), schemas: Mutex::default(), metrics: None }
    }
}

impl CompiledSchemas {
    /// Room for compiled schemas of this weight together, counted in metrics.
    pub fn new(bytes_max: usize, metrics: Arc<Metrics>) -> Self {
        Self { bytes_max, metrics: Some(metrics), ..Self::default() }
    }

    /// Takes room, also where there is none: what is to be used now must be there. Others make way.
    fn take(self: &Arc<Self>, schema: &Arc<Schema>, bytes: usize) -> Weight {
        let mut schemas = lock(&self.schemas);
        schemas.push(Arc::downgrade(schema));
        if self.bytes.load(Ordering::Relaxed) + bytes > self.bytes_max {
            self.make_room(&mut schemas, bytes);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.count(1, bytes);
        Weight { bytes, room: Arc::clone(self) }
    }

    fn make_room(&self, schemas: &mut Vec<Weak<Schema>>, bytes: usize) {
        let goal = (self.bytes_max - self.bytes_max / ROOM_MADE_DIVISOR).saturating_sub(bytes);
        let mut by_use: Vec<_> = schemas.drain(..).filter_map(|schema| schema.upgrade()).collect();
        by_use.sort_by_cached_key(|schema| schema.last_used.load(Ordering::Relaxed));
        for schema in by_use {
            // One that is locked is being compiled or used.
            if self.bytes.load(Ordering::Relaxed) <= goal || !schema.release() {
                schemas.push(Arc::downgrade(&schema));
            }
        }
    }

    fn count(&self, schemas: i64, bytes: usize) {
        if let Some(metrics) = &self.metrics {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            metrics.compiled_schemas.add(schemas);
            metrics.compiled_schemas_weight.add(schemas * bytes);
        }
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.room.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.room.count(-1, self.bytes);
    }
}

impl Schema {
    pub(super) fn new(bundle: String, room: Arc<CompiledSchemas>) -> Self {
        Self { bundle, compiled: Mutex::default(), last_used: AtomicU64::default(), room }
    }

    /// The compiled schema; by one thread at a time, so that none does what another has begun.
    ///
    /// # Errors
    /// Why a published schema does not compile: it was put into the table by another way than `catalog apply`.
    pub fn compiled(self: &Arc<Self>) -> Result<Arc<Compiled>, String> {
        self.last_used.store(self.room.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut state = lock(&self.compiled);
        if matches!(*state, State::NotCompiled) {
            *state = match Bundle::from_json(&self.bundle).and_then(|bundle| Compiled::compile(&bundle)) {
                Ok(compiled) => {
                    let weight = self.room.take(self, compiled.weight());
                    State::Compiled(Arc::new(compiled), weight)
                }
                Err(problem) => State::Failed(problem),
            };
        }
        match &*state {
            State::Compiled(compiled, _) => Ok(Arc::clone(compiled)),
            State::Failed(problem) => Err(problem.clone()),
            // It has just been replaced.
            State::NotCompiled => Err("The schema was not compiled.".to_owned()),
        }
    }

    /// Forgets what was compiled; false where it is in the hands of a thread just now.
    fn release(&self) -> bool {
        let mut state = match self.compiled.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        if matches!(*state, State::Compiled(..)) {
            *state = State::NotCompiled;
        }
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic elsewhere left is whole: each change is one assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemas(count: usize, room: &Arc<CompiledSchemas>) -> Vec<Arc<Schema>> {
        let bundle = |index: usize| format!(r#"{{"root": "a/1.json", "files": {{"a/1.json": {{"maxLength": {index}}}}}}}"#);
        (0..count).map(|index| Arc::new(Schema::new(bundle(index), Arc::clone(room)))).collect()
    }

    fn is_compiled(schema: &Schema) -> bool {
        matches!(*lock(&schema.compiled), State::Compiled(..))
    }

    #[test]
    fn compiled_schemas_weigh_no_more_than_there_is_room_for_and_those_used_last_stay() {
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let weight = schemas(1, &Arc::default())[0].compiled().expect("a schema").weight();
        let room = Arc::new(CompiledSchemas::new(16 * weight, Arc::clone(&metrics)));
        let schemas = schemas(100, &room);
        for schema in &schemas {
            schema.compiled().expect("a schema");
            schemas[0].compiled().expect("a schema");
            assert!(room.bytes.load(Ordering::Relaxed) <= 16 * weight);
        }
        let compiled = schemas.iter().filter(|schema| is_compiled(schema)).count();
        assert!((12..=16).contains(&compiled), "{compiled}");
        assert!(is_compiled(&schemas[0]) && is_compiled(&schemas[99]) && !is_compiled(&schemas[50]));
        let gauges = || [&metrics.compiled_schemas, &metrics.compiled_schemas_weight].map(|gauge| usize::try_from(gauge.get()).ok());
        assert_eq!(gauges(), [Some(compiled), Some(room.bytes.load(Ordering::Relaxed))]);
        drop(schemas);
        assert_eq!(gauges(), [Some(0); 2]);
    }

    #[test]
    fn a_schema_that_cannot_be_compiled_is_tried_once_and_says_why() {
        let schema = Arc::new(Schema::new("{}".to_owned(), Arc::default()));
        let problem = schema.compiled().expect_err("a problem");
        assert_eq!(schema.compiled().expect_err("a problem"), problem);
        assert!(matches!(&*lock(&schema.compiled), State::Failed(why) if *why == problem));
    }
}
