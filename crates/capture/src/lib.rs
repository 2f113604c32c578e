//! Capture of a TUN's packets: TCP connections become streams, through a private network namespace.
//!
//! The caller routes the addresses to capture into a TUN, on a laptop or for one program or container, and gives that
//! TUN to [`Capture::start`]. From then on a TCP connection that a program opens becomes one call of
//! [`FarEnd::open`] and one [`FarEnd::carry`] with an ordinary [`tokio::net::TcpStream`]; UDP and ICMP echo
//! become [`FarEnd::datagram`] and [`FarEnd::echo`], and their answers return through [`Replies`]; a DNS query to
//! the resolver's address becomes a question to [`DnsService`].
//!
//! ```text
//!  program -> laptop kernel -> laptop TUN -> pump -+- TCP --> private TUN -> kernel TCP of the private namespace
//!                                                  |                         -> accept() -> FarEnd::carry
//!                                                  +- UDP, ICMP echo -------> FarEnd::datagram, FarEnd::echo
//!                                                  +- DNS ------------------> DnsService
//! ```
//!
//! TCP is spoken by the kernel, not by a stack of ours: a child process makes a user and network namespace in
//! which every address is local, so that packets go in and come out without a byte rewritten and an accepted
//! socket's own name is the destination the program meant. The one packet held back is the first SYN of a
//! connection: it enters the namespace when the far end has answered, so that
//! the result of `connect()` is the far end's.
//!
//! Where the kernel refuses that namespace, TCP packets are rewritten instead, so that they lead to a listener on the
//! laptop's own address in the TUN ([`BackEnd::Rewriting`]). Everything else is the same, and programs see
//! no difference. Only a firewall on the laptop may block it, which a self-test at the start detects.
//!
//! The owner limits the number of connections to what this process has descriptors for, by refusing in [`FarEnd::open`].
//! If there is none left nevertheless, an established connection is reset.
//!
//! This crate must not know what the far end is, how the TUN was made or what a name means.
//!
//! A program that starts captures calls [`private_namespace::child_main_if_asked`] at the start of `main`.

mod back_end;
mod capture;
mod connections;
mod descriptors;
mod dns_service;
mod dropped;
mod error;
mod far_end;
mod flows;
mod held;
mod limits;
mod lost;
pub mod packet;
pub mod private_namespace;
mod pump;
mod questions;
mod readiness;
mod replies;
mod rewriting;
mod tasks;
mod tcp_back_end;
mod tun;

pub use back_end::{BackEnd, Choice, Setup, TunAddresses};
pub use capture::Capture;
pub use dns_service::{Answer, DnsService};
pub use error::{CaptureError, NamespaceRemedy};
pub use far_end::{ConnectRefusal, Echo, FarEnd, Flow};
pub use limits::{ANSWER_LIMIT, DATAGRAM_IDLE, OPEN_LIMIT};
pub use lost::Lost;
pub use replies::Replies;
pub use tun::make_tun;
