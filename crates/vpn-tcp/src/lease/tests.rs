//! Tests of leases against a scripted helper that speaks the real protocol in this process.

use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex};

use slipway_helper_api::frame::{Decoder, encode};
use slipway_helper_api::{
    Build, Change, Conflict, ConflictWith, DnsModeChoice, Granted, RangeTrouble, Reply, Request, RouteOrigin,
    Slot, TunnelCidr, Up, Updated, Version, Welcome, Zones, rights,
};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::plan::without_addresses;

/// A helper whose answers to requests for a lease, and for changes, are written beforehand.
struct ScriptedHelper {
    socket: PathBuf,
    asked: Arc<Mutex<Vec<Up>>>,
    changed: Arc<Mutex<Vec<Change>>>,
    _folder: tempfile::TempDir,
    _task: AbortOnDropHandle<()>,
}

/// An answer of the script: what has been revoked, or a refusal; `None` hangs up.
type Script = Vec<Option<Result<Vec<Conflict>, HelperRefusal>>>;

impl ScriptedHelper {
    fn start(script: Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("helper.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (asked, changed) = (Arc::default(), Arc::default());
        let task = serve(listener, script, Arc::clone(&asked), Arc::clone(&changed));
        let task = tokio::spawn(task);
        Self {
            socket,
            asked,
            changed,
            _folder: folder,
            _task: AbortOnDropHandle::new(task),
        }
    }

    fn ask(&self, nets: &[&str]) -> LeaseRequest {
        LeaseRequest {
            socket: self.socket.clone(),
            routes: nets.iter().map(|net| declared(net)).collect(),
            dns: None,
        }
    }

    /// The networks of each request, in order.
    fn asked(&self) -> Vec<Vec<String>> {
        let asked = self.asked.lock().unwrap();
        let nets = |up: &Up| up.routes.iter().map(|route| route.net.to_string()).collect();
        asked.iter().map(nets).collect()
    }

    /// The networks that each change since the last call adds and removes.
    fn changed(&self) -> Vec<String> {
        let texts =
            |nets: Vec<TunnelCidr>| nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let changed = std::mem::take(&mut *self.changed.lock().unwrap()).into_iter();
        changed
            .map(|change| {
                let added = change.add.iter().map(|route| route.net).collect();
                format!("+{} -{}", texts(added), texts(change.remove))
            })
            .collect()
    }
}

fn declared(net: &str) -> Route {
    Route::new(net.parse().unwrap(), RouteOrigin::Declared)
}

fn net(text: &str) -> TunnelCidr {
    text.parse().unwrap()
}

async fn serve(
    listener: UnixListener,
    script: Script,
    asked: Arc<Mutex<Vec<Up>>>,
    changed: Arc<Mutex<Vec<Change>>>,
) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut script = script.into_iter();
    let (mut decoder, mut bytes, mut fds) = (Decoder::default(), [0; 4096], Vec::new());
    loop {
        while let Some(request) = decoder.message::<Request>().unwrap() {
            let reply = match request {
                Request::Hello(_) => Reply::Welcome(Welcome {
                    version: Version::OURS,
                    build: Build::ours(),
                }),
                Request::Up(up) => {
                    asked.lock().unwrap().push(up.clone());
                    match script.next() {
                        Some(Some(Ok(_))) => Reply::Up(granted(up.prefer)),
                        Some(Some(Err(refusal))) => Reply::Refused(refusal),
                        Some(None) | None => return,
                    }
                }
                Request::Update(change) => {
                    changed.lock().unwrap().push(change);
                    match script.next() {
                        Some(Some(Ok(revoked))) => Reply::Updated(Updated {
                            revoked,
                            ..Updated::default()
                        }),
                        Some(Some(Err(refusal))) => Reply::Refused(refusal),
                        Some(None) | None => return,
                    }
                }
                Request::Down | Request::Status => panic!("{request:?}"),
            };
            // Any descriptor stands for the TUN here.
            let ride = matches!(reply, Reply::Up(_)).then(|| stream.as_fd());
            let ride: Vec<_> = ride.into_iter().collect();
            rights::send(&stream, &encode(&reply).unwrap(), &ride)
                .await
                .unwrap();
        }
        match receive(&stream, &mut bytes, &mut fds).await {
            0 => return,
            read => decoder.push(&bytes[..read]),
        }
    }
}

