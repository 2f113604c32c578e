//! Subject: the service that a name of the cluster's DNS means (Kubernetes DNS specification).

use slipway_control_api::NameFacts;

/// Longest label of a name (RFC 1123).
const LONGEST_LABEL: usize = 63;

/// A service, or a pod of it, as `POD.SERVICE.NAMESPACE.svc.DOMAIN` names them. All parts are labels of RFC 1123, so that
/// they can stand in the path of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) service: String,
    pub(super) namespace: String,
    pub(super) pod: Option<String>,
}

/// Returns what a name can mean, the likeliest first.
pub(super) fn of(facts: &NameFacts) -> Vec<Subject> {
    let found = facts
        .cluster
        .as_ref()
        .filter(|said| said.outcome.exists())
        .map(|said| &said.asked);
    let mut subjects: Vec<Subject> = Vec::new();
    let full = match found {
        Some(found) => std::slice::from_ref(found),
        None => &facts.candidates,
    };
    for subject in full.iter().filter_map(|full| Subject::read(full)) {
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    subjects
}

impl Subject {
    /// Reads a full name. `None` for names that are no service's, such as those below `pod`.
    pub(super) fn read(full: &str) -> Option<Self> {
        let full = full.to_ascii_lowercase();
        let labels: Vec<&str> = full.trim_end_matches('.').split('.').collect();
        // The label `svc` nearest to the end: a service may have that name too.
        let svc = labels.iter().rposition(|label| *label == "svc")?;
        let before = labels.get(..svc)?;
        // Labels such as `_http._tcp` name a port.
        let before: Vec<&str> = before
            .iter()
            .copied()
            .skip_while(|label| label.starts_with('_'))
            .collect();
        if !before.iter().all(|label| is_label(label)) {
            return None;
        }
        let (service, namespace, pod) = match before[..] {
            [service, namespace] => (service, namespace, None),
            [pod, service, namespace] => (service, namespace, Some(pod)),
            _ => return None,
        };
        Some(Self {
            service: service.to_owned(),
            namespace: namespace.to_owned(),
            pod: pod.map(str::to_owned),
        })
    }
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LONGEST_LABEL).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(full: &str) -> Option<(String, String, Option<String>)> {
        Subject::read(full).map(|subject| (subject.service, subject.namespace, subject.pod))
    }

    #[test]
    fn a_full_name_is_a_service_or_a_pod() {
        let service = |pod: Option<&str>| Some(("web".to_owned(), "shop".to_owned(), pod.map(str::to_owned)));
        for full in [
            "web.shop.svc.cluster.local",
            "web.shop.svc.cluster.local.",
            "WEB.Shop.svc.cluster.local",
            "_http._tcp.web.shop.svc.corp.example",
            "web.shop.svc",
        ] {
            assert_eq!(read(full), service(None), "{full}");
        }
        assert_eq!(read("web-0.web.shop.svc.cluster.local"), service(Some("web-0")));
    }

    #[test]
    fn a_name_that_cannot_be_a_path_is_no_service() {
        for full in [
            "10-244-0-5.shop.pod.cluster.local",
            "shop.svc.cluster.local",
            "a.b.web.shop.svc.cluster.local",
            "web/../x.shop.svc.cluster.local",
            "web%2e.shop.svc.cluster.local",
            "-web.shop.svc.cluster.local",
            "www.example.org",
            "",
        ] {
            assert_eq!(read(full), None, "{full}");
        }
    }
}
