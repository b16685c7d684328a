//! Where the SDK sends its requests, read off one of them: region, endpoint and their variables, files and rules are the SDK's own matter.

use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use hyper::Uri;

use super::error::ClientError;

/// Where requests go, and for which region they are signed.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub uri: Uri,
    pub region: String,
}

/// Sees a request of the SDK's when it is sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent(Arc<Mutex<Option<Endpoint>>>);

impl Sent {
    /// Where the request went.
    ///
    /// # Errors
    /// When the SDK has sent none that is signed by SigV4.
    pub(super) fn take(&self) -> Result<Endpoint, ClientError> {
        let endpoint = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        endpoint.ok_or_else(|| ClientError::told("request", Some("requests to this endpoint are not signed by SigV4")))
    }
}

impl Intercept for Sent {
    fn name(&self) -> &'static str {
        "Sent"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let region = request.headers().get("authorization").and_then(region_of);
        if let (Some(region), Ok(uri)) = (region, request.uri().parse()) {
            let region = region.to_owned();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Endpoint { uri, region });
        }
        Ok(())
    }
}

/// The region in `Credential=<key>/<date>/<region>/sqs/aws4_request`. AWS: the scope of a signature.
fn region_of(authorization: &str) -> Option<&str> {
    let scope = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?.split([' ', ',']).find_map(|part| part.strip_prefix("Credential="))?;
    scope.rsplit('/').nth(2)
}

#[cfg(test)]
mod tests {
    use super::region_of;

    #[test]
    fn the_region_is_that_of_the_signatures_scope() {
        let signed = "AWS4-HMAC-SHA256 Credential=AKIA/20261130/eu-central-1/sqs/aws4_request, SignedHeaders=host, Signature=0";
        assert_eq!(region_of(signed), Some("eu-central-1"));
        assert_eq!(region_of("AWS4-ECDSA-P256-SHA256 Credential=AKIA/20261130/sqs/aws4_request"), None);
        assert_eq!(region_of(""), None);
    }
}
