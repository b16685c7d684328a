//! Secrets in settings: named there, kept elsewhere.

use std::fmt;

use serde_json::Value;

/// The name of a secret: `[A-Z][A-Z0-9_]{0,63}`, so that it is a file's name and no path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretName(String);

impl SecretName {
    /// A name of that form.
    pub fn new(text: &str) -> Option<Self> {
        let is_fine = text.as_bytes().first().is_some_and(u8::is_ascii_uppercase)
            && text.len() <= 64
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        is_fine.then(|| Self(text.to_owned()))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// `{ secret = "NAME" }`, for a header also `{ secret = "NAME", prefix = "Bearer " }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReference {
    /// Which one.
    pub name: SecretName,
    /// What stands before it.
    pub prefix: String,
}

const FORM: &str = "write { secret = \"NAME\" }, NAME of capitals, digits and underscores, the first a capital, 64 at most";

const LITERAL: &str = "is a secret as it is, for everybody to read who reads the catalog; keep it in a file SENDER_SECRETS_DIR/<tenant>/NAME, \
                       or in SENDER_SECRETS, write { secret = \"NAME\" } here, and change it, for it is known by now";

impl SecretReference {
    /// Reads a reference; a prefix only where it `may_have_prefix`.
    pub(super) fn parse(value: &Value, may_have_prefix: bool) -> Result<Self, &'static str> {
        let table = match value {
            Value::String(_) => return Err(LITERAL),
            Value::Object(table) => table,
            _ => return Err(FORM),
        };
        if table.keys().any(|key| key != "secret" && !(may_have_prefix && key == "prefix")) {
            return Err(FORM);
        }
        let name = table.get("secret").and_then(Value::as_str).and_then(SecretName::new).ok_or(FORM)?;
        match table.get("prefix") {
            None => Ok(Self { name, prefix: String::new() }),
            Some(Value::String(prefix)) if prefix.len() <= 64 && is_header_text(prefix) => Ok(Self { name, prefix: prefix.clone() }),
            Some(_) => Err("has a prefix that is no short text, as \"Bearer \""),
        }
    }
}

/// Whether a header can have this value.
pub(super) fn is_header_text(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Whether whatever has this name is a secret by its nature.
pub(super) fn is_secret_by_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // Tells one request from another, and opens nothing.
    if name.contains("idempotency") {
        return false;
    }
    let parts = ["authorization", "cookie", "token", "secret", "password", "passwd", "apikey", "signature", "credential"];
    let words = name.split(|character: char| !character.is_ascii_alphanumeric());
    parts.iter().any(|part| name.contains(part)) || words.into_iter().any(|word| ["key", "auth", "sig", "pwd", "pass"].contains(&word))
}

/// What is said of a text where a secret belongs.
pub(super) const fn literal_sentence() -> &'static str {
    LITERAL
}
