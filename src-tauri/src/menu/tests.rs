//! Menus for states of the desktop, as text.

use insta::assert_snapshot;
use slipway_control::status_of_this_process;
use slipway_control_api::{Health, State};
use slipway_profile::Method;

use super::*;
use crate::{Glyph, Reporter, View};

#[test]
fn profiles_that_are_off_are_offered() {
    assert_snapshot!(seen(&profiles(&["billing", "shop"])), @"
    icon: Disconnected; tooltip: Slipway: Not connected
      Not connected
    ---
    > Connect billing
    > Connect shop
    ---
    > Quit Slipway
    ");
}

#[test]
fn a_connecting_profile_cannot_be_clicked_again() {
    let mut desktop = profiles(&["shop"]);
    desktop.starting.insert(target("shop"));
    assert_snapshot!(seen(&desktop), @"
    icon: Connecting; tooltip: shop: Connecting
      shop: Connecting
    ---
      shop (Connecting)
    ---
    > Quit Slipway
    ");
}

#[test]
fn connecting_shows_its_step_and_can_be_given_up() {
    let mut desktop = profiles(&["shop"]);
    desktop.starting.insert(target("shop"));
    add(&mut desktop, "shop", State::Placing, |status| {
        status.step = Some("placing the agent".into())
    });
    assert_snapshot!(seen(&desktop), @"
    icon: Connecting; tooltip: shop: Connecting: placing the agent
      shop: Connecting: placing the agent
    ---
    > Disconnect shop (Connecting: placing the agent)
    ---
    > Quit Slipway, stay connected
    ");
}

#[test]
fn a_connected_profile_can_be_disconnected() {
    let mut desktop = profiles(&["billing", "shop"]);
    add(&mut desktop, "shop", State::Connected, |_| {});
    assert_snapshot!(seen(&desktop), @"
    icon: Connected; tooltip: shop: Connected
      shop: Connected
    ---
    > Connect billing
    > Disconnect shop (Connected)
    ---
    > Quit Slipway, stay connected
    ");
}

#[test]
fn a_measurement_changes_nothing_that_is_shown() {
    let mut desktop = profiles(&["shop"]);
    add(&mut desktop, "shop", State::Connected, |_| {});
    let before = View::of(&desktop);
    for status in desktop.sessions.values_mut() {
        status.health = Some(Health {
            rtt_ms: 12,
            ..Health::default()
        });
    }
    assert_eq!(View::of(&desktop), before);
}

#[test]
fn a_lost_network_is_shown_below_its_profile() {
    let mut desktop = profiles(&["shop"]);
    add(&mut desktop, "shop", State::Reconnecting, |status| {
        status.problems = vec![Problem::new(
            "net-away",
            "Waiting for the network.",
            "Open connections are kept.",
        )];
    });
    assert_snapshot!(seen(&desktop), @"
    icon: Degraded; tooltip: shop: Reconnecting
      shop: Reconnecting
    ---
    > Disconnect shop (Reconnecting)
          Waiting for the network.
          Open connections are kept.
    ---
    > Quit Slipway, stay connected
    ");
}

#[test]
fn every_problem_of_a_session_is_shown() {
    let mut desktop = profiles(&["shop"]);
    add(&mut desktop, "shop", State::Connected, |status| {
        status.problems = vec![
            Problem::new("range-not-routed", "10.96.0.0/16 is in use.", "Leave the VPN."),
            Problem::new("also-proxy-unknown", "`db` is unknown.", "Correct it."),
        ];
    });
    assert_snapshot!(seen(&desktop), @"
    icon: Degraded; tooltip: shop: Connected
      shop: Connected
    ---
    > Disconnect shop (Connected)
          10.96.0.0/16 is in use.
          Leave the VPN.
          `db` is unknown.
          Correct it.
    ---
    > Quit Slipway, stay connected
    ");
}

#[test]
fn a_failure_is_explained_and_can_be_tried_again() {
    let mut desktop = profiles(&["shop"]);
    let problem = Problem::new(
        "rbac-pods",
        "Your account may not create pods in shop.",
        "Ask for a Role that allows create on pods and get on pods/portforward in the namespace shop.",
    );
    desktop.report(target("shop"), Reporter::Starter, problem);
    assert_snapshot!(seen(&desktop), @"
    icon: Attention; tooltip: shop: Needs you
      shop: Needs you
    ---
    > Connect shop
          Your account may not create pods in shop.
          Ask for a Role that allows create on pods and get on
          pods/portforward in the namespace shop.
    ---
    > Dismiss problems
    > Quit Slipway
    ");
}

#[test]
fn sessions_from_a_terminal_appear_below() {
    let mut desktop = profiles(&["shop"]);
    add(&mut desktop, "shop", State::Connected, |_| {});
    add(&mut desktop, "", State::Connected, |status| {
        status.context = Some("prod@eu".into())
    });
    add(&mut desktop, "deleted", State::Ending, |_| {});
    assert_snapshot!(seen(&desktop), @"
    icon: Connecting; tooltip: shop: Connected | prod@eu: Connected | deleted: Disconnecting
      2 of 3 connected
    ---
    > Disconnect shop (Connected)
    ---
    > Disconnect prod@eu (Connected)
      deleted (Disconnecting)
    ---
    > Disconnect all
    > Quit Slipway, stay connected
    ");
}

#[test]
fn without_profiles_the_contexts_are_offered() {
    let contexts = vec!["kind-dev".parse().unwrap(), "staging".parse().unwrap()];
    let mut desktop = DesktopState {
        contexts,
        ..DesktopState::default()
    };
    add(&mut desktop, "", State::Connected, |status| {
        status.context = Some("staging".into())
    });
    assert_snapshot!(seen(&desktop), @"
    icon: Connected; tooltip: staging: Connected
      staging: Connected
    ---
      Found in your kubeconfig
    > Connect kind-dev
    > Disconnect staging (Connected)
    ---
    > Quit Slipway, stay connected
    ");
    assert_snapshot!(seen(&DesktopState::default()), @"
    icon: Disconnected; tooltip: Slipway: Not connected
      Not connected
    ---
      No profile is saved and no context was found
    ---
    > Quit Slipway
    ");
}

#[test]
fn protected_and_broken_profiles_are_marked() {
    let mut desktop = profiles(&[]);
    let problem = Problem::new(
        "profile-invalid",
        "line 3, column 1: unknown field `colr`",
        "Correct it.",
    );
    desktop.profiles = vec![
        Saved::Broken {
            stem: "billing".into(),
            problem,
        },
        Saved::Profile {
            name: "prod".parse().unwrap(),
            protected: true,
        },
    ];
    assert_snapshot!(seen(&desktop), @"
    icon: Disconnected; tooltip: Slipway: Not connected
      Not connected
    ---
      billing (cannot be read)
          Line 3, column 1: unknown field `colr`.
          Correct it.
    > Connect prod (protected)
    ---
    > Quit Slipway
    ");
    add(&mut desktop, "prod", State::Connected, |_| {});
    assert!(seen(&desktop).contains("> Disconnect prod (Connected, protected)"));
}

#[test]
fn two_sessions_of_one_profile_are_both_shown() {
    let mut desktop = profiles(&["shop"]);
    add(&mut desktop, "shop", State::Connected, |_| {});
    add(&mut desktop, "shop", State::Connected, |_| {});
    let clicks: Vec<_> = menu(&desktop)
        .items()
        .filter_map(|item| item.click.clone())
        .collect();
    for id in desktop.sessions.keys() {
        assert!(
            clicks.contains(&Click::Disconnect(id.clone())),
            "{id} cannot be disconnected"
        );
    }
}

#[test]
fn the_worst_session_decides_the_icon() {
    let mut desktop = profiles(&["a"]);
    let mut expect = |state, change: fn(&mut SessionStatus), glyph| {
        add(&mut desktop, "a", state, change);
        assert_eq!(View::of(&desktop).glyph, glyph);
    };
    expect(State::Connected, |_| {}, Glyph::Connected);
    expect(State::Placing, |_| {}, Glyph::Connecting);
    expect(State::Reconnecting, |_| {}, Glyph::Degraded);
    expect(
        State::Ended,
        |s| s.failure = Some(Problem::new("x", "It broke.", "Mend it.")),
        Glyph::Attention,
    );
}

#[test]
fn an_ended_session_is_shown_as_disconnecting() {
    let mut desktop = profiles(&["shop"]);
    add(&mut desktop, "shop", State::Ended, |_| {});
    assert_snapshot!(seen(&desktop), @"
    icon: Connecting; tooltip: shop: Disconnecting
      shop: Disconnecting
    ---
      shop (Disconnecting)
    ---
    > Quit Slipway, stay connected
    ");
}

#[test]
fn a_connected_session_with_a_problem_is_degraded() {
    let mut desktop = profiles(&["a"]);
    add(&mut desktop, "a", State::Connected, |status| {
        status.problems = vec![Problem::new("overlap", "A range is used twice.", "Choose.")];
    });
    assert_eq!(View::of(&desktop).glyph, Glyph::Degraded);
}

#[test]
fn connecting_and_disconnecting_change_the_menu_in_place() {
    let mut desktop = profiles(&["billing", "shop"]);
    let off = menu(&desktop);
    desktop.starting.insert(target("shop"));
    let starting = menu(&desktop);
    add(&mut desktop, "shop", State::Connected, |_| {});
    let on = menu(&desktop);
    assert!(off.has_slots_of(&starting) && starting.has_slots_of(&on));
    assert_ne!(off, on);
}

#[test]
fn an_added_line_needs_another_menu() {
    let mut desktop = profiles(&["shop"]);
    let before = menu(&desktop);
    let problem = Problem::new("x", "It broke.", "Mend it.");
    desktop.report(target("shop"), Reporter::Session, problem);
    assert!(!before.has_slots_of(&menu(&desktop)));
}

fn profiles(names: &[&str]) -> DesktopState {
    let saved = |name: &&str| Saved::Profile {
        name: name.parse().unwrap(),
        protected: false,
    };
    DesktopState {
        profiles: names.iter().map(saved).collect(),
        ..DesktopState::default()
    }
}

fn target(name: &str) -> Target {
    Target::Profile(name.parse().unwrap())
}

/// Adds a session of a profile; of none if `profile` is empty.
fn add(desktop: &mut DesktopState, profile: &str, state: State, change: impl FnOnce(&mut SessionStatus)) {
    let id: SessionId = format!("s{}", desktop.sessions.len()).parse().unwrap();
    let profile = (!profile.is_empty()).then(|| profile.to_owned());
    let mut status = status_of_this_process(id.clone(), profile, Method::VpnTcp);
    status.state = state;
    change(&mut status);
    desktop.sessions.insert(id, status);
}

/// Formats the view; `>` marks items that can be clicked.
fn seen(desktop: &DesktopState) -> String {
    let view = View::of(desktop);
    let mut lines = vec![format!(
        "icon: {:?}; tooltip: {}",
        view.glyph,
        view.tooltip.replace('\n', " | ")
    )];
    for entry in &view.menu.entries {
        lines.push(match entry {
            Entry::Item(Item {
                click: Some(_), text, ..
            }) => format!("> {text}"),
            Entry::Item(Item {
                click: None, text, ..
            }) => format!("  {text}"),
            Entry::Separator => "---".into(),
        });
    }
    lines.join("\n")
}
