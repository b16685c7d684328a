//! Which authorities' certificates are relied on: those of the system, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.

use std::sync::{Arc, LazyLock};

use rustls::{ALL_VERSIONS, ClientConfig, RootCertStore};

use crate::settings::WrongSetting;

const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

static AUTHORITIES: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(authorities)
});

static TLS: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(ALL_VERSIONS);
    let builder = builder.expect("ring knows both versions of TLS");
    Arc::new(builder.with_root_certificates(Arc::clone(&AUTHORITIES)).with_no_client_auth())
});

/// TLS by which a server is known by an authority's certificate; where there is none, no server is known.
pub fn tls() -> Arc<ClientConfig> {
    Arc::clone(&TLS)
}

/// Whether there is any.
pub fn has_authorities() -> bool {
    !AUTHORITIES.is_empty()
}

/// Whether a server can be known at all, for who is to ask one by HTTPS.
///
/// # Errors
/// A sentence for the user that says where there is no certificate, and what to do.
pub fn check() -> Result<(), WrongSetting> {
    if has_authorities() {
        return Ok(());
    }
    let told = |name: &str| Some(format!("the value of {name} is {:?}", std::env::var_os(name)?.to_string_lossy()));
    let set: Vec<String> = VARIABLES.into_iter().filter_map(told).collect();
    Err(WrongSetting(match set.is_empty() {
        true => "this system has no certificates of authorities, without which no server is known by HTTPS; install its package \
                 ca-certificates, or set SSL_CERT_FILE to a file of them in PEM"
            .to_owned(),
        false => format!(
            "{}: no certificate of an authority can be read there, without which no server is known by HTTPS; name a file of them in PEM, \
             or unset it to use the system's",
            set.join(" and ")
        ),
    }))
}
