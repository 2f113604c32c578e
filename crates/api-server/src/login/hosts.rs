//! Hosts in the arguments of a credential plugin.

use crate::host::host_of;

/// Returns the hosts that texts name: those of URLs (`--issuer=https://login.example/realm`), and those of a text or an
/// option's value that is a host with a port (`--proxy=login.example:443`). Each is returned once.
pub(super) fn hosts<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for host in texts.flat_map(in_text) {
        if !found.contains(&host) {
            found.push(host);
        }
    }
    found
}

fn in_text(text: &str) -> Vec<String> {
    let urls = text.split("://").skip(1).filter_map(|rest| {
        let authority = rest.split(|c: char| !is_of_an_authority(c)).next()?;
        parsed(authority)
    });
    let value = text.split_once('=').map_or(text, |(_, value)| value);
    let has_port = value
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let bare = Some(value)
        .filter(|value| has_port && value.contains('.') && value.chars().all(is_of_an_authority))
        .and_then(parsed);
    urls.chain(bare).collect()
}

fn is_of_an_authority(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '@' | '[' | ']' | '%')
}

fn parsed(authority: &str) -> Option<String> {
    host_of(&authority.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_urls_and_options_are_found() {
        for (text, host) in [
            (
                "--oidc-issuer-url=https://login.example/realms/x",
                "login.example",
            ),
            ("https://login.example:8443", "login.example"),
            ("http://user@login.example?x=y", "login.example"),
            ("curl -s 'https://login.example/token' | jq", "login.example"),
            ("--proxy=login.example:443", "login.example"),
            ("login.example:443", "login.example"),
            ("https://[fd00::1]:443/", "fd00::1"),
            ("https://10.0.0.7/", "10.0.0.7"),
        ] {
            assert_eq!(hosts([text].into_iter()), [host], "{text}");
        }
    }

    #[test]
    fn other_texts_name_no_host() {
        for text in [
            "get-token",
            "--region=eu-central-1",
            "--role=arn:aws:iam::123456789012:role/x.y",
            "login.example",
            "12:30",
            "https://",
            "--scope=openid:email",
        ] {
            assert_eq!(hosts([text].into_iter()), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_host_is_returned_once() {
        let texts = ["https://a.example/x,https://b.example", "https://a.example"];
        assert_eq!(hosts(texts.into_iter()), ["a.example", "b.example"]);
    }
}
