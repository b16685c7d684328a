//! Spans of traces, for a collector of OpenTelemetry's: one for each event that is processed, one for each batch that is stored, one for each
//! attempt to deliver. They hold ids, names of the catalog and outcomes, and nothing else of an event.
//!
//! Whether a span is sampled is decided before anything is allocated for it. What ends is queued, and [`Exporting`] takes it from there; where
//! the queue is full it is dropped and counted, so that a collector which is slow or away costs no event anything.

mod collector;
mod exporting;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample as _, SpanData, SpanEvents, SpanLinks};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::event::TraceContext;
use crate::metrics::IntCounter;
pub use exporting::{Exporter, Exporting};

/// How many spans wait for the collector at most.
const QUEUED_MAX: usize = 8_192;

/// How long the collector may take for the last spans: a process that ends does not wait for one that is away.
const LAST_SPANS_TIMEOUT: Duration = Duration::from_secs(1);

/// Records spans, or nothing: then it costs no more than to see that.
#[derive(Debug, Clone, Default)]
pub struct Spans(Option<Arc<Recorder>>);

#[derive(Debug)]
struct Recorder {
    /// Of traces that begin here, and of all where no parent counts.
    sampler: Sampler,
    is_parent_based: bool,
    scope: InstrumentationScope,
    queue: mpsc::Sender<SpanData>,
    dropped: IntCounter,
    ending: CancellationToken,
    ended: CancellationToken,
}

/// A sampled span that has begun.
#[derive(Debug)]
pub struct Span {
    data: Box<SpanData>,
    recorder: Arc<Recorder>,
}

impl Spans {
    /// Spans, and what exports them, which is to run beside the work; neither does anything without an exporter. Spans that are dropped are counted.
    pub fn new(exporter: Option<Exporter>, dropped: &IntCounter) -> (Self, Option<Exporting>) {
        let Some(exporter) = exporter else { return (Self(None), None) };
        let (queue, queued) = mpsc::channel(QUEUED_MAX);
        let (ending, ended) = (CancellationToken::new(), CancellationToken::new());
        let recorder = Recorder {
            sampler: Sampler::TraceIdRatioBased(exporter.settings.ratio),
            is_parent_based: exporter.settings.is_parent_based,
            scope: InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(env!("CARGO_PKG_VERSION")).build(),
            queue,
            dropped: dropped.clone(),
            ending: ending.clone(),
            ended: ended.clone(),
        };
        (Self(Some(Arc::new(recorder))), Some(Exporting::new(exporter, queued, dropped.clone(), (ending, ended))))
    }

    /// Whether any span is recorded at all.
    pub fn are_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// An event, received so long ago, is processed, as a part of its producer's trace.
    pub fn process(&self, producer: Option<TraceContext>, queue: &str, message_id: &str, age: impl FnOnce() -> Duration) -> Option<Span> {
        let recorder = self.0.as_ref()?;
        let context = recorder.sample(producer);
        let mut span = recorder.begin(context, producer, SpanKind::Consumer)?;
        span.data.name = format!("process {queue}").into();
        span.data.start_time = SystemTime::now().checked_sub(age()).unwrap_or(span.data.start_time);
        span.data.links.links.extend(producer.map(|producer| link(remote(producer))));
        span.set("messaging.system", "aws_sqs");
        span.set("messaging.operation.type", "process");
        span.set("messaging.operation.name", "process");
        span.set("messaging.destination.name", queue);
        span.set("messaging.message.id", message_id);
        Some(span)
    }

    /// A batch is stored; sampled where any of its events is. It has a trace of its own, linked to theirs.
    pub fn store<'a>(&self, events: usize, sampled: impl Iterator<Item = &'a Span>) -> Option<Span> {
        let recorder = self.0.as_ref()?;
        let links: Vec<Link> = sampled.map(|span| link(span.data.span_context.clone())).collect();
        if links.is_empty() {
            return None;
        }
        let context = TraceContext { trace_id: random(), span_id: random(), flags: 1 };
        let mut span = recorder.begin(context, None, SpanKind::Client)?;
        span.data.name = "store batch".into();
        span.data.links.links = links;
        span.set("db.system.name", "postgresql");
        span.data.attributes.push(KeyValue::new("messaging.batch.message_count", i64::try_from(events).unwrap_or(i64::MAX)));
        Some(span)
    }

    /// An event is delivered: what its receiver is to be told of the trace, whether sampled or not, and the span. Where no spans are recorded
    /// the producer's context is handed on as it is.
    pub fn deliver(&self, producer: Option<TraceContext>) -> (Option<TraceContext>, Option<Span>) {
        let Some(recorder) = self.0.as_ref() else { return (producer, None) };
        let context = recorder.sample(producer);
        let mut span = recorder.begin(context, producer, SpanKind::Producer);
        if let Some(span) = &mut span {
            span.data.name = "deliver".into();
            span.set("messaging.operation.type", "send");
            span.set("messaging.operation.name", "deliver");
        }
        (Some(context), span)
    }

    /// Exports what is queued, for a moment and no longer than this.
    pub async fn end(&self, within: Duration) {
        let Some(recorder) = &self.0 else { return };
        recorder.ending.cancel();
        // What is not exported by then is lost: the process ends next.
        let _ = tokio::time::timeout(within.min(LAST_SPANS_TIMEOUT), recorder.ended.cancelled()).await;
    }
}

