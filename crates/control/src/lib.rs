//! What a session tells and takes over its socket: state, events, commands.
//!
//! One session is one process, and each process serves one socket, `$XDG_RUNTIME_DIR/slipway/ID.sock`. The
//! folder is the register: whoever wants to know what runs (the command line, the tray) reads it and asks
//! every socket. Nothing has to be told about a session for it to be seen, and no process has to live for
//! another to be steered.
//!
//! ```text
//! session: Publisher -> Server -> socket -> Client, sessions(), Watcher :tray, command line
//!          Handler   <- Server <- socket <- Client
//! ```
//!
//! On the socket go lines of JSON: a [`Greeting`] from the session, then a [`Request`] and its [`Reply`]s.
//! The types are the same on both sides and in `slipway status --json`.
//!
//! What is told is data, and may hold words of others; whoever shows it has it made [`plain_text`].
//!
//! This crate knows no cluster, no tunnel and no window; what a state means is the session's business.

mod claim;
mod client;
mod error;
mod folder;
mod folder_watch;
mod last_words;
mod log;
mod message;
mod plain;
mod server;
mod status;
mod watcher;
mod wire;

pub use claim::{Claim, ClaimError};
pub use client::{Client, DISCONNECT_LIMIT, Watch, sessions};
pub use error::Error;
pub use folder::{RuntimeFolder, SessionId};
pub use folder_watch::FolderWatch;
pub use last_words::LastWords;
pub use log::{LogRing, LogWriter};
pub use message::{
    Answerer, Explanation, Greeting, NameEvent, PROTOCOL_VERSION, Problem, Reply, Request, WatchEvent,
};
pub use plain::{PlainFields, plain_json, plain_line, plain_text};
pub use server::{Handler, Publisher, Server};
pub use status::{AgentInfo, Health, SessionStatus, State, Word};
pub use watcher::{Picture, Watcher};
pub use wire::MAX_LINE_BYTES;
