//! Control sockets, by which programs find, watch and control sessions.
//!
//! A session is a process that serves one socket, `$XDG_RUNTIME_DIR/slipway/ID.sock`. The folder is the register: the
//! command line and the tray read it and ask every socket. So a session registers nowhere else, and no central process
//! is needed.
//!
//! ```text
//! session: Publisher -> Server -> socket -> Client, sessions(), Watcher :tray, command line
//!          Handler   <- Server <- socket <- Client
//! ```
//!
//! The socket carries lines of JSON, whose types are in [`slipway_control_api`]: a `Greeting` from the session, then a
//! `Request` and its `Reply`s.
//!
//! Replies may contain text from a cluster or a file. A program that shows them escapes them with [`plain_text`].
//!
//! This crate does the I/O and keeps the register. It knows no cluster, no tunnel and no window, and does not
//! interpret states and problems.

mod claim;
mod client;
mod error;
mod file_lock;
mod folder;
mod folder_watch;
mod history;
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
