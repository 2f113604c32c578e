//! Proxy in front of the API server.
//!
//! The rules are those of kubectl: `proxy-url` of the kubeconfig, whatever `NO_PROXY` says; else `HTTPS_PROXY` (for an
//! `http` server, `HTTP_PROXY`) unless `NO_PROXY` excepts the server (`golang.org/x/net/http/httpproxy`). A value of the
//! environment that is no address of a proxy is ignored, as there. `ALL_PROXY` does not count.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;

/// A proxy and the setting that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Address of the proxy. The scheme is `http`, `https`, `socks5` or `socks5h`.
    pub url: Uri,
    /// The setting.
    pub setting: Setting,
}

/// Setting that names a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// `proxy-url` of the cluster in the kubeconfig.
    ProxyUrl,
    /// A variable of the environment, by name.
    Variable(&'static str),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProxyUrl => f.write_str("proxy-url in the kubeconfig"),
            Self::Variable(name) => write!(f, "the variable {name}"),
        }
    }
}

impl fmt::Display for Proxy {
    /// Writes the address without user and password, and the setting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.url.scheme_str().unwrap_or("http");
        let authority = self.url.authority().map_or("", |authority| authority.as_str());
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        write!(f, "{scheme}://{host} (from {})", self.setting)
    }
}

impl Proxy {
    /// Returns the user and password of the address, still with percent-encoding; an absent password is empty.
    pub(crate) fn login(&self) -> Option<(&str, &str)> {
        let (login, _) = self.url.authority()?.as_str().rsplit_once('@')?;
        Some(login.split_once(':').unwrap_or((login, "")))
    }
}

/// Error in `proxy-url`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("proxy-url {0:?} is not the address of a proxy: it must begin with http://, https:// or socks5://")]
pub struct InvalidProxyUrl(pub String);

