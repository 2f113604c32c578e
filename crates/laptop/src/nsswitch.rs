//! Line `hosts:` of nsswitch.conf(5): the sources that the C library asks for a name, in order.

/// Sources of the C library if the file has no such line.
const DEFAULT: &str = "files dns";

/// Sources of names in order, with the actions in brackets between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsLine {
    words: Vec<String>,
}

impl HostsLine {
    /// Parses the text of nsswitch.conf.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let sources = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default())
            .find_map(|line| line.trim().strip_prefix("hosts:"))
            .unwrap_or(DEFAULT);
        Self {
            words: sources.split_ascii_whitespace().map(str::to_owned).collect(),
        }
    }

    /// Returns the line's words, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        self.words.join(" ")
    }

    /// Returns whether programs ask DNS at all, also through systemd-resolved.
    #[must_use]
    pub fn asks_dns(&self) -> bool {
        self.words.iter().any(|word| is_dns(word))
    }

    /// Returns whether the C library itself asks systemd-resolved (nss-resolve(8)).
    #[must_use]
    pub fn asks_resolved(&self) -> bool {
        self.words.iter().any(|word| word == "resolve")
    }

    /// Returns the words that keep names in `.local`, and so cluster names, from DNS: an mDNS module that takes all of
    /// them, and an action that ends the search if it finds none. The `_minimal` modules pass on names with more than
    /// two labels, unless there is an `/etc/mdns.allow` (nss-mdns, README).
    #[must_use]
    pub fn hides_local(&self, has_mdns_allow: bool) -> Option<String> {
        let mut module = None;
        for word in self.words.iter().take_while(|word| !is_dns(word)) {
            if word.starts_with("mdns") {
                let takes_all = !word.contains("minimal") || has_mdns_allow;
                module = takes_all.then_some(word);
            } else if word.starts_with('[') {
                let ends = word.to_ascii_lowercase().contains("notfound=return");
                if let (Some(module), true) = (module, ends) {
                    return Some(format!("{module} {word}"));
                }
            } else {
                module = None;
            }
        }
        None
    }
}

fn is_dns(word: &str) -> bool {
    matches!(word, "dns" | "resolve")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str) -> HostsLine {
        HostsLine::parse(&format!(
            "passwd: files\nhosts: {words} # comment\nnetworks: files\n"
        ))
    }

    #[test]
    fn full_mdns_before_dns_hides_cluster_names() {
        let hides = |words, allow| line(words).hides_local(allow).is_some();
        assert!(hides("files mdns4 [NOTFOUND=return] dns", false));
        assert!(hides("files mdns [notfound=return] resolve dns", false));
        assert!(hides("files mdns4_minimal [NOTFOUND=return] dns", true));
        assert!(!hides("files mdns4_minimal [NOTFOUND=return] dns", false));
        assert!(!hides("files mdns4 dns", false));
        assert!(!hides("files dns mdns4 [NOTFOUND=return]", false));
        assert!(!hides("mymachines resolve [!UNAVAIL=return] files dns", false));
    }

    #[test]
    fn dns_and_resolved_are_different_sources() {
        assert!(line("mymachines resolve [!UNAVAIL=return] files dns").asks_resolved());
        assert!(!line("files mdns4_minimal [NOTFOUND=return] dns").asks_resolved());
        assert!(line("files resolve").asks_dns());
        assert!(!line("files").asks_dns());
        for text in ["", "# hosts: resolve\n"] {
            assert!(HostsLine::parse(text).asks_dns() && !HostsLine::parse(text).asks_resolved());
        }
    }
}
