//! Rules that decide whose a name is, without I/O.
//!
//! Some names belong to the cluster alone: those that end in the cluster domain, in `svc`, or in a suffix that the user
//! gave, and the reverse names of cluster addresses. Shorter names are shared: `web`, `web.shop`, `db-0.db`. A shared
//! name that already exists on the laptop keeps its meaning, because a namespace may be called `dev` or `com`, and a
//! company may have a host `web`. The laptop's name servers decide this, not a list of top-level domains, because they
//! also know private domains. Where they have a domain of the name's last label, the cluster is not asked; where they
//! fail, the answer is a failure.
//!
//! | name (session in `shop`) | asked | wins |
//! |---|---|---|
//! | names that the session needs itself ([`Scope::needed`]), also with a search domain of the laptop | laptop | |
//! | `web`, in the session's namespace, then in [`Scope::also_namespaces`] | cluster, then laptop | cluster |
//! | `web.NS`, `db-0.db.NS`, NS a known namespace | both at once | laptop, unless it says NXDOMAIN |
//! | `db-0.db`, `web.NS` when namespaces cannot be listed | laptop, then cluster | laptop, unless it says NXDOMAIN |
//! | `web.SEARCH`, SEARCH a search domain of the laptop | laptop as it is, then cluster without SEARCH | laptop, unless it says NXDOMAIN |
//! | `web.shop.SEARCH`, `a.dev.SEARCH` | laptop | |
//! | `wpad`, `isatap`, `proxy`, and names that the laptop needs itself ([`Scope::reserved`]) | laptop | |
//! | `web.shop.svc`, `….cluster.local`, user's hosts and suffixes | cluster | |
//! | `….DOMAIN`, DOMAIN a doubtful cluster domain | laptop | |
//! | anything else | laptop | |
//!
//! Leading labels with an underscore (`_http._tcp.web`) do not count, so SRV names expand like the names of hosts.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::name::{Label, Name};
use crate::question::Question;
use crate::search::SearchList;

/// Address of `check.slipway.internal`, from the range for benchmarks (RFC 2544), which no host has.
///
/// A self-test asks for the name through the laptop's resolver. This address shows that the question reached the
/// session.
pub const CHECK_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 255, 53);

/// Names by which systems look for a proxy or a tunnel without being configured. A service of such a name must not
/// become the proxy of every browser on the laptop.
const DISCOVERED: [&[u8]; 3] = [b"wpad", b"isatap", b"proxy"];

/// Namespaces that the session knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Namespaces {
    /// All that exist in the cluster, as last listed.
    Known(BTreeSet<Label>),
    /// The user may not list namespaces.
    Unknown,
}

/// Facts and settings that decide whose a name is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scope {
    /// The domain of the cluster's own names, nearly always `cluster.local`.
    pub cluster_domain: Name,
    /// Whether that domain may belong to someone outside the cluster. Names below it then stay the laptop's, and only
    /// the short forms of cluster names are the cluster's.
    pub domain_is_doubtful: bool,
    /// The session's namespace, where names without dots are looked up.
    pub namespace: Label,
    /// Namespaces of the user in which names without dots are looked up as well, in this order, after the session's.
    pub also_namespaces: Vec<Label>,
    /// The known namespaces. The session's own ones count as known in any case.
    pub namespaces: Namespaces,
    /// Ranges whose reverse names the cluster answers.
    pub reverse: Vec<IpNet>,
    /// Suffixes that the user sends to the cluster, with all names below them.
    pub suffixes: Vec<Name>,
    /// Single hosts that the user sends to the cluster.
    pub hosts: BTreeSet<Name>,
    /// Names that the laptop uses itself, such as its host name and those of /etc/hosts. They are never the cluster's,
    /// unless they end in `svc` or the cluster domain, or the user sends them there.
    pub reserved: BTreeSet<Name>,
    /// The names that the session needs itself, to reach the API server and to log in there. They are the laptop's, even if
    /// the user sends a suffix of them to the cluster: a session that reconnects could not ask the cluster. So is what the
    /// laptop's resolver asks for in place of a short one.
    pub needed: BTreeSet<Name>,
    /// Search domains that this session gave to the laptop's resolver. A name that ends in one may have been a short
    /// name, so it is refused if that one would lead to a proxy or to the API server.
    pub our_search: Vec<Name>,
    /// The laptop's own search list, from which its resolver may have appended a domain to a short name.
    pub laptop_search: SearchList,
    /// The label before `slipway.internal` in names that belong to this session only.
    pub profile: Option<Label>,
}

