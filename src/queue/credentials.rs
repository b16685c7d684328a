//! Credentials, wherever the SDK has found them, made fit to be sent: the SDK puts them into headers, and ends the process where one of their
//! characters cannot stand there.

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, SharedCredentialsProvider, future};

use crate::settings::is_credential;

/// What AWS would not have made.
#[derive(Debug, thiserror::Error)]
#[error("the {0} holds a space, a line's end or a letter beyond ASCII, which no credential has")]
pub(super) struct UnfitCredential(&'static str);

/// The credentials of another provider, without the white space around them that files and programs leave.
#[derive(Debug)]
pub(super) struct FitCredentials(pub SharedCredentialsProvider);

impl ProvideCredentials for FitCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { fit(self.0.provide_credentials().await?) })
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.0.fallback_on_interrupt().and_then(|credentials| fit(credentials).ok())
    }
}

fn fit(credentials: Credentials) -> Result {
    let token = credentials.session_token().map(str::trim);
    let (id, secret) = (credentials.access_key_id().trim(), credentials.secret_access_key().trim());
    for (name, value) in [("access key id", id), ("secret access key", secret), ("session token", token.unwrap_or_default())] {
        if !is_credential(value) {
            return Err(CredentialsError::invalid_configuration(UnfitCredential(name)));
        }
    }
    let is_same = id == credentials.access_key_id() && secret == credentials.secret_access_key() && token == credentials.session_token();
    if is_same {
        return Ok(credentials);
    }
    Ok(Credentials::new(id, secret, token.map(str::to_owned), credentials.expiry(), "trimmed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_credentials_is_none_of_them_and_within_them_an_error() {
        let made = |id: &str, token: &str| fit(Credentials::new(id, "secret\r\n", Some(token.to_owned()), None, "test"));
        let fitting = made("AKIA\n", " token ").expect("credentials");
        assert_eq!((fitting.access_key_id(), fitting.secret_access_key(), fitting.session_token()), ("AKIA", "secret", Some("token")));
        for (id, token, name) in [("AK\nIA", "", "access key id"), ("AKIA", "to ken", "session token"), ("AKIA", "tökèn", "session token")]
        {
            let error = made(id, token).expect_err("no credentials");
            let told = std::error::Error::source(&error).expect("a cause").to_string();
            assert_eq!(told, format!("the {name} holds a space, a line's end or a letter beyond ASCII, which no credential has"));
        }
    }
}
