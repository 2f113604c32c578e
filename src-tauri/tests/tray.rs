//! The real program in a real tray, without a desktop: a virtual screen, a private session bus, and a host that reads
//! and clicks the menu over D-Bus as a panel does.
#![expect(clippy::unwrap_used, reason = "in a test's helper a failure is the test's")]

mod support;

use std::process::Stdio;

use slipway_control_api::{Problem, State};
use slipway_tray_host::{Display, Item, SessionBus, TrayHost};
use support::{FORBIDDEN, LIMIT, User};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

/// Acts as `slipway` for the other tests; does nothing by itself.
#[test]
fn false_slipway() {
    support::play_slipway();
}

#[tokio::test]
#[ignore = "needs dbus-daemon and Xvfb"]
async fn a_profile_is_connected_and_disconnected_by_clicks() {
    let place = Place::make().await;
    place.user.save("shop");
    let host = TrayHost::start(&place.bus.address).await.unwrap();
    let _desktop = place.start_desktop();
    let item = host.item("slipway", LIMIT).await.unwrap();
    let off = item
        .wait(LIMIT, |shown| shown.line("Connect shop").is_some())
        .await
        .unwrap();
    assert_eq!(off.tooltip, "Slipway: Not connected");
    assert_eq!((off.icon.width, off.icon.height), (48, 48));

    item.click("Connect shop", LIMIT).await.unwrap();
    let on = item
        .wait(LIMIT, |shown| shown.tooltip == "shop: Connected")
        .await
        .unwrap();
    assert!(on.line("Disconnect shop (Connected)").is_some(), "{on:?}");
    assert_ne!(on.icon, off.icon);

    item.click("Disconnect shop", LIMIT).await.unwrap();
    let off_again = item
        .wait(LIMIT, |shown| shown.tooltip == off.tooltip)
        .await
        .unwrap();
    assert!(off_again.line("Connect shop").is_some());
    assert_eq!(off_again.icon, off.icon);
}

#[tokio::test]
#[ignore = "needs dbus-daemon and Xvfb"]
async fn a_failed_connect_changes_the_menu_and_the_icon() {
    let place = Place::make().await;
    place.user.save(FORBIDDEN);
    let host = TrayHost::start(&place.bus.address).await.unwrap();
    let _desktop = place.start_desktop();
    let item = host.item("slipway", LIMIT).await.unwrap();
    let off = item
        .wait(LIMIT, |shown| shown.line("Connect").is_some())
        .await
        .unwrap();
    item.click("Connect", LIMIT).await.unwrap();
    // The tooltip changes last, after the menu and the icon.
    let needs_you = format!("{FORBIDDEN}: Needs you");
    let failed = item
        .wait(LIMIT, |shown| shown.tooltip == needs_you)
        .await
        .unwrap();
    assert!(
        failed.line("Your account may not create pods in shop.").is_some(),
        "{failed:?}"
    );
    assert!(failed.line("Ask for a Role.").is_some());
    assert!(
        failed.line("Connect").is_some_and(|line| line.enabled),
        "it cannot be tried again"
    );
    assert_ne!(failed.icon, off.icon);
}

#[tokio::test]
#[ignore = "needs dbus-daemon and Xvfb"]
async fn every_state_of_a_session_has_its_own_icon() {
    let place = Place::make().await;
    let host = TrayHost::start(&place.bus.address).await.unwrap();
    let _desktop = place.start_desktop();
    let item = host.item("slipway", LIMIT).await.unwrap();
    let mut icons = Vec::new();
    let off = item
        .wait(LIMIT, |shown| shown.line("Connect kind-dev").is_some())
        .await
        .unwrap();
    icons.push(off.icon);

    // A name with every character that has a meaning in menus.
    let session = place.user.session(None, "arn:prod_eu&1/a__b");
    for (state, word) in [
        (State::Connecting, "Connecting"),
        (State::Connected, "Connected"),
        (State::Reconnecting, "Reconnecting"),
    ] {
        session.publisher.enter(state);
        let line = format!("Disconnect arn:prod_eu&1/a__b ({word})");
        let shown = item
            .wait(LIMIT, |shown| {
                shown.line(&line).is_some() && shown.tooltip.ends_with(word)
            })
            .await;
        icons.push(shown.unwrap().icon);
    }
    session
        .end(Some(Problem::new("x", "It broke.", "Mend it.")))
        .await;
    icons.push(
        item.wait(LIMIT, |shown| shown.tooltip.ends_with("Needs you"))
            .await
            .unwrap()
            .icon,
    );
    for (n, icon) in icons.iter().enumerate() {
        assert!(!icons[..n].contains(icon), "icon {n} is not unique");
    }
}

