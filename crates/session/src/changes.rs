//! Changes of a running session: what the user sends to the cluster, and how each change is undone.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use slipway_control::{ProblemSource, Publisher};
use slipway_control_api::{Changed, Problem};
use slipway_method::{Additions, Changer, Report, RunningMethod};
use slipway_names::Namespaces;
use slipway_problem::Fault;
use slipway_profile::{Change, Extras, Namespace};
use tokio::sync::watch;

use crate::extra_hosts::{Hosts, HostsCheck, unknown};

/// Limit of the wait for the cluster's DNS to resolve hosts. A later answer is published when it comes.
const HOSTS_WITHIN: Duration = Duration::from_secs(1);

/// Maximum number of changes that can be undone. The oldest is forgotten first.
const MOST: usize = 32;

/// Owner of what the user sends to the cluster while programs are captured.
pub(crate) struct Changes {
    changer: std::sync::Arc<dyn Changer>,
    report: watch::Receiver<Report>,
    hosts: HostsCheck,
    namespaces: Mutex<Namespaces>,
    /// Problem that a namespace is missing in which names are looked up.
    missing: ProblemSource,
    publisher: Publisher,
    present: tokio::sync::Mutex<Present>,
}

struct Present {
    extras: Extras,
    made: VecDeque<Made>,
    last_number: u32,
}

/// Change that can be undone.
struct Made {
    number: u32,
    before: Extras,
    after: Extras,
    change: Change,
    profile: Option<Change>,
}

impl Present {
    /// Records a change that can be undone, and returns its number.
    fn record(&mut self, before: Extras, after: Extras, change: Change, profile: Option<Change>) -> u32 {
        self.last_number += 1;
        let number = self.last_number;
        self.made.push_back(Made {
            number,
            before,
            after,
            change,
            profile,
        });
        let surplus = self.made.len().saturating_sub(MOST);
        self.made.drain(..surplus);
        number
    }
}

impl Changes {
    /// Takes over the extras with which the method was started.
    pub(crate) fn new(
        method: &dyn RunningMethod,
        extras: Extras,
        namespaces: Namespaces,
        publisher: &Publisher,
    ) -> Self {
        Self {
            changer: method.changer(),
            report: method.report(),
            hosts: HostsCheck::new(method.explainer(), publisher.problem_source()),
            namespaces: Mutex::new(namespaces),
            missing: publisher.problem_source(),
            publisher: publisher.clone(),
            present: tokio::sync::Mutex::new(Present {
                extras,
                made: VecDeque::new(),
                last_number: 0,
            }),
        }
    }

    /// Checks and publishes what the session was started with. Waits a limited time for the cluster's DNS.
    pub(crate) async fn begin(&self) {
        let present = self.present.lock().await;
        self.publish(&present.extras).await;
    }

    /// Makes a change.
    ///
    /// # Errors
    /// A problem if the change cannot be made; nothing is changed then.
    pub(crate) async fn change(&self, wanted: &Change) -> Result<Changed, Problem> {
        let mut present = self.present.lock().await;
        let before = present.extras.clone();
        let mut after = before.clone();
        let change = after.change(wanted);
        let mut changed = self.apply(&mut present, after.clone(), change).await?;
        if !changed.change.is_empty() {
            changed.number = Some(present.record(before, after, changed.change.clone(), None));
        }
        Ok(changed)
    }

    /// Notes that the client has made a change in the saved profile too. Without a number it is a change of the profile
    /// alone, which gets one.
    ///
    /// # Errors
    /// A problem if there is no change with that number.
    pub(crate) async fn saved(&self, number: Option<u32>, profile: Change) -> Result<Changed, Problem> {
        let mut present = self.present.lock().await;
        let number = match number {
            Some(number) => {
                let made = present.made.iter_mut().find(|made| made.number == number);
                let made = made.ok_or_else(|| nothing_to_undo(Some(number)))?;
                made.profile = Some(profile.clone());
                number
            }
            None => {
                let same = present.extras.clone();
                present.record(same.clone(), same, Change::default(), Some(profile.clone()))
            }
        };
        Ok(Changed {
            number: Some(number),
            change: Change::default(),
            profile: Some(profile),
            hosts: Vec::new(),
            problems: Vec::new(),
        })
    }

