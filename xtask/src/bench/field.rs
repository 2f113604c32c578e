//! Field of a measurement: the plain laptop of the test bed with a helper, and the transports to the `echo` pod.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use slipway_bed::{Bed, BedName, Laptop, LaptopKind, LaptopLock};

use super::transport::Transport;
use crate::build;
use crate::helper::{Helper, LAPTOP_SOCKET};

/// Namespace of all objects.
pub(crate) const NAMESPACE: &str = "shop";

/// Offset of kubectl's local ports from the pod's ports.
const KUBECTL: u16 = 10_000;
const KUBECTL_SPDY: u16 = 20_000;

/// The pod's ports: back, count, pour, digest.
pub(crate) const ECHO: u16 = 7000;
pub(crate) const COUNT: u16 = 7001;
pub(crate) const POUR: u16 = 7002;
pub(crate) const DIGEST: u16 = 7003;

/// Address on the laptop at which the longer path to the API server begins.
const RELAY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 16_443);

/// Delay of each byte on the longer path, in one direction.
const DELAY_MS: &str = "10";

/// The kubeconfig of the longer path, on the laptop.
const DELAYED: &str = "/home/dev/.kube/delayed";

/// Limit of each wait.
const MOMENT: Duration = Duration::from_secs(20);

pub(crate) struct Field {
    pub(crate) bed: Bed,
    pub(crate) laptop: Laptop,
    pub(crate) helper: Helper,
    /// The `echo` pod.
    pod: String,
    address: IpAddr,
    programs: PathBuf,
    /// The kubeconfig that replaces the laptop's own.
    kubeconfig: Option<&'static str>,
    forwards: Vec<Ended>,
    _lock: LaptopLock,
}

/// A process that is killed when this is dropped.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that holds connections open.
pub(crate) struct Crowd {
    child: Ended,
    output: BufReader<ChildStdout>,
}

impl Crowd {
    /// Ends the connections. Fails if one of them did not work until now.
    pub(crate) fn end(mut self, count: usize) -> Result<()> {
        drop(self.child.0.stdin.take());
        let kept = json_line(&mut self.output).context("the connections broke")?;
        ensure!(kept["open"] == count, "connections broke: {kept}");
        ensure!(
            self.child.0.wait()?.success(),
            "the program with the connections failed"
        );
        Ok(())
    }
}

/// A running conversation.
pub(crate) struct Conversation {
    child: Ended,
    output: BufReader<ChildStdout>,
}

impl Conversation {
    fn line(&mut self) -> Result<Value> {
        json_line(&mut self.output)
    }

    /// Waits for its end, and returns its longest silence.
    pub(crate) fn silence(mut self) -> Result<Value> {
        let silence = self.line().context("The conversation broke")?;
        ensure!(self.child.0.wait()?.success(), "The conversation broke");
        Ok(silence)
    }
}

impl Field {
    pub(crate) fn make() -> Result<Field> {
        let bed = Bed::up(&BedName::default(), &mut crate::cluster::Progress::default())?;
        let laptop = bed
            .laptop(LaptopKind::Plain)
            .context("The bed has no plain laptop")?
            .clone();
        let lock = laptop.lock()?;
        let programs = build::target_folder()?.join("release");
        let helper = Helper::start_on(&laptop, &programs.join("slipway-helper"))?;
        let mut field = Field {
            pod: String::new(),
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            bed,
            laptop,
            helper,
            programs,
            kubeconfig: None,
            forwards: Vec::new(),
            _lock: lock,
        };
        field.pod = field.ask_cluster("{.items[0].metadata.name}")?;
        field.address = field.ask_cluster("{.items[0].status.podIP}")?.parse()?;
        Ok(field)
    }

    fn ask_cluster(&self, path: &str) -> Result<String> {
        let path = format!("--output=jsonpath={path}");
        let pods = ["--namespace", NAMESPACE, "get", "pods", "--selector=app=echo"];
        let output = self
            .bed
            .kubectl(pods.into_iter().chain([path.as_str()]))
            .output()?;
        ensure!(output.status.success(), "kubectl found no echo pod");
        Ok(String::from_utf8(output.stdout)?)
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Returns a command of the ordinary user on the laptop.
    pub(crate) fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = self.laptop.command(program, arguments);
        command
            .env("SLIPWAY_HELPER_SOCKET", LAPTOP_SOCKET)
            .stdin(Stdio::null());
        if let Some(file) = self.kubeconfig {
            command.env("KUBECONFIG", file);
        }
        command
    }