impl Recorder {
    /// A new span's context: in the parent's trace, where there is one.
    fn sample(&self, parent: Option<TraceContext>) -> TraceContext {
        let (trace_id, flags) = parent.map_or_else(|| (random(), 0), |parent| (parent.trace_id, parent.flags & !1));
        let is_sampled = match parent.filter(|_| self.is_parent_based) {
            Some(parent) => parent.is_sampled(),
            None => {
                let result = self.sampler.should_sample(None, TraceId::from(trace_id), "", &SpanKind::Internal, &[], &[]);
                result.decision == SamplingDecision::RecordAndSample
            }
        };
        TraceContext { trace_id, span_id: random(), flags: flags | u8::from(is_sampled) }
    }

    fn begin(self: &Arc<Self>, context: TraceContext, parent: Option<TraceContext>, span_kind: SpanKind) -> Option<Span> {
        if !context.is_sampled() {
            return None;
        }
        let now = SystemTime::now();
        let data = SpanData {
            span_context: of_context(context, false),
            parent_span_id: parent.map_or(SpanId::INVALID, |parent| SpanId::from(parent.span_id)),
            parent_span_is_remote: parent.is_some(),
            span_kind,
            name: "".into(),
            start_time: now,
            end_time: now,
            attributes: Vec::with_capacity(10),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        };
        Some(Span { data: Box::new(data), recorder: Arc::clone(self) })
    }
}

impl Span {
    /// Sets an attribute to an id, a name of the catalog or one of a list in the code.
    pub fn set(&mut self, attribute: &'static str, value: &str) {
        self.data.attributes.push(KeyValue::new(attribute, value.to_owned()));
    }

    /// What it is about has not succeeded, for a reason from a list in the code.
    pub fn fail(&mut self, reason: &'static str) {
        self.data.status = Status::error(reason);
        self.set("error.type", reason);
    }

    /// It has ended, and is queued for the collector.
    pub fn end(mut self) {
        self.data.end_time = SystemTime::now();
        if self.recorder.queue.try_send(*self.data).is_err() {
            self.recorder.dropped.inc();
        }
    }
}

fn remote(context: TraceContext) -> SpanContext {
    of_context(context, true)
}

fn of_context(context: TraceContext, is_remote: bool) -> SpanContext {
    let (trace_id, span_id) = (TraceId::from(context.trace_id), SpanId::from(context.span_id));
    SpanContext::new(trace_id, span_id, TraceFlags::new(context.flags), is_remote, TraceState::NONE)
}

fn link(context: SpanContext) -> Link {
    Link::new(context, Vec::new(), 0)
}

/// An id that is not zero, as ids have to be.
fn random<N: From<u8> + Ord>() -> N
where
    rand::distr::StandardUniform: rand::distr::Distribution<N>,
{
    rand::random::<N>().max(N::from(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: TraceContext = TraceContext { trace_id: 7, span_id: 8, flags: 3 };
    const UNSAMPLED: TraceContext = TraceContext { flags: 2, ..SAMPLED };

    fn recorder(ratio: f64, is_parent_based: bool) -> (Arc<Recorder>, mpsc::Receiver<SpanData>) {
        let (queue, queued) = mpsc::channel(2);
        let dropped = IntCounter::new("dropped", "of the test").expect("a name");
        let (scope, ending, ended) = (InstrumentationScope::default(), CancellationToken::new(), CancellationToken::new());
        let sampler = Sampler::TraceIdRatioBased(ratio);
        (Arc::new(Recorder { sampler, is_parent_based, scope, queue, dropped, ending, ended }), queued)
    }

    #[test]
    fn a_producers_decision_counts_where_the_sampler_is_parent_based_and_the_trace_and_its_other_flags_are_kept() {
        for (ratio, is_parent_based, parent, expected) in
            [(0.0, true, SAMPLED, 3), (1.0, true, UNSAMPLED, 2), (0.0, false, SAMPLED, 2), (1.0, false, UNSAMPLED, 3)]
        {
            let context = recorder(ratio, is_parent_based).0.sample(Some(parent));
            assert_eq!((context.trace_id, context.flags), (7, expected), "{ratio} {is_parent_based} {parent:?}");
            assert_ne!(context.span_id, parent.span_id);
        }
        for (ratio, expected) in [(0.0, 0), (1.0, 1)] {
            let context = recorder(ratio, true).0.sample(None);
            assert!(context.flags == expected && context.trace_id > 0 && context.span_id > 0, "{context:?}");
        }
        let sampled = (0..10_000).filter(|_| recorder(0.01, true).0.sample(None).is_sampled()).count();
        assert!((40..250).contains(&sampled), "{sampled} of 10,000 at one in a hundred");
    }

    #[test]
    fn what_the_queue_has_no_room_for_is_counted_and_nothing_waits() {
        let (recorder, mut queued) = recorder(1.0, true);
        let spans = Spans(Some(Arc::clone(&recorder)));
        for number in 0..5 {
            let span = spans.process(Some(SAMPLED), "events", &number.to_string(), Duration::default);
            span.expect("it is sampled").end();
        }
        assert_eq!(recorder.dropped.get(), 3);
        assert_eq!(std::iter::from_fn(|| queued.try_recv().ok()).count(), 2);
        assert!(spans.process(Some(UNSAMPLED), "events", "5", Duration::default).is_none());
    }
}
