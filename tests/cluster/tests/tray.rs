//! Connecting by clicks in the tray.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use serde_json::json;
use slipway_cluster_tests::{
    Desk, LaptopFile, TokenUser, Tray, Vpn, on_the_plain_laptop, path_text, program, until,
};

on_the_plain_laptop!(
    clicks_in_the_tray_connect_and_disconnect,
    the_menu_shows_problems_and_a_plugins_words,
);

const PAGE: &str = "http://web.shop.svc.cluster.local/";

/// The driver itself shows that the page is not reachable before and after.
fn clicks_in_the_tray_connect_and_disconnect(desk: &Desk<'_>) {
    let (driver, desktop) = (program("slipway-tray-driver"), program("slipway-desktop"));
    let arguments = ["--desktop", path_text(&desktop), "--page", PAGE];
    let page = desk.text(path_text(&driver), &arguments);
    assert!(page.starts_with("hello from web-"), "{page}");
}

/// Ends all sessions when this is dropped.
struct Sessions<'a>(&'a Desk<'a>);

impl Drop for Sessions<'_> {
    fn drop(&mut self) {
        let _ = self.0.slipway(&["disconnect", "--all"]).output();
    }
}

fn the_menu_shows_problems_and_a_plugins_words(desk: &Desk<'_>) {
    let words = "To sign in, open https://login.example/device and enter the code ABCD-1234";
    let version = "client.authentication.k8s.io/v1";
    let user = TokenUser::new(desk, "tray-words");
    let answer = json!({"apiVersion": version, "kind": "ExecCredential", "status": {"token": user.token()}});
    let script = format!("echo '{words}' >&2; sleep 2; echo \"$0\"");
    let file: LaptopFile<'_> = user.kubeconfig(json!({"exec": {
        "apiVersion": version, "interactiveMode": "IfAvailable",
        "command": "sh", "args": ["-c", script, answer.to_string()],
    }}));
    let kubectl = desk.output("kubectl", &["--kubeconfig", &file.path, "auth", "whoami"]);
    let said = String::from_utf8_lossy(&kubectl.stderr);
    assert!(said.contains(words), "kubectl passes them on: {kubectl:?}");

    let sessions = Sessions(desk);
    let tray = Tray::connect_with(desk, PAGE, &[("KUBECONFIG", &file.path)]);
    let menus = tray.menus();
    assert!(menus.iter().any(|menu| menu.contains(words)), "{menus:#?}");
    assert!(
        !menus.last().unwrap().contains("sign in"),
        "it is over: {menus:#?}"
    );
    let shows = |text: &str| tray.menus().last().unwrap().contains(text);
    let vpn = Vpn::begin(desk);
    until("the menu names the VPN's device", || shows(Vpn::DEVICE))
        .unwrap_or_else(|why| panic!("{why}: {:#?}", tray.menus()));
    drop(vpn);
    until("the problem is withdrawn", || !shows(Vpn::DEVICE))
        .unwrap_or_else(|why| panic!("{why}: {:#?}", tray.menus()));
    drop(sessions);
    until("nothing is connected", || desk.status().is_empty()).unwrap();
}
