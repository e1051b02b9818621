//! Who may ask, and what browsers are told about every answer.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::ApiError;

/// Turns away requests under a foreign name (DNS rebinding), and sets the headers that keep a page to itself.
pub async fn guard(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    let mut response = if is_loopback_name(host) {
        next.run(request).await
    } else {
        ApiError {
            status: StatusCode::MISDIRECTED_REQUEST,
            code: "foreign_host",
            message: "this host is only served under a loopback name".to_owned(),
            hint: "Open http://127.0.0.1 with the port that Busbar printed.".to_owned(),
        }
        .into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// `localhost`, 127.x.x.x or `[::1]`, with or without a port.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_served() {
        for good in [
            "127.0.0.1:8510",
            "localhost",
            "LOCALHOST:1",
            "[::1]:8510",
            "127.1.2.3",
        ] {
            assert!(is_loopback_name(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "192.168.1.2",
            "localhost.evil",
            "[::2]",
            "[",
            ":80",
        ] {
            assert!(!is_loopback_name(bad), "{bad}");
        }
    }
}
