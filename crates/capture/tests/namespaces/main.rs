//! Captures against a real kernel: a laptop in namespaces of its own, programs that use sockets, and a scripted
//! far end. It needs root to make the laptop; the captures themselves run as an ordinary user.
//!
//! It has its own `main`, because the private namespace's process is this same program. A test that this machine
//! cannot run is reported as ignored, with the reason.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test, though without the attributes that say so"
)]

mod descriptors;
mod far;
mod laptop;
mod promises;
mod refused;
mod remains;
mod rewriting;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Trial};
use slipway_capture::{BackEnd, Capture, Choice, Setup, TunAddresses};

use self::far::{Far, Reverser};

/// The limit of one test, longer than any that passes takes.
const LIMIT: Duration = Duration::from_secs(20);

/// One test.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    run: fn() -> Pin<Box<dyn Future<Output = ()>>>,
    /// The program without which it is ignored.
    needs: Option<&'static str>,
}

/// Whether the tests run with rewriting. An environment variable tells it to processes that a test starts.
static REWRITING: AtomicBool = AtomicBool::new(false);

macro_rules! cases {
    (@program) => { None };
    (@program $program:literal) => { Some($program) };
    ($($module:ident :: $name:ident $(needs $program:literal)?),* $(,)?) => {
        &[$(Case {
            name: stringify!($name),
            run: || Box::pin($module::$name()),
            needs: cases!(@program $($program)?),
        }),*]
    };
}

/// The tests that run with both back ends.
const CASES: &[Case] = cases![
    promises::captured_addresses_are_reachable_only_after_the_start,
    promises::a_socket_accepted_by_the_far_end_tells_both_names,
    promises::a_refusal_reaches_the_program_at_once_and_as_what_it_is,
    promises::a_refusal_by_icmp_is_sent_twice,
    promises::a_program_waits_while_the_far_end_is_silent,
    promises::each_half_ends_by_itself,
    promises::two_connections_from_one_port_to_two_places_stay_apart,
    promises::many_connections_at_once_all_work,
    promises::more_ports_than_listeners_all_work,
    promises::a_route_that_comes_later_is_captured_at_once,
    promises::much_data_arrives_whole,
    promises::datagrams_come_back_and_refusals_too,
    promises::pings_are_answered_by_the_far_end_alone,
    promises::the_ping_program_gets_its_answers needs "ping",
    promises::questions_are_answered_over_udp_and_tcp,
    promises::an_open_connection_outlives_its_tun,
    descriptors::without_a_descriptor_a_program_is_reset_and_does_not_wait,
    promises::a_deleted_tun_is_told_and_can_be_replaced,
    remains::after_the_stop_nothing_is_reachable_and_nothing_is_left,
    remains::a_drop_ends_all_that_a_stop_ends,
    remains::a_killed_session_leaves_nothing,
];

const OF_PRIVATE_NAMESPACE: &[Case] = cases![
    promises::a_firewall_that_lets_nothing_in_does_not_matter needs "nft",
    remains::the_end_of_the_child_is_told,
    remains::a_refused_namespace_is_an_error_with_a_remedy,
];

const OF_REWRITING: &[Case] = cases![
    rewriting::a_firewall_that_lets_nothing_in_is_an_error_with_a_remedy needs "nft",
    rewriting::where_namespaces_are_refused_packets_are_rewritten,
    rewriting::where_neither_works_both_causes_are_named needs "nft",
    rewriting::a_stranger_at_the_listener_gets_nothing,
];

fn main() -> ExitCode {
    slipway_capture::private_namespace::child_main_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let role = match arguments.first().map(String::as_str) {
        Some(remains::VICTIM) => Some(remains::be_a_victim as fn()),
        Some(refused::REFUSED) => Some(refused::be_refused as fn()),
        Some(_) | None => None,
    };
    if let Some(play) = role {
        play();
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // The tests share one network namespace, which this thread enters and others inherit.
    arguments.test_threads = Some(1);
    let unavailable = enter_laptop().err();
    let mut trials = Vec::new();
    for (back_end, own) in [
        (BackEnd::PrivateNamespace, OF_PRIVATE_NAMESPACE),
        (BackEnd::Rewriting, OF_REWRITING),
    ] {
        for case in CASES.iter().chain(own) {
            trials.push(trial(back_end, *case, unavailable.clone()));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Enters the laptop's namespaces, or tells why there are none.
fn enter_laptop() -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("root is needed to make the laptop's network namespace".to_owned());
    }
    laptop::enter().map_err(|error| format!("the kernel gives no namespaces: {error}"))
}

/// A test with one back end, as its runner sees it.
fn trial(back_end: BackEnd, case: Case, unavailable: Option<String>) -> Trial {
    Trial::ignorable_test(format!("{back_end}::{}", case.name), move || {
        let missing = case.needs.filter(|program| !laptop::has(program));
        let reason = unavailable.or_else(|| missing.map(|program| format!("{program} is not installed")));
        if let Some(reason) = reason {
            return Ok(Completion::ignored_with(reason));
        }
        REWRITING.store(back_end == BackEnd::Rewriting, Ordering::Relaxed);
        run(case);
        Ok(Completion::Completed)
    })
}

/// The runtime of a test, or of a process of one.
fn runtime(threads: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap()
}

/// Runs one test, which fails by a panic.
fn run(case: Case) {
    // Several threads, so that what races on a desktop races here.
    let runtime = runtime(2);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            tokio::time::timeout(LIMIT, (case.run)())
                .await
                .expect("it took too long")
        });
    }));
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Err(panic) = ran {
        resume_unwind(panic);
    }
}

/// The back end under test.
fn back_end() -> BackEnd {
    if REWRITING.load(Ordering::Relaxed) {
        BackEnd::Rewriting
    } else {
        BackEnd::PrivateNamespace
    }
}

/// The settings of a capture of the laptop's TUN.
fn setup(back_end: Choice) -> Setup {
    let address = |text: &str| text.parse().unwrap();
    Setup {
        resolver_addresses: vec![address(laptop::RESOLVER)],
        tun_addresses: laptop::ADDRESSES
            .map(|(laptop, other)| TunAddresses {
                laptop: address(laptop),
                other: address(other),
            })
            .to_vec(),
        back_end,
    }
}

/// A capture of a new TUN, with its far end.
async fn start() -> (Capture, Far) {
    let far = Far::new();
    let capture = start_on(laptop::make_tun(), &far).await;
    (capture, far)
}

async fn start_on(tun: std::os::fd::OwnedFd, far: &Far) -> Capture {
    let setup = setup(Choice::Only(back_end()));
    let capture = Capture::start(tun, setup, far.clone(), Reverser).await.unwrap();
    assert_eq!(capture.back_end(), back_end());
    far.answer_by(capture.replies());
    capture
}

/// Waits for a condition that no event reports.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(5), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