/// Returns the proxy for a server. `variable` reads the environment.
///
/// # Errors
/// Returns [`InvalidProxyUrl`] for a `proxy-url` that kubectl does not accept either.
pub fn proxy_for(
    server: &Uri,
    proxy_url: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, InvalidProxyUrl> {
    if let Some(text) = proxy_url {
        let parsed = parse(text).filter(|url| url.scheme_str() != Some("socks5h") && text.contains("://"));
        // What stands before an `@` may be a password.
        let url = parsed.ok_or_else(|| {
            let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
            InvalidProxyUrl(shown.to_owned())
        })?;
        return Ok(Some(Proxy {
            url,
            setting: Setting::ProxyUrl,
        }));
    }
    let set = |names: &[&'static str]| {
        let mut values = names.iter().map(|name| Some((*name, variable(name)?)));
        values.find_map(|found| found.filter(|(_, value)| !value.is_empty()))
    };
    let encrypted = server.scheme_str() != Some("http");
    let names: &[&'static str] = if encrypted {
        &["HTTPS_PROXY", "https_proxy"]
    } else {
        &["HTTP_PROXY", "http_proxy"]
    };
    let named = set(names).and_then(|(name, value)| Some((name, parse(&value)?)));
    let Some((name, url)) = named else { return Ok(None) };
    let host = server
        .host()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_ascii_lowercase();
    let port = server.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
    let exceptions = set(&["NO_PROXY", "no_proxy"]).map(|(_, value)| value);
    if is_local(&host) || is_excepted(&host, port, &exceptions.unwrap_or_default()) {
        return Ok(None);
    }
    Ok(Some(Proxy {
        url,
        setting: Setting::Variable(name),
    }))
}

/// Parses the address of a proxy; one without a scheme is an `http` one.
fn parse(text: &str) -> Option<Uri> {
    let text = text.trim();
    let text = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url: Uri = text.parse().ok()?;
    let known = matches!(url.scheme_str(), Some("http" | "https" | "socks5" | "socks5h"));
    (known && url.host().is_some_and(|host| !host.is_empty())).then_some(url)
}

/// Returns whether the server is this computer, for which no variable names a proxy.
fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Returns whether an item of `NO_PROXY` is about the server.
fn is_excepted(host: &str, port: u16, exceptions: &str) -> bool {
    let address: Option<IpAddr> = host.parse().ok();
    exceptions.split(',').any(|item| {
        let item = item.trim().to_ascii_lowercase();
        if item == "*" {
            return true;
        }
        if let Ok(network) = item.parse::<IpNet>() {
            return address.is_some_and(|address| network.contains(&address));
        }
        let (item, only) = match with_port(&item) {
            Some((item, only)) => (item, Some(only)),
            None => (&*item, None),
        };
        if item.is_empty() || only.is_some_and(|only| only != port.to_string()) {
            return false;
        }
        if let Ok(excepted) = item.trim_matches(['[', ']']).parse::<IpAddr>() {
            return address == Some(excepted);
        }
        let item = item
            .strip_prefix('*')
            .filter(|rest| rest.starts_with('.'))
            .unwrap_or(item);
        match item.strip_prefix('.') {
            Some(_) => host.ends_with(item),
            None => host == item || host.ends_with(&format!(".{item}")),
        }
    })
}

/// Splits `host:port`. An IPv6 address has a port only behind brackets.
fn with_port(item: &str) -> Option<(&str, &str)> {
    let (host, port) = item.rsplit_once(':')?;
    let plain = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
    plain.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(server: &str, proxy_url: Option<&str>, variables: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        };
        proxy_for(&server.parse().unwrap(), proxy_url, variable)
            .unwrap()
            .map(|proxy| proxy.to_string())
    }

    const SERVER: &str = "https://api.prod.example.net:6443";

    #[test]
    fn proxy_url_counts_whatever_no_proxy_says() {
        for no_proxy in ["127.0.0.1,localhost", "*", "example.net"] {
            assert_eq!(
                chosen(SERVER, Some("http://127.0.0.1:9"), &[("NO_PROXY", no_proxy)]).as_deref(),
                Some("http://127.0.0.1:9 (from proxy-url in the kubeconfig)")
            );
        }
    }

    #[test]
    fn the_server_is_compared_with_no_proxy() {
        for (server, no_proxy, direct) in [
            (SERVER, "api.prod.example.net", true),
            (SERVER, "prod.example.net", true),
            (SERVER, ".example.net", true),
            (SERVER, "*.example.net", true),
            (SERVER, "API.prod.Example.net:6443", true),
            (SERVER, "api.prod.example.net:443", false),
            (SERVER, "d.example.net", false),
            (SERVER, ".api.prod.example.net", false),
            (SERVER, "other.example,", false),
            (SERVER, "other.example,,x", false),
            (SERVER, " , api.prod.example.net ", true),
            (SERVER, ":6443", false),
            (SERVER, "*", true),
            ("https://10.1.2.3:6443", "10.1.2.3", true),
            ("https://10.1.2.3:6443", "10.0.0.0/8", true),
            ("https://10.1.2.3:6443", "11.0.0.0/8", false),
            ("https://10.1.2.3:6443", "10.1.2.3:6443", true),
            ("https://10.1.2.3:6443", "10.1.2.3:443", false),
            ("https://10.1.2.3:6443", "127.0.0.1,localhost", false),
            ("https://[2001:db8::1]:6443", "2001:db8::1", true),
            ("https://[2001:db8::1]:6443", "[2001:db8::1]:6443", true),
            ("https://[2001:db8::1]:6443", "2001:db8::/32", true),
        ] {
            let variables = [("HTTPS_PROXY", "http://192.0.2.1:3128"), ("NO_PROXY", no_proxy)];
            let proxy = chosen(server, None, &variables);
            assert_eq!(proxy.is_none(), direct, "{server} with NO_PROXY={no_proxy}");
        }
    }

    #[test]
    fn variables_are_taken_as_kubectl_takes_them() {
        for (variables, proxy) in [
            (
                &[("HTTPS_PROXY", "127.0.0.1:3128")][..],
                Some("http://127.0.0.1:3128 (from the variable HTTPS_PROXY)"),
            ),
            (
                &[("https_proxy", "socks5h://127.0.0.1:1080")],
                Some("socks5h://127.0.0.1:1080 (from the variable https_proxy)"),
            ),
            (
                &[("HTTPS_PROXY", "http://user:secret@proxy:8080")],
                Some("http://proxy:8080 (from the variable HTTPS_PROXY)"),
            ),
            (&[("HTTPS_PROXY", "")], None),
            (&[("HTTPS_PROXY", "://")], None),
            (&[("ALL_PROXY", "http://192.0.2.1:3128")], None),
            (&[("HTTP_PROXY", "http://192.0.2.1:3128")], None),
        ] {
            assert_eq!(chosen(SERVER, None, variables).as_deref(), proxy, "{variables:?}");
        }
    }

    #[test]
    fn this_computer_needs_no_proxy() {
        for server in [
            "https://localhost:6443",
            "https://127.0.0.1:6443",
            "https://[::1]:6443",
        ] {
            let variables = [("HTTPS_PROXY", "http://192.0.2.1:3128")];
            assert_eq!(chosen(server, None, &variables), None, "{server}");
        }
    }

    #[test]
    fn a_server_without_tls_has_its_own_variable() {
        let variables = [("HTTP_PROXY", "http://one:1"), ("HTTPS_PROXY", "http://two:2")];
        let proxy = chosen("http://api.example:8080", None, &variables);
        assert_eq!(
            proxy.as_deref(),
            Some("http://one:1 (from the variable HTTP_PROXY)")
        );
    }

    #[test]
    fn a_wrong_proxy_url_is_refused() {
        for text in ["127.0.0.1:3128", "ftp://proxy", "socks5h://proxy:1080"] {
            let server = SERVER.parse().unwrap();
            assert!(proxy_for(&server, Some(text), |_| None).is_err(), "{text}");
        }
    }
}