impl Scope {
    /// Makes a scope with a cluster domain and a namespace, and nothing else.
    #[must_use]
    pub fn new(cluster_domain: Name, namespace: Label) -> Self {
        Self {
            cluster_domain,
            domain_is_doubtful: false,
            namespace,
            also_namespaces: Vec::new(),
            namespaces: Namespaces::Unknown,
            reverse: Vec::new(),
            suffixes: Vec::new(),
            hosts: BTreeSet::new(),
            reserved: BTreeSet::new(),
            needed: BTreeSet::new(),
            our_search: Vec::new(),
            laptop_search: SearchList::default(),
            profile: None,
        }
    }
}

/// Decision on a question: which sides are asked, and whose answer counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// The resolver answers without asking.
    Us(Own),
    /// Only the cluster is asked.
    Cluster {
        /// The full names to look up; the first that exists is the answer.
        candidates: Vec<Name>,
    },
    /// Only the laptop's own name servers are asked, with the program's own bytes.
    Laptop,
    /// Both sides may have the name.
    Both {
        /// The full names to look up in the cluster; the first that exists is the answer.
        candidates: Vec<Name>,
        /// The side whose answer counts if both have one.
        order: Order,
    },
    /// The question is refused.
    Refuse(RefusedQuestion),
}

/// Order of cluster and laptop: whose answer counts if both have one, and when each is asked.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Order {
    /// The cluster's counts. The laptop is asked a moment later, or when the cluster does not have the name.
    ClusterFirst,
    /// The laptop's counts, but the name is likely to be the cluster's: both are asked at once, unless the laptop's
    /// name servers have a domain of the name's last label.
    Together,
    /// The laptop's counts. The cluster is asked when the laptop does not have the name, unless the laptop's name
    /// servers have a domain of the name's last label.
    LaptopFirst,
    /// The laptop's counts. The cluster is asked for the name without its search domain when the laptop does not have
    /// it.
    Searched,
}

impl Order {
    /// Whether it matters that the laptop's name servers have a domain of the name's last label. It does not below a
    /// search domain of the laptop, whose last label they have in any case.
    pub(crate) const fn heeds_last_label(self) -> bool {
        match self {
            Self::Together | Self::LaptopFirst => true,
            Self::ClusterFirst | Self::Searched => false,
        }
    }
}

/// Answer that the resolver gives without asking.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Own {
    /// [`CHECK_ADDRESS`].
    Check,
    /// The name exists without records: a parent of names below `slipway.internal`.
    Empty,
}

/// Reason why a question is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefusedQuestion {
    /// The name cannot exist: NXDOMAIN.
    NoSuchName,
    /// It asks for a zone transfer: REFUSED.
    Transfer,
}

/// Rule that decided whose a name is, for explanations.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Rule {
    /// A name of Slipway itself: `slipway.internal` or one label below it.
    Own,
    /// `NAME.PROFILE.slipway.internal` of this session.
    Profile,
    /// `NAME.PROFILE.slipway.internal` of another session.
    OtherProfile,
    /// Below the cluster domain, or ending in `svc` or `pod`.
    ClusterDomain,
    /// Sent to the cluster by the user, by name or by suffix.
    User,
    /// The reverse name of an address in the cluster.
    Reverse,
    /// No dots: a service of the session's namespace, or of one that the user added.
    Short,
    /// Its last part is a namespace.
    InNamespace {
        /// The namespace.
        namespace: Label,
    },
    /// Possibly a pod of a headless service, or a name in a namespace that cannot be listed.
    Perhaps,
    /// A short name to which the laptop's resolver has appended a search domain.
    LaptopSearch {
        /// The search domain.
        suffix: Name,
    },
    /// A name that the laptop uses itself, or by which programs look for a proxy.
    Reserved,
    /// Below the cluster domain, which may belong to someone else.
    DoubtfulDomain,
    /// A name that never exists (RFC 6761).
    SpecialUse,
    /// Not a question about a host: zone transfers, other classes.
    NotAHost,
    /// Everything else.
    Public,
}

