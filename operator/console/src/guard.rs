//! Who may look. On loopback, whoever is on this machine, but no page of somebody else in their browser; elsewhere,
//! whoever has the token.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use subtle::ConstantTimeEq as _;

const COOKIE_NAME: &str = "penstock-console";

/// Who may look.
#[derive(Debug, Clone)]
pub enum Access {
    /// Whoever reaches the port by a name of this machine.
    Loopback,
    /// Whoever has the token: as `Authorization: Bearer`, or once as `?token=`, which becomes a cookie.
    Token(Arc<str>),
}

impl Access {
    /// What is right for an address: a token is needed everywhere but on loopback.
    ///
    /// # Errors
    /// [`NoToken`] when there should be one.
    pub fn on(addr: IpAddr, token: Option<String>) -> Result<Self, NoToken> {
        match token.filter(|token| !token.is_empty()) {
            Some(token) => Ok(Self::Token(token.into())),
            None if addr.is_loopback() => Ok(Self::Loopback),
            None => Err(NoToken { addr }),
        }
    }
}

/// A page that others could reach has no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the page would answer anybody who reaches {addr}: give it a token, or let it listen on 127.0.0.1")]
pub struct NoToken {
    addr: IpAddr,
}

/// Lets through who may look, and adds the headers that keep the page to itself.
pub(crate) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    let mut response = match judge(&access, request.headers(), request.uri().query()) {
        Judgement::Pass => next.run(request).await,
        Judgement::Cookie(token) => enter(request.uri().path(), &token),
        Judgement::Stop(status, why) => (status, why).into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[derive(Debug, PartialEq)]
enum Judgement {
    Pass,
    /// It has the token in its query: the answer sets it as a cookie and leads to the page without it.
    Cookie(String),
    Stop(StatusCode, &'static str),
}

fn judge(access: &Access, headers: &HeaderMap, query: Option<&str>) -> Judgement {
    let token = match access {
        Access::Loopback if names_this_machine(headers) => return Judgement::Pass,
        Access::Loopback => {
            return Judgement::Stop(StatusCode::FORBIDDEN, "this page is for 127.0.0.1 and localhost only\n");
        }
        Access::Token(token) => token,
    };
    let is_right = |given: &str| bool::from(given.as_bytes().ct_eq(token.as_bytes()));
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")).is_some_and(is_right) {
        return Judgement::Pass;
    }
    let cookies = text(COOKIE).into_iter().flat_map(|cookies| cookies.split(';'));
    let mut ours = cookies.filter_map(|cookie| cookie.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='));
    if ours.any(is_right) {
        return Judgement::Pass;
    }
    let in_query = query.into_iter().flat_map(|query| query.split('&')).find_map(|pair| pair.strip_prefix("token="));
    match in_query {
        Some(given) if is_right(given) => Judgement::Cookie(given.to_owned()),
        _ => Judgement::Stop(
            StatusCode::UNAUTHORIZED,
            "this page needs its token: open it as /?token=… or send Authorization: Bearer …\n",
        ),
    }
}

/// A name that no resolver elsewhere can lead here: without this, a page on the web could read this one.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["127.0.0.1", "localhost", "[::1]"].contains(&name)
}

fn enter(path: &str, token: &str) -> Response {
    let cookie = format!("{COOKIE_NAME}={token}; Path=/; HttpOnly; SameSite=Strict");
    let Ok(cookie) = HeaderValue::from_str(&cookie) else {
        return (StatusCode::BAD_REQUEST, "the token cannot be a cookie\n").into_response();
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn on_loopback_only_names_of_this_machine_get_in() {
        let judge = |host: &str| judge(&Access::Loopback, &headers("host", host), None) == Judgement::Pass;
        assert!(judge("127.0.0.1:9099") && judge("localhost") && judge("[::1]:80"));
        assert!(!judge("evil.example:9099") && !judge("localhost.evil.example") && !judge(""));
    }

    #[test]
    fn elsewhere_only_the_token_gets_in() {
        let access = Access::on("0.0.0.0".parse().unwrap(), Some("secret".into())).unwrap();
        let pass = |headers: &HeaderMap| judge(&access, headers, None) == Judgement::Pass;
        assert!(pass(&headers("authorization", "Bearer secret")));
        assert!(pass(&headers("cookie", "a=b; penstock-console=secret")));
        assert!(!pass(&headers("authorization", "Bearer secre")));
        assert!(!pass(&headers("cookie", "penstock-console-not=secret")));
        assert_eq!(judge(&access, &HeaderMap::new(), Some("a=b&token=secret")), Judgement::Cookie("secret".into()));
        assert!(matches!(
            judge(&access, &HeaderMap::new(), Some("token=no")),
            Judgement::Stop(StatusCode::UNAUTHORIZED, _)
        ));
    }

    #[test]
    fn without_a_token_it_listens_on_loopback_only() {
        assert!(Access::on("127.0.0.1".parse().unwrap(), None).is_ok());
        assert!(Access::on("10.0.0.1".parse().unwrap(), None).is_err());
    }
}
