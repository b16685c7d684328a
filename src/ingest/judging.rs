//! 2-4. Decode, admit, validate: from a received message to its verdict, or back to the queue.

use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::context::Context;
use super::judges::NoVerdict;
use crate::snapshot::Snapshot;
use crate::store::{Judged, SessionError, TIMES_BEGUN_MAX};
use crate::validate::{Unjudged, Verdict, reject_for_time, reject_unread};
use crate::window::Held;

/// Between looks whether a schema is still in doubt.
const DOUBT_INTERVAL: Duration = Duration::from_millis(100);

/// A job that has so many messages takes no further receive.
const JOB_MESSAGES_MAX: usize = 200;

/// A job that takes longer no longer keeps the next one waiting.
const JOB_PATIENCE: Duration = Duration::from_millis(5);

impl Context {
    /// Judges what the pollers have received, as much at once as is ready: to wake up a thread costs more than to judge an event, and the
    /// validators that it has just used are still in the processor's cache. Ends when the pollers have.
    pub async fn judge_received(self: Arc<Self>, mut received: mpsc::Receiver<Vec<Held>>, judged: mpsc::Sender<Vec<Judged>>) {
        let jobs = Arc::new(Semaphore::new(thread::available_parallelism().map_or(1, NonZero::get)));
        // Nobody closes the semaphore.
        while let Ok(turn) = Arc::clone(&jobs).acquire_owned().await {
            let Some(mut messages) = received.recv().await else { return };
            while messages.len() < JOB_MESSAGES_MAX
                && let Ok(more) = received.try_recv()
            {
                messages.extend(more);
            }
            self.tracker.spawn(Arc::clone(&self).judge_in_turn(messages, judged.clone(), turn));
        }
    }

    async fn judge_in_turn(self: Arc<Self>, messages: Vec<Held>, judged: mpsc::Sender<Vec<Judged>>, turn: OwnedSemaphorePermit) {
        let snapshot = self.catalog.snapshot();
        let mut judging = pin!(self.judge(messages, snapshot, judged));
        if tokio::time::timeout(JOB_PATIENCE, &mut judging).await.is_err() {
            drop(turn);
            judging.await;
        }
    }

    /// Judges messages by a snapshot. A verdict goes on when its thread is done with all that it was given, or at the next tick; what gets
    /// none is handed back.
    pub async fn judge(self: Arc<Self>, mut messages: Vec<Held>, snapshot: Arc<Snapshot>, judged: mpsc::Sender<Vec<Judged>>) {
        loop {
            messages = self.judge_once(messages, &snapshot, &judged).await;
            if messages.is_empty() {
                return;
            }
            tokio::time::sleep(DOUBT_INTERVAL).await;
        }
    }

    /// Gives back those whose schema is in doubt.
    async fn judge_once(self: &Arc<Self>, messages: Vec<Held>, snapshot: &Arc<Snapshot>, judged: &mpsc::Sender<Vec<Judged>>) -> Vec<Held> {
        let shared = messages.iter().map(|held| Arc::clone(&held.message)).collect();
        let job = self.judges.begin(shared, Arc::clone(snapshot));
        let mut left = messages.len();
        let mut waiting: Vec<Option<Held>> = messages.into_iter().map(Some).collect();
        let mut in_doubt = Vec::new();
        while left > 0 {
            let (mut verdicts, mut others) = (Vec::new(), Vec::new());
            for (position, outcome) in self.judges.outcomes(&job).await {
                left -= 1;
                let Some(held) = waiting.get_mut(position).and_then(Option::take) else { continue };
                match outcome {
                    Ok(verdict) => verdicts.push(Judged::new(held, verdict, snapshot.generation)),
                    Err(NoVerdict::Schema(Unjudged::SchemaInDoubt)) => in_doubt.push(held),
                    Err(no_verdict) => others.push((held, no_verdict)),
                }
            }
            if !verdicts.is_empty() {
                // The writers end only after all who can send to them.
                let _ = judged.send(verdicts).await;
            }
            for (held, no_verdict) in others {
                self.go_without_verdict(held, no_verdict, snapshot, judged).await;
            }
        }
        in_doubt
    }

