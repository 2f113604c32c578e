//! Client of the helper: connections, leases, and the sockets that come with them.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use slipway_helper_api::{
    Build, Change, DnsChange, DnsGranted, DnsPlan, Granted, Hello, HelperRefusal, MAX_CHANGE, Protocol,
    Reply, Request, Route, Routes, Slot, Status, Tally, Updated, UpstreamName, Version, Welcome,
};
use tokio::net::UnixStream;

use crate::connection::{ANSWER_WAIT, Connection, UP_WAIT};
use crate::error::ClientError;
use crate::plan::Plan;
use crate::started::{self, Started};

/// Connection to the helper without a lease.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    welcome: Welcome,
    started: Started,
}

impl Client {
    /// Connects and exchanges Hello.
    ///
    /// # Errors
    /// [`ClientError`]: [`ClientError::NoHelper`] if no helper listens, [`ClientError::Refused`] if the helper does not
    /// serve this user, [`ClientError::OtherVersion`] if it does not serve this version.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let path = path.as_ref();
        let stream = UnixStream::connect(path)
            .await
            .map_err(|source| ClientError::NoHelper {
                socket: path.to_owned(),
                source,
            })?;
        let started = started::of_peer(&stream);
        match Self::greet(stream, Version::OURS).await {
            Err(ClientError::Refused(refusal @ HelperRefusal::VersionMismatch { .. })) => {
                Err(ClientError::OtherVersion { refusal, started })
            }
            greeted => greeted,
        }
    }

    /// Exchanges Hello on a connected stream, with this version.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn greet(stream: UnixStream, version: Version) -> Result<Self, ClientError> {
        let started = started::of_peer(&stream);
        let mut connection = Connection::new(stream);
        let hello = Hello {
            epoch: version.epoch,
            revision: version.revision,
            build: Build::ours(),
        };
        let Reply::Welcome(welcome) = connection.ask(&Request::Hello(hello), ANSWER_WAIT).await? else {
            return Err(ClientError::Unexpected);
        };
        Ok(Self {
            connection,
            welcome,
            started,
        })
    }

    /// Returns the helper's version and build.
    #[must_use]
    pub fn hello(&self) -> &Welcome {
        &self.welcome
    }

    /// Asks for a lease, and waits until TUN, addresses, all routes and DNS are set. With `prefer` it asks for the
    /// slot, and so the addresses, of a lease that ended with an earlier helper.
    ///
    /// # Errors
    /// [`UpError::Refused`] gives the client back to ask again, for example without the conflicting networks.
    pub async fn up(mut self, plan: &Plan, prefer: Option<Slot>) -> Result<Handover, UpError> {
        let (up, more) = plan.up(prefer);
        let first = Plan::of(&up);
        let granted = match self.connection.ask(&Request::Up(up), UP_WAIT).await {
            Ok(Reply::Up(granted)) => granted,
            Ok(
                Reply::Welcome(_) | Reply::Updated(_) | Reply::Down(_) | Reply::Status(_) | Reply::Refused(_),
            ) => {
                return Err(UpError::Lost(ClientError::Unexpected));
            }
            Err(ClientError::Refused(refusal)) => {
                return Err(UpError::Refused {
                    refusal,
                    client: Box::new(self),
                });
            }
            Err(lost) => return Err(UpError::Lost(lost)),
        };
        let mut fds = self.connection.take_fds().into_iter();
        let tun = fds.next().ok_or(UpError::Lost(ClientError::Unexpected))?;
        let upstreams = Upstream::pair(granted.dns.as_ref(), fds).map_err(UpError::Lost)?;
        let mut lease = Lease {
            connection: self.connection,
            welcome: self.welcome,
            plan: first,
            granted,
            has_revoked: false,
        };
        for change in more {
            match lease.change(change).await {
                Ok(_) => {}
                Err(ClientError::Refused(refusal)) => {
                    // All or nothing: end the incomplete lease first.
                    drop(tun);
                    let Lease {
                        mut connection,
                        welcome,
                        ..
                    } = lease;
                    let ended = connection.ask(&Request::Down, ANSWER_WAIT).await;
                    ended.map_err(UpError::Lost)?;
                    return Err(UpError::Refused {
                        refusal,
                        client: Box::new(Self {
                            connection,
                            welcome,
                            started: self.started,
                        }),
                    });
                }
                Err(lost) => return Err(UpError::Lost(lost)),
            }
        }
        Ok(Handover {
            lease,
            tun,
            upstreams,
        })
    }

    /// Asks for the status of helper and laptop. Needs no permission.
    ///
    /// # Errors
    /// [`ClientError`] if the helper is gone or does not answer.
    pub async fn status(&mut self) -> Result<Status, ClientError> {
        self.connection.status().await
    }

    /// Returns how the helper was started.
    #[must_use]
    pub fn started(&self) -> &Started {
        &self.started
    }
}

