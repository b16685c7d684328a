//! How a queue is set up, as far as it matters here.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;

/// What SQS says of a queue; nothing where it does not say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueAttributes {
    /// How long a message is kept; then it is gone, without a trace.
    pub message_retention: Option<Duration>,
    /// How often a message is received before SQS moves it to the queue's dead-letter queue.
    pub receives_max: Option<u64>,
    /// There is a rule for that which cannot be read.
    pub has_unreadable_policy: bool,
    /// The queue's own ARN.
    pub arn: Option<String>,
    /// The ARN of the queue that SQS moves such a message to.
    pub dead_letter_target_arn: Option<String>,
    /// For how long a receive hides a message that does not say it itself.
    pub visibility_timeout: Option<Duration>,
}

impl QueueAttributes {
    pub(super) fn read(attributes: &HashMap<QueueAttributeName, String>) -> Self {
        let seconds = |name| attributes.get(&name)?.parse().ok().map(Duration::from_secs);
        let text = attributes.get(&QueueAttributeName::RedrivePolicy).filter(|text| !text.is_empty());
        let policy = text.and_then(|text| serde_json::from_str(text).ok());
        let policy: Option<serde_json::Value> = policy;
        let target = policy.as_ref().and_then(|policy| policy["deadLetterTargetArn"].as_str().map(str::to_owned));
        let receives_max = policy.and_then(|policy| match &policy["maxReceiveCount"] {
            // Both are valid: what SQS was given is what it tells.
            serde_json::Value::String(text) => text.parse().ok(),
            number => number.as_u64(),
        });
        Self {
            message_retention: seconds(QueueAttributeName::MessageRetentionPeriod),
            has_unreadable_policy: text.is_some() && receives_max.is_none(),
            receives_max,
            arn: attributes.get(&QueueAttributeName::QueueArn).cloned(),
            dead_letter_target_arn: target,
            visibility_timeout: seconds(QueueAttributeName::VisibilityTimeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqs_says_is_read_and_what_it_does_not_say_is_unknown() {
        let read = |attributes: &[(QueueAttributeName, &str)]| {
            QueueAttributes::read(&attributes.iter().map(|(name, value)| (name.clone(), (*value).to_owned())).collect())
        };
        assert_eq!(read(&[]), QueueAttributes::default());
        for policy in [r#"{"maxReceiveCount":5,"deadLetterTargetArn":"a"}"#, r#"{"maxReceiveCount":"5","deadLetterTargetArn":"a"}"#] {
            let attributes = read(&[(QueueAttributeName::RedrivePolicy, policy), (QueueAttributeName::VisibilityTimeout, "30")]);
            assert_eq!((attributes.receives_max, attributes.visibility_timeout), (Some(5), Some(Duration::from_secs(30))));
            assert_eq!(attributes.dead_letter_target_arn.as_deref(), Some("a"));
        }
    }
}
