//! The environment of the process, as far as others read it by themselves: the AWS SDK, its proxies, the driver for Postgres.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::WrongSetting;

/// A variable, and what it is to be; none: not set.
pub(super) type Change = (OsString, Option<OsString>);

/// The variables that name a proxy for each kind of endpoint, in the order in which they are looked for.
const PROXIES: [[&str; 4]; 2] =
    [["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"], ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]];

/// Which hosts are asked without a proxy.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Put into the headers of each request as they are, which ends the process where a header cannot hold them.
const CREDENTIALS: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// Puts the environment right. A variable of the SDK's that is empty counts as not set, and the white space around a value, such as the
/// newline at the end of a secret's file, is none of it; with the feature `dev` also what `processor dev` has left behind is used, and
/// `dev` itself, of which `is_dev` tells, begins without the settings of another Postgres. The process is replaced by itself where something
/// changes, because those who read the environment read that of the process, which nothing safe can change from inside.
///
/// # Errors
/// When the program cannot be started anew.
pub fn settle_environment(is_dev: bool) -> Result<(), WrongSetting> {
    let changes = of_the_sdk(std::env::vars_os());
    #[cfg(feature = "dev")]
    let changes = [changes, super::dev_environment::changes(is_dev)].concat();
    #[cfg(not(feature = "dev"))]
    let _ = is_dev;
    let Some((name, _)) = changes.first() else { return Ok(()) };
    let failed = |error: std::io::Error| {
        WrongSetting(format!(
            "{} is empty, has white space around it, or is not for this command; the program cannot start anew without it ({error}): put it right",
            name.display()
        ))
    };
    let mut arguments = std::env::args_os();
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments);
    for (name, value) in &changes {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Err(failed(command.exec()))
}

/// What has to change before the SDK reads its variables.
fn of_the_sdk(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<Change> {
    let is_read = |name: &str| name.starts_with("AWS_") || PROXIES.concat().contains(&name) || NO_PROXY.contains(&name);
    let change = |(name, value): (OsString, OsString)| {
        let text = name.to_str().filter(|name| is_read(name)).and(value.to_str())?;
        let trimmed = text.trim();
        (trimmed != text || trimmed.is_empty()).then(|| (name, Some(trimmed.into()).filter(|_| !trimmed.is_empty())))
    };
    variables.filter_map(change).collect()
}

/// Checks what the SDK would fail on only at the first request, or take for something else.
///
/// # Errors
/// A sentence for the user that names the variable.
pub fn check_sdk_environment() -> Result<(), WrongSetting> {
    for (name, value) in std::env::vars() {
        let wrong = |value: &str, right: &str| Err(WrongSetting(format!("the value of {name} is {value}: {right}")));
        match name.as_str() {
            _ if name.starts_with("AWS_ENDPOINT_URL") && !is_http_url(&value) => {
                return wrong(
                    &format!("{value:?}"),
                    "write a URL as https://sqs.eu-central-1.amazonaws.com or http://localhost:4566, or unset it",
                );
            }
            "AWS_REGION" | "AWS_DEFAULT_REGION" if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
                return wrong(&format!("{value:?}"), "write a region as eu-central-1");
            }
            name if CREDENTIALS.contains(&name) && !is_credential(&value) => {
                return wrong(
                    "(not shown)",
                    "it holds a space, a line's end or a letter beyond ASCII, which no credential has; write it anew",
                );
            }
            _ => {}
        }
    }
    for names in PROXIES {
        // Not every one that is set: a proxy for other programs does not matter where there is one for this kind of endpoint.
        let Some((name, value)) = names.into_iter().find_map(|name| Some((name, std::env::var(name).ok()?))) else { continue };
        let url = if value.contains("://") { value } else { format!("http://{value}") };
        if !is_http_url(&url) {
            return Err(WrongSetting(format!(
                "the value of {name} is (not shown): write the URL of an HTTP proxy, as http://proxy.example.com:3128, or unset it"
            )));
        }
    }
    Ok(())
}

/// Whether the environment names a proxy.
pub fn has_proxy() -> bool {
    PROXIES.concat().into_iter().any(|name| std::env::var_os(name).is_some())
}

/// Whether the text is a URL that a request can go to.
pub fn is_http_url(text: &str) -> bool {
    let is_whole = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty());
    text.parse().is_ok_and(|url| is_whole(&url)) && !text.contains(char::is_whitespace)
}

/// Whether a credential has only what AWS makes them of: ASCII that can be seen.
pub fn is_credential(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_counts_as_not_set_and_white_space_around_a_value_is_none_of_it() {
        let variables = [
            ("AWS_ENDPOINT_URL", ""),
            ("AWS_SECRET_ACCESS_KEY", "key\n"),
            ("AWS_REGION", "eu-central-1"),
            ("https_proxy", " "),
            ("NO_PROXY", ""),
            ("DATABASE_URL", ""),
        ];
        let changes = of_the_sdk(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        let expected: [(&str, Option<&str>); 4] =
            [("AWS_ENDPOINT_URL", None), ("AWS_SECRET_ACCESS_KEY", Some("key")), ("https_proxy", None), ("NO_PROXY", None)];
        assert_eq!(changes, expected.map(|(name, value)| (OsString::from(name), value.map(OsString::from))));
        let again = changes.into_iter().filter_map(|(name, value)| Some((name, value?)));
        assert_eq!(of_the_sdk(again), [], "the program would be started anew for ever");
    }
}