/// Handover of a granted lease: the lease, its TUN, and sockets to the laptop's name servers.
#[derive(Debug)]
pub struct Handover {
    /// The lease. It lives as long as its connection.
    pub lease: Lease,
    /// The TUN, non-blocking. Each read or write is one IP packet without a header. No other process holds it, so
    /// closing it removes the device and its routes.
    pub tun: OwnedFd,
    /// Sockets to the laptop's own name servers, which the redirects of this lease and of higher slots let pass. Empty
    /// without DNS.
    pub upstreams: Vec<Upstream>,
}

/// Lease of a session. Dropping it ends it; [`Lease::down`] also waits until the helper has undone everything.
#[derive(Debug)]
pub struct Lease {
    connection: Connection,
    welcome: Welcome,
    plan: Plan,
    granted: Granted,
    /// Whether networks have been revoked since [`Lease::take_revoked`] asked.
    has_revoked: bool,
}

impl Lease {
    /// Returns slot, device, addresses and DNS, as of the last change.
    #[must_use]
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// Returns the plan that the lease fulfills: without the networks that the laptop itself has come to use.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the helper's version and build.
    #[must_use]
    pub fn hello(&self) -> &Welcome {
        &self.welcome
    }

    /// Waits until the helper is gone. Then close the TUN at once: its routes live as long as a process holds the
    /// descriptor.
    pub async fn closed(&self) {
        self.connection.closed().await;
    }

    /// Returns whether networks have been revoked since the last call, because the laptop itself uses them by now.
    pub fn take_revoked(&mut self) -> bool {
        std::mem::take(&mut self.has_revoked)
    }

    /// Makes the helper take networks out of the lease that the laptop itself uses by now. Every other change does so too.
    ///
    /// # Errors
    /// As [`Lease::update`].
    pub async fn recheck(&mut self) -> Result<(), ClientError> {
        self.change(Change::default()).await.map(drop)
    }

    /// Changes the lease to a plan. If its DNS plan is new, returns new sockets to the laptop's name servers.
    ///
    /// # Errors
    /// [`ClientError::Refused`] leaves the lease alive. A large change is several requests, so [`Lease::plan`] may then
    /// have a part of it.
    pub async fn update(&mut self, next: &Plan) -> Result<Vec<Upstream>, ClientError> {
        let mut upstreams = Vec::new();
        for change in self.plan.changes_to(next) {
            upstreams.append(&mut self.change(change).await?);
        }
        Ok(upstreams)
    }

    /// Adds networks without comparing whole plans, for addresses that are learned one by one.
    ///
    /// # Errors
    /// As [`Lease::update`].
    pub async fn add(&mut self, routes: impl IntoIterator<Item = Route>) -> Result<(), ClientError> {
        let new = routes
            .into_iter()
            .filter(|route| !self.plan.routes().contains(route));
        for add in Routes::from_iter(new)
            .iter()
            .collect::<Vec<_>>()
            .chunks(MAX_CHANGE)
        {
            self.change(Change {
                add: add.to_vec(),
                remove: Vec::new(),
                dns: DnsChange::Keep,
            })
            .await?;
        }
        Ok(())
    }

