//! Status item with its icon and its menu.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use serde::Serialize;
use tokio::time::timeout;
use zbus::message::Type;
use zbus::proxy::CacheProperties;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Structure, Value};
use zbus::{Connection, MatchRule, MessageStream, Proxy};

const ITEM: &str = "org.kde.StatusNotifierItem";
const MENU: &str = "com.canonical.dbusmenu";
/// Number of signals that may wait while an item is read; one is enough to read it again.
const QUEUE: usize = 64;

/// Bus name and path of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ItemAddress {
    pub(crate) bus_name: String,
    pub(crate) path: String,
}

impl fmt::Display for ItemAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.bus_name, self.path)
    }
}

/// A program's icon in the tray.
#[derive(Clone, Debug)]
pub struct Item {
    bus: Connection,
    place: ItemAddress,
}

/// Content of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The tooltip.
    pub tooltip: String,
    /// The icon.
    #[serde(skip)]
    pub icon: Icon,
    /// The menu, from top to bottom.
    pub menu: Vec<Line>,
}

/// An icon's pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Icon {
    /// In pixels.
    pub width: i32,
    /// In pixels.
    pub height: i32,
    /// Alpha, red, green, blue of each pixel, row by row.
    pub argb: Vec<u8>,
}

/// A line of a menu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The line's id in the item.
    pub id: i32,
    /// The text; empty for a separator.
    pub label: String,
    /// Whether the line can be clicked.
    pub enabled: bool,
    /// Whether it is a separator.
    pub separator: bool,
}

impl Shown {
    /// Returns the first line that begins with `label`.
    pub fn line(&self, label: &str) -> Option<&Line> {
        self.menu
            .iter()
            .find(|line| !line.separator && line.label.trim_start().starts_with(label))
    }
}

impl Item {
    pub(crate) fn at(bus: Connection, place: ItemAddress) -> Self {
        Self { bus, place }
    }

    /// Returns the item's id, the same at every start of the program.
    ///
    /// # Errors
    /// If the item is gone.
    pub async fn id(&self) -> Result<String> {
        Ok(self
            .proxy(ITEM, &self.place.path)
            .await?
            .get_property("Id")
            .await?)
    }

    /// Reads the item's present content.
    ///
    /// # Errors
    /// If the item is gone or breaks the protocol.
    pub async fn shown(&self) -> Result<Shown> {
        let item = self.proxy(ITEM, &self.place.path).await?;
        type Pixmaps = Vec<(i32, i32, Vec<u8>)>;
        let (_, _, title, text): (String, Pixmaps, String, String) = item.get_property("ToolTip").await?;
        let pixmaps: Pixmaps = item.get_property("IconPixmap").await?;
        let icon = pixmaps
            .into_iter()
            .map(|(width, height, argb)| Icon { width, height, argb })
            .max_by_key(|icon| icon.width)
            .unwrap_or_default();
        let tooltip = if text.is_empty() { title } else { text };
        Ok(Shown {
            tooltip,
            icon,
            menu: self.menu().await?,
        })
    }

    /// Waits until the item's content is as `wanted`. Reads it again at every signal.
    ///
    /// # Errors
    /// If it is not so within `limit`; the error has the last content.
    pub async fn wait(&self, limit: Duration, wanted: impl Fn(&Shown) -> bool) -> Result<Shown> {
        let signals = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(self.place.bus_name.as_str())?
            .build();
        let mut signals = MessageStream::for_match_rule(signals, &self.bus, Some(QUEUE)).await?;
        let mut last = None;
        let seen = async {
            loop {
                let mut changed = false;
                let mut reading = pin!(self.shown());
                let shown = loop {
                    // The queue of signals is emptied meanwhile, because a full one blocks the answers that the read waits for.
                    tokio::select! {
                        shown = &mut reading => break shown?,
                        signal = signals.next() => {
                            signal.context("the bus is gone")??;
                            changed = true;
                        }
                    }
                };
                if wanted(&shown) {
                    return Ok(shown);
                }
                last = Some(shown);
                if !changed {
                    signals.next().await.context("the bus is gone")??;
                }
            }
        };
        match timeout(limit, seen).await {
            Ok(seen) => seen,
            Err(_) => bail!("the tray did not show it; last: {last:#?}"),
        }
    }

    /// Waits for an enabled line that begins with `label`, and clicks it. Returns the whole label.
    ///
    /// # Errors
    /// If there is none within `limit`.
    pub async fn click(&self, label: &str, limit: Duration) -> Result<String> {
        let enabled = |shown: &Shown| shown.line(label).is_some_and(|line| line.enabled);
        let shown = self
            .wait(limit, enabled)
            .await
            .with_context(|| format!("there is no {label:?} to click"))?;
        let line = shown.line(label).context("the line is gone")?;
        let menu = self.menu_proxy().await?;
        let clicked: zbus::Result<()> = menu
            .call("Event", &(line.id, "clicked", Value::from(0i32), 0u32))
            .await;
        match clicked {
            // A program that ends at the click may not reply.
            Err(zbus::Error::MethodError(name, ..)) if name == "org.freedesktop.DBus.Error.NoReply" => {}
            replied => replied?,
        }
        Ok(line.label.clone())
    }

    async fn menu(&self) -> Result<Vec<Line>> {
        type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);
        let (_, (_, _, children)): (u32, Layout) = self
            .menu_proxy()
            .await?
            .call("GetLayout", &(0i32, -1i32, Vec::<&str>::new()))
            .await?;
        children.into_iter().map(line).collect()
    }

    async fn menu_proxy(&self) -> Result<Proxy<'_>> {
        let item = self.proxy(ITEM, &self.place.path).await?;
        let path: OwnedObjectPath = item.get_property("Menu").await?;
        self.proxy(MENU, path.as_str()).await
    }

    async fn proxy(&self, interface: &'static str, path: &str) -> Result<Proxy<'_>> {
        Ok(zbus::proxy::Builder::new(&self.bus)
            .destination(self.place.bus_name.as_str())?
            .path(path.to_owned())?
            .interface(interface)?
            .cache_properties(CacheProperties::No)
            .build()
            .await?)
    }
}

/// Parses a child of a layout: (id, properties, children).
fn line(child: OwnedValue) -> Result<Line> {
    let child = Structure::try_from(child).context("A child of the menu is not a structure")?;
    let [Value::I32(id), Value::Dict(properties), Value::Array(_)] = child.fields() else {
        bail!("a child of the menu has another form: {child:?}");
    };
    // dbusmenu omits properties with their default: enabled, visible, a label, no separator.
    let text = |name: &str| properties.get::<_, String>(&name).ok().flatten();
    let enabled = properties
        .get::<_, bool>(&"enabled")
        .ok()
        .flatten()
        .unwrap_or(true);
    let separator = text("type").is_some_and(|kind| kind == "separator");
    let label = text("label")
        .map(|label| without_access_keys(&label))
        .unwrap_or_default();
    Ok(Line {
        id: *id,
        label,
        enabled,
        separator,
    })
}

/// Returns the visible text of a label: `_` marks an access key, `__` is an underscore.
fn without_access_keys(label: &str) -> String {
    let mut read = String::new();
    let mut chars = label.chars();
    while let Some(c) = chars.next() {
        match c {
            '_' => read.extend(chars.next()),
            c => read.push(c),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unescaped() {
        assert_eq!(without_access_keys("_Quit my__app"), "Quit my_app");
        assert_eq!(without_access_keys("a_"), "a");
    }
}
