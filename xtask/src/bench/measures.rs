//! What is measured, and how.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::field::{COUNT, DIGEST, ECHO, Field, POUR};
use super::figure::Figure;
use super::results::Results;
use super::way::Way;
use super::{Bench, Peers, memory};
use crate::say;

/// A name that the cluster has, and one below which it has none.
const NAME: &str = "web.shop.svc.cluster.local";

/// How long the API server stays away.
const GONE: Duration = Duration::from_secs(20);

/// How long a session is left alone before its memory is looked at.
const CALM: Duration = Duration::from_secs(3);

/// Runs all that is asked for.
pub(crate) fn run(arguments: &Bench, field: &mut Field, results: &mut Results) -> Result<()> {
    let ways: &[Way] = match arguments.peers {
        Peers::Few => &Way::FEW,
        Peers::All => &Way::ALL,
    };
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| name.contains(only));
    let seconds = arguments.seconds.to_string();

    connecting(arguments, field, results, &wanted)?;
    field.connect(&[])?;
    if wanted("memory") {
        std::thread::sleep(CALM);
        sizes(field, results)?;
    }
    for round in 1..=arguments.rounds {
        say(&format!("Round {round} of {}", arguments.rounds));
        // Anew in each round: it does not outlive a connection that is killed.
        field.forward(ways)?;
        if wanted("bulk") {
            bulk(field, results, ways, &seconds, [Figure::BulkDown, Figure::BulkUp])?;
        }
        if wanted("eight") {
            eight(field, results, ways, &seconds)?;
        }
        if wanted("stalled") {
            stalled(field, results, &seconds)?;
        }
        if wanted("beside") {
            beside(field, results, ways)?;
        }
        if wanted("connect") {
            round_trips(field, results, ways)?;
            connections(field, results, ways)?;
        }
        if wanted("half-close") {
            half_close(field, results, ways)?;
        }
        if wanted("dns") {
            dns(field, results, &seconds)?;
        }
        if wanted("cut") {
            cut(field, results)?;
        }
    }
    if wanted("gone") {
        say("Without the API server");
        gone(field, results)?;
    }
    field.disconnect()?;
    if wanted("delayed") {
        say("Over a longer way");
        let relay = field.lengthen()?;
        field.connect(&[])?;
        field.forward(ways)?;
        for _ in 0..arguments.rounds {
            bulk(
                field,
                results,
                ways,
                &seconds,
                [Figure::DelayedDown, Figure::DelayedUp],
            )?;
        }
        field.disconnect()?;
        drop(relay);
    }
    Ok(())
}

fn number(outcome: &Value, field: &str) -> Result<f64> {
    outcome[field]
        .as_f64()
        .with_context(|| format!("{outcome} has no {field}"))
}