    /// Makes the helper read the laptop's name servers again, after the laptop moved to another network, and returns
    /// new sockets to them.
    ///
    /// # Errors
    /// As [`Lease::update`].
    pub async fn refresh_dns(&mut self) -> Result<Vec<Upstream>, ClientError> {
        match self.plan.dns().cloned() {
            Some(dns) => self.set_dns(dns).await,
            None => Ok(Vec::new()),
        }
    }

    /// Sets the DNS plan, and makes the helper read the laptop's name servers again, even if the plan is the same.
    /// Returns new sockets to them.
    ///
    /// # Errors
    /// As [`Lease::update`].
    pub async fn set_dns(&mut self, dns: DnsPlan) -> Result<Vec<Upstream>, ClientError> {
        self.change(Change {
            add: Vec::new(),
            remove: Vec::new(),
            dns: DnsChange::Set(dns),
        })
        .await
    }

    /// Asks for the status of helper and laptop.
    ///
    /// # Errors
    /// [`ClientError`] if the helper is gone or does not answer.
    pub async fn status(&mut self) -> Result<Status, ClientError> {
        self.connection.status().await
    }

    /// Ends the lease and waits until the helper has undone everything. The caller drops the TUN.
    ///
    /// # Errors
    /// [`ClientError`] if the helper is gone: then the kernel removes the device when the TUN is dropped.
    pub async fn down(mut self) -> Result<Tally, ClientError> {
        match self.connection.ask(&Request::Down, ANSWER_WAIT).await? {
            Reply::Down(tally) => Ok(tally),
            Reply::Welcome(_) | Reply::Up(_) | Reply::Updated(_) | Reply::Status(_) | Reply::Refused(_) => {
                Err(ClientError::Unexpected)
            }
        }
    }

    async fn change(&mut self, change: Change) -> Result<Vec<Upstream>, ClientError> {
        let mut updated = self.send(&change).await?;
        let fds = self.connection.take_fds();
        let upstreams = Upstream::pair(updated.dns.as_ref(), fds.into_iter())?;
        match change.dns {
            DnsChange::Keep => {}
            DnsChange::Off | DnsChange::Set(_) => self.granted.dns = updated.dns.take(),
        }
        // Those from before the change come first. What the next replies have beyond these was revoked after it.
        let mut before = updated.revoked.len() + updated.more;
        let mut change = Some(change);
        loop {
            self.has_revoked |= !updated.revoked.is_empty();
            for conflict in &updated.revoked {
                if before == 0
                    && let Some(change) = change.take()
                {
                    self.plan.apply(&change);
                }
                self.plan.give_way(conflict);
                before = before.saturating_sub(1);
            }
            if updated.more == 0 {
                break;
            }
            updated = self.send(&Change::default()).await?;
        }
        if let Some(change) = change {
            self.plan.apply(&change);
        }
        Ok(upstreams)
    }

    async fn send(&mut self, change: &Change) -> Result<Updated, ClientError> {
        let request = Request::Update(change.clone());
        match self.connection.ask(&request, ANSWER_WAIT).await? {
            Reply::Updated(updated) => Ok(updated),
            Reply::Welcome(_) | Reply::Up(_) | Reply::Down(_) | Reply::Status(_) | Reply::Refused(_) => {
                Err(ClientError::Unexpected)
            }
        }
    }
}

/// Socket to one of the laptop's own name servers.
#[derive(Debug)]
pub struct Upstream {
    /// The name server.
    pub server: SocketAddr,
    /// Protocol of the socket.
    pub protocol: Protocol,
    /// The socket, non-blocking. Its mark, which `connect` keeps, makes the redirects let its packets pass.
    pub socket: OwnedFd,
}

