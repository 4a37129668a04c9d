//! The address of an endpoint.

use std::net::IpAddr;

use reqwest::Url;

use crate::error::SendError;

/// Reads the address, and refuses what cannot work. Addresses are shown in messages and noted in journals, so none may
/// hold a password.
pub(super) fn parse_url(address: &str) -> Result<Url, SendError> {
    let wrong = |url: &str, problem: String| SendError::Address { url: url.to_owned(), problem };
    let mut url = Url::parse(address).map_err(|error| wrong(address, error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        // Neither can fail: an address with a user has a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let problem = "it holds a user or a password; give the key with --api-key-file".to_owned();
        return Err(wrong(url.as_str(), problem));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(address, "it must begin with http:// or https://".to_owned()));
    }
    Ok(url)
}

/// Whether the endpoint is on this machine, where no proxy is asked.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_work_are_told() {
        for address in ["127.0.0.1:8080/orders", "ftp://x/y", "http://", "http://user:secret@host/x"] {
            let error = parse_url(address).unwrap_err();
            assert!(matches!(error, SendError::Address { .. }), "{address}");
            assert!(!error.chain().contains("secret"), "{error}");
        }
    }

    #[test]
    fn only_loopback_goes_around_a_proxy() {
        for (address, expected) in [
            ("http://127.0.0.1:1/x", true),
            ("http://[::1]:1/x", true),
            ("http://localhost/x", true),
            ("http://example.com/x", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(address).unwrap()), expected, "{address}");
        }
    }
}
