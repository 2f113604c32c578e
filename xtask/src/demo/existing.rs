//! Demo on an existing cluster: creates a page there and connects this machine.
//!
//! The demo writes only to a temporary folder on this machine and to one namespace of the cluster, and removes both at
//! its end.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::unistd::{Uid, User};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Demo, pass_on_screen, program};
use crate::helper::Helper;
use crate::{build, checkout, machine, root, say};

/// Default image: small, usually cached, and also the agent's default.
pub(super) const IMAGE: &str = "docker.io/library/busybox:latest";

const NAMESPACE: &str = "slipway-demo";

const PAGE: &str = "http://web.slipway-demo.svc.cluster.local/";

/// Profile that is clicked.
const PROFILE: &str = "demo";

/// How long the page's pod may take to answer.
const PAGE_WITHIN: Duration = Duration::from_secs(90);

/// Interval of the checks meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reasons of a waiting pod that will never run.
const HOPELESS: [&str; 5] = [
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
];

pub(super) fn run(context: &str, arguments: &Demo) -> anyhow::Result<ExitCode> {
    root::require("to start slipway-helper, which sets this machine's routes while it is connected")?;
    machine::ensure_packages()?;
    checkout::take_over()?;
    say("Building Slipway");
    ensure!(
        build::everything().status()?.success(),
        "Slipway could not be built"
    );
    let person = Person::who_asked()?;
    let kubeconfig = arguments.kubeconfig.as_deref();
    let cluster = Cluster {
        person: &person,
        context,
        kubeconfig,
    };
    let folder = Folder::new(&person, &cluster, &arguments.image)?;
    say(&format!("Creating a page in namespace {NAMESPACE} of {context}"));
    let _guard = Page::put(&cluster, &arguments.image)?;

    let socket = folder.helper_socket();
    let mut helper = Command::new(program("slipway-helper")?);
    helper
        .arg("--socket")
        .arg(&socket)
        .args(["--allow-uid", &person.user.uid.to_string()]);
    let _helper = Helper::start(helper, || Ok(socket.exists()))?;
    if arguments.headless {
        click_through(&person, &folder)
    } else {
        sit_down(&person, &folder)
    }
}

/// The user who ran the command and allowed root.
struct Person {
    user: User,
}

impl Person {
    fn who_asked() -> anyhow::Result<Person> {
        let uid = root::caller().map_or_else(Uid::effective, |(user, _group)| Uid::from_raw(user));
        ensure!(
            !uid.is_root() || std::env::var_os("SUDO_UID").is_none(),
            "Run this as an ordinary user without sudo: it asks for root itself, and uses your kubeconfig"
        );
        let user = User::from_uid(uid)?.with_context(|| format!("There is no user {uid}"))?;
        Ok(Person { user })
    }

    /// Returns a command that runs as the user.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", &self.user.dir).env("USER", &self.user.name);
        if self.user.uid != Uid::effective() {
            command.uid(self.user.uid.as_raw()).gid(self.user.gid.as_raw());
        }
        command
    }
}

/// The cluster, reached by the user's own kubectl and credentials.
struct Cluster<'a> {
    person: &'a Person,
    context: &'a str,
    kubeconfig: Option<&'a Path>,
}

