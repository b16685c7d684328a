//! Signatures of webhooks, by Standard Webhooks: HMAC-SHA256 over id, time and body.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use ring::hmac;

/// As people copy it, with or without `=` at the end.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// What a webhook is signed by.
pub(super) struct Key(hmac::Key);

impl Key {
    /// From `whsec_` and the base64 of 24 to 64 bytes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = LENIENT.decode(text.strip_prefix("whsec_")?).ok()?;
        (24..=64).contains(&bytes.len()).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The signature of a body.
    fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body.as_bytes());
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

/// The header: a signature by each key, so that a receiver that has either of two finds its own.
pub(super) fn header(keys: &[Key], id: &str, timestamp: i64, body: &str) -> String {
    keys.iter().map(|key| key.sign(id, timestamp, body)).collect::<Vec<_>>().join(" ")
}

/// Whether a signature of the header is by this key; for `dev`'s receiver.
#[cfg(feature = "dev")]
pub fn is_signed(secret: &str, id: &str, timestamp: &str, body: &str, header: &str) -> bool {
    let Some(Key(key)) = Key::parse(secret) else { return false };
    let signed = format!("{id}.{timestamp}.{body}");
    header
        .split(' ')
        .filter_map(|part| STANDARD.decode(part.strip_prefix("v1,")?).ok())
        .any(|tag| hmac::verify(&key, signed.as_bytes(), &tag).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's own example, which the libraries of Standard Webhooks test themselves by.
    #[test]
    fn the_vector_of_the_specification_is_signed_alike() {
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a key");
        let signature = header(&[key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn keys_have_24_to_64_bytes() {
        for (length, is_fine) in [(23, false), (24, true), (64, true), (65, false)] {
            assert_eq!(Key::parse(&format!("whsec_{}", STANDARD.encode(vec![7; length]))).is_some(), is_fine, "{length}");
        }
        assert!(Key::parse(&STANDARD.encode([7; 32])).is_none() && Key::parse("whsec_!").is_none());
        assert!(Key::parse(&format!("whsec_{}", STANDARD.encode([7; 25]).trim_end_matches('='))).is_some());
    }
}
