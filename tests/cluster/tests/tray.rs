//! Connecting by clicks in the tray.

use slipway_cluster_tests::{Desk, on_the_plain_laptop, path_text, program};

on_the_plain_laptop!(clicks_in_the_tray_connect_and_disconnect);

/// The driver itself shows that the page is not reachable before and after.
fn clicks_in_the_tray_connect_and_disconnect(desk: &Desk<'_>) {
    let (driver, desktop) = (program("slipway-tray-driver"), program("slipway-desktop"));
    let arguments = [
        "--desktop",
        path_text(&desktop),
        "--page",
        "http://web.shop.svc.cluster.local/",
    ];
    let page = desk.text(path_text(&driver), &arguments);
    assert!(page.starts_with("hello from web-"), "{page}");
}
