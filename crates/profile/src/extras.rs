//! Extras: what a user sends to the cluster in addition to its own names and networks, and changes of them.

use serde::{Deserialize, Serialize};

use crate::also_proxy::AlsoProxy;
use crate::schema::Profile;
use crate::value::{DomainName, Namespace};

/// What a user sends to the cluster in addition to its own names and networks. The lists have no entry twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct Extras {
    /// Hosts, addresses and networks that are reached through the cluster.
    pub also_proxy: Vec<AlsoProxy>,
    /// Domains whose names, and all names below them, the cluster answers.
    pub suffixes: Vec<DomainName>,
    /// Namespaces in which names without dots are looked up, after the session's.
    pub also_namespaces: Vec<Namespace>,
}

/// Change of extras. What is already there is not added again; what is not there is not removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct Change {
    /// What is added, at the end of each list.
    pub add: Extras,
    /// What is removed.
    pub remove: Extras,
}

impl Extras {
    /// Returns the extras of a profile.
    pub fn of(profile: &Profile) -> Self {
        Self {
            also_proxy: profile.also_proxy.clone(),
            suffixes: profile.dns.suffixes.clone(),
            also_namespaces: profile.cluster.also_namespaces.clone(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Makes a change, and returns the part of it that was not so already.
    pub fn change(&mut self, change: &Change) -> Change {
        let mut done = Change::default();
        let Change { add, remove } = change;
        let Change {
            add: added,
            remove: removed,
        } = &mut done;
        (added.also_proxy, removed.also_proxy) =
            change_list(&mut self.also_proxy, &add.also_proxy, &remove.also_proxy);
        (added.suffixes, removed.suffixes) = change_list(&mut self.suffixes, &add.suffixes, &remove.suffixes);
        (added.also_namespaces, removed.also_namespaces) = change_list(
            &mut self.also_namespaces,
            &add.also_namespaces,
            &remove.also_namespaces,
        );
        done
    }
}

impl Change {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }

    /// Returns the change that takes this one back.
    #[must_use]
    pub fn inverse(self) -> Self {
        Self {
            add: self.remove,
            remove: self.add,
        }
    }
}

/// Changes a list, and returns what was really added and removed.
fn change_list<T: Clone + PartialEq>(list: &mut Vec<T>, add: &[T], remove: &[T]) -> (Vec<T>, Vec<T>) {
    let removed: Vec<T> = list.extract_if(.., |one| remove.contains(one)).collect();
    let mut added = Vec::new();
    for one in add {
        if !list.contains(one) {
            list.push(one.clone());
            added.push(one.clone());
        }
    }
    (added, removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(hosts: &[&str]) -> Extras {
        Extras {
            also_proxy: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            ..Extras::default()
        }
    }

    #[test]
    fn a_change_and_its_inverse_lead_back() {
        let before = Extras {
            suffixes: vec!["corp.internal".parse().unwrap()],
            ..hosts(&["a.example", "10.3.0.0/16"])
        };
        let change = Change {
            add: Extras {
                also_namespaces: vec!["test".parse().unwrap()],
                ..hosts(&["a.example", "b.example"])
            },
            remove: Extras {
                suffixes: vec!["corp.internal".parse().unwrap()],
                ..hosts(&["c.example"])
            },
        };
        let mut extras = before.clone();
        let done = extras.change(&change);
        assert_eq!(
            done.add.also_proxy,
            hosts(&["b.example"]).also_proxy,
            "the new one"
        );
        assert_eq!(done.remove.also_proxy, [], "c.example was not there");
        assert_eq!(done.remove.suffixes, change.remove.suffixes);
        assert!(extras.change(&change).is_empty(), "the second time");
        let undone = extras.change(&done.clone().inverse());
        assert_eq!(undone, done.inverse());
        assert_eq!(extras, before);
    }

    #[test]
    fn fields_may_be_left_out() {
        let change: Change = serde_json::from_str(r#"{"add":{"also-proxy":["db.example"]}}"#).unwrap();
        assert_eq!(change.add, hosts(&["db.example"]));
        assert!(serde_json::from_str::<Change>(r#"{"add":{"also-proxy":["-"]}}"#).is_err());
    }
}
