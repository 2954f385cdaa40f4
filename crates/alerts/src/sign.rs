//! The signature of a webhook: who knows the secret can tell that a notice is ours, and new.
//!
//! `X-Everlog-Signature: t=1767323045,v1=5f2b…`: the HMAC-SHA256 of the second, a point and the body, in hexadecimal digits.

use std::time::Duration;

use event::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use thiserror::Error;

use crate::notice::hex;

/// The header that has it.
pub const SIGNATURE_HEADER: &str = "X-Everlog-Signature";
/// How old, or how far ahead of the receiver's clock, a signature may usually be.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// Why a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// The header has another form.
    #[error("the header is not of the form t=<seconds>,v1=<64 hexadecimal digits>")]
    Form,
    /// Another secret, or another body.
    #[error("the signature is of another body or another secret")]
    Other,
    /// Too old, or from the future.
    #[error("the signature is too old, or one of the clocks is wrong")]
    Time,
}

fn mac(secret: &[u8], seconds: i64, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

/// The value of the header for a body that is sent now. Each attempt is signed anew.
#[must_use]
pub fn sign(secret: &[u8], now: Timestamp, body: &[u8]) -> String {
    let seconds = now.as_micros().div_euclid(1_000_000);
    format!("t={seconds},v1={}", hex(&mac(secret, seconds, body).finalize().into_bytes()))
}

/// Whether the header is that of this body. One of several `v1` is enough, so that a secret can be changed.
///
/// # Errors
///
/// Why it does not hold.
pub fn verify(secret: &[u8], header: &str, body: &[u8], now: Timestamp) -> Result<(), SignatureError> {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let seconds = parts().find(|(key, _)| *key == "t").and_then(|(_, text)| text.parse::<i64>().ok());
    let seconds = seconds.ok_or(SignatureError::Form)?;
    let mut signatures = parts().filter(|(key, _)| *key == "v1").filter_map(|(_, text)| bytes_of(text)).peekable();
    if signatures.peek().is_none() {
        return Err(SignatureError::Form);
    }
    if !signatures.any(|signature| mac(secret, seconds, body).verify_slice(&signature).is_ok()) {
        return Err(SignatureError::Other);
    }
    let age = now.as_micros().div_euclid(1_000_000).abs_diff(seconds);
    if age > TOLERANCE.as_secs() { Err(SignatureError::Time) } else { Ok(()) }
}

fn bytes_of(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}