async fn receive(stream: &UnixStream, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> usize {
    rights::receive(stream, bytes, fds).await.unwrap()
}

fn granted(prefer: Option<Slot>) -> Granted {
    Granted {
        slot: prefer.unwrap_or_else(|| Slot::try_from(0).unwrap()),
        tun_name: "slipway0".to_owned(),
        address: [198, 18, 0, 1].into(),
        resolver: [198, 18, 0, 2].into(),
        address6: None,
        dns: None,
    }
}

fn attached(range: &str, route: &str) -> Conflict {
    Conflict {
        range: net(range),
        route: route.parse().unwrap(),
        device: "wlan0".to_owned(),
        with: ConflictWith::Attached,
    }
}

fn conflict(range: &str, route: &str) -> HelperRefusal {
    HelperRefusal::Conflicts(vec![attached(range, route)])
}

fn routed(lease: &Lease) -> Vec<String> {
    let routes = lease.plan().routes();
    routes.nets().map(|net| net.to_string()).collect()
}

#[tokio::test]
async fn a_refused_network_is_left_out_and_reported() {
    let refused = HelperRefusal::RangeRefused {
        range: net("34.0.0.0/8"),
        why: RangeTrouble::Public,
    };
    let helper = ScriptedHelper::start(vec![Some(Err(refused)), Some(Ok(Vec::new()))]);
    let fresh = obtain(&helper.ask(&["10.96.0.0/16", "34.0.0.0/8"]), &[], None)
        .await
        .unwrap();
    assert_eq!(
        helper.asked(),
        [vec!["10.96.0.0/16", "34.0.0.0/8"], vec!["10.96.0.0/16"]]
    );
    assert!(
        matches!(&fresh.warnings[..], [Warning::KeptOut { .. }]),
        "{:?}",
        fresh.warnings
    );
    assert_eq!(
        routes_of(&fresh.lease),
        ["10.96.0.0/16".parse::<IpNet>().unwrap()]
    );
}

#[tokio::test]
async fn the_rest_of_a_network_in_use_is_asked_for() {
    let script = vec![
        Some(Err(conflict("10.0.0.0/14", "10.2.0.0/15"))),
        Some(Ok(Vec::new())),
    ];
    let helper = ScriptedHelper::start(script);
    let fresh = obtain(&helper.ask(&["10.0.0.0/14"]), &[], None).await.unwrap();
    assert_eq!(helper.asked()[1], ["10.0.0.0/15"]);
    assert!(
        matches!(&fresh.warnings[..], [Warning::InUse(_)]),
        "{:?}",
        fresh.warnings
    );
}

#[tokio::test]
async fn a_refused_learned_address_is_no_warning() {
    let script = vec![
        Some(Err(conflict("10.9.8.7/32", "10.9.8.0/24"))),
        Some(Ok(Vec::new())),
    ];
    let helper = ScriptedHelper::start(script);
    let learned = [declared("10.9.8.7/32")];
    let fresh = obtain(&helper.ask(&["10.96.0.0/16"]), &learned, None)
        .await
        .unwrap();
    assert_eq!(helper.asked()[1], ["10.96.0.0/16"]);
    assert_eq!(fresh.warnings, []);
}

#[tokio::test]
async fn a_refusal_that_less_does_not_help_is_final() {
    let helper = ScriptedHelper::start(vec![Some(Err(HelperRefusal::NoFreeSlot))]);
    let error = obtain(&helper.ask(&["10.96.0.0/16"]), &[], None)
        .await
        .unwrap_err();
    assert!(
        matches!(error, VpnTcpError::Refused(HelperRefusal::NoFreeSlot)),
        "{error}"
    );
    assert_eq!(helper.asked().len(), 1);
}

#[tokio::test]
async fn a_lost_lease_asks_for_its_slot() {
    let helper = ScriptedHelper::start(vec![Some(Ok(Vec::new()))]);
    let slot = Slot::try_from(7).unwrap();
    let fresh = obtain(&helper.ask(&["10.96.0.0/16"]), &[], Some(slot))
        .await
        .unwrap();
    assert_eq!(fresh.lease.granted().slot, slot);
}

#[tokio::test]
async fn a_helper_that_hangs_up_is_gone() {
    let helper = ScriptedHelper::start(vec![None]);
    let error = obtain(&helper.ask(&["10.96.0.0/16"]), &[], None)
        .await
        .unwrap_err();
    assert!(
        matches!(error, VpnTcpError::Helper(ClientError::Gone(_))),
        "{error}"
    );
}

#[tokio::test]
async fn a_domain_of_the_laptops_network_is_left_to_it() {
    let refused = HelperRefusal::DomainRefused {
        domain: "k8s.corp.internal".parse().unwrap(),
        search: "corp.internal".parse().unwrap(),
    };
    let script = vec![
        Some(Ok(Vec::new())),
        Some(Err(refused)),
        Some(Ok(Vec::new())),
        Some(Ok(Vec::new())),
    ];
    let helper = ScriptedHelper::start(script);
    let mut lease = obtain(&helper.ask(&["10.96.0.0/16"]), &[], None)
        .await
        .unwrap()
        .lease;
    let zones = Zones {
        cluster: Some("k8s.corp.internal".parse().unwrap()),
        search: vec!["shop.svc.k8s.corp.internal".parse().unwrap()],
        ..Zones::default()
    };
    let ports = [5353.try_into().unwrap(); 3];
    let wanted = DnsPlan::new(zones, ports, DnsModeChoice::Auto).unwrap();
    let (_, warning) = set_dns(&mut lease, &wanted).await.unwrap();
    assert!(
        matches!(warning, Some(Warning::DoubtfulDomain { .. })),
        "{warning:?}"
    );
    let set = lease.plan().dns().unwrap().zones();
    assert_eq!((&set.cluster, set.search[0].as_str()), (&None, "shop.svc"));
    let (_, warning) = set_dns(&mut lease, &wanted).await.unwrap();
    assert_eq!(warning, None, "in another network again");
    assert_eq!(lease.plan().dns(), Some(&wanted));
}

#[tokio::test]
async fn a_network_leaves_while_the_laptop_uses_it() {
    let lan = ("10.0.0.0/14", "10.1.0.0/16");
    let (whole, parts) = (["10.0.0.0/14"], ["10.0.0.0/16", "10.2.0.0/15"]);
    let yes = || Some(Ok(Vec::new()));
    let helper = ScriptedHelper::start(vec![
        yes(),
        Some(Ok(vec![attached(lan.0, lan.1)])),
        Some(Err(conflict(lan.0, lan.1))),
        yes(),
        yes(),
        yes(),
    ]);
    let request = helper.ask(&whole);
    let mut lease = obtain(&request, &[], None).await.unwrap().lease;
    let warnings = recheck(&mut lease, &request, &[], &[]).await.unwrap();
    assert_eq!(warnings, [Warning::InUse(attached(lan.0, lan.1))]);
    assert!(lease.take_revoked());
    assert_eq!(routed(&lease), parts);
    let again = "+10.0.0.0/14 -10.0.0.0/16 10.2.0.0/15";
    assert_eq!(helper.changed(), ["+ -", again], "the whole network is tried");

    let warnings = recheck(&mut lease, &request, &[], &warnings).await.unwrap();
    assert_eq!(warnings, []);
    assert_eq!(routed(&lease), whole);
    assert_eq!(helper.changed(), ["+ -", again]);
    recheck(&mut lease, &request, &[], &[]).await.unwrap();
    assert_eq!(helper.changed(), ["+ -"], "a complete lease asks for nothing");
}

#[tokio::test]
async fn a_learned_address_that_left_is_not_asked_for() {
    let revoked = attached("192.168.1.1/32", "192.168.1.0/24");
    let helper = ScriptedHelper::start(vec![Some(Ok(Vec::new())), Some(Ok(vec![revoked]))]);
    let request = helper.ask(&["10.96.0.0/16"]);
    let learned = ["192.168.1.1/32", "172.20.1.5/32"].map(declared);
    let mut lease = obtain(&request, &learned, None).await.unwrap().lease;
    let warnings = recheck(&mut lease, &request, &learned, &[]).await.unwrap();
    assert_eq!(warnings, []);
    assert_eq!(routed(&lease), ["10.96.0.0/16", "172.20.1.5/32"]);
    assert_eq!(helper.changed(), ["+ -"]);
}

#[tokio::test]
async fn what_no_change_of_network_allows_is_asked_for_once() {
    let refused = |range: &str, why| {
        let range = net(range);
        Some(Err(HelperRefusal::RangeRefused { range, why }))
    };
    let helper = ScriptedHelper::start(vec![
        refused("34.0.0.0/8", RangeTrouble::Public),
        refused("fd00::/64", RangeTrouble::NoIpv6),
        Some(Ok(Vec::new())),
        Some(Ok(Vec::new())),
    ]);
    let request = helper.ask(&["10.96.0.0/16", "34.0.0.0/8", "fd00::/64"]);
    let NewLease {
        mut lease, warnings, ..
    } = obtain(&request, &[], None).await.unwrap();
    assert_eq!(warnings.len(), 1);
    let now = recheck(&mut lease, &request, &[], &warnings).await.unwrap();
    assert_eq!(now, warnings);
    assert_eq!(helper.changed(), ["+ -"]);
}

#[tokio::test]
async fn an_address_that_the_session_needs_leaves_the_lease() {
    let yes = || Some(Ok(Vec::new()));
    let helper = ScriptedHelper::start(vec![yes(), yes(), yes()]);
    let mut request = helper.ask(&["10.96.0.0/30"]);
    let mut lease = obtain(&request, &[], None).await.unwrap().lease;
    request.routes = without_addresses(&request.routes, &["10.96.0.1".parse().unwrap()]);
    recheck(&mut lease, &request, &[], &[]).await.unwrap();
    assert_eq!(routed(&lease), ["10.96.0.0/32", "10.96.0.2/31"]);
    assert_eq!(
        helper.changed(),
        ["+ -", "+10.96.0.0/32 10.96.0.2/31 -10.96.0.0/30"]
    );
}
