//! The desktop shell, without the desktop: what it knows, what it shows, and what a click does.
//!
//! ```text
//! profiles, sessions, started programs -> desk (the one owner of the Picture) -> View -> tray (in the binary)
//! clicks <---------------------------------------------------------------------------------- tray
//! ```
//!
//! [`Picture`] is all that is known; [`View`] is a pure function of it; [`desk::run`] is the actor that keeps
//! the picture and does what clicks ask. The binary puts Tauri's tray around that and decides nothing.
//!
//! Sessions are processes of their own, found and steered over control sockets: this crate knows neither the
//! engine nor a cluster, and nothing that happens to the desktop touches a connection.

pub mod desk;
pub mod gl;
pub mod instance;
mod look;
mod menu;
mod picture;
mod program;
mod words;

pub use look::{Glyph, glyph, tooltip};
pub use menu::{Click, Entry, Item, Menu, menu};
pub use picture::{Failure, Picture, Reporter, Saved, Target};
pub use program::Program;

/// What the tray shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The menu.
    pub menu: Menu,
    /// The icon.
    pub glyph: Glyph,
    /// The text beside the pointer.
    pub tooltip: String,
}

impl View {
    /// How `picture` is shown.
    pub fn of(picture: &Picture) -> Self {
        Self {
            menu: menu(picture),
            glyph: glyph(picture),
            tooltip: tooltip(picture),
        }
    }
}