#[tokio::test]
#[ignore = "needs dbus-daemon and Xvfb"]
async fn quitting_and_crashing_leave_sessions_connected() {
    let place = Place::make().await;
    place.user.save("shop");
    let host = TrayHost::start(&place.bus.address).await.unwrap();

    let mut desktop = place.start_desktop();
    let item = host.item("slipway", LIMIT).await.unwrap();
    item.click("Connect shop", LIMIT).await.unwrap();
    item.wait(LIMIT, |shown| shown.tooltip == "shop: Connected")
        .await
        .unwrap();
    item.click("Quit Slipway, stay connected", LIMIT).await.unwrap();
    let status = timeout(LIMIT, desktop.process.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
    let running = slipway_control::sessions(&place.user.folder()).await.unwrap();
    assert_eq!(running.len(), 1);
    assert_eq!(running[0].state, State::Connected);

    // The next desktop finds the session, which survives when that desktop is killed.
    let mut desktop = place.start_desktop();
    let item = connected_item(&host).await;
    desktop.process.kill().await.unwrap();
    assert_eq!(
        slipway_control::sessions(&place.user.folder()).await.unwrap(),
        running
    );
    drop(item);

    let _desktop = place.start_desktop();
    connected_item(&host)
        .await
        .click("Disconnect shop", LIMIT)
        .await
        .unwrap();
    let gone = async {
        while !slipway_control::sessions(&place.user.folder())
            .await
            .unwrap()
            .is_empty()
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, gone).await.unwrap();
}

#[tokio::test]
#[ignore = "needs dbus-daemon and Xvfb"]
async fn without_a_tray_it_waits_for_one() {
    let place = Place::make().await;
    let mut desktop = place.start_desktop();
    let said = desktop.says("no program on this desktop shows tray icons").await;
    assert!(said.contains("AppIndicator"), "no remedy in: {said}");
    assert!(desktop.process.try_wait().unwrap().is_none(), "it ended");

    let host = TrayHost::start(&place.bus.address).await.unwrap();
    let item = host.item("slipway", LIMIT).await.unwrap();
    item.wait(LIMIT, |shown| shown.line("Quit Slipway").is_some())
        .await
        .unwrap();
    desktop.says("the icon is in the tray now").await;
}

#[tokio::test]
#[ignore = "needs dbus-daemon and Xvfb"]
async fn the_icon_comes_back_when_the_panel_restarts() {
    let place = Place::make().await;
    let host = TrayHost::start(&place.bus.address).await.unwrap();
    let _desktop = place.start_desktop();
    let item = host.item("slipway", LIMIT).await.unwrap();
    // A change that arrives shows that the program is ready and watches the panel.
    place.user.save("shop");
    item.wait(LIMIT, |shown| shown.line("Connect shop").is_some())
        .await
        .unwrap();
    host.stop().await.unwrap();

    let host = TrayHost::start(&place.bus.address).await.unwrap();
    let item = host.item("slipway", LIMIT).await.unwrap();
    item.wait(LIMIT, |shown| shown.line("Quit Slipway").is_some())
        .await
        .unwrap();
}

#[tokio::test]
#[ignore = "needs dbus-daemon and Xvfb"]
async fn a_second_desktop_ends_with_success() {
    let place = Place::make().await;
    let host = TrayHost::start(&place.bus.address).await.unwrap();
    let mut first = place.start_desktop();
    host.item("slipway", LIMIT).await.unwrap();
    let second = timeout(LIMIT, place.command().stdout(Stdio::piped()).output())
        .await
        .unwrap()
        .unwrap();
    assert!(second.status.success(), "{}", second.status);
    assert!(String::from_utf8_lossy(&second.stdout).contains("running already"));
    assert!(first.process.try_wait().unwrap().is_none());
}

#[tokio::test]
async fn without_a_display_it_fails() {
    let user = User::new();
    let output = Command::new(env!("CARGO_BIN_EXE_slipway-desktop"))
        .env_clear()
        .env("HOME", user.home())
        .env("XDG_RUNTIME_DIR", user.runtime_dir())
        .output();
    let output = timeout(LIMIT, output).await.unwrap().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("DISPLAY"));
}

/// A user with a session bus and a virtual screen.
struct Place {
    user: User,
    bus: SessionBus,
    display: Display,
}

struct Desktop {
    process: Child,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Place {
    async fn make() -> Self {
        Self {
            user: User::new(),
            bus: SessionBus::start().await.unwrap(),
            display: Display::start().await.unwrap(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway-desktop"));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.user.home())
            .env("XDG_RUNTIME_DIR", self.user.runtime_dir())
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus.address)
            .env("DISPLAY", &self.display.name)
            .env("NO_AT_BRIDGE", "1")
            .env("SLIPWAY_BIN", self.user.program())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    fn start_desktop(&self) -> Desktop {
        let mut process = self.command().stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap()).lines();
        Desktop { process, stderr }
    }
}

impl Desktop {
    /// Waits for a line with `part` on standard error, and returns it.
    async fn says(&mut self, part: &str) -> String {
        let said = async {
            while let Some(line) = self.stderr.next_line().await.unwrap() {
                if line.contains(part) {
                    return Some(line);
                }
            }
            None
        };
        timeout(LIMIT, said).await.unwrap().unwrap()
    }
}

/// Waits for a tray item that shows the session of `shop` as connected.
async fn connected_item(host: &TrayHost) -> Item {
    let item = host.item("slipway", LIMIT).await.unwrap();
    item.wait(LIMIT, |shown| shown.tooltip == "shop: Connected")
        .await
        .unwrap();
    item
}
