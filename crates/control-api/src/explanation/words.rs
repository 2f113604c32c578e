//! Texts of an explanation: cause, remedy, steps and actions. Names stand in backticks.

use std::net::IpAddr;

use slipway_problem::Action;

use super::{BackingVerdict, Explanation, Found, NameFacts, NameOutcome, NameRule, NameVerdict, Said};
use crate::name::Answerer;

mod address;
mod nowhere;

impl Explanation {
    /// The cause of the answer, in a sentence or two.
    pub fn cause(&self) -> String {
        let cause = match &self.found {
            Found::Name(facts) => facts.cause(&self.name, self.answered_by),
            Found::Address(facts) => facts.cause(&self.name, self.answered_by),
            Found::NotAName => "This is not a valid DNS name.".to_owned(),
            Found::NotConnected => {
                "The session is not connected, so only the laptop's own names are answered.".to_owned()
            }
        };
        let cause = match self.backing.as_ref().and_then(|backing| backing.cause(self.port)) {
            Some(behind) => format!("{cause} {behind}"),
            None => cause,
        };
        match self.difference() {
            Difference::None => cause,
            Difference::NotFound => format!("{cause} But programs do not find `{}`.", self.name),
            Difference::Others(got) => {
                let instead = if self.answer.is_empty() {
                    String::new()
                } else {
                    format!(", not {}", list(&self.answer))
                };
                format!(
                    "{cause} But programs get {}{instead}: another source on this laptop answers them first.",
                    list(got)
                )
            }
        }
    }

    /// The remedy, if there is one.
    pub fn remedy(&self) -> Option<String> {
        match (self.difference(), &self.found) {
            (Difference::NotFound, _) => Some(not_found(&self.name, self.answered_by)),
            (Difference::Others(_), _) => Some(format!(
                "Run `{}` to see its lines in the hosts file. The line `hosts:` of /etc/nsswitch.conf lists the other sources.",
                in_hosts_file(&self.name)
            )),
            (Difference::None, Found::Name(facts)) => {
                let behind = self
                    .backing
                    .as_ref()
                    .and_then(|backing| backing.remedy(self.port));
                let remedy = behind.or_else(|| facts.remedy(self.answered_by));
                match (&self.actions()[..], remedy) {
                    ([Action::AddNamespace { namespace }], Some(remedy)) => Some(format!(
                        "{remedy} To look up `{}` in that namespace too, run `slipway change --also-namespace {namespace}`.",
                        self.name
                    )),
                    (_, remedy) => remedy,
                }
            }
            (Difference::None, Found::Address(facts)) if facts.may_be_proxied(self.answered_by) => {
                Some(format!(
                    "To send it through the cluster, run `slipway change --also-proxy {}`.",
                    self.name
                ))
            }
            (Difference::None, Found::Address(facts)) => {
                let is_overridden = self.answered_by != Answerer::Cluster && facts.rule().is_some();
                is_overridden.then(|| {
                    "End the VPN that made this rule, or leave the address out of what it routes.".to_owned()
                })
            }
            (Difference::None, Found::NotAName | Found::NotConnected) => None,
        }
    }

    /// The remedies that a program can offer as buttons.
    pub fn actions(&self) -> Vec<Action> {
        let also_proxy = |host: &str| {
            vec![Action::AddAlsoProxy {
                host: host.to_owned(),
            }]
        };
        match (self.difference(), &self.found) {
            (Difference::NotFound, _) if needs_full_name(&self.name, self.answered_by) => Vec::new(),
            (Difference::NotFound, _) => vec![Action::Run {
                command: "slipway doctor".to_owned(),
            }],
            (Difference::Others(_), _) => vec![Action::Run {
                command: in_hosts_file(&self.name),
            }],
            (Difference::None, Found::Name(facts)) => match facts.verdict {
                NameVerdict::OnlyInCluster => also_proxy(&facts.asked),
                NameVerdict::Withheld if facts.may_be_proxied() => also_proxy(facts.in_cluster()),
                NameVerdict::Nowhere if facts.rule == NameRule::User && facts.laptop_has_it() => {
                    vec![Action::RemoveAlsoProxy {
                        host: facts.asked.clone(),
                    }]
                }
                NameVerdict::Nowhere => {
                    let meant = self
                        .backing
                        .as_ref()
                        .and_then(|backing| backing.meant_namespace(self.port));
                    let meant = meant.or(facts.near_namespace()).map(str::to_owned);
                    meant.map_or_else(Vec::new, |namespace| {
                        vec![if facts.is_short() {
                            Action::AddNamespace { namespace }
                        } else {
                            Action::UseNamespace { namespace }
                        }]
                    })
                }
                NameVerdict::Answered
                | NameVerdict::NoAddress
                | NameVerdict::HiddenByLaptop
                | NameVerdict::ClusterSilent
                | NameVerdict::LaptopSilent
                | NameVerdict::OtherSession
                | NameVerdict::Withheld
                | NameVerdict::Never => Vec::new(),
            },
            (Difference::None, Found::Address(facts)) if facts.may_be_proxied(self.answered_by) => {
                also_proxy(&self.name)
            }
            (Difference::None, Found::Address(_) | Found::NotAName | Found::NotConnected) => Vec::new(),
        }
    }

