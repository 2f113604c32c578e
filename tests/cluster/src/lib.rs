//! End-to-end tests on a real Kubernetes: a laptop of the test bed with Slipway's programs.
//!
//! Every test locks a laptop, starts a helper there, and uses Slipway only by its command line. Tests check that a
//! destination is not reachable before and after a session.
//!
//! `SLIPWAY_BED` names a bed other than the default one. Without root the tests are ignored.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure ends the test"
)]

mod conversation;
mod desk;
mod helper;
mod laptop_file;
pub mod lookups;
mod name_server;
mod network;
mod node_rule;
mod polkit;
mod programs;
mod relay;
mod running;
mod session;
mod token_user;
mod traces;
mod tray;
mod turn;
mod vpn;
mod waits;

pub use conversation::Conversation;
pub use desk::Desk;
pub use laptop_file::LaptopFile;
pub use name_server::NameServer;
pub use network::{Gone, Moved};
pub use node_rule::NodeRule;
pub use programs::{path_text, program};
pub use relay::Relay;
pub use running::{Frozen, Running};
pub use session::{Detached, Session, States, problems};
pub use slipway_bed::{Bed, BedName, LaptopKind, Silent};
pub use token_user::TokenUser;
pub use traces::Traces;
pub use tray::Tray;
pub use turn::{bed, with_laptop, with_laptop_of};
pub use vpn::Vpn;
pub use waits::{CONNECTING, MOMENT, until, until_within};

/// Makes a test of this name for each kind of laptop.
#[macro_export]
macro_rules! on_each_laptop {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            #[ignore = "needs root"]
            fn plain() {
                $crate::with_laptop($crate::LaptopKind::Plain, super::$name);
            }

            #[test]
            #[ignore = "needs root"]
            fn resolved() {
                $crate::with_laptop($crate::LaptopKind::Resolved, super::$name);
            }

            #[test]
            #[ignore = "needs root"]
            fn firewall() {
                $crate::with_laptop($crate::LaptopKind::Firewall, super::$name);
            }
        }
    )+};
}

/// Makes a test of this name, on the laptop with systemd-resolved.
#[macro_export]
macro_rules! on_the_resolved_laptop {
    ($($name:ident),+ $(,)?) => {
        mod resolved {
            $(#[test]
            #[ignore = "needs root"]
            fn $name() {
                $crate::with_laptop($crate::LaptopKind::Resolved, super::$name);
            })+
        }
    };
}

/// The test of the name, on the laptop without a helper.
#[macro_export]
macro_rules! on_the_bare_laptop {
    ($($name:ident),+ $(,)?) => {
        mod bare {
            $(#[test]
            #[ignore = "needs root"]
            fn $name() {
                $crate::with_laptop($crate::LaptopKind::Bare, super::$name);
            })+
        }
    };
}

/// The test of the name, on the plain laptop.
#[macro_export]
macro_rules! on_the_plain_laptop {
    ($($name:ident),+ $(,)?) => {
        mod plain {
            $(#[test]
            #[ignore = "needs root"]
            fn $name() {
                $crate::with_laptop($crate::LaptopKind::Plain, super::$name);
            })+
        }
    };
}