/// Decision, and the rule behind it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ruling {
    /// The rule.
    pub rule: Rule,
    /// The decision.
    pub decision: Decision,
}

impl Ruling {
    const fn new(rule: Rule, decision: Decision) -> Self {
        Self { rule, decision }
    }

    const fn laptop() -> Self {
        Self::new(Rule::Public, Decision::Laptop)
    }
}

/// Full names that a shared name can mean, and which side is asked first.
struct Expansion {
    rule: Rule,
    order: Order,
    candidates: Vec<Name>,
}

impl Scope {
    /// Decides which sides are asked `question`, and whose answer counts.
    #[must_use]
    pub fn classify(&self, question: &Question) -> Ruling {
        if question.kind.is_transfer() {
            return Ruling::new(Rule::NotAHost, Decision::Refuse(RefusedQuestion::Transfer));
        }
        if !question.is_internet() {
            return Ruling::new(Rule::NotAHost, Decision::Laptop);
        }
        let name = &question.name;
        let is_needed = |name: &Name| self.needed.contains(name);
        let is_the_laptops = |short: &Name| is_discovered(short) || is_needed(short);
        if stands_for(name, &self.our_search, is_the_laptops) {
            return Ruling::new(Rule::Reserved, Decision::Refuse(RefusedQuestion::NoSuchName));
        }
        if is_needed(name) || stands_for(name, &self.laptop_search.domains, is_needed) {
            return Ruling::new(Rule::Reserved, Decision::Laptop);
        }
        if let Some(ruling) = self.ours(name).or_else(|| self.cluster_only(name)) {
            return ruling;
        }
        match name.last_label() {
            None | Some(b"localhost") => return Ruling::laptop(),
            Some(b"invalid") => {
                return Ruling::new(Rule::SpecialUse, Decision::Refuse(RefusedQuestion::NoSuchName));
            }
            Some(b"arpa") if name.label_count() > 1 => return Ruling::laptop(),
            Some(_) => {}
        }
        if name.label_count() == 1 && question.kind.is_about_zones() {
            return Ruling::laptop();
        }
        self.shared(name)
    }

    /// Decides on names below `slipway.internal`; `None` for others.
    fn ours(&self, name: &Name) -> Option<Ruling> {
        let apex = wire(b"\x07slipway\x08internal\0")?;
        if *name == apex {
            return Some(Ruling::new(Rule::Own, Decision::Us(Own::Empty)));
        }
        let inner = name.strip_suffix(&apex)?;
        if inner.label_count() == 1 {
            let own = if inner.last_label() == Some(b"check") {
                Own::Check
            } else {
                Own::Empty
            };
            return Some(Ruling::new(Rule::Own, Decision::Us(own)));
        }
        let profile = self
            .profile
            .as_ref()
            .and_then(|profile| single(profile.as_bytes()));
        let asked = profile.and_then(|profile| inner.strip_suffix(&profile));
        let Some(asked) = asked else {
            return Some(Ruling::new(
                Rule::OtherProfile,
                Decision::Refuse(RefusedQuestion::NoSuchName),
            ));
        };
        let candidates = match self.cluster_only(&asked) {
            Some(Ruling {
                decision: Decision::Cluster { candidates },
                ..
            }) => candidates,
            Some(_) | None => match self.expand(&asked) {
                Some(expansion) => expansion.candidates,
                None => vec![asked],
            },
        };
        Some(Ruling::new(Rule::Profile, Decision::Cluster { candidates }))
    }

