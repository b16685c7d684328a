//! Why SQS did not do what it was asked, and what to do about it.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sqs::error::{BuildError, DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// Why SQS did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ClientError {
    /// SQS's error code, or `timeout`, `connection` and the like where there was no answer; safe as a metric label's source.
    pub code: String,
    message: String,
}

/// The code of a request that could not be signed.
const NO_CREDENTIALS: &str = "credentials";

/// Parts of codes by which SQS, a KMS key or a proxy says no.
const DENIALS: [&str; 10] = [
    "AccessDenied",
    "AuthFailure",
    NO_CREDENTIALS,
    "Expired",
    "InvalidAccessKeyId",
    "InvalidClientToken",
    "InvalidSecurity",
    "MissingAuthenticationToken",
    "Signature",
    "UnrecognizedClient",
];

impl ClientError {
    pub(super) fn from_build(error: &BuildError) -> Self {
        Self { code: "request".to_owned(), message: error.to_string() }
    }

    pub(super) fn timeout() -> Self {
        Self { code: "timeout".to_owned(), message: "no reply in time".to_owned() }
    }

    /// The kind of trouble, from a fixed list: fit for a metric's label.
    pub fn class(&self) -> &'static str {
        match self.code.as_str() {
            "timeout" => "timeout",
            "connection" => "connection",
            "response" | "request" => "protocol",
            code if code.contains("Throttl") || code.contains("OverLimit") || code.contains("TooManyRequests") => "throttled",
            code if DENIALS.iter().any(|denial| code.contains(denial)) => "denied",
            _ if self.is_missing_queue() => "missing_queue",
            _ => "error",
        }
    }

    /// Whether SQS may have done what it was asked all the same: its reply was lost, or it does not know itself.
    pub fn is_unanswered(&self) -> bool {
        let is_internal = self.code.contains("Internal") || self.code.contains("ServiceUnavailable");
        is_internal || matches!(self.class(), "timeout" | "connection" | "protocol")
    }

    /// Whether SQS answered that the queue does not exist. Emulators name the code in different ways.
    pub fn is_missing_queue(&self) -> bool {
        self.code.ends_with("QueueDoesNotExist") || self.code.ends_with("NonExistentQueue")
    }

    /// For the operator: what is wrong and what to do.
    pub fn advice(&self) -> String {
        let code = &self.code;
        match self.class() {
            "timeout" | "connection" => format!("SQS does not answer ({self}); check AWS_ENDPOINT_URL, the region and the network"),
            "protocol" => format!("what answers is not SQS ({code}); check AWS_ENDPOINT_URL and the proxies before it"),
            "throttled" if code.contains("OverLimit") => {
                format!("too many of the queue's messages are in flight ({code}); it goes on as they are deleted")
            }
            "throttled" => format!("requests are throttled ({code}); where it lasts, run fewer processes or raise the account's quota"),
            // What a `credential_process` wrote may be in the message, and be a secret.
            "denied" if code == NO_CREDENTIALS => {
                "no credentials can be had; check what the AWS SDK reads them from (variables, files, the machine's role); \
                 RUST_LOG=info,aws_config=debug says where it has looked"
                    .to_owned()
            }
            "denied" => format!(
                "access is denied ({self}); check the credentials, and allow sqs:GetQueueUrl, sqs:GetQueueAttributes, sqs:ReceiveMessage, \
                 sqs:DeleteMessage and sqs:ChangeMessageVisibility on the queue"
            ),
            "missing_queue" => "does not exist; create it or correct QUEUES".to_owned(),
            _ => format!("SQS fails ({self}); where it lasts, see its service health and quotas"),
        }
    }
}

impl<E> From<SdkError<E>> for ClientError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        // By code, not by variant: the SDK types the same error sometimes and sometimes not.
        let code = match (&error, error.code()) {
            (_, Some(code)) => code.to_owned(),
            (SdkError::TimeoutError(_), _) => "timeout".to_owned(),
            (SdkError::DispatchFailure(_), _) if is_without_credentials(&error) => NO_CREDENTIALS.to_owned(),
            (SdkError::DispatchFailure(_), _) => "connection".to_owned(),
            (SdkError::ConstructionFailure(_), _) => "request".to_owned(),
            // A proxy's answer has a status alone.
            _ => match error.raw_response().map(|response| response.status().as_u16()) {
                Some(401 | 403) => "AccessDenied".to_owned(),
                Some(429) => "TooManyRequests".to_owned(),
                Some(500..) => "ServiceUnavailable".to_owned(),
                _ => "response".to_owned(),
            },
        };
        let message = error.message().map_or_else(|| DisplayErrorContext(&error).to_string(), str::to_owned);
        Self { code, message }
    }
}

/// The SDK says it as it says that a connection was lost: only the cause tells one from the other.
fn is_without_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(<dyn std::error::Error>::is::<CredentialsError>)
}
