//! Registers metrics, and knows of each what the README says of it.

use std::cell::RefCell;

use prometheus::core::Collector;
use prometheus::{GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::PREFIX;

/// What a scrape says of a metric before its first value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// With its prefix.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// One line.
    pub help: String,
}

/// Registers metrics. Names are fixed in this module, so that registering one can fail only by a mistake that every start would show.
pub(super) struct Builder {
    pub registry: Registry,
    prefix: String,
    descriptions: RefCell<Vec<Description>>,
}

type Built<M> = Result<M, prometheus::Error>;

impl Builder {
    /// With what is known of the process; names begin with the common prefix and this.
    pub fn new(prefix: &str) -> Built<Self> {
        let registry = Registry::new();
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let builder = Self { registry, prefix: format!("{PREFIX}{prefix}"), descriptions: RefCell::default() };
        let version = builder.opts("build_info", "1, with the build's version").const_label("version", env!("CARGO_PKG_VERSION"));
        builder.register(IntGauge::with_opts(version))?.set(1);
        Ok(builder)
    }

    fn opts(&self, name: &str, help: &str) -> Opts {
        Opts::new(format!("{}{name}", self.prefix), help)
    }

    fn register<M: Collector + Clone + 'static>(&self, metric: Built<M>) -> Built<M> {
        let metric = metric?;
        self.registry.register(Box::new(metric.clone()))?;
        let kind = metric.collect().first().map(|family| format!("{:?}", family.get_field_type()).to_lowercase());
        let mut descriptions = self.descriptions.borrow_mut();
        descriptions.extend(metric.desc().into_iter().map(|known| {
            let fixed = known.const_label_pairs.iter().map(|pair| pair.name().to_owned());
            let labels = fixed.chain(known.variable_labels.iter().cloned()).collect();
            Description { name: known.fq_name.clone(), kind: kind.clone().unwrap_or_default(), labels, help: known.help.clone() }
        }));
        Ok(metric)
    }

    /// What was registered.
    pub fn into_descriptions(self) -> Vec<Description> {
        self.descriptions.into_inner()
    }

    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Built<IntCounterVec> {
        self.register(IntCounterVec::new(self.opts(name, help), labels))
    }

    pub fn counter(&self, name: &str, help: &str) -> Built<IntCounter> {
        self.register(IntCounter::with_opts(self.opts(name, help)))
    }

    pub fn gauge(&self, name: &str, help: &str) -> Built<IntGauge> {
        self.register(IntGauge::with_opts(self.opts(name, help)))
    }

    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Built<IntGaugeVec> {
        self.register(IntGaugeVec::new(self.opts(name, help), labels))
    }

    /// Of timestamps: none of them is one of 1970.
    pub fn timestamps(&self, name: &str, help: &str, labels: &[&str]) -> Built<GaugeVec> {
        self.register(GaugeVec::new(self.opts(name, help), labels))
    }

    pub fn histogram(&self, name: &str, help: &str, buckets: Vec<f64>) -> Built<Histogram> {
        self.register(Histogram::with_opts(HistogramOpts::from(self.opts(name, help)).buckets(buckets)))
    }

    pub fn histograms(&self, name: &str, help: &str, buckets: Vec<f64>, labels: &[&str]) -> Built<HistogramVec> {
        self.register(HistogramVec::new(HistogramOpts::from(self.opts(name, help)).buckets(buckets), labels))
    }
}