impl Cluster<'_> {
    fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = self.person.command("kubectl");
        command.args(["--context", self.context]).args(arguments);
        if let Some(file) = self.kubeconfig {
            command.env("KUBECONFIG", file);
        }
        command
    }

    /// Runs kubectl and returns its output. An error has kubectl's own text.
    fn ask(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.tell(arguments, "")
    }

    fn tell(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let mut child = self
            .kubectl(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("Failed to start kubectl, which the demo needs: install it, or add it to the PATH")?;
        if let Some(mut stdin) = child.stdin.take() {
            // If kubectl closes its input early, its own error is reported below.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!(
                "{}",
                String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Files of the demo on this machine, removed when this is dropped.
struct Folder {
    /// The folder of the user.
    theirs: TempDir,
    /// The folder of root, for the helper, which listens only in a folder that no other user can change.
    roots: TempDir,
}

impl Folder {
    fn new(person: &Person, cluster: &Cluster<'_>, image: &str) -> anyhow::Result<Folder> {
        // Only this context, with embedded files, so that nothing else can be clicked.
        let config = cluster
            .ask(&["config", "view", "--minify", "--flatten"])
            .with_context(|| format!("The context {} cannot be used", cluster.context))?;
        let folder = Folder {
            theirs: TempDir::with_prefix("slipway-demo-")?,
            roots: TempDir::with_prefix("slipway-demo-")?,
        };
        fs::set_permissions(folder.roots.path(), Permissions::from_mode(0o755))?;
        fs::create_dir_all(folder.path("config/slipway/profiles"))?;
        fs::create_dir_all(folder.path("run"))?;
        fs::create_dir_all(folder.path("state"))?;
        fs::set_permissions(folder.path("run"), Permissions::from_mode(0o700))?;
        fs::write(folder.path("kubeconfig"), config)?;
        let profile = format!(
            "version = 1\n\n[cluster]\nnamespace = \"{NAMESPACE}\"\n\n[agent]\nimage = {}\n",
            json!(image)
        );
        fs::write(
            folder.path(&format!("config/slipway/profiles/{PROFILE}.toml")),
            profile,
        )?;
        give(folder.theirs.path(), person)?;
        Ok(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.theirs.path().join(name)
    }

    fn helper_socket(&self) -> PathBuf {
        self.roots.path().join("helper.sock")
    }

    /// Sets the environment of a program so that it uses this folder.
    fn onto(&self, command: &mut Command) {
        command
            .env("KUBECONFIG", self.path("kubeconfig"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("SLIPWAY_HELPER_SOCKET", self.helper_socket());
    }
}

/// Gives a folder and everything in it to the user.
fn give(path: &Path, person: &Person) -> anyhow::Result<()> {
    chown(
        path,
        Some(person.user.uid.as_raw()),
        Some(person.user.gid.as_raw()),
    )?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), person)?;
        }
    }
    Ok(())
}

/// The demo's namespace with its page, deleted when this is dropped.
struct Page<'a> {
    cluster: &'a Cluster<'a>,
}

impl Page<'_> {
    fn put<'a>(cluster: &'a Cluster<'a>, image: &str) -> anyhow::Result<Page<'a>> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        // Created, not applied: an existing namespace must not be used or deleted.
        cluster
            .tell(&["create", "--filename=-"], &namespace.to_string())
            .with_context(|| {
                format!(
                    "The namespace {NAMESPACE} could not be made; one that an earlier demo left goes with \
                     `kubectl delete namespace {NAMESPACE}`"
                )
            })?;
        let page = Page { cluster };
        let objects = objects(image).to_string();
        cluster
            .tell(&["apply", "--namespace", NAMESPACE, "--filename=-"], &objects)
            .context("Failed to create the demo's page in the cluster")?;
        page.wait(image)?;
        Ok(page)
    }

    fn wait(&self, image: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let listed = self
                .cluster
                .ask(&["get", "pods", "--namespace", NAMESPACE, "--output=json"])?;
            match state(&serde_json::from_str(&listed).context("kubectl did not print JSON")?) {
                PageState::Serves => return Ok(()),
                PageState::Waits(_) if begun.elapsed() < PAGE_WITHIN => std::thread::sleep(LOOK_EVERY),
                PageState::Waits(why) | PageState::Fails(why) => bail!(
                    "The demo's page does not start in this cluster: {why}. Its image is {image}; name one with \
                     busybox that the cluster can fetch with --image"
                ),
            }
        }
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "namespace", NAMESPACE, "--timeout=60s"];
        if let Err(error) = self.cluster.ask(&delete) {
            say(&format!(
                "The namespace {NAMESPACE} is left in the cluster: {error:#}"
            ));
        }
    }
}

