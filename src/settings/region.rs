//! What a queue's URL says of where it is, when it is at AWS.

/// What follows the region in the names of SQS's hosts, by AWS's partitions: the usual names, then those that also have IPv6 addresses. From
/// `partitions.json` of AWS's SDKs.
const SUFFIXES: [&str; 14] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
    "api.aws",
    "api.amazonwebservices.com.cn",
    "api.amazonwebservices.eu",
    "api.aws.ic.gov",
    "api.aws.scloud",
    "api.cloud-aws.adc-e.uk",
    "api.aws.hci.ic.gov",
];

/// The region of a host of SQS's, and whether it is the one that the SDK would ask by itself for that region.
///
/// Beside `sqs.<region>.` there are `sqs-fips.<region>.`, the endpoints of VPCs (`vpce-<id>.sqs.<region>.vpce.`), and the names that queues
/// had first: `<region>.queue.`, and `queue.` alone.
pub fn region_of_host(host: &str) -> Option<(&str, bool)> {
    let (name, suffix) = SUFFIXES.iter().find_map(|suffix| Some((host.strip_suffix(suffix)?.strip_suffix('.')?, *suffix)))?;
    let is_region = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let (region, is_default) = match name.split('.').collect::<Vec<_>>()[..] {
        ["queue"] => ("us-east-1", false),
        [region, "queue"] | ["sqs-fips", region] | [_, "sqs" | "sqs-fips", region, "vpce"] => (region, false),
        ["sqs", region] => (region, suffix.starts_with("amazonaws.com")),
        _ => return None,
    };
    is_region(region).then_some((region, is_default))
}

/// Whether a queue's URL is where this process may send signed requests: at a host of SQS, or at the endpoint that its environment names.
pub fn is_reached_with_signatures(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    let is_endpoint = |name| {
        let endpoint = std::env::var(name).ok().and_then(|endpoint| url::Url::parse(&endpoint).ok());
        endpoint.is_some_and(|endpoint| endpoint.origin() == url.origin())
    };
    url.host_str().is_some_and(|host| region_of_host(host).is_some())
        || ["AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL"].into_iter().any(is_endpoint)
}

#[cfg(test)]
mod tests {
    use super::region_of_host;

    #[test]
    fn every_host_of_sqs_tells_its_region_and_no_other_host_does() {
        for (host, expected) in [
            ("sqs.eu-central-1.amazonaws.com", Some(("eu-central-1", true))),
            ("sqs.us-gov-west-1.amazonaws.com", Some(("us-gov-west-1", true))),
            ("sqs.cn-north-1.amazonaws.com.cn", Some(("cn-north-1", true))),
            ("queue.amazonaws.com", Some(("us-east-1", false))),
            ("eu-west-1.queue.amazonaws.com", Some(("eu-west-1", false))),
            ("cn-north-1.queue.amazonaws.com.cn", Some(("cn-north-1", false))),
            ("sqs-fips.us-east-2.amazonaws.com", Some(("us-east-2", false))),
            ("sqs.us-east-1.api.aws", Some(("us-east-1", false))),
            ("sqs-fips.us-gov-east-1.api.aws", Some(("us-gov-east-1", false))),
            ("sqs.cn-northwest-1.api.amazonwebservices.com.cn", Some(("cn-northwest-1", false))),
            ("vpce-0a1b2c3d-4e5f.sqs.eu-central-1.vpce.amazonaws.com", Some(("eu-central-1", false))),
            ("vpce-0a1b2c3d-4e5f-us-east-1a.sqs.us-east-1.vpce.amazonaws.com", Some(("us-east-1", false))),
            ("vpce-0a1b2c3d-4e5f.sqs.cn-north-1.vpce.amazonaws.com.cn", Some(("cn-north-1", false))),
            ("sqs.us-iso-east-1.c2s.ic.gov", Some(("us-iso-east-1", false))),
            ("sqs.us-isob-east-1.sc2s.sgov.gov", Some(("us-isob-east-1", false))),
            ("sqs.eu-isoe-west-1.cloud.adc-e.uk", Some(("eu-isoe-west-1", false))),
            ("sqs.us-isof-south-1.csp.hci.ic.gov", Some(("us-isof-south-1", false))),
            ("sqs.eusc-de-east-1.amazonaws.eu", Some(("eusc-de-east-1", false))),
            ("sqs.eusc-de-east-1.api.amazonwebservices.eu", Some(("eusc-de-east-1", false))),
            ("127.0.0.1", None),
            ("sqs.us-east-1.localhost.localstack.cloud", None),
            ("sqs.eu-central-1.amazonaws.com.example.com", None),
            ("sns.eu-central-1.amazonaws.com", None),
            ("sqs..amazonaws.com", None),
            ("sqs.eu-central-1.evilamazonaws.com", None),
        ] {
            assert_eq!(region_of_host(host), expected, "{host}");
        }
    }
}
