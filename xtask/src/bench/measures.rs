//! Measurements.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::field::{COUNT, DIGEST, ECHO, Field, POUR};
use super::figure::Figure;
use super::results::Results;
use super::transport::Transport;
use super::{Bench, Peers, sizes};
use crate::say;

/// A name of the cluster, and a domain without names.
const NAME: &str = "web.shop.svc.cluster.local";

/// How long the API server stays away.
const GONE: Duration = Duration::from_secs(20);

/// Runs all selected measures.
pub(crate) fn run(arguments: &Bench, field: &mut Field, results: &mut Results) -> Result<()> {
    let transports: &[Transport] = match arguments.peers {
        Peers::Few => &Transport::FEW,
        Peers::All => &Transport::ALL,
    };
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| name.contains(only));
    let seconds = arguments.seconds.to_string();

    connecting(arguments, field, results, &wanted)?;
    field.connect(&[])?;
    if wanted("memory") {
        sizes::idle(field, results)?;
    }
    for round in 1..=arguments.rounds {
        say(&format!("Round {round} of {}", arguments.rounds));
        // Started in each round, because it does not survive a killed connection.
        field.forward(transports)?;
        if wanted("bulk") {
            bulk(
                field,
                results,
                transports,
                &seconds,
                [Figure::BulkDown, Figure::BulkUp],
            )?;
        }
        if wanted("eight") {
            eight(field, results, transports, &seconds)?;
        }
        if wanted("stalled") {
            stalled(field, results, &seconds)?;
        }
        if wanted("beside") {
            beside(field, results, transports)?;
        }
        if wanted("connect") {
            round_trips(field, results, transports)?;
            connections(field, results, transports)?;
        }
        if wanted("half-close") {
            half_close(field, results, transports)?;
        }
        if wanted("dns") {
            dns(field, results, &seconds)?;
        }
        if wanted("cut") {
            cut(field, results)?;
        }
    }
    if wanted("crowded") {
        say("With many open connections");
        sizes::crowded(field, results)?;
    }
    if wanted("gone") {
        say("Without the API server");
        gone(field, results)?;
    }
    field.disconnect()?;
    if wanted("delayed") {
        say("Over a longer path");
        let relay = field.lengthen()?;
        field.connect(&[])?;
        field.forward(transports)?;
        for _ in 0..arguments.rounds {
            bulk(
                field,
                results,
                transports,
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
        .with_context(|| format!("{outcome} lacks {field}"))
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
        results.add(Figure::ConnectedCold, Transport::Slipway, cold.as_secs_f64());
        results.add(Figure::ConnectedKept, Transport::Slipway, kept.as_secs_f64());
    }
    Ok(())
}

fn bulk(
    field: &Field,
    results: &mut Results,
    transports: &[Transport],
    seconds: &str,
    [down, up]: [Figure; 2],
) -> Result<()> {
    for (figure, direction, port) in [(down, "down", POUR), (up, "up", COUNT)] {
        for transport in transports {
            let rates = match transport {
                Transport::Raw | Transport::RawWebSocket => field.raw(
                    *transport,
                    "raw",
                    &["--direction", direction, "--seconds", seconds],
                )?,
                // The raw carrier does not use the longer path.
                Transport::Direct if figure == Figure::DelayedDown || figure == Figure::DelayedUp => continue,
                Transport::Direct | Transport::Kubectl | Transport::KubectlSpdy | Transport::Slipway => {
                    let flow = ["--direction", direction, "--seconds", seconds];
                    field.load(*transport, "bulk", port, &flow)?
                }
            };
            results.add(figure, *transport, number(&rates, "sum")?);
        }
    }
    Ok(())
}

fn connectable(transports: &[Transport]) -> impl Iterator<Item = Transport> {
    transports
        .iter()
        .copied()
        .filter(|transport| !matches!(transport, Transport::Raw | Transport::RawWebSocket))
}

fn eight(field: &Field, results: &mut Results, transports: &[Transport], seconds: &str) -> Result<()> {
    for transport in connectable(transports) {
        let flows = ["--direction", "down", "--flows", "8", "--seconds", seconds];
        let rates = field.load(transport, "bulk", POUR, &flows)?;
        let sum = number(&rates, "sum")?;
        let each = rates["each"].as_array().context("no rates of each")?;
        let uneven = each
            .iter()
            .filter_map(Value::as_f64)
            .map(|rate| (rate / (sum / 8.0) - 1.0).abs() * 100.0)
            .fold(0.0, f64::max);
        results.add(Figure::EightDown, transport, sum);
        results.add(Figure::EightUneven, transport, uneven);
    }
    Ok(())
}

/// Measures only Slipway: with a stalled reader, kubectl stands still as a whole and would need a restart.
fn stalled(field: &Field, results: &mut Results, seconds: &str) -> Result<()> {
    let flow = ["--direction", "down", "--seconds", seconds];
    let beside = [&flow[..], &["--stalled", "1"]].concat();
    let rates = field.load(Transport::Slipway, "bulk", POUR, &beside)?;
    results.add(Figure::BesideStalled, Transport::Slipway, number(&rates, "sum")?);
    Ok(())
}

/// Measures a byte there and back while another connection downloads. The raw stream has only one connection.
fn beside(field: &Field, results: &mut Results, transports: &[Transport]) -> Result<()> {
    for transport in connectable(transports) {
        let pouring = field.at(transport, POUR)?.to_string();
        let latency = field.load(transport, "round-trip", ECHO, &["--beside", &pouring])?;
        results.add(Figure::BesideBulkMedian, transport, number(&latency, "p50_ms")?);
        results.add(Figure::BesideBulkWorse, transport, number(&latency, "p95_ms")?);
    }
    Ok(())
}

/// Connecting takes at least two of these round trips.
fn round_trips(field: &Field, results: &mut Results, transports: &[Transport]) -> Result<()> {
    for transport in transports {
        let latency = match transport {
            Transport::Raw | Transport::RawWebSocket => field.raw(*transport, "raw-round-trip", &[])?,
            Transport::Direct | Transport::Kubectl | Transport::KubectlSpdy | Transport::Slipway => {
                field.load(*transport, "round-trip", ECHO, &[])?
            }
        };
        results.add(Figure::RoundTrip, *transport, number(&latency, "p50_ms")?);
    }
    Ok(())
}

fn connections(field: &Field, results: &mut Results, transports: &[Transport]) -> Result<()> {
    for transport in connectable(transports) {
        let latency = field.load(transport, "connect", ECHO, &[])?;
        results.add(Figure::ConnectMedian, transport, number(&latency, "p50_ms")?);
        results.add(Figure::ConnectWorst, transport, number(&latency, "p99_ms")?);
        let burst = field.load(transport, "burst", ECHO, &[])?;
        ensure!(
            transport != Transport::Slipway || number(&burst, "failed")? < 0.5,
            "connections failed: {burst}"
        );
        results.add(Figure::Burst, transport, number(&burst, "per_second")?);
    }
    Ok(())
}

fn half_close(field: &Field, results: &mut Results, transports: &[Transport]) -> Result<()> {
    for transport in connectable(transports) {
        let answer = field.load(transport, "half-close", DIGEST, &[])?;
        let whole = answer["whole"]
            .as_bool()
            .context("the field `whole` is missing")?;
        results.add(Figure::HalfClose, transport, if whole { 1.0 } else { 0.0 });
    }
    Ok(())
}

fn dns(field: &Field, results: &mut Results, seconds: &str) -> Result<()> {
    let status = field.status()?;
    let resolver = status["capture"]["resolver"]
        .as_str()
        .context("the status has no resolver")?;
    let ours = format!("{resolver}:53");
    // For comparison, the cluster's own name server, asked on its node.
    let clusters = format!("{}:53", field.bed.addresses()?.cluster_dns());
    let ask = |transport: Transport, more: &[&str]| {
        let server = if transport == Transport::Direct {
            &clusters
        } else {
            &ours
        };
        let asked = ["dns", "--server", server, "--name", NAME, "--seconds", seconds];
        field.measure(transport, &[&asked[..], more].concat())
    };
    let cached = ask(Transport::Slipway, &[])?;
    results.add(
        Figure::DnsCached,
        Transport::Slipway,
        number(&cached, "per_second")?,
    );
    for transport in [Transport::Direct, Transport::Slipway] {
        let alone = ask(transport, &["--unique", "--parallel", "1"])?;
        results.add(Figure::DnsAlone, transport, number(&alone, "p50_ms")?);
        let crowd = ask(transport, &["--unique"])?;
        results.add(Figure::DnsCrowd, transport, number(&crowd, "p50_ms")?);
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
    results.add(
        Figure::CutGap,
        Transport::Slipway,
        number(&silence, "longest_ms")?,
    );
    Ok(())
}

/// Drops packets from the laptop on the node, so that the laptop gets no error.
fn gone(field: &Field, results: &mut Results) -> Result<()> {
    let conversation = field.converse("30")?;
    let rules = format!(
        "table ip gone {{ chain c {{ type filter hook prerouting priority -300; ip saddr {} drop; }}; }}",
        field.laptop.address()
    );
    let node = |rules: &str| field.bed.command_on_node("nft", [rules]).output();
    ensure!(node(&rules)?.status.success(), "nft failed to add a rule");
    std::thread::sleep(GONE);
    let back = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    ensure!(
        node("delete table ip gone")?.status.success(),
        "nft failed to delete a rule"
    );
    let silence = conversation.silence()?;
    let after = number(&silence, "over_at_ms")? / 1e3 - back;
    results.add(Figure::GoneBack, Transport::Slipway, after);
    Ok(())
}
