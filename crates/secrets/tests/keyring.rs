//! The keyring on a bus of its own: gnome-keyring, a bus without a service, no bus.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use slipway_problem::Fault;
use slipway_profile::Profile;
use slipway_secrets::{Owner, Purpose, keyring};
use tempfile::TempDir;

/// Set in the process of a scene, which has a bus of its own.
const SCENE: &str = "SLIPWAY_TEST_SCENE";

/// A session bus, ended when this is dropped.
struct Bus {
    daemon: Child,
    address: String,
    home: TempDir,
}

impl Bus {
    /// Starts a bus that starts no service by itself: a prompt of the machine's desktop must not appear.
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let config = home.path().join("bus.conf");
        let socket = home.path().join("bus");
        let text = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig><type>session</type>\
             <listen>unix:path={}</listen><policy context=\"default\"><allow send_destination=\"*\" \
             eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>\n",
            socket.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .args(["--nofork", "--print-address"])
            .arg(format!("--config-file={}", config.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let stdout = daemon.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut address).unwrap();
        Self {
            daemon,
            address: address.trim().to_owned(),
            home,
        }
    }

    /// Returns a command on this bus.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path())
            .env_remove("XDG_DATA_HOME")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY");
        command
    }

    /// Starts gnome-keyring. With a password its keyring `login` is unlocked; without one there is no keyring.
    fn keyring(&self, password: Option<&str>) -> Keyring {
        let mut command = self.command("gnome-keyring-daemon");
        command.args(["--foreground", "--components=secrets"]);
        if password.is_some() {
            command.arg("--unlock");
        }
        let mut daemon = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gnome-keyring is installed");
        let mut stdin = daemon.stdin.take().unwrap();
        stdin.write_all(password.unwrap_or_default().as_bytes()).unwrap();
        drop(stdin);
        let keyring = Keyring(daemon);
        let began = Instant::now();
        while !self.has_keyring() {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "gnome-keyring takes its name"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        keyring
    }

    fn has_keyring(&self) -> bool {
        let call = [
            "--session",
            "--print-reply",
            "--dest=org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus.NameHasOwner",
            "string:org.freedesktop.secrets",
        ];
        let output = self.command("dbus-send").args(call).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("boolean true")
    }

    fn lock(&self) {
        let call = [
            "--session",
            "--print-reply",
            "--dest=org.freedesktop.secrets",
            "/org/freedesktop/secrets",
            "org.freedesktop.Secret.Service.Lock",
            "array:objpath:/org/freedesktop/secrets/collection/login",
        ];
        let output = self.command("dbus-send").args(call).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Plays a scene of this file in a process that has this bus.
    fn play(&self, scene: &str) {
        let test = std::env::current_exe().unwrap();
        let mut command = self.command(test.to_str().unwrap());
        command.env(SCENE, scene);
        ended_well(&mut command);
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// A running gnome-keyring, ended when this is dropped.
struct Keyring(Child);

impl Drop for Keyring {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ended_well(command: &mut Command) {
    let arguments = ["--exact", "--include-ignored", "--nocapture", "a_scene"];
    let output = command.args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

fn owner(name: &str) -> Owner {
    Owner::of(&Profile::new(name.parse().unwrap()))
}

/// The code of a failed call.
fn code<T>(outcome: Result<T, slipway_secrets::SecretError>) -> String {
    outcome
        .err()
        .map_or_else(String::new, |error| error.code().to_owned())
}

/// Plays the scene that the environment names.
#[tokio::test]
#[ignore = "needs a bus of its own, which the other tests make"]
async fn a_scene() {
    match &*std::env::var(SCENE).unwrap_or_default() {
        "open" => open().await,
        "stored" => keyring::set(&owner("shop"), Purpose::Token, "sesame".into())
            .await
            .unwrap(),
        "locked" => locked().await,
        "without default" => without_default().await,
        "absent" => absent().await,
        "silent" => silent().await,
        "" => {}
        other => panic!("{other}"),
    }
}

async fn open() {
    let (shop, blog) = (owner("shop"), owner("blog"));
    keyring::try_out().await.unwrap();
    assert_eq!(keyring::list().await.unwrap(), [], "a trial leaves nothing");
    let missing = keyring::get(&shop, Purpose::Token).await;
    assert_eq!(code(missing), "secret-missing");
    for text in ["sesame", "open\u{e4}", &"x".repeat(60_000)] {
        keyring::set(&shop, Purpose::Token, text.into()).await.unwrap();
        let read = keyring::get(&shop, Purpose::Token).await.unwrap();
        assert_eq!(read.expose_secret(), text);
    }
    assert_eq!(keyring::list().await.unwrap().len(), 1, "it is replaced");
    let renamed = Owner {
        name: "other".parse().unwrap(),
        ..shop.clone()
    };
    assert!(keyring::get(&renamed, Purpose::Token).await.is_ok());
    keyring::set(&blog, Purpose::Token, "b".into()).await.unwrap();
    assert_eq!(keyring::clear_all(shop.id).await.unwrap(), 1);
    assert_eq!(code(keyring::get(&shop, Purpose::Token).await), "secret-missing");
    let left = keyring::list().await.unwrap();
    assert_eq!((left.len(), left[0].profile), (1, blog.id));
    assert!(keyring::clear(blog.id, "token").await.unwrap());
    assert!(!keyring::clear(blog.id, "token").await.unwrap());
}

async fn locked() {
    let began = Instant::now();
    assert_eq!(
        keyring::list().await.unwrap().len(),
        1,
        "what is locked is listed"
    );
    assert_eq!(code(keyring::try_out().await), "keyring-locked");
    // Nobody is there who could unlock it.
    let read = keyring::get(&owner("shop"), Purpose::Token).await;
    assert!(["keyring-locked", "keyring-refuses"].contains(&&*code(read)));
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

async fn without_default() {
    assert_eq!(keyring::list().await.unwrap(), []);
    let stored = keyring::set(&owner("shop"), Purpose::Token, "sesame".into()).await;
    assert_eq!(code(stored), "keyring-refuses");
    assert_eq!(code(keyring::try_out().await), "keyring-refuses");
}

async fn silent() {
    let began = Instant::now();
    assert_eq!(code(keyring::list().await), "keyring-silent");
    assert_eq!(began.elapsed().as_secs(), 10);
}

async fn absent() {
    let began = Instant::now();
    assert_eq!(code(keyring::list().await), "keyring-absent");
    assert_eq!(
        code(keyring::get(&owner("shop"), Purpose::Token).await),
        "keyring-absent"
    );
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
#[ignore = "needs gnome-keyring"]
fn an_open_keyring_keeps_secrets() {
    let bus = Bus::start();
    let _keyring = bus.keyring(Some("test-password"));
    bus.play("open");
}

#[test]
#[ignore = "needs gnome-keyring"]
fn a_locked_keyring_is_told() {
    let bus = Bus::start();
    let _keyring = bus.keyring(Some("test-password"));
    bus.play("stored");
    bus.lock();
    bus.play("locked");
}

#[test]
#[ignore = "needs gnome-keyring"]
fn a_keyring_that_takes_nothing_is_told() {
    let bus = Bus::start();
    let _keyring = bus.keyring(None);
    bus.play("without default");
}

#[test]
fn a_bus_without_a_keyring_is_told() {
    Bus::start().play("absent");
}

#[test]
fn a_silent_bus_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("bus");
    // It takes the connection and never answers.
    let _silent = UnixListener::bind(&socket).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(
        "DBUS_SESSION_BUS_ADDRESS",
        format!("unix:path={}", socket.display()),
    );
    command.env(SCENE, "silent");
    ended_well(&mut command);
}

#[test]
fn a_bus_that_is_gone_is_told() {
    let bus = Bus::start();
    for address in ["unix:path=/nonexistent", ""] {
        let mut command = bus.command(std::env::current_exe().unwrap().to_str().unwrap());
        command
            .env("DBUS_SESSION_BUS_ADDRESS", address)
            .env("XDG_RUNTIME_DIR", "/nonexistent");
        command.env(SCENE, "absent");
        ended_well(&mut command);
    }
}
