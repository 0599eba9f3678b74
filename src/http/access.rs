//! Who may ask: a token's holder, as `Authorization: Bearer` or by the cookie that `?token=` leaves; without a token, whoever
//! calls this machine by a name of its own (another name is a page elsewhere that had its name point here).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::settings::Settings;
use crate::config::is_reachable;

const COOKIE: &str = "ironbridge_token";

/// What is asked of a client.
pub(super) struct Access {
    token: Option<Arc<str>>,
    secure: bool,
    /// Names of this machine alone.
    own_names: bool,
}

impl Access {
    pub(super) fn of(settings: &Settings) -> Access {
        let own_names = !is_reachable(settings.listen) && settings.token.is_none() && !settings.certificates;
        Access { token: settings.token.clone(), secure: settings.tls.is_some(), own_names }
    }

    /// The cookie's header for a token that was right.
    fn cookie(&self, token: &str) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        HeaderValue::from_str(&format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}")).ok()
    }
}

/// Lets a request through or answers it. Whoever is refused has to connect anew: refused clients keep nobody's place.
pub(super) async fn check(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if access.own_names
        && let Some(host) = headers.get(header::HOST)
        && !host.to_str().is_ok_and(is_own_name)
    {
        let text = "this address answers to localhost and to IP addresses only\n";
        return (StatusCode::FORBIDDEN, [(header::CONNECTION, "close")], text).into_response();
    }
    let Some(token) = &access.token else { return next.run(request).await };
    if bearer(headers).chain(cookies(headers)).any(|given| is(token, given)) {
        return next.run(request).await;
    }
    if queried(request.uri().query()).any(|given| is(token, given))
        && let Some(cookie) = access.cookie(token)
    {
        // the token does not stay in the address bar, which people copy
        let to = HeaderValue::from_static("/");
        return (StatusCode::SEE_OTHER, [(header::LOCATION, to), (header::SET_COOKIE, cookie)]).into_response();
    }
    let ask = [(header::WWW_AUTHENTICATE, "Bearer realm=\"ironbridge\""), (header::CONNECTION, "close")];
    let text = "a token is needed: Authorization: Bearer TOKEN, or open /?token=TOKEN in a browser\n";
    (StatusCode::UNAUTHORIZED, ask, text).into_response()
}

/// Compares in a time that does not tell how much was right.
fn is(token: &str, given: &str) -> bool {
    token.as_bytes().ct_eq(given.as_bytes()).into()
}

/// RFC 6750, 2.1; the scheme's case does not matter (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(header::AUTHORIZATION).iter().filter_map(|v| {
        let (scheme, token) = v.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    })
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';'));
    pairs.filter_map(|p| p.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn queried(query: Option<&str>) -> impl Iterator<Item = &str> {
    query.into_iter().flat_map(|q| q.split('&')).filter_map(|p| p.strip_prefix("token="))
}

/// Whether a Host header names this machine: `localhost`, what ends in it (RFC 6761, 6.3), or an address.
fn is_own_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => return rest.split_once(']').is_some_and(|(a, _)| a.parse::<std::net::Ipv6Addr>().is_ok()),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<std::net::Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names() {
        for own in
            ["localhost", "localhost:9475", "LOCALHOST.:1", "a.localhost", "127.0.0.1:9475", "10.0.0.1", "[::1]:9"]
        {
            assert!(is_own_name(own), "{own}");
        }
        for other in
            ["", "evil.example", "localhost.evil.example:9475", "notlocalhost", "127.0.0.1.evil.example", "[x]:1"]
        {
            assert!(!is_own_name(other), "{other}");
        }
    }

    #[test]
    fn tokens_are_found_where_they_may_be() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("bearer abc"));
        headers.insert(header::COOKIE, HeaderValue::from_static("x=1; ironbridge_token=def; ironbridge_tokens=no"));
        assert_eq!(bearer(&headers).collect::<Vec<_>>(), ["abc"]);
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), ["def"]);
        assert_eq!(queried(Some("a=b&token=ghi")).collect::<Vec<_>>(), ["ghi"]);
        assert!(is("abc", "abc") && !is("abc", "abd") && !is("abc", "ab") && !is("abc", ""));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic abc"));
        assert_eq!(bearer(&headers).count(), 0);
    }
}
