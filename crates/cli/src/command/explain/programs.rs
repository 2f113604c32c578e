//! What programs on this laptop really get for a name: asked by getaddrinfo, with all that stands before and behind it
//! (nsswitch.conf(5)), and held against what DNS says.

use std::net::IpAddr;
use std::time::Duration;

use slipway_control_api::{Answerer, Explanation};

/// How long the laptop's resolver may take. Longer than the C library's own two attempts of five seconds with one server
/// would serve nobody.
const WITHIN: Duration = Duration::from_secs(8);

/// The addresses that a program gets, in order, none where it gets an error; `None` for what getaddrinfo is not for, or
/// where it gives no answer.
pub(super) async fn get(name: &str) -> Option<Vec<IpAddr>> {
    if name.starts_with('_') || name.trim_end_matches('.').ends_with(".arpa") {
        return None;
    }
    let asked = tokio::time::timeout(WITHIN, tokio::net::lookup_host((name, 0))).await;
    let mut found: Vec<IpAddr> = match asked.ok()? {
        Ok(found) => found.map(|socket| socket.ip()).collect(),
        Err(_) => Vec::new(),
    };
    found.sort_unstable();
    found.dedup();
    Some(found)
}

/// Puts what programs get beside what DNS says. Where the two differ, that is what is explained.
pub(super) fn compare(got: &[IpAddr], explanation: &mut Explanation) {
    let same = |address: &IpAddr| explanation.answer.contains(&address.to_string());
    let shown = || {
        let shown: Vec<String> = got.iter().map(IpAddr::to_string).collect();
        shown.join(", ")
    };
    let name = &explanation.name;
    match (got, &explanation.answer[..]) {
        ([], []) => explanation.steps.push("Programs: not found".to_owned()),
        (got, _) if got.iter().any(same) => explanation.steps.push(format!("Programs get {}", shown())),
        ([], _) => {
            explanation.cause = format!("{} But programs do not find `{name}`.", explanation.cause);
            explanation.remedy = Some(not_found(name, explanation.answered_by));
            explanation.steps.push("Programs: not found".to_owned());
        }
        (_, said) => {
            let instead = if said.is_empty() {
                String::new()
            } else {
                format!(", not {}", said.join(", "))
            };
            explanation.cause = format!(
                "{} But programs get {}{instead}: another source on this laptop answers them first.",
                explanation.cause,
                shown()
            );
            explanation.remedy = Some(format!(
                "See `grep -w {name} /etc/hosts`; then the line `hosts:` of /etc/nsswitch.conf, which names the sources."
            ));
            explanation.steps.push(format!("Programs get {}", shown()));
        }
    }
}

/// What helps where DNS has a name and programs do not.
fn not_found(name: &str, answered_by: Answerer) -> String {
    let dots = name.trim_end_matches('.').matches('.').count();
    if answered_by == Answerer::Cluster && dots > 0 && !name.contains(".svc") {
        return format!(
            "Where systemd-resolved finds names, it asks nobody about one with dots that ends in none of its domains: write \
             it up to `svc`, as in `{}.NAMESPACE.svc`.",
            name.split('.').next().unwrap_or(name)
        );
    }
    "`slipway doctor` shows how the laptop's names are found.".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(got: &[&str], said: &[&str]) -> String {
        let mut explanation = Explanation {
            name: "db".into(),
            answered_by: Answerer::Cluster,
            answer: said.iter().copied().map(str::to_owned).collect(),
            cause: "`db` is `db.shop.svc.cluster.local` in the cluster.".into(),
            remedy: None,
            steps: Vec::new(),
        };
        let got: Vec<IpAddr> = got.iter().map(|address| address.parse().unwrap()).collect();
        compare(&got, &mut explanation);
        let remedy = explanation.remedy.unwrap_or_default();
        format!(
            "{}\n{remedy}\n{}",
            explanation.cause,
            explanation.steps.join("\n")
        )
    }

    #[test]
    fn programs_that_get_what_dns_says_need_no_word() {
        insta::assert_snapshot!(compared(&["10.96.0.7"], &["10.96.0.7", "fd00::7"]), @r"
        `db` is `db.shop.svc.cluster.local` in the cluster.

        Programs get 10.96.0.7
        ");
    }

    #[test]
    fn programs_that_get_something_else_are_the_news() {
        insta::assert_snapshot!(compared(&["127.0.0.1"], &["10.96.0.7"]), @r"
        `db` is `db.shop.svc.cluster.local` in the cluster. But programs get 127.0.0.1, not 10.96.0.7: another source on this laptop answers them first.
        See `grep -w db /etc/hosts`; then the line `hosts:` of /etc/nsswitch.conf, which names the sources.
        Programs get 127.0.0.1
        ");
    }

    #[test]
    fn programs_that_get_nothing_are_the_news() {
        insta::assert_snapshot!(compared(&[], &["10.96.0.7"]), @r"
        `db` is `db.shop.svc.cluster.local` in the cluster. But programs do not find `db`.
        `slipway doctor` shows how the laptop's names are found.
        Programs: not found
        ");
    }
}
