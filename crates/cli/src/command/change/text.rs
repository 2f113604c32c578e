//! Text of the outcome of a change.

use slipway_control_api::{Changed, SessionStatus};
use slipway_profile::{AlsoProxy, Change, Extras, ProfileName};

/// Describes what came about. `profile` is the saved profile that was changed too.
pub(super) fn of(session: &SessionStatus, profile: Option<&ProfileName>, changed: &Changed) -> String {
    let mut text = String::new();
    let Change { add, remove } = &changed.change;
    for one in list(add) {
        let addresses = changed.hosts.iter().find(|known| known.host == one.value);
        let addresses = addresses.map_or_else(String::new, |known| {
            let addresses: Vec<String> = known.addresses.iter().map(ToString::to_string).collect();
            format!(" ({})", addresses.join(", "))
        });
        text.push_str(&format!("Added {} {}{addresses}.\n", one.kind, one.value));
    }
    for one in list(remove) {
        text.push_str(&format!("Removed {} {}.\n", one.kind, one.value));
    }
    if text.is_empty() {
        text.push_str(&format!("Session {} has it so already.\n", session.id));
    }
    for problem in &changed.problems {
        text.push_str(&format!("Note: {}\n", problem.cause));
        for line in problem.remedy.lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    if let Some(profile) = profile {
        let saved = match &changed.profile {
            Some(_) => "Saved in",
            None => "Nothing to change in",
        };
        text.push_str(&format!("{saved} profile {profile}.\n"));
    }
    if let Some(number) = changed.number {
        let id = &session.id;
        text.push_str(&format!("Undo with `slipway change {id} --undo={number}`.\n"));
    }
    text
}

struct One {
    kind: &'static str,
    value: String,
}

fn list(extras: &Extras) -> impl Iterator<Item = One> {
    let Extras {
        also_proxy,
        suffixes,
        also_namespaces,
    } = extras;
    let proxied = also_proxy.iter().map(|extra| One {
        kind: match extra {
            AlsoProxy::Host(_) => "host",
            AlsoProxy::Ip(_) => "address",
            AlsoProxy::Cidr(_) => "network",
        },
        value: extra.to_string(),
    });
    let suffixes = suffixes.iter().map(|suffix| One {
        kind: "suffix",
        value: suffix.to_string(),
    });
    let namespaces = also_namespaces.iter().map(|namespace| One {
        kind: "namespace",
        value: namespace.to_string(),
    });
    proxied.chain(suffixes).chain(namespaces)
}

#[cfg(test)]
mod tests {
    use slipway_control::status_of_this_process;
    use slipway_control_api::{HostAddresses, Problem};
    use slipway_profile::Method;

    use super::*;

    fn session() -> SessionStatus {
        status_of_this_process("shop-a1".parse().unwrap(), Some("shop".into()), Method::VpnTcp)
    }

    fn changed() -> Changed {
        let change = Change {
            add: Extras {
                also_proxy: ["db.corp.internal", "34.0.0.0/8"]
                    .map(|extra| extra.parse().unwrap())
                    .into(),
                suffixes: vec!["corp.example".parse().unwrap()],
                also_namespaces: vec!["test".parse().unwrap()],
            },
            remove: Extras {
                also_proxy: vec!["10.3.0.7".parse().unwrap()],
                ..Extras::default()
            },
        };
        Changed {
            number: Some(3),
            profile: Some(change.clone()),
            change,
            hosts: vec![HostAddresses {
                host: "db.corp.internal".into(),
                addresses: vec![[10, 20, 0, 5].into()],
            }],
            problems: vec![Problem::new(
                "range-not-routed",
                "34.0.0.0/8 is public",
                "leave it out",
            )],
        }
    }

    #[test]
    fn each_part_of_a_change_is_a_line() {
        let profile = "shop".parse().unwrap();
        insta::assert_snapshot!(of(&session(), Some(&profile), &changed()));
    }

    #[test]
    fn a_change_keeps_its_form_as_json() {
        insta::assert_json_snapshot!(changed());
    }

    #[test]
    fn a_change_that_changes_nothing_says_so() {
        let nothing = Changed {
            number: None,
            change: Change::default(),
            profile: None,
            hosts: Vec::new(),
            problems: Vec::new(),
        };
        assert_eq!(
            of(&session(), None, &nothing),
            "Session shop-a1 has it so already.\n"
        );
    }
}