    /// The checks that were made, in order, with their results; a line each.
    pub fn steps(&self) -> Vec<String> {
        let mut steps = Vec::new();
        if let Found::Name(facts) = &self.found {
            steps.extend(facts.cluster.as_ref().map(|said| step("The cluster", said)));
            let laptop = facts.laptop.as_ref();
            steps.extend(laptop.map(|said| step("The laptop's name servers", said)));
        }
        steps.extend(self.backing.iter().flat_map(|backing| backing.steps()));
        steps.extend(self.programs.as_deref().map(|got| {
            if got.is_empty() {
                "Programs: not found".to_owned()
            } else {
                format!("Programs get {}", list(got))
            }
        }));
        steps
    }

    /// The judgment of what stands behind the name.
    pub fn backing_verdict(&self) -> Option<BackingVerdict> {
        self.backing.as_ref().map(|backing| backing.verdict(self.port))
    }

    /// The difference between the addresses that programs get and the answer of DNS.
    fn difference(&self) -> Difference<'_> {
        match self.programs.as_deref() {
            None => Difference::None,
            Some([]) if self.answer.is_empty() => Difference::None,
            Some([]) => Difference::NotFound,
            Some(got) if got.iter().any(|address| self.answer.contains(address)) => Difference::None,
            Some(got) => Difference::Others(got),
        }
    }
}

/// The difference between the addresses that programs get and the answer of DNS.
enum Difference<'a> {
    None,
    /// Programs get no address, and DNS has some.
    NotFound,
    /// Programs get these addresses, and DNS has none of them.
    Others(&'a [IpAddr]),
}

impl NameFacts {
    fn cause(&self, given: &str, answered_by: Answerer) -> String {
        let why = self.of_the_name(answered_by);
        match &self.search_domain {
            Some(domain) => format!(
                "`{given}` is asked for as `{}`: the laptop's resolver appends its search domain `{domain}`. {why}",
                self.asked
            ),
            None => why,
        }
    }

    /// The namespace of the similar service: the label before `svc` (Kubernetes DNS specification).
    fn near_namespace(&self) -> Option<&str> {
        let labels: Vec<&str> = self.near.as_deref()?.split('.').collect();
        let svc = labels.iter().position(|label| *label == "svc")?;
        labels.get(svc.checked_sub(1)?).copied()
    }

    /// Whether only the session's namespaces, of which the name has none, decide where it is looked up.
    fn is_short(&self) -> bool {
        matches!(self.rule, NameRule::Short)
    }

    /// The full name in the cluster.
    fn in_cluster(&self) -> &str {
        self.cluster.as_ref().map_or(&self.asked, |said| &said.asked)
    }

    fn remedy(&self, answered_by: Answerer) -> Option<String> {
        let name = &self.asked;
        match self.verdict {
            NameVerdict::Answered | NameVerdict::Never => None,
            NameVerdict::NoAddress if answered_by == Answerer::Cluster => Some(
                "A headless service without ready pods has no address: check with `kubectl get endpointslices`."
                    .to_owned(),
            ),
            NameVerdict::NoAddress => None,
            NameVerdict::Nowhere => self.perhaps(),
            NameVerdict::OnlyInCluster => Some(format!(
                "To send it through the cluster, run `slipway change --also-proxy {name}`; `--save` adds it to the profile too."
            )),
            NameVerdict::HiddenByLaptop => self
                .cluster
                .as_ref()
                .map(|said| &said.asked)
                .or(self.candidates.first())
                .map(|full| in_full(full)),
            NameVerdict::ClusterSilent => {
                Some("`slipway status` shows whether the session is reconnecting.".to_owned())
            }
            NameVerdict::LaptopSilent => Some(match self.candidates.first() {
                Some(full) => {
                    format!("Check the laptop's own network. To ask only the cluster, ask for `{full}`.")
                }
                None => "Check the laptop's own network: Slipway only forwards these names to its name servers.".to_owned(),
            }),
            NameVerdict::OtherSession => {
                Some("Connect that profile, or check the spelling of the profile in the name.".to_owned())
            }
            NameVerdict::Withheld if !self.may_be_proxied() => None,
            NameVerdict::Withheld => Some(format!(
                "To reach it through the cluster, run `slipway change --also-proxy {}`; `--save` adds it to the profile too.",
                self.in_cluster()
            )),
        }
    }