    /// Undoes the change with this number, or else the last one.
    ///
    /// # Errors
    /// A problem if there is no such change.
    pub(crate) async fn undo(&self, number: Option<u32>) -> Result<Changed, Problem> {
        let mut present = self.present.lock().await;
        let place = match number {
            Some(number) => present.made.iter().position(|made| made.number == number),
            None => present.made.len().checked_sub(1),
        };
        let Some(made) = place.and_then(|place| present.made.remove(place)) else {
            return Err(nothing_to_undo(number));
        };
        let mut after = present.extras.clone();
        let mut change = after.change(&made.change.clone().inverse());
        if present.extras == made.after {
            // Restores the order too.
            change = made.change.inverse();
            after = made.before;
        }
        let mut changed = self.apply(&mut present, after, change).await?;
        changed.profile = made.profile.map(Change::inverse);
        Ok(changed)
    }

    /// Notes the cluster's namespaces.
    pub(crate) fn set_namespaces(&self, namespaces: Namespaces) {
        let mut known = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        *known = namespaces;
        // Under the lock, so that the later one of two changes counts.
        let extras = self.publisher.status().extras;
        self.missing.set(missing(&known, &extras.also_namespaces));
    }

    async fn apply(&self, present: &mut Present, after: Extras, change: Change) -> Result<Changed, Problem> {
        let mut changed = Changed {
            number: None,
            change,
            profile: None,
            hosts: Vec::new(),
            problems: Vec::new(),
        };
        if after == present.extras {
            return Ok(changed);
        }
        let additions = Additions::new(&after).map_err(|error| error.problem())?;
        let before = self.report.borrow().problems.clone();
        let mut problems = self.changer.change(additions).await;
        problems.retain(|problem| !before.contains(problem));
        tracing::info!(change = ?changed.change, "changed what the user sends to the cluster");
        present.extras = after;
        let Hosts {
            known,
            unknown: not_known,
        } = self.publish(&present.extras).await;
        let added = &changed.change.add;
        let is_added = |host: &str| added.also_proxy.iter().any(|extra| extra.to_string() == host);
        changed.hosts = known;
        changed.hosts.retain(|known| is_added(&known.host));
        let not_known: Vec<String> = not_known.into_iter().filter(|host| is_added(host)).collect();
        problems.extend(unknown(&not_known));
        let known = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        problems.extend(missing(&known, &added.also_namespaces));
        drop(known);
        changed.problems = problems;
        Ok(changed)
    }

    async fn publish(&self, extras: &Extras) -> Hosts {
        self.publisher.update(|status| status.extras = extras.clone());
        {
            let known = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
            self.missing.set(missing(&known, &extras.also_namespaces));
        }
        let hosts = self.hosts.begin(extras);
        match tokio::time::timeout(HOSTS_WITHIN, hosts).await {
            Ok(Ok(hosts)) => hosts,
            Ok(Err(_)) | Err(_) => Hosts::default(),
        }
    }
}

/// Returns a problem that names the namespaces that the cluster does not have, if any.
fn missing(known: &Namespaces, wanted: &[Namespace]) -> Option<Problem> {
    let Namespaces::Known(known) = known else {
        return None;
    };
    let missing: Vec<&str> = wanted
        .iter()
        .map(Namespace::as_str)
        .filter(|namespace| !known.contains(namespace.as_bytes()))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let names = missing.join("`, `");
    Some(Problem::new(
        "also-namespace-missing",
        format!("The cluster has no namespace `{names}`, in which names are looked up too."),
        "Check the spelling in `also-namespaces`. If the namespace is created later, its names are found then.",
    ))
}

/// The problem that a session cannot be changed, because no programs are captured.
pub(crate) fn not_connected() -> Problem {
    Problem::new(
        "session-not-connected",
        "The session is not connected, so nothing can be changed in it.",
        "Try again when `slipway status` shows it as connected.",
    )
}

fn nothing_to_undo(number: Option<u32>) -> Problem {
    let cause = match number {
        Some(number) => format!("The session has no change {number} that can be undone."),
        None => "The session has no change that can be undone.".to_owned(),
    };
    Problem::new(
        "nothing-to-undo",
        cause,
        "`slipway status --json` shows what the session sends to the cluster now.",
    )
}
