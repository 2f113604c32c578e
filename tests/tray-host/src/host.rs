//! Register and host of status items.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::watch;
use tokio::time::timeout;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, connection, interface};

use crate::item::{Item, ItemAddress};

/// Bus name and interface of the register (StatusNotifierItem specification).
const REGISTER: &str = "org.kde.StatusNotifierWatcher";
const REGISTER_PATH: &str = "/StatusNotifierWatcher";
/// Path of an item that registers only with its bus name.
const ITEM_PATH: &str = "/StatusNotifierItem";

/// A tray: the register, and a host of the registered items. Leaves the bus when dropped.
#[derive(Debug)]
pub struct TrayHost {
    bus: Connection,
    items: watch::Receiver<Vec<ItemAddress>>,
}

impl TrayHost {
    /// Starts a tray on the bus at `address`, as a panel does.
    ///
    /// # Errors
    /// If the bus does not exist, or has a register already.
    pub async fn start(address: &str) -> Result<Self> {
        let (registered, items) = watch::channel(Vec::new());
        let bus = connection::Builder::address(address)?
            .serve_at(REGISTER_PATH, Register { registered })?
            .name(REGISTER)?
            .build()
            .await
            .context("Failed to become the register of status items")?;
        Ok(Self { bus, items })
    }

    /// Waits for an item with this id, and returns the newest one.
    ///
    /// # Errors
    /// If there is none within `limit`.
    pub async fn item(&self, id: &str, limit: Duration) -> Result<Item> {
        let mut items = self.items.clone();
        let found = async {
            loop {
                let places = items.borrow_and_update().clone();
                for place in places.into_iter().rev() {
                    let item = Item::at(self.bus.clone(), place);
                    // An item that is gone has no id.
                    if item.id().await.is_ok_and(|found| found == id) {
                        return Ok(item);
                    }
                }
                if items.changed().await.is_err() {
                    bail!("the register is gone");
                }
            }
        };
        timeout(limit, found)
            .await
            .with_context(|| format!("no item {id:?} appeared in the tray"))?
    }

    /// Leaves the bus, as a panel does when it crashes or at logout.
    ///
    /// # Errors
    /// If the bus is gone.
    pub async fn stop(self) -> Result<()> {
        self.bus.close().await.context("Failed to leave the bus")
    }
}

struct Register {
    registered: watch::Sender<Vec<ItemAddress>>,
}

#[interface(name = "org.kde.StatusNotifierWatcher")]
impl Register {
    /// Called by an item, with its bus name or with its path.
    #[zbus(name = "RegisterStatusNotifierItem")]
    async fn register_item(
        &self,
        service: String,
        #[zbus(header)] header: Header<'_>,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> zbus::fdo::Result<()> {
        let sender = header.sender().map(ToString::to_string).unwrap_or_default();
        let place = if service.starts_with('/') {
            ItemAddress {
                bus_name: sender,
                path: service,
            }
        } else {
            ItemAddress {
                bus_name: service,
                path: ITEM_PATH.into(),
            }
        };
        Self::item_registered(&emitter, &place.to_string()).await?;
        self.registered.send_modify(|items| items.push(place));
        Ok(())
    }

    /// Called by hosts. It does nothing, because this register has its own host.
    #[zbus(name = "RegisterStatusNotifierHost")]
    fn register_host(&self, _service: &str) {}

    #[zbus(property, name = "RegisteredStatusNotifierItems")]
    fn registered_items(&self) -> Vec<String> {
        self.registered.borrow().iter().map(ToString::to_string).collect()
    }

    #[zbus(property, name = "IsStatusNotifierHostRegistered")]
    fn is_host_registered(&self) -> bool {
        true
    }

    #[zbus(property, name = "ProtocolVersion")]
    fn protocol_version(&self) -> i32 {
        0
    }

    #[zbus(signal, name = "StatusNotifierItemRegistered")]
    async fn item_registered(emitter: &SignalEmitter<'_>, service: &str) -> zbus::Result<()>;

    #[zbus(signal, name = "StatusNotifierItemUnregistered")]
    async fn item_unregistered(emitter: &SignalEmitter<'_>, service: &str) -> zbus::Result<()>;

    #[zbus(signal, name = "StatusNotifierHostRegistered")]
    async fn host_registered(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;
}
