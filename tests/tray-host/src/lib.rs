//! Tray for tests: shows status items to a program instead of a user.
//!
//! [`TrayHost`] is a register as in a panel (`org.kde.StatusNotifierWatcher`). A program's icon is an [`Item`], whose
//! menu is read and clicked over `com.canonical.dbusmenu`, as by a panel. [`SessionBus`] and [`Display`] are a private
//! bus and screen for the program under test.
//!
//! The binary of the same name takes commands on standard input, for scripts.

mod desktop;
mod host;
mod item;

pub use desktop::{Display, SessionBus};
pub use host::TrayHost;
pub use item::{Icon, Item, Line, Shown};
