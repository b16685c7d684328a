//! Why SQS did not do what it was asked, and what to do about it.

use std::error::Error;
use std::io;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sqs::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::result::ConnectorError;

use super::credentials::UnfitCredential;

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
            "response" => "protocol",
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

    /// Whether SQS said no to what was sent, not to who sent it.
    pub fn is_refusal_of_the_message(&self) -> bool {
        let codes = ["InvalidMessageContents", "InvalidParameter", "MissingParameter", "InvalidAttributeValue", "RequestTooLong"];
        codes.iter().any(|code| self.code.contains(code))
    }

    /// For one who sends: what is wrong and what to do.
    pub fn advice_for_sender(&self) -> String {
        match self.class() {
            "denied" if self.code == NO_CREDENTIALS => {
                format!("{}; check what the AWS SDK reads credentials from (variables, files, the machine's role)", self.message)
            }
            "denied" => format!(
                "access is denied ({self}); check the credentials, and allow sqs:GetQueueUrl, sqs:GetQueueAttributes and sqs:SendMessage \
                 on the queue"
            ),
            _ => self.advice(),
        }
    }

    /// For the operator: what is wrong and what to do.
    pub fn advice(&self) -> String {
        let code = &self.code;
        match self.class() {
            "timeout" | "connection" => {
                format!("SQS does not answer ({self}); check AWS_ENDPOINT_URL, the region and the network")
            }
            "protocol" => format!("what answers is not SQS ({self}); check AWS_ENDPOINT_URL and the proxies before it"),
            _ if code == "request" => {
                format!("no request can be made ({self}); check AWS_REGION, AWS_ENDPOINT_URL and AWS_USE_FIPS_ENDPOINT")
            }
            "throttled" if code.contains("OverLimit") => {
                format!("too many of the queue's messages are in flight ({code}); it goes on as they are deleted")
            }
            "throttled" => format!("requests are throttled ({code}); where it lasts, run fewer processes or raise the account's quota"),
            "denied" if code == NO_CREDENTIALS => {
                format!(
                    "{}; check what the AWS SDK reads them from (variables, files, the machine's role); RUST_LOG=info,aws_config=debug \
                     says where it has looked",
                    self.message
                )
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

/// What went wrong on the way to a host, and to which: the HTTP client's own errors do not say.
#[derive(Debug, thiserror::Error)]
#[error("on the way to {host}")]
pub(super) struct AtHost {
    pub host: String,
    pub source: Box<dyn Error + Send + Sync>,
}

impl<E> From<SdkError<E>> for ClientError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        // By code, not by variant: the SDK types the same error sometimes and sometimes not.
        match (&error, error.code()) {
            (_, Some(code)) => Self::told(code, error.message()),
            (SdkError::TimeoutError(_), _) => Self::timeout(),
            (SdkError::DispatchFailure(failure), _) => match failure.as_connector_error() {
                Some(cause) => Self::not_sent(cause),
                None => Self { code: "connection".to_owned(), message: root_of(&error).to_string() },
            },
            (SdkError::ConstructionFailure(_), _) => Self::not_made(&error),
            _ => Self::answered(error.raw_response().map_or(0, |response| response.status().as_u16())),
        }
    }
}

impl ClientError {
    /// What SQS says itself.
    pub(super) fn told(code: &str, message: Option<&str>) -> Self {
        Self { code: code.to_owned(), message: message.unwrap_or("no reason is given").to_owned() }
    }

    /// An answer without a code of SQS's: a proxy's has a status alone.
    pub(super) fn answered(status: u16) -> Self {
        let code = match status {
            401 | 403 => "AccessDenied",
            429 => "TooManyRequests",
            500.. => "ServiceUnavailable",
            _ => "response",
        };
        Self { code: code.to_owned(), message: format!("an answer of status {status} that is not SQS's") }
    }

    /// A request that cannot be made.
    pub(super) fn not_made(error: &(dyn Error + 'static)) -> Self {
        Self { code: "request".to_owned(), message: root_of(error).to_string() }
    }

    /// A request that could not be signed.
    pub(super) fn without_credentials(error: &(dyn Error + 'static)) -> Self {
        let unfit = chain(error).find_map(<dyn Error>::downcast_ref::<UnfitCredential>);
        // Of others only that they are missing: what a `credential_process` wrote may be in the error, and be a secret.
        Self { code: NO_CREDENTIALS.to_owned(), message: unfit.map_or_else(|| "no credentials can be had".to_owned(), ToString::to_string) }
    }

    /// A request that was not answered: the SDK says it in the same way when it could not be signed or had no address to go to.
    pub(super) fn not_sent(error: &ConnectorError) -> Self {
        if chain(error).any(<dyn Error>::is::<CredentialsError>) {
            return Self::without_credentials(error);
        }
        match chain(error).find_map(<dyn Error>::downcast_ref::<AtHost>) {
            Some(AtHost { host, .. }) => Self { code: "connection".to_owned(), message: trouble(host, error) },
            None => Self::not_made(error),
        }
    }
}

/// What is wrong between us and a host, as a short sentence.
fn trouble(host: &str, error: &ConnectorError) -> String {
    let root = root_of(error);
    let told = root.to_string();
    let has = |start: &str| chain(error).any(|error| error.to_string().starts_with(start));
    if error.is_timeout() {
        return format!("no connection to {host} in time");
    }
    if has("tunnel error") {
        return format!("the proxy does not connect to {host} ({told})");
    }
    if has("dns error") {
        let reason = told.rsplit(": ").next().unwrap_or_default();
        return format!("the name {host} cannot be looked up ({reason})");
    }
    match root.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => format!("{host} refuses the connection"),
        Some(_) => format!("no connection to {host} ({told})"),
        None if told.contains("NotValidForName") || told.contains("not valid for name") => {
            format!("the certificate of {host} is for another name")
        }
        None if told.contains("UnknownIssuer") => format!("the certificate of {host} is by an authority that is not known here"),
        None if told.contains("InvalidContentType") => format!("what answers at {host} does not speak TLS; http:// would reach it"),
        None => match told.strip_prefix("invalid peer certificate: ") {
            Some(problem) => format!("the certificate of {host} cannot be relied on ({problem})"),
            None => format!("the connection to {host} was lost ({told})"),
        },
    }
}

/// An error and what it came from. What is inside of one of the system's is not its source, but its inner error.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

fn root_of<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    chain(error).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_on_the_way_is_told_in_a_sentence_with_the_host() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let unreachable = || io::Error::from(io::ErrorKind::NetworkUnreachable);
        // As rustls has them, within errors of the system's.
        let tls = |text: &str| io::Error::other(io::Error::other(text));
        for (source, told) in [
            (refused(), "sqs.test refuses the connection"),
            (unreachable(), "no connection to sqs.test (network unreachable)"),
            (tls("invalid peer certificate: UnknownIssuer"), "the certificate of sqs.test is by an authority that is not known here"),
            (
                tls("invalid peer certificate: certificate not valid for name \"sqs.test\""),
                "the certificate of sqs.test is for another name",
            ),
            (tls("invalid peer certificate: Expired"), "the certificate of sqs.test cannot be relied on (Expired)"),
            (
                tls("received corrupt message of type InvalidContentType"),
                "what answers at sqs.test does not speak TLS; http:// would reach it",
            ),
            (tls("connection closed"), "the connection to sqs.test was lost (connection closed)"),
        ] {
            let error = ConnectorError::io(Box::new(AtHost { host: "sqs.test".to_owned(), source: Box::new(source) }));
            let error = ClientError::not_sent(&error);
            assert_eq!((error.code.as_str(), error.message.as_str()), ("connection", told));
        }
        let late = AtHost { host: "sqs.test".to_owned(), source: Box::new(io::Error::other("late")) };
        assert_eq!(ClientError::not_sent(&ConnectorError::timeout(Box::new(late))).message, "no connection to sqs.test in time");
    }
}
