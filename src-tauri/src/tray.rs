//! Tray: shows the view with Tauri.
//!
//! Lives on the main thread, where Tauri's menus do.

use slipway_desktop::{Entry, Glyph, Menu, View};
use tauri::image::Image;
use tauri::menu::{IsMenuItem, MenuItem, PredefinedMenuItem};
use tauri::tray::{TrayIcon, TrayIconBuilder};
use tauri::{AppHandle, Wry};

/// The item's id on the bus.
const ID: &str = "slipway";

/// A tray that shows a view.
pub(crate) struct Tray {
    icon: TrayIcon,
    /// The items of the menu that is shown; none at a separator.
    items: Vec<Option<MenuItem<Wry>>>,
    shown: View,
}

impl Tray {
    /// Puts the icon into the tray.
    ///
    /// # Errors
    /// If nobody shows it: there is no session bus, no watcher on it, or no host.
    pub(crate) fn build(
        app: &AppHandle,
        view: View,
        click: impl Fn(&str) + Send + Sync + 'static,
    ) -> tauri::Result<Self> {
        let (menu, items) = build_menu(app, &view.menu)?;
        let icon = TrayIconBuilder::with_id(ID)
            .icon(image(view.glyph))
            .title("Slipway")
            .tooltip(&view.tooltip)
            .menu(&menu)
            .on_menu_event(move |_, event| click(event.id().as_ref()))
            .build(app)?;
        Ok(Self {
            icon,
            items,
            shown: view,
        })
    }

    /// Changes what differs. Items are changed in place where the lines stay the same: an open menu stays
    /// open.
    pub(crate) fn show(&mut self, app: &AppHandle, view: View) -> tauri::Result<()> {
        if view.menu.has_slots_of(&self.shown.menu) {
            self.change_items(&view.menu)?;
        } else {
            let (menu, items) = build_menu(app, &view.menu)?;
            self.icon.set_menu(Some(menu))?;
            self.items = items;
        }
        if view.glyph != self.shown.glyph {
            self.icon.set_icon(Some(image(view.glyph)))?;
        }
        if view.tooltip != self.shown.tooltip {
            self.icon.set_tooltip(Some(&view.tooltip))?;
        }
        self.shown = view;
        Ok(())
    }

    fn change_items(&self, menu: &Menu) -> tauri::Result<()> {
        for ((new, old), shown) in menu.entries.iter().zip(&self.shown.menu.entries).zip(&self.items) {
            let (Entry::Item(new), Entry::Item(old), Some(shown)) = (new, old, shown) else {
                continue;
            };
            if new.text != old.text {
                shown.set_text(literal(&new.text))?;
            }
            if new.click.is_some() != old.click.is_some() {
                shown.set_enabled(new.click.is_some())?;
            }
        }
        Ok(())
    }
}

type Built = (tauri::menu::Menu<Wry>, Vec<Option<MenuItem<Wry>>>);

fn build_menu(app: &AppHandle, menu: &Menu) -> tauri::Result<Built> {
    let built = tauri::menu::Menu::new(app)?;
    let mut items = Vec::with_capacity(menu.entries.len());
    for entry in &menu.entries {
        match entry {
            Entry::Item(item) => {
                let (text, enabled) = (literal(&item.text), item.click.is_some());
                let item = MenuItem::with_id(app, &item.slot, text, enabled, None::<&str>)?;
                append(&built, &item)?;
                items.push(Some(item));
            }
            Entry::Separator => {
                append(&built, &PredefinedMenuItem::separator(app)?)?;
                items.push(None);
            }
        }
    }
    Ok((built, items))
}

fn append(menu: &tauri::menu::Menu<Wry>, item: &dyn IsMenuItem<Wry>) -> tauri::Result<()> {
    menu.append(item)
}

/// Text in which nothing marks a key: a single `&` would.
fn literal(text: &str) -> String {
    text.replace('&', "&&")
}

/// The icon. Tauri hands over one size; panels of 22 and 24 pixels, with and without doubling, scale this one
/// well.
fn image(glyph: Glyph) -> Image<'static> {
    match glyph {
        Glyph::Disconnected => tauri::include_image!("../icons/tray/disconnected-48.png"),
        Glyph::Connecting => tauri::include_image!("../icons/tray/connecting-48.png"),
        Glyph::Connected => tauri::include_image!("../icons/tray/connected-48.png"),
        Glyph::Degraded => tauri::include_image!("../icons/tray/degraded-48.png"),
        Glyph::Attention => tauri::include_image!("../icons/tray/attention-48.png"),
    }
}