/// State of the page's pod.
#[derive(Debug, PartialEq, Eq)]
enum PageState {
    Serves,
    /// Waits, with the reason.
    Waits(String),
    /// Fails, with the cluster's text.
    Fails(String),
}

fn state(pods: &Value) -> PageState {
    let Some(pod) = pods["items"].as_array().and_then(|items| items.first()) else {
        return PageState::Waits("there is no pod yet".to_owned());
    };
    let container = &pod["status"]["containerStatuses"][0];
    if container["ready"] == true {
        return PageState::Serves;
    }
    let waiting = &container["state"]["waiting"];
    let reason = waiting["reason"].as_str().unwrap_or_default();
    let message = waiting["message"].as_str().unwrap_or_default();
    let words = [reason, message].into_iter().filter(|word| !word.is_empty());
    let words = words.collect::<Vec<_>>().join(": ");
    if HOPELESS.contains(&reason) {
        return PageState::Fails(words);
    }
    let scheduled = pod["status"]["conditions"].as_array().into_iter().flatten();
    let unscheduled = scheduled
        .filter(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False")
        .find_map(|condition| condition["message"].as_str());
    let why = unscheduled.map_or(words, str::to_owned);
    PageState::Waits(if why.is_empty() {
        "its pod starts".to_owned()
    } else {
        why
    })
}

/// Returns the objects of the page: a Deployment under the restricted Pod Security Standard, and a Service.
fn objects(image: &str) -> Value {
    let serve = "mkdir /tmp/www && echo \"hello from $HOSTNAME\" >/tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www";
    let pod = json!({
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [{
            "name": "web",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", serve],
            "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        }],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    ]})
}

fn click_through(person: &Person, folder: &Folder) -> anyhow::Result<ExitCode> {
    let mut driver = person.command(program("slipway-tray-driver")?);
    driver
        .arg("--desktop")
        .arg(program("slipway-desktop")?)
        .args(["--page", PAGE, "--target", PROFILE])
        .stdin(Stdio::null());
    folder.onto(&mut driver);
    let status = driver.status().context("Failed to start the driver")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Starts a shell.
fn sit_down(person: &Person, folder: &Folder) -> anyhow::Result<ExitCode> {
    let slipway = program("slipway")?;
    let programs = slipway.parent().context("The programs are in no folder")?;
    say(&format!(
        "\nIn this shell, try:\n\n  \
         slipway-desktop &          the tray, where this machine has one (click Connect {PROFILE})\n  \
         slipway connect {PROFILE} &     the same from a terminal\n  curl {PAGE}\n\nLeave with `exit`."
    ));
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = person.command("bash");
    shell
        .arg("--norc")
        .env("PATH", format!("{}:{path}", programs.display()));
    folder.onto(&mut shell);
    pass_on_screen(&mut shell);
    shell.status().context("Failed to start a shell")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(container: &Value) -> Value {
        json!({"items": [{"status": {"containerStatuses": [container]}}]})
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_a_failure() {
        let waiting = json!({"reason": "ImagePullBackOff", "message": "no such host"});
        let state = state(&pods(&json!({"ready": false, "state": {"waiting": waiting}})));
        assert_eq!(
            state,
            PageState::Fails("ImagePullBackOff: no such host".to_owned())
        );
    }

    #[test]
    fn a_pod_that_starts_is_waited_for() {
        let creating = json!({"reason": "ContainerCreating"});
        let creating = pods(&json!({"ready": false, "state": {"waiting": creating}}));
        assert_eq!(state(&creating), PageState::Waits("ContainerCreating".to_owned()));
        assert!(matches!(state(&json!({"items": []})), PageState::Waits(_)));
        assert_eq!(state(&pods(&json!({"ready": true}))), PageState::Serves);
    }
}
