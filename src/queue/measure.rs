//! How long each request to SQS takes, for those who have metrics.

use std::sync::Arc;

use tokio::time::Instant;

use crate::metrics::Metrics;

/// Where requests are measured, if anywhere.
#[derive(Debug, Clone, Default)]
pub(super) struct Measure(Option<Arc<Metrics>>);

impl Measure {
    /// By these metrics.
    pub fn by(metrics: Arc<Metrics>) -> Self {
        Self(Some(metrics))
    }

    /// Waits for the answer to a request, by SQS's name of it, and records for how long.
    pub async fn request<T>(&self, operation: &str, request: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = request.await;
        if let Some(metrics) = &self.0 {
            metrics.sqs_request_duration.with_label_values(&[operation]).observe(began.elapsed().as_secs_f64());
        }
        answer
    }
}
