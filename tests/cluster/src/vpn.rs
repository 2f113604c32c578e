//! Other VPNs of a laptop.

use crate::Desk;

/// A VPN with a table of its own before `main`, as Tailscale has it, until this is dropped.
pub struct Vpn<'a>(&'a Desk<'a>);

impl<'a> Vpn<'a> {
    /// Its device.
    pub const DEVICE: &'static str = "ts0";

    /// Its rule, as `ip rule` shows it.
    pub const RULE: &'static str = "5270: from all lookup 52";

    /// Starts it. Packets to pods and services go to it.
    pub fn begin(desk: &'a Desk<'a>) -> Vpn<'a> {
        let vpn = Vpn(desk);
        let ip = |words: &str| desk.as_root("ip", &words.split(' ').collect::<Vec<_>>());
        ip("link add ts0 type veth peer name ts1");
        ip("link set ts0 up");
        ip("link set ts1 up");
        ip("address add 100.64.1.1/32 dev ts0");
        ip("route add 10.0.0.0/8 dev ts0 table 52");
        ip("rule add pref 5270 lookup 52");
        vpn
    }
}

impl Drop for Vpn<'_> {
    fn drop(&mut self) {
        self.0.output_as_root("ip", &["rule", "delete", "pref", "5270"]);
        self.0.output_as_root("ip", &["link", "delete", Vpn::DEVICE]);
    }
}
