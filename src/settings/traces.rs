//! Whether and where traces go, by the variables that OpenTelemetry's specification names. The exporter reads some of them by itself: what it
//! would pass over in silence is refused here.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::{WrongSetting, is_http_url};

/// As the specification has it, where only the exporter is named.
const ENDPOINT_DEFAULT: &str = "http://localhost:4318";

/// As the specification has it.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// The names of samplers: whether the parent's decision counts first, and whether of the others a share is sampled, all or none.
const SAMPLERS: [(&str, bool, Roots); 6] = [
    ("always_on", false, Roots::All),
    ("always_off", false, Roots::None),
    ("traceidratio", false, Roots::Share),
    ("parentbased_always_on", true, Roots::All),
    ("parentbased_always_off", true, Roots::None),
    ("parentbased_traceidratio", true, Roots::Share),
];

#[derive(Clone, Copy)]
enum Roots {
    All,
    None,
    Share,
}

/// How traces are sampled and exported.
#[derive(Debug, Clone, PartialEq)]
pub struct TracesSettings {
    /// The URL that takes spans.
    pub endpoint: String,
    /// What the spans' program is called, where the environment says it.
    pub service_name: Option<String>,
    /// For how long the collector may take to answer.
    pub timeout: Duration,
    /// Whether a producer's decision counts, where there is one.
    pub is_parent_based: bool,
    /// Which share of the others is sampled, from 0 to 1.
    pub ratio: f64,
}

impl TracesSettings {
    /// What the environment says; nothing where no trace is to be exported.
    ///
    /// # Errors
    /// A sentence for the user that names the variable.
    pub fn from_environment() -> Result<Option<Self>, WrongSetting> {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, WrongSetting> {
        let variable = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let is_disabled = one_of(&variable, "OTEL_SDK_DISABLED", &["true", "false"])?.is_some_and(|value| value == "true");
        let exporter = one_of(&variable, "OTEL_TRACES_EXPORTER", &["otlp", "none"])?;
        let has_endpoint = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"].map(|name| variable(name).is_some());
        if is_disabled || exporter.as_deref() == Some("none") || (exporter.is_none() && has_endpoint == [false, false]) {
            return Ok(None);
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"] {
            check(&variable, name, is_http_url, "write the URL of a collector's HTTP receiver, as http://localhost:4318")?;
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            let right = "write http/protobuf, and the collector's port for it (usually 4318) into the endpoint; no other one is built in";
            check(&variable, name, |value| value == "http/protobuf", right)?;
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"] {
            check(&variable, name, |value| value == "none", "write none, or unset it; no compression is built in")?;
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"] {
            if variable(name).is_some_and(|list| !list.split_terminator(',').all(is_header)) {
                let right = "write headers as name=value, comma-separated, the values percent-encoded";
                return Err(WrongSetting(format!("the value of {name} is (not shown): {right}")));
            }
        }
        let is_pair = |pair: &str| pair.split_once('=').is_some_and(|(name, _)| !name.trim().is_empty());
        let right = "write attributes as name=value, comma-separated";
        check(&variable, "OTEL_RESOURCE_ATTRIBUTES", |list| list.split_terminator(',').all(is_pair), right)?;
        let (is_parent_based, ratio) = sampling(&variable)?;
        let of_all_signals = variable("OTEL_EXPORTER_OTLP_ENDPOINT").unwrap_or_else(|| ENDPOINT_DEFAULT.to_owned());
        let endpoint = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        let endpoint = endpoint.unwrap_or_else(|| format!("{}/v1/traces", of_all_signals.trim_end_matches('/')));
        let (service_name, timeout) = (variable("OTEL_SERVICE_NAME"), timeout(&variable)?);
        Ok(Some(Self { endpoint, service_name, timeout, is_parent_based, ratio }))
    }
}

/// The sampler's, and the share of what has no parent that counts.
fn sampling(variable: &impl Fn(&str) -> Option<String>) -> Result<(bool, f64), WrongSetting> {
    let named = one_of(variable, "OTEL_TRACES_SAMPLER", &SAMPLERS.map(|(name, ..)| name))?;
    let found = SAMPLERS.into_iter().find(|(name, ..)| named.as_deref() == Some(name));
    let (_, is_parent_based, roots) = found.unwrap_or(("", true, Roots::All));
    let ratio = match roots {
        Roots::All => 1.0,
        Roots::None => 0.0,
        Roots::Share => {
            let name = "OTEL_TRACES_SAMPLER_ARG";
            let is_share = |value: &str| value.parse().is_ok_and(|ratio: f64| (0.0..=1.0).contains(&ratio));
            check(variable, name, is_share, "write a share from 0 to 1, as 0.01")?;
            variable(name).and_then(|value| value.parse().ok()).unwrap_or(1.0)
        }
    };
    Ok((is_parent_based, ratio))
}

fn timeout(variable: &impl Fn(&str) -> Option<String>) -> Result<Duration, WrongSetting> {
    let mut found = None;
    for name in ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"] {
        let milliseconds = |value: &str| value.parse::<u64>().ok().filter(|milliseconds| (1..=600_000).contains(milliseconds));
        check(variable, name, |value| milliseconds(value).is_some(), "write milliseconds, a whole number from 1 to 600000")?;
        found = found.or_else(|| variable(name).as_deref().and_then(milliseconds));
    }
    Ok(found.map_or(TIMEOUT_DEFAULT, Duration::from_millis))
}

