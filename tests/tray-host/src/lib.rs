//! A tray for tests: shows status items to a program instead of to a person.
//!
//! [`TrayHost`] is the register that a panel would be (`org.kde.StatusNotifierWatcher`). A program's icon
//! comes as an [`Item`], whose menu is read and clicked as a panel does it, over `com.canonical.dbusmenu`.
//! [`SessionBus`] and [`Display`] give the program under test a bus and a screen of its own.
//!
//! The binary of the same name does the same for scripts: it takes commands on standard input.

mod desktop;
mod host;
mod item;

pub use desktop::{Display, SessionBus};
pub use host::TrayHost;
pub use item::{Icon, Item, Line, Shown};