    /// Returns the address of a port of the pod, on a transport that has addresses.
    pub(crate) fn at(&self, transport: Transport, port: u16) -> Result<SocketAddr> {
        let local = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        Ok(match transport {
            Transport::Direct | Transport::Slipway => SocketAddr::new(self.address, port),
            Transport::Kubectl => local(port + KUBECTL),
            Transport::KubectlSpdy => local(port + KUBECTL_SPDY),
            Transport::Raw | Transport::RawWebSocket => bail!("a raw carrier has no address"),
        })
    }

    /// Runs a measure of `slipway-load` over a transport to a port of the pod.
    pub(crate) fn load(
        &self,
        transport: Transport,
        measure: &str,
        port: u16,
        arguments: &[&str],
    ) -> Result<Value> {
        let to = self.at(transport, port)?.to_string();
        let arguments = [&[measure, "--to", &to], arguments].concat();
        self.measure(transport, &arguments)
    }

    /// Runs `slipway-load` at the start of a transport.
    pub(crate) fn measure(&self, transport: Transport, arguments: &[&str]) -> Result<Value> {
        let program = self.program("slipway-load");
        let mut command = if transport == Transport::Direct {
            self.bed.command_on_node(&program, arguments)
        } else {
            self.command(&program, arguments)
        };
        outcome(command.stdin(Stdio::null()))
    }

    /// Starts a conversation of this many seconds over a connected session.
    pub(crate) fn converse(&self, seconds: &str) -> Result<Conversation> {
        let to = self.at(Transport::Slipway, ECHO)?.to_string();
        let mut child = self
            .command(
                &self.program("slipway-load"),
                &["gap", "--to", &to, "--seconds", seconds],
            )
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("a conversation without output")?;
        let mut conversation = Conversation {
            child: Ended(child),
            output: BufReader::new(output),
        };
        conversation.line().context("The conversation did not begin")?;
        Ok(conversation)
    }

