//! Tray: shows the view with Tauri.
//!
//! Used only on the main thread, as Tauri's menus require.

use slipway_desktop::{Entry, Glyph, Menu, View};
use tauri::image::Image;
use tauri::menu::{IsMenuItem, MenuItem, PredefinedMenuItem};
use tauri::tray::{TrayIcon, TrayIconBuilder};
use tauri::{AppHandle, Wry};

/// Id of the tray item on the bus.
const ID: &str = "slipway";

/// A tray that shows a view.
pub(crate) struct Tray {
    icon: TrayIcon,
    /// The items of the shown menu; `None` for a separator.
    items: Vec<Option<MenuItem<Wry>>>,
    shown: View,
}

impl Tray {
    /// Adds the icon to the tray.
    ///
    /// # Errors
    /// If no program shows it: there is no session bus, no StatusNotifierWatcher on it, or no host.
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

    /// Applies the differences. If the menu has the same slots, its items are changed in place, so that an open menu stays
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

/// Escapes `&`, which would mark an access key.
fn literal(text: &str) -> String {
    text.replace('&', "&&")
}

/// Returns the image of an icon. Tauri passes on one size; panels of 22 and 24 pixels, also at scale 2, scale this one
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