impl Upstream {
    fn pair(
        dns: Option<&DnsGranted>,
        fds: impl ExactSizeIterator<Item = OwnedFd>,
    ) -> Result<Vec<Self>, ClientError> {
        let names: &[UpstreamName] = dns.map_or(&[], |dns| &dns.upstreams);
        if names.len() != fds.len() {
            return Err(ClientError::Unexpected);
        }
        let upstream = |(name, socket): (&UpstreamName, OwnedFd)| Self {
            server: name.server,
            protocol: name.protocol,
            socket,
        };
        Ok(names.iter().zip(fds).map(upstream).collect())
    }
}

/// Error of a request for a lease.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The helper refused. The client can ask again.
    #[error("{refusal}")]
    Refused {
        /// Refusal of the helper.
        refusal: HelperRefusal,
        /// The connection, to ask again.
        client: Box<Client>,
    },
    /// The connection is lost.
    #[error(transparent)]
    Lost(ClientError),
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use slipway_helper_api::frame::{Decoder, encode};
    use slipway_helper_api::{Conflict, ConflictWith, RouteOrigin, TunnelCidr, rights};

    use super::*;

    fn net(text: &str) -> TunnelCidr {
        text.parse().expect("network")
    }

    fn declared(text: &str) -> Route {
        Route::new(net(text), RouteOrigin::Declared)
    }

    fn attached(text: &str) -> Conflict {
        Conflict {
            range: net(text),
            route: net(text).net(),
            device: "wlan0".to_owned(),
            with: ConflictWith::Attached,
        }
    }

    /// Answers requests with these replies, the second of which grants a lease.
    async fn answer(stream: UnixStream, replies: Vec<Reply>) {
        let (mut decoder, mut bytes, mut fds) = (Decoder::default(), [0; 4096], Vec::new());
        for reply in replies {
            while decoder.message::<Request>().expect("a request").is_none() {
                let read = rights::receive(&stream, &mut bytes, &mut fds).await;
                decoder.push(&bytes[..read.expect("bytes")]);
            }
            // Any descriptor stands for the TUN here.
            let tun = matches!(reply, Reply::Up(_)).then(|| stream.as_fd());
            let tun: Vec<_> = tun.into_iter().collect();
            let frame = encode(&reply).expect("fits");
            rights::send(&stream, &frame, &tun).await.expect("sent");
        }
    }

    #[tokio::test]
    async fn revocations_before_and_after_a_change_keep_their_order() {
        let updated = |revoked: &[&str], more| {
            Reply::Updated(Updated {
                dns: None,
                revoked: revoked.iter().map(|net| attached(net)).collect(),
                more,
            })
        };
        let replies = vec![
            Reply::Welcome(Welcome {
                version: Version::OURS,
                build: Build::ours(),
            }),
            Reply::Up(Granted {
                slot: Slot::try_from(0).expect("slot"),
                tun_name: "slipway0".to_owned(),
                address: [198, 18, 0, 1].into(),
                resolver: [198, 18, 0, 2].into(),
                address6: None,
                dns: None,
            }),
            updated(&[], 0),
            updated(&["10.1.0.0/16"], 1),
            // The network was the laptop's before the change, and a part of it is again after the change.
            updated(&["10.9.0.0/16", "10.9.0.0/17"], 0),
        ];
        let (ours, helper) = UnixStream::pair().expect("pair");
        let talk = async {
            let client = Client::greet(ours, Version::OURS).await.expect("greeted");
            let plan = Plan::new([declared("10.0.0.0/15"), declared("10.9.1.0/24")], None).expect("plan");
            let mut lease = client.up(&plan, None).await.expect("a lease").lease;
            lease.recheck().await.expect("checked");
            assert!(!lease.take_revoked(), "nothing is revoked");
            lease.add([declared("10.9.0.0/16")]).await.expect("added");
            assert!(lease.take_revoked() && !lease.take_revoked());
            let routes: Vec<TunnelCidr> = lease.plan().routes().nets().collect();
            assert_eq!(routes, ["10.0.0.0/16", "10.9.128.0/17"].map(net));
        };
        tokio::join!(talk, answer(helper, replies));
    }
}