    /// Decides on names that belong to the cluster alone; `None` for others.
    fn cluster_only(&self, name: &Name) -> Option<Ruling> {
        let ruling = |rule, candidates| Some(Ruling::new(rule, Decision::Cluster { candidates }));
        if self.is_users(name) {
            return ruling(Rule::User, vec![name.clone()]);
        }
        if name.is_within(&self.cluster_domain) {
            return if self.domain_is_doubtful {
                Some(Ruling::new(Rule::DoubtfulDomain, Decision::Laptop))
            } else {
                ruling(Rule::ClusterDomain, vec![name.clone()])
            };
        }
        if let Some(address) = name.reverse_address() {
            let within = self.is_cluster_address(address);
            return if within {
                ruling(Rule::Reverse, vec![name.clone()])
            } else {
                None
            };
        }
        // `svc` and `pod` are no top-level domains, so a name that ends in them was written for a cluster.
        let written_for_a_cluster = match name.last_label() {
            Some(b"svc") => name.label_count() >= 2,
            Some(b"pod") => name.label_count() >= 3,
            Some(_) | None => false,
        };
        if written_for_a_cluster {
            return match name.join(&self.cluster_domain) {
                Ok(full) => ruling(Rule::ClusterDomain, vec![full]),
                Err(_) => Some(Ruling::new(
                    Rule::ClusterDomain,
                    Decision::Refuse(RefusedQuestion::NoSuchName),
                )),
            };
        }
        None
    }

    /// Decides on names that cluster and laptop may both have.
    fn shared(&self, name: &Name) -> Ruling {
        let searched = self.without_search(name);
        if self.is_reserved(name) || searched.iter().any(|(_, short)| self.is_reserved(short)) {
            return Ruling::new(Rule::Reserved, Decision::Laptop);
        }
        let written = self.expand(name);
        if let Some((suffix, short)) = &searched
            && let Some(ruling) = self.cluster_only(short)
            && ruling.rule == Rule::ClusterDomain
        {
            return Ruling::new(
                Rule::LaptopSearch {
                    suffix: suffix.clone(),
                },
                ruling.decision,
            );
        }
        // `a.dev.SEARCH` is not expanded without SEARCH: `a.dev` may be public, and a resolver that appends a search domain
        // to a name with dots also asks for the name itself, for which both sides are asked.
        let searched = searched.and_then(|(suffix, short)| {
            let expansion = self.expand(&short)?;
            (expansion.rule == Rule::Short).then_some((suffix, expansion.candidates))
        });
        match (written, searched) {
            (None, None) => Ruling::laptop(),
            (
                Some(Expansion {
                    rule,
                    order,
                    candidates,
                }),
                None,
            ) => Ruling::new(rule, Decision::Both { candidates, order }),
            (None, Some((suffix, candidates))) => {
                let order = Order::Searched;
                Ruling::new(
                    Rule::LaptopSearch { suffix },
                    Decision::Both { candidates, order },
                )
            }
            (Some(mut written), Some((suffix, candidates))) => {
                let (rule, order) = match written.order {
                    Order::Together | Order::ClusterFirst => (written.rule, written.order),
                    Order::LaptopFirst | Order::Searched => (Rule::LaptopSearch { suffix }, Order::Searched),
                };
                written.candidates.extend(candidates);
                Ruling::new(
                    rule,
                    Decision::Both {
                        candidates: written.candidates,
                        order,
                    },
                )
            }
        }
    }

    /// Returns the longest search domain of the laptop that ends the name, and the name without it.
    fn without_search(&self, name: &Name) -> Option<(Name, Name)> {
        let stripped = |suffix: &Name| Some((suffix.clone(), name.strip_suffix(suffix)?));
        self.laptop_search
            .domains
            .iter()
            .filter_map(stripped)
            .max_by_key(|(suffix, _)| suffix.label_count())
    }