fn connecting(
    arguments: &Bench,
    field: &Field,
    results: &mut Results,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<()> {
    if !wanted("connecting") {
        return Ok(());
    }
    say("Connecting");
    for _ in 0..arguments.rounds {
        field.forget_agents()?;
        let cold = field.connect(&[])?;
        field.disconnect()?;
        let kept = field.connect(&[])?;
        field.disconnect()?;
        results.add(Figure::ConnectedCold, Way::Slipway, cold.as_secs_f64());
        results.add(Figure::ConnectedKept, Way::Slipway, kept.as_secs_f64());
    }
    Ok(())
}

fn bulk(
    field: &Field,
    results: &mut Results,
    ways: &[Way],
    seconds: &str,
    [down, up]: [Figure; 2],
) -> Result<()> {
    for (figure, direction, port) in [(down, "down", POUR), (up, "up", COUNT)] {
        for way in ways {
            let rates = match way {
                Way::Raw | Way::RawWebSocket => {
                    field.raw(*way, "raw", &["--direction", direction, "--seconds", seconds])?
                }
                // It does not take the longer way.
                Way::Direct if figure == Figure::DelayedDown || figure == Figure::DelayedUp => continue,
                Way::Direct | Way::Kubectl | Way::KubectlSpdy | Way::Slipway => {
                    let flow = ["--direction", direction, "--seconds", seconds];
                    field.load(*way, "bulk", port, &flow)?
                }
            };
            results.add(figure, *way, number(&rates, "sum")?);
        }
    }
    Ok(())
}

fn connectable(ways: &[Way]) -> impl Iterator<Item = Way> {
    ways.iter()
        .copied()
        .filter(|way| !matches!(way, Way::Raw | Way::RawWebSocket))
}

fn eight(field: &Field, results: &mut Results, ways: &[Way], seconds: &str) -> Result<()> {
    for way in connectable(ways) {
        let flows = ["--direction", "down", "--flows", "8", "--seconds", seconds];
        let rates = field.load(way, "bulk", POUR, &flows)?;
        let sum = number(&rates, "sum")?;
        let each = rates["each"].as_array().context("no rates of each")?;
        let uneven = each
            .iter()
            .filter_map(Value::as_f64)
            .map(|rate| (rate / (sum / 8.0) - 1.0).abs() * 100.0)
            .fold(0.0, f64::max);
        results.add(Figure::EightDown, way, sum);
        results.add(Figure::EightUneven, way, uneven);
    }
    Ok(())
}

/// Of our way only: kubectl stands still as a whole, and would have to be started anew after it.
fn stalled(field: &Field, results: &mut Results, seconds: &str) -> Result<()> {
    let flow = ["--direction", "down", "--seconds", seconds];
    let beside = [&flow[..], &["--stalled", "1"]].concat();
    let rates = field.load(Way::Slipway, "bulk", POUR, &beside)?;
    results.add(Figure::BesideStalled, Way::Slipway, number(&rates, "sum")?);
    Ok(())
}

/// A byte there and back while another connection downloads. The raw stream has one connection only.
fn beside(field: &Field, results: &mut Results, ways: &[Way]) -> Result<()> {
    for way in connectable(ways) {
        let pouring = field.at(way, POUR)?.to_string();
        let latency = field.load(way, "round-trip", ECHO, &["--beside", &pouring])?;
        results.add(Figure::BesideBulkMedian, way, number(&latency, "p50_ms")?);
        results.add(Figure::BesideBulkWorse, way, number(&latency, "p95_ms")?);
    }
    Ok(())
}

/// Two of them are what connecting takes at the least.
fn round_trips(field: &Field, results: &mut Results, ways: &[Way]) -> Result<()> {
    for way in ways {
        let latency = match way {
            Way::Raw | Way::RawWebSocket => field.raw(*way, "raw-round-trip", &[])?,
            Way::Direct | Way::Kubectl | Way::KubectlSpdy | Way::Slipway => {
                field.load(*way, "round-trip", ECHO, &[])?
            }
        };
        results.add(Figure::RoundTrip, *way, number(&latency, "p50_ms")?);
    }
    Ok(())
}

fn connections(field: &Field, results: &mut Results, ways: &[Way]) -> Result<()> {
    for way in connectable(ways) {
        let latency = field.load(way, "connect", ECHO, &[])?;
        results.add(Figure::ConnectMedian, way, number(&latency, "p50_ms")?);
        results.add(Figure::ConnectWorst, way, number(&latency, "p99_ms")?);
        let burst = field.load(way, "burst", ECHO, &[])?;
        ensure!(
            way != Way::Slipway || number(&burst, "failed")? < 0.5,
            "connections failed: {burst}"
        );
        results.add(Figure::Burst, way, number(&burst, "per_second")?);
    }
    Ok(())
}

fn half_close(field: &Field, results: &mut Results, ways: &[Way]) -> Result<()> {
    for way in connectable(ways) {
        let answer = field.load(way, "half-close", DIGEST, &[])?;
        let whole = answer["whole"].as_bool().context("neither whole nor lost")?;
        results.add(Figure::HalfClose, way, if whole { 1.0 } else { 0.0 });
    }
    Ok(())
}

fn dns(field: &Field, results: &mut Results, seconds: &str) -> Result<()> {
    let status = field.status()?;
    let resolver = status["capture"]["resolver"]
        .as_str()
        .context("the session tells no resolver")?;
    let ours = format!("{resolver}:53");
    // What the cluster's own name server takes for the same, asked on its node.
    let clusters = format!("{}:53", field.bed.addresses()?.cluster_dns());
    let ask = |way: Way, more: &[&str]| {
        let server = if way == Way::Direct { &clusters } else { &ours };
        let asked = ["dns", "--server", server, "--name", NAME, "--seconds", seconds];
        field.measure(way, &[&asked[..], more].concat())
    };
    let cached = ask(Way::Slipway, &[])?;
    results.add(Figure::DnsCached, Way::Slipway, number(&cached, "per_second")?);
    for way in [Way::Direct, Way::Slipway] {
        let alone = ask(way, &["--unique", "--parallel", "1"])?;
        results.add(Figure::DnsAlone, way, number(&alone, "p50_ms")?);
        let crowd = ask(way, &["--unique"])?;
        results.add(Figure::DnsCrowd, way, number(&crowd, "p50_ms")?);
    }
    Ok(())
}

/// Kills the connections to the API server under a conversation.
fn cut(field: &Field, results: &mut Results) -> Result<()> {
    let conversation = field.converse("3")?;
    let node = field.laptop.node().to_string();
    let kill = ["--kill", "dst", &node, "dport", "=", "6443"];
    let killed = field.laptop.command_as_root("ss", kill).output()?;
    ensure!(
        String::from_utf8_lossy(&killed.stdout).contains("6443"),
        "there was no connection to kill"
    );
    let silence = conversation.silence()?;
    results.add(Figure::CutGap, Way::Slipway, number(&silence, "longest_ms")?);
    Ok(())
}

/// Drops what comes from the laptop on the far side, so that nothing tells the laptop.
fn gone(field: &Field, results: &mut Results) -> Result<()> {
    let conversation = field.converse("30")?;
    let rules = format!(
        "table ip gone {{ chain c {{ type filter hook prerouting priority -300; ip saddr {} drop; }}; }}",
        field.laptop.address()
    );
    let node = |rules: &str| field.bed.command_on_node("nft", [rules]).output();
    ensure!(node(&rules)?.status.success(), "nft made no rule");
    std::thread::sleep(GONE);
    let back = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    ensure!(
        node("delete table ip gone")?.status.success(),
        "nft took no rule away"
    );
    let silence = conversation.silence()?;
    let after = number(&silence, "over_at_ms")? / 1e3 - back;
    results.add(Figure::GoneBack, Way::Slipway, after);
    Ok(())
}

fn sizes(field: &Field, results: &mut Results) -> Result<()> {
    let status = field.status()?;
    let session = status["pid"]
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok())
        .context("the session has no process")?;
    let namespace: f64 = memory::children(session)
        .into_iter()
        .filter_map(|child| memory::resident(child).ok())
        .sum();
    // Other beds have agents of their own.
    let agents = memory::running("/slipway/agent", &format!("slw-{}", field.bed.name()));
    let agent = agents.first().context("no agent runs")?;
    let mut add = |figure, value| results.add(figure, Way::Slipway, value);
    add(Figure::SessionMemory, memory::resident(session)?);
    add(Figure::NamespaceMemory, namespace);
    add(Figure::HelperMemory, memory::resident(field.helper.pid())?);
    add(Figure::AgentMemory, memory::resident(*agent)?);
    let binary = std::fs::metadata(field.program("slipway"))?.len();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    add(Figure::BinarySize, binary as f64 / 1e6);
    add(Figure::DesktopMemory, desktop(field)?);
    Ok(())
}

/// Has the desktop shown in a tray, and looks at its memory while it is.
fn desktop(field: &Field) -> Result<f64> {
    let desktop = field.program("slipway-desktop");
    let desktop = desktop.to_str().context("a path that is no text")?;
    let mut command = field.command(&field.program("slipway-tray-driver"), &["--desktop", desktop]);
    let mut driver = command.stderr(Stdio::piped()).spawn()?;
    let words = driver.stderr.take().context("the driver says nothing")?;
    let driver = Told(driver);
    let shown = BufReader::new(words)
        .lines()
        .map_while(std::io::Result::ok)
        .find_map(|line| {
            line.split_once("The desktop is process ")?
                .1
                .trim_end_matches('.')
                .parse()
                .ok()
        })
        .context("the desktop was not shown")?;
    std::thread::sleep(CALM);
    let resident = memory::resident(shown);
    drop(driver);
    resident
}

/// A process that is told to end with its value, and waited for: it has others to end.
struct Told(Child);

impl Drop for Told {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            let _already_dead = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _reaped = self.0.wait();
    }
}