    fn of_the_name(&self, answered_by: Answerer) -> String {
        let name = &self.asked;
        match self.verdict {
            NameVerdict::Answered => self.answered(answered_by),
            NameVerdict::NoAddress if answered_by == Answerer::Cluster => {
                format!("`{name}` exists in the cluster but has no address.")
            }
            NameVerdict::NoAddress => {
                format!("The laptop's name servers know `{name}`, but it has no address.")
            }
            NameVerdict::Nowhere => self.nowhere(),
            NameVerdict::OnlyInCluster => format!(
                "The cluster's DNS knows `{name}`, but the laptop's name servers, which decide about this name, do not."
            ),
            NameVerdict::HiddenByLaptop => format!(
                "The laptop's name servers know `{name}`{}, and their answer is used.",
                in_brackets(self.laptop.as_ref()),
            ),
            NameVerdict::ClusterSilent => format!(
                "The cluster's DNS {}, so it is not known whether `{name}` exists.",
                silence(self.cluster.as_ref())
            ),
            NameVerdict::LaptopSilent => format!(
                "The laptop's name servers {}, and only they can answer for `{name}`.",
                silence(self.laptop.as_ref())
            ),
            NameVerdict::OtherSession => format!("`{name}` names another profile than this session's."),
            NameVerdict::Withheld => {
                let but = format!(
                    "The cluster has `{name}`{}, but programs do not get that address: {}.",
                    in_brackets(self.cluster.as_ref()),
                    self.withheld.as_deref().unwrap_or("it is not routed"),
                );
                match &self.refused {
                    Some(why) => format!("{but} `--also-proxy` cannot change that: {why}."),
                    None => but,
                }
            }
            NameVerdict::Never if self.rule == NameRule::SpecialUse => {
                format!("`{name}` ends in `invalid`, a domain that is reserved for names that never exist.")
            }
            NameVerdict::Never => format!("`{name}` cannot be a name in the cluster: it is too long."),
        }
    }

    fn answered(&self, answered_by: Answerer) -> String {
        let name = &self.asked;
        match answered_by {
            _ if self.rule == NameRule::Own => format!("`{name}` is Slipway's own name."),
            Answerer::Cluster => match &self.cluster {
                Some(said) if said.asked != *name => {
                    format!("`{name}` is `{}` in the cluster.", said.asked)
                }
                Some(_) | None => format!("`{name}` is a name of the cluster."),
            },
            Answerer::Laptop | Answerer::Nobody => {
                format!("`{name}` is a name of the laptop's name servers.")
            }
        }
    }

    /// Whether `--also-proxy` may lead a withheld address to the cluster: not if it was in vain already.
    fn may_be_proxied(&self) -> bool {
        self.refused.is_none() && self.rule != NameRule::User
    }

    fn laptop_has_it(&self) -> bool {
        self.laptop.as_ref().is_some_and(|said| said.outcome.exists())
    }
}

/// The remedy that gives the full name, for which only the cluster is asked.
fn in_full(full: &str) -> String {
    format!("To reach the service in the cluster, use the name `{full}`.")
}

fn in_brackets(said: Option<&Said>) -> String {
    let addresses: &[IpAddr] = said.map_or(&[], |said| &said.addresses);
    if addresses.is_empty() {
        return String::new();
    }
    format!(" ({})", list(addresses))
}

fn silence(said: Option<&Said>) -> &'static str {
    match said.map(|said| said.outcome) {
        Some(NameOutcome::TimedOut) => "did not answer in time",
        None => "cannot be reached",
        Some(
            NameOutcome::Found
            | NameOutcome::NoData
            | NameOutcome::NotFound
            | NameOutcome::Failed
            | NameOutcome::Withheld,
        ) => "could not answer",
    }
}

fn step(who: &str, said: &Said) -> String {
    let outcome = match said.outcome {
        NameOutcome::Found => "found",
        NameOutcome::NoData => "found, without an address",
        NameOutcome::NotFound => "not found",
        NameOutcome::Failed => "failed",
        NameOutcome::TimedOut => "did not answer in time",
        NameOutcome::Withheld => "found, at an address that programs do not get",
    };
    format!("{who}: `{}` {outcome} ({} ms)", said.asked, said.took_ms)
}

fn list(addresses: &[IpAddr]) -> String {
    let list: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    list.join(", ")
}

/// Whether systemd-resolved, which forwards only names below its domains, does not forward this name.
fn needs_full_name(name: &str, answered_by: Answerer) -> bool {
    let dots = name.trim_end_matches('.').matches('.').count();
    answered_by == Answerer::Cluster && dots > 0 && !name.contains(".svc")
}

/// The command that shows a name's lines in the hosts file. Quotes are removed, although a valid DNS name has none.
fn in_hosts_file(name: &str) -> String {
    format!("grep -wFe '{}' /etc/hosts", name.replace('\'', ""))
}

/// The remedy where DNS has a name and programs do not find it.
fn not_found(name: &str, answered_by: Answerer) -> String {
    if needs_full_name(name, answered_by) {
        return format!(
            "If systemd-resolved answers this laptop's programs, it does not forward a name with dots outside its domains: \
             write the name up to `svc`, as in `{}.NAMESPACE.svc`.",
            name.split('.').next().unwrap_or(name)
        );
    }
    "`slipway doctor` shows how programs on this laptop find names.".to_owned()
}

#[cfg(test)]
mod tests;
