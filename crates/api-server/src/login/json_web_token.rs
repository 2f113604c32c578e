//! Expiry of a JSON Web Token (RFC 7519), for error messages only: nothing is verified.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use jiff::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
struct Claims {
    exp: f64,
}

/// Returns when the bearer token of a header ended, if it says so and has.
pub(super) fn expiry(authorization: &HeaderValue) -> Option<Timestamp> {
    let token = authorization.to_str().ok()?.strip_prefix("Bearer ")?;
    let claims = token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a time that does not fit is not shown"
    )]
    let end = Timestamp::from_second(claims.exp as i64).ok()?;
    (end < Timestamp::now()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> HeaderValue {
        let claims = URL_SAFE_NO_PAD.encode(claims);
        HeaderValue::from_str(&format!("Bearer e30.{claims}.c2ln")).unwrap()
    }

    #[test]
    fn only_an_end_in_the_past_is_told() {
        let end = expiry(&token(r#"{"sub":"dev","exp":1700000000}"#)).unwrap();
        assert_eq!(end.as_second(), 1_700_000_000);
        for other in [
            token(r#"{"exp":99999999999}"#),
            token(r#"{"sub":"dev"}"#),
            token("no JSON"),
            HeaderValue::from_static("Bearer opaque"),
            HeaderValue::from_static("Basic a.b.c"),
        ] {
            assert_eq!(expiry(&other), None);
        }
    }
}
