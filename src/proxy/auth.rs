//! Who may use the proxy: one user and password, where the configuration wants them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::config::Credentials;

/// Does this `Proxy-Authorization` satisfy what is wanted? Without credentials in the configuration anybody does.
pub(super) fn is_basic(wanted: Option<&Credentials>, given: Option<&[u8]>) -> bool {
    let Some(wanted) = wanted else { return true };
    let Some((scheme, encoded)) = given.and_then(|given| given.split_at_checked(6)) else { return false };
    let decoded = STANDARD.decode(encoded.trim_ascii()).unwrap_or_default();
    let expected = format!("{}:{}", wanted.user, wanted.password);
    scheme.eq_ignore_ascii_case(b"basic ") && same_secret(&decoded, expected.as_bytes())
}

/// As [`is_basic`], for SOCKS5's user and password.
pub(super) fn is_user(wanted: &Credentials, user: &[u8], password: &[u8]) -> bool {
    // Both are compared whatever the first says.
    same_secret(user, wanted.user.as_bytes()) & same_secret(password, wanted.password.as_bytes())
}

/// Compares digests, so that neither length nor content shows in the time that it takes.
pub(crate) fn same_secret(given: &[u8], wanted: &[u8]) -> bool {
    let (given, wanted) = (Sha256::digest(given), Sha256::digest(wanted));
    given.iter().zip(&wanted).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic() {
        let wanted = Credentials { user: "lab".into(), password: "s:cret".into() };
        let check = |given: Option<&str>, expected| {
            assert_eq!(is_basic(Some(&wanted), given.map(str::as_bytes)), expected, "{given:?}");
        };
        check(Some("Basic bGFiOnM6Y3JldA=="), true);
        check(Some("basic  bGFiOnM6Y3JldA=="), true);
        check(Some("Basic bGFiOnM6Y3JldB=="), false);
        check(Some("Bearer bGFiOnM6Y3JldA=="), false);
        check(Some("Basic"), false);
        check(Some("Basic !"), false);
        check(None, false);
        assert!(is_basic(None, None));
        assert!(is_user(&wanted, b"lab", b"s:cret") && !is_user(&wanted, b"lab", b"secret"));
    }
}
