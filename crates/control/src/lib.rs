//! Control sockets: how sessions are found, watched and steered.
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
//! On the socket go lines of JSON, whose types are in [`slipway_control_api`]: a `Greeting` from the session, then a
//! `Request` and its `Reply`s.
//!
//! What is told is data, and may hold words of others; whoever shows it has it made [`plain_text`].
//!
//! This crate does the I/O and keeps the register. It knows no cluster, no tunnel and no window; what a state or a
//! problem means is the session's business.

mod claim;
mod client;
mod error;
mod file_lock;
mod folder;
mod folder_watch;
mod last_words;
mod log;
mod names;
mod plain;
mod problems;
mod publisher;
mod server;
mod start;
mod watcher;
mod wire;

pub use claim::{Claim, ClaimError, Subject};
pub use client::{Client, DISCONNECT_LIMIT, Watch, WatchEvent, sessions};
pub use error::Error;
pub use file_lock::FileLock;
pub use folder::RuntimeFolder;
pub use folder_watch::FolderWatch;
pub use last_words::LastWords;
pub use log::{LogRing, LogWriter};
pub use plain::{PlainFields, plain_json, plain_line, plain_text};
pub use problems::ProblemSource;
pub use publisher::Publisher;
pub use server::{Handler, Server};
pub use start::{fresh_id, status_of_this_process};
pub use watcher::{Snapshot, Watcher};
pub use wire::MAX_LINE_BYTES;