    /// Returns the full names that a short name can mean in the cluster, the likeliest first.
    fn expand(&self, name: &Name) -> Option<Expansion> {
        let hosts: Vec<&[u8]> = name
            .labels()
            .skip_while(|label| label.starts_with(b"_"))
            .collect();
        let last = *hosts.last()?;
        let services = single(b"svc")?.join(&self.cluster_domain).ok()?;
        let here = self.own_namespaces().filter_map(|namespace| {
            let zone = single(namespace.as_bytes())?;
            zone.join(&services).ok()
        });
        let there = std::iter::once(services.clone());
        let known = self.knows(last);
        let (order, zones): (Order, Vec<Name>) = match hosts.len() {
            1 => (Order::ClusterFirst, here.collect()),
            // The further candidates are pods of a headless service that has the name of a namespace.
            2 if known => (Order::Together, there.chain(here).collect()),
            2 => (Order::LaptopFirst, here.chain(there).collect()),
            3 if known => (Order::Together, there.collect()),
            3 if self.namespaces == Namespaces::Unknown => (Order::LaptopFirst, there.collect()),
            _ => return None,
        };
        let rule = match (hosts.len(), known) {
            (1, _) => Rule::Short,
            (_, true) => Rule::InNamespace {
                namespace: Label::from_bytes(last)?,
            },
            (_, false) => Rule::Perhaps,
        };
        let candidates: Vec<Name> = zones.iter().filter_map(|zone| name.join(zone).ok()).collect();
        (!candidates.is_empty()).then_some(Expansion {
            rule,
            order,
            candidates,
        })
    }

    /// Full names of the service that `name` begins with, in all other known namespaces.
    pub(crate) fn elsewhere<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = Name> + 'a {
        let known: &BTreeSet<Label> = match &self.namespaces {
            Namespaces::Known(names) => names,
            Namespaces::Unknown => const { &BTreeSet::new() },
        };
        let service = name.labels().next().filter(|_| name.reverse_address().is_none());
        let services = single(b"svc").and_then(|svc| svc.join(&self.cluster_domain).ok());
        let written = service.and_then(single).zip(services);
        written.into_iter().flat_map(move |(service, services)| {
            known
                .iter()
                .filter(|namespace| !self.is_own(namespace.as_bytes()))
                .filter_map(move |namespace| {
                    let zone = single(namespace.as_bytes())?.join(&services).ok()?;
                    service.join(&zone).ok()
                })
        })
    }

    /// Whether a name that would be shared is reserved for the laptop.
    fn is_reserved(&self, name: &Name) -> bool {
        is_discovered(name) || self.reserved.contains(name)
    }

    fn knows(&self, namespace: &[u8]) -> bool {
        let listed = match &self.namespaces {
            Namespaces::Known(names) => names.contains(namespace),
            Namespaces::Unknown => false,
        };
        listed || self.is_own(namespace)
    }

    /// The namespaces in which names without dots are looked up, in order.
    fn own_namespaces(&self) -> impl Iterator<Item = &Label> {
        std::iter::once(&self.namespace).chain(&self.also_namespaces)
    }

    fn is_own(&self, namespace: &[u8]) -> bool {
        self.own_namespaces().any(|own| own.as_bytes() == namespace)
    }

    /// Whether the user sends this name to the cluster, by itself or by a suffix.
    #[must_use]
    pub fn is_users(&self, name: &Name) -> bool {
        self.hosts.contains(name) || self.suffixes.iter().any(|suffix| name.is_within(suffix))
    }

    /// Whether the cluster answers for the reverse name of an address.
    #[must_use]
    pub fn is_cluster_address(&self, address: IpAddr) -> bool {
        self.reverse.iter().any(|range| range.contains(&address))
    }
}

/// Whether a name is one of [`DISCOVERED`].
fn is_discovered(name: &Name) -> bool {
    let mut labels = name.labels();
    match (labels.next(), labels.next()) {
        (Some(only), None) => DISCOVERED.contains(&only),
        (_, _) => false,
    }
}

/// Whether a resolver with these search domains may ask for `name` in place of a name that `is_meant` accepts.
fn stands_for(name: &Name, search: &[Name], is_meant: impl Fn(&Name) -> bool) -> bool {
    let mut shorts = search.iter().filter_map(|domain| name.strip_suffix(domain));
    shorts.any(|short| is_meant(&short))
}

fn wire(bytes: &[u8]) -> Option<Name> {
    Name::from_wire(bytes).ok()
}

fn single(label: &[u8]) -> Option<Name> {
    let length = u8::try_from(label.len()).ok()?;
    wire(&[&[length], label, &[0]].concat())
}

#[cfg(test)]
mod tests;