fn is_header(pair: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    let is_value = |value: &str| percent_decode_str(value).all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
    pair.split_once('=').is_some_and(|(name, value)| is_name(name.trim()) && is_value(value.trim()))
}

fn one_of(variable: &impl Fn(&str) -> Option<String>, name: &str, values: &[&str]) -> Result<Option<String>, WrongSetting> {
    check(variable, name, |value| values.contains(&value), &format!("write one of {}", values.join(", ")))?;
    Ok(variable(name))
}

fn check(variable: &impl Fn(&str) -> Option<String>, name: &str, is_right: impl Fn(&str) -> bool, right: &str) -> Result<(), WrongSetting> {
    match variable(name).filter(|value| !is_right(value)) {
        None => Ok(()),
        Some(value) => Err(WrongSetting(format!("the value of {name} is {value:?}: {right}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<TracesSettings>, String> {
        let value = |name: &str| variables.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned());
        TracesSettings::of(value).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn traces_are_exported_where_an_endpoint_or_the_exporter_is_named_and_sampled_as_the_standard_has_it() {
        let local = "http://localhost:4318/v1/traces";
        let settings = |endpoint: &str, is_parent_based, ratio| {
            let (endpoint, service_name) = (endpoint.to_owned(), None);
            Ok(Some(TracesSettings { endpoint, service_name, timeout: TIMEOUT_DEFAULT, is_parent_based, ratio }))
        };
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        for (variables, expected) in [
            (vec![], Ok(None)),
            (vec![("OTEL_SERVICE_NAME", "events"), ("OTEL_TRACES_SAMPLER", "nonsense")], Ok(None)),
            (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], Ok(None)),
            (vec![endpoint, ("OTEL_SDK_DISABLED", "true")], Ok(None)),
            (vec![endpoint, ("OTEL_TRACES_EXPORTER", "none")], Ok(None)),
            (vec![("OTEL_TRACES_EXPORTER", "otlp")], settings(local, true, 1.0)),
            (
                vec![("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector.example/spans")],
                settings("https://collector.example/spans", true, 1.0),
            ),
            (vec![endpoint, ("OTEL_TRACES_SAMPLER", "always_off")], settings(local, false, 0.0)),
            (
                vec![endpoint, ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.01")],
                settings(local, true, 0.01),
            ),
            (vec![endpoint, ("OTEL_TRACES_SAMPLER", "traceidratio")], settings(local, false, 1.0)),
        ] {
            assert_eq!(of(&variables), expected, "{variables:?}");
        }
        let timeouts = [endpoint, ("OTEL_EXPORTER_OTLP_TIMEOUT", "5"), ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250")];
        assert_eq!(of(&timeouts).ok().flatten().map(|settings| settings.timeout), Some(Duration::from_millis(250)));
    }

    #[test]
    fn a_secret_in_wrong_headers_is_not_repeated() {
        for headers in ["authorization", "author ization=s3cret", "authorization=s3cret%0A"] {
            let told = of(&[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_HEADERS", headers)]);
            let sentence = "the value of OTEL_EXPORTER_OTLP_HEADERS is (not shown): write headers as name=value, comma-separated, the values percent-encoded";
            assert_eq!(told, Err(sentence.to_owned()), "{headers}");
        }
        let right = of(&[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret, x-tenant=a,")]);
        assert!(right.is_ok(), "{right:?}");
    }
}