    async fn go_without_verdict(
        self: &Arc<Self>,
        held: Held,
        no_verdict: NoVerdict,
        snapshot: &Arc<Snapshot>,
        judged: &mpsc::Sender<Vec<Judged>>,
    ) {
        match no_verdict {
            NoVerdict::Schema(Unjudged::SchemaSetAside(until)) => self.count_overrun(held, until, snapshot, judged).await,
            NoVerdict::Schema(unusable) => {
                self.readiness.set("schemas", Err(unusable.to_string()));
                self.release_later(vec![held]);
            }
            NoVerdict::GivenUp(until) => {
                let (queue, sqs_message_id) = (&held.message.queue.name, &held.message.sqs_message_id);
                tracing::warn!(queue, sqs_message_id, "judging an event took too long: its schema is set aside; publish a simpler one");
                self.count_overrun(held, until, snapshot, judged).await;
            }
            NoVerdict::Panicked => self.count_panic(held, snapshot, judged).await,
        }
    }

    /// An event that took too long, or whose schema is set aside: back until that ends, a letter after the third time.
    async fn count_overrun(self: &Arc<Self>, held: Held, until: Instant, snapshot: &Arc<Snapshot>, judged: &mpsc::Sender<Vec<Judged>>) {
        match self.suspects.begin(&held.message).await {
            Ok(times) if times >= TIMES_BEGUN_MAX => {
                let rejection = reject_for_time(&held.message, snapshot, self.settings.body.body_bytes_max);
                pass_on(judged, held, Err(rejection), snapshot).await;
            }
            Ok(_) => {
                let earliest = until.saturating_duration_since(Instant::now());
                self.release(vec![held], earliest..earliest + self.settings.visibility_timeout);
            }
            Err(problem) => self.release_uncounted(held, &problem),
        }
    }

    /// A panic may come of the event or of chance: a letter after the third time.
    async fn count_panic(self: &Arc<Self>, held: Held, snapshot: &Snapshot, judged: &mpsc::Sender<Vec<Judged>>) {
        let (queue, sqs_message_id) = (&held.message.queue.name, &held.message.sqs_message_id);
        tracing::error!(queue, sqs_message_id, "judging an event panicked; at the third time it is a dead letter");
        match self.suspects.begin(&held.message).await {
            Ok(times) if times >= TIMES_BEGUN_MAX => pass_on(judged, held, Err(reject_unread()), snapshot).await,
            Ok(_) => self.release_later(vec![held]),
            Err(problem) => self.release_uncounted(held, &problem),
        }
    }

    /// Judges a message that was received often. It is counted first, and alone until it has ended: should the process end with it, no
    /// other is counted in its place.
    pub async fn judge_suspect(self: Arc<Self>, held: Held, judged: mpsc::Sender<Vec<Judged>>) {
        let turn = tokio::select! {
            () = self.stop.cancelled() => return self.release_now(vec![held]),
            turn = self.suspects.turn() => turn,
        };
        let message = Arc::clone(&held.message);
        let snapshot = self.catalog.snapshot();
        match self.suspects.begin(&message).await {
            Ok(times) if times > TIMES_BEGUN_MAX => pass_on(&judged, held, Err(reject_unread()), &snapshot).await,
            Ok(_) => Arc::clone(&self).judge(vec![held], snapshot, judged.clone()).await,
            Err(problem) => return self.release_uncounted(held, &problem),
        }
        // The writers end when nobody can send to them any more.
        drop(judged);
        // Beyond this its lease is lost and its end told to nobody.
        let hold_max = self.settings.hold_max + self.settings.visibility_timeout;
        let _ = tokio::time::timeout(hold_max, message.lease.ended()).await;
        self.suspects.end(&message, &self.stop).await;
        drop(turn);
    }

    /// That there is no room for the connection by which to count says nothing about those by which others are stored.
    fn release_uncounted(self: &Arc<Self>, held: Held, problem: &SessionError) {
        if problem.is_for_want_of_connections() {
            let (queue, sqs_message_id) = (&held.message.queue.name, &held.message.sqs_message_id);
            tracing::warn!(queue, sqs_message_id, %problem, "handed back: a message that came often is counted first");
        } else {
            self.store_gate.fail(problem.to_string());
        }
        self.release_later(vec![held]);
    }
}

async fn pass_on(judged: &mpsc::Sender<Vec<Judged>>, held: Held, verdict: Verdict, snapshot: &Snapshot) {
    let _ = judged.send(vec![Judged::new(held, verdict, snapshot.generation)]).await;
}