    /// Opens many connections over a connected session, and returns when each has carried a byte.
    pub(crate) fn hold(&self, count: usize) -> Result<Crowd> {
        let to = self.at(Transport::Slipway, ECHO)?.to_string();
        let count = count.to_string();
        let mut child = self
            .command(
                &self.program("slipway-load"),
                &["hold", "--to", &to, "--count", &count],
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("a program without output")?;
        let mut crowd = Crowd {
            child: Ended(child),
            output: BufReader::new(output),
        };
        json_line(&mut crowd.output).context("the connections could not be opened")?;
        Ok(crowd)
    }

    /// Runs a measure of `slipway-load` over one carrier.
    pub(crate) fn raw(&self, transport: Transport, measure: &str, arguments: &[&str]) -> Result<Value> {
        let kind = if transport == Transport::RawWebSocket {
            "web-socket"
        } else {
            "spdy"
        };
        let pod = ["--namespace", NAMESPACE, "--pod", &self.pod, "--kind", kind];
        self.measure(transport, &[&[measure], &pod[..], arguments].concat())
    }

    /// Connects, and returns the time until programs reached the cluster.
    pub(crate) fn connect(&self, arguments: &[&str]) -> Result<Duration> {
        let begun = Instant::now();
        let mut command = self.command(
            &self.program("slipway"),
            &[&["connect", "--detach"], arguments].concat(),
        );
        let output = command.output()?;
        ensure!(
            output.status.success(),
            "slipway connect: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(begun.elapsed())
    }

    pub(crate) fn disconnect(&self) -> Result<()> {
        let mut command = self.command(&self.program("slipway"), &["disconnect", "--all"]);
        ensure!(command.output()?.status.success(), "slipway disconnect failed");
        Ok(())
    }

    /// Returns the session's status.
    pub(crate) fn status(&self) -> Result<Value> {
        let status = outcome(&mut self.command(&self.program("slipway"), &["status", "--json"]))?;
        status.get(0).cloned().context("there is no session")
    }

    /// Waits until no agent is left in the cluster.
    pub(crate) fn forget_agents(&self) -> Result<()> {
        let delete = ["--namespace", NAMESPACE, "delete", "jobs", "--all", "--wait"];
        ensure!(
            self.bed.kubectl(delete).output()?.status.success(),
            "no job could be deleted"
        );
        let left = ["--namespace", NAMESPACE, "get", "pods", "--output=name"];
        wait_for("the agent is gone", || {
            let pods = self.bed.kubectl(left).output()?;
            Ok(!String::from_utf8_lossy(&pods.stdout).contains("slipway"))
        })
    }

    /// Starts `kubectl port-forward` on the laptop, for its transports that are measured.
    pub(crate) fn forward(&mut self, transports: &[Transport]) -> Result<()> {
        self.forwards.clear();
        for (transport, web_sockets, base) in [
            (Transport::Kubectl, "true", KUBECTL),
            (Transport::KubectlSpdy, "false", KUBECTL_SPDY),
        ] {
            if !transports.contains(&transport) {
                continue;
            }
            let ports: Vec<String> = [ECHO, COUNT, POUR, DIGEST]
                .iter()
                .map(|port| format!("{}:{port}", port + base))
                .collect();
            let pod = format!("pod/{}", self.pod);
            let mut arguments = vec!["--namespace", NAMESPACE, "port-forward", &pod];
            arguments.extend(ports.iter().map(String::as_str));
            let child = self
                .command(Path::new("kubectl"), &arguments)
                .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", web_sockets)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            self.forwards.push(Ended(child));
            wait_for("kubectl port-forward listens", || {
                self.load(transport, "connect", ECHO, &["--count", "1"])
                    .map(|_| true)
                    .or(Ok(false))
            })?;
        }
        Ok(())
    }

    /// Sets up a longer path to the API server, for all programs that are started on the laptop later.
    pub(crate) fn lengthen(&mut self) -> Result<Ended> {
        let server = SocketAddr::new(self.laptop.node().into(), 6443).to_string();
        let listen = RELAY.to_string();
        let arguments = [
            "relay",
            "--listen",
            &listen,
            "--to",
            &server,
            "--delay-ms",
            DELAY_MS,
        ];
        let relay = Ended(self.command(&self.program("slipway-load"), &arguments).spawn()?);
        let own = std::fs::read_to_string(self.bed.kubeconfig("developer"))?;
        let longer = by_relay(&own, &self.laptop.node().to_string())?;
        self.laptop.write(DELAYED, &longer)?;
        self.kubeconfig = Some(DELAYED);
        Ok(relay)
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        let _ = self.disconnect();
    }
}

/// Changes a kubeconfig so that its API server is reached through the relay, with its own TLS name.
fn by_relay(kubeconfig: &str, name: &str) -> Result<String> {
    let mut config: Value = serde_json::from_str(kubeconfig).context("the kubeconfig is not JSON")?;
    let cluster = config["clusters"][0]["cluster"]
        .as_object_mut()
        .context("the kubeconfig has no cluster")?;
    cluster.insert("server".to_owned(), format!("https://{RELAY}").into());
    cluster.insert("tls-server-name".to_owned(), name.into());
    Ok(config.to_string())
}

/// Reads the next line of a program that prints JSON.
fn json_line(output: &mut impl BufRead) -> Result<Value> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    serde_json::from_str(&line).context("it ended")
}

/// Runs a program, which must succeed, and parses its JSON.
fn outcome(command: &mut Command) -> Result<Value> {
    let output = command.stderr(Stdio::piped()).output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).with_context(|| format!("{command:?} did not print JSON"))
}

/// Polls until a condition holds.
pub(crate) fn wait_for(what: &str, mut met: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + MOMENT;
    while !met()? {
        ensure!(
            Instant::now() < deadline,
            "this did not happen within {MOMENT:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_path_leads_to_the_same_server() {
        let own = r#"{"clusters": [{"name": "bed", "cluster": {"server": "https://10.0.0.1:6443"}}]}"#;
        let longer: Value = serde_json::from_str(&by_relay(own, "10.0.0.1").unwrap()).unwrap();
        let cluster = &longer["clusters"][0]["cluster"];
        assert_eq!(cluster["server"], "https://127.0.0.1:16443");
        assert_eq!(cluster["tls-server-name"], "10.0.0.1");
    }
}
