//! What traces cost the daemon: without them, with a collector that takes a sampled share, with one that is away.

use std::convert::Infallible;
use std::fmt;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::Options;
use crate::runs::{clear, drain, per_event};
use crate::stand::{Stand, bodies};

/// Enough for a median; interleaved.
const ROUNDS: usize = 5;

/// One in so many is sampled.
const SAMPLED: usize = 100;

/// Nothing listens there.
const AWAY: &str = "http://127.0.0.1:1";

/// All that was measured.
#[derive(Debug, Serialize)]
pub struct Traces {
    events: usize,
    with_context: bool,
    ways: Vec<Way>,
}

/// A daemon's build and environment.
#[derive(Debug, Serialize)]
struct Way {
    name: &'static str,
    /// Of each round.
    daemon_us: Vec<f64>,
    /// That the collector has received.
    spans: usize,
    #[serde(skip)]
    is_baseline: bool,
    #[serde(skip)]
    collector: Option<String>,
}

/// Drains the same queue in each way by turns. The first two are the same: what lies between them is noise.
pub async fn measure(stand: &mut Stand, options: &Options) -> Result<Traces> {
    stand.set_latencies(options.latency[0], 0)?;
    let (events, with_context) = (options.events, options.with_context);
    let mut bodies = bodies(events, 0)?;
    if with_context {
        bodies = bodies.iter().enumerate().map(|(number, body)| of_trace(number, body)).collect();
    }
    let received = Arc::new(AtomicUsize::new(0));
    let (collector, _serving) = collect(Arc::clone(&received)).await?;
    let way = |name, collector| Way { name, daemon_us: Vec::new(), spans: 0, is_baseline: false, collector };
    let mut ways = vec![
        way("without", None),
        way("without, again", None),
        way("1 % sampled", Some(collector)),
        way("1 % sampled, collector away", Some(AWAY.to_owned())),
    ];
    if options.baseline.is_some() {
        ways.push(Way { is_baseline: true, ..way("baseline, without", None) });
    }
    let (processor, settings) = (stand.processor.clone(), stand.settings.clone());
    for round in 0..ROUNDS {
        // What comes first is not always the same.
        ways.rotate_left(1);
        for way in &mut ways {
            stand.processor = options.baseline.clone().filter(|_| way.is_baseline).unwrap_or_else(|| processor.clone());
            stand.settings = [settings.clone(), sampling(way.collector.as_deref())].concat();
            clear(stand).await?;
            let filled = stand.fill(&bodies).await?;
            let before = received.load(Ordering::Relaxed);
            way.daemon_us.push(per_event(drain(stand, &filled).await?.daemon, events));
            way.spans += received.load(Ordering::Relaxed) - before;
            // It takes minutes: whoever waits sees how it goes.
            writeln!(std::io::stderr(), "{round}: {} {:.1} us", way.name, way.daemon_us[round])?;
        }
    }
    let turned = ROUNDS % ways.len();
    ways.rotate_right(turned);
    Ok(Traces { events, with_context, ways })
}

/// The body with a producer's context, which has one in a hundred sampled.
fn of_trace(number: usize, body: &str) -> String {
    let flags = u8::from(number.is_multiple_of(SAMPLED));
    let traceparent = format!("00-{:032x}-{:016x}-{flags:02x}", number + 1, number + 1);
    body.replacen('{', &format!(r#"{{"traceparent":"{traceparent}","#), 1)
}

fn sampling(collector: Option<&str>) -> Vec<(String, String)> {
    let Some(collector) = collector else { return Vec::new() };
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
    ];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// A collector in this process, which counts spans: where it listens, and for how long.
async fn collect(received: Arc<AtomicUsize>) -> Result<(String, JoinSet<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let received = Arc::clone(&received);
            let service = service_fn(move |request| take(request, Arc::clone(&received)));
            connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok((url, serving))
}

async fn take(request: Request<Incoming>, received: Arc<AtomicUsize>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| ExportTraceServiceRequest::decode(body.to_bytes()));
    let resources = body.ok().and_then(Result::ok).map_or_else(Vec::new, |request| request.resource_spans);
    let spans = resources.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len()).sum();
    received.fetch_add(spans, Ordering::Relaxed);
    Ok(Response::new(Full::default()))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

impl fmt::Display for Traces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, with_context, ways } = self;
        let context = if *with_context { "with a producer's context" } else { "without a producer's context" };
        writeln!(formatter, "{events} events {context}, {ROUNDS} rounds by turns: the daemon's CPU us an event, median (least..most)")?;
        let median = |way: &Way| sorted(&way.daemon_us)[ROUNDS / 2];
        for way in ways {
            let (values, ratio) = (sorted(&way.daemon_us), median(way) / median(&ways[0]));
            let (least, most) = (values[0], values[ROUNDS - 1]);
            write!(formatter, "{:<30}{:>8.2} ({least:.2}..{most:.2}), {ratio:.3}", way.name, median(way))?;
            writeln!(formatter, ", {} spans", way.spans)?;
        }
        writeln!(formatter, "the second against the first is this run's noise")
    }
}
