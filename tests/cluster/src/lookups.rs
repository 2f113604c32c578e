//! Programs that look up names on a laptop: one for each kind of resolver.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::Desk;

/// A program that looks up a name.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// Kind of the program.
    pub by: &'static str,
    command: Vec<String>,
}

/// Result of a lookup.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The addresses, each once.
    pub addresses: BTreeSet<String>,
    /// How long it took, including the start of the program.
    pub took: Duration,
}

impl Lookup {
    /// The C library's resolver: getaddrinfo.
    #[must_use]
    pub fn getaddrinfo() -> Lookup {
        Lookup {
            by: "getaddrinfo",
            command: ["getent", "ahosts"].map(str::to_owned).into(),
        }
    }

    /// Only systemd-resolved, as getaddrinfo asks it through nss-resolve.
    #[must_use]
    pub fn nss_resolve() -> Lookup {
        Lookup {
            by: "nss-resolve",
            command: ["getent", "--service=hosts:resolve", "ahosts"]
                .map(str::to_owned)
                .into(),
        }
    }

    /// getaddrinfo, and programs with their own resolver: musl's and Go's.
    pub fn all() -> Vec<Lookup> {
        static BUILT: OnceLock<Vec<Lookup>> = OnceLock::new();
        let own = BUILT.get_or_init(|| {
            vec![
                build("musl", "lookup.c", "musl-gcc", &["-static", "-o"]),
                build("go", "lookup.go", "go", &["build", "-o"]),
            ]
        });
        [&[Lookup::getaddrinfo()], &own[..]].concat()
    }

    /// Looks up `name` on a laptop. The result is empty if the program finds nothing or takes more than 8 s.
    pub fn find(&self, desk: &Desk<'_>, name: &str) -> Found {
        let begun = Instant::now();
        let command: Vec<&str> = ["8"]
            .into_iter()
            .chain(self.command.iter().map(String::as_str))
            .chain([name])
            .collect();
        let output = desk.output("timeout", &command);
        let addresses = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
            .collect();
        Found {
            addresses,
            took: begun.elapsed(),
        }
    }

    /// Returns the sorted addresses of `name`, separated by blanks.
    pub fn addresses(&self, desk: &Desk<'_>, name: &str) -> String {
        let found = self.find(desk, name).addresses;
        found.into_iter().collect::<Vec<_>>().join(" ")
    }
}

/// Builds a lookup program in the folder of this test, which laptops see.
fn build(by: &'static str, source: &str, compiler: &str, arguments: &[&str]) -> Lookup {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/names/tests/programs");
    let program = std::env::current_exe()
        .unwrap()
        .with_file_name(format!("lookup-{by}"));
    // Another test may run the program now, and a running program cannot be overwritten.
    let unfinished: PathBuf = program.with_extension(std::process::id().to_string());
    let built = Command::new(compiler)
        .args(arguments)
        .arg(&unfinished)
        .arg(sources.join(source))
        .env("CGO_ENABLED", "0")
        .status();
    match built {
        Ok(status) => assert!(status.success(), "{source} cannot be built"),
        Err(error) => panic!("{compiler}: {error}"),
    }
    std::fs::rename(unfinished, &program).unwrap();
    Lookup {
        by,
        command: vec![program.to_str().unwrap().to_owned()],
    }
}
