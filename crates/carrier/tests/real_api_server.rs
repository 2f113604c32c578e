//! Tests of carriers through a real API server, kubelet and containerd, from a laptop that reaches only the API server.
//!
//! They need the test bed (`cargo xtask cluster up`) and root. Each test starts this program again on the bed's plain
//! laptop, as its ordinary user with a developer's permissions, and runs there. `SLIPWAY_BED` names a bed other than the
//! default.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "the helpers of tests are tests too"
)]

use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use slipway_api_server::kubeconfig::{Choice, Sources, choose};
use slipway_bed::again;
use slipway_carrier::{CarrierError, CarrierKind, CarrierOpener, Endpoint, Pipe, open};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

const NAMESPACE: &str = "shop";
const ECHO: u16 = 7000;
const COUNT: u16 = 7001;
const POUR: u16 = 7002;
const NOBODY: u16 = 7999;
const FORWARDS: [CarrierKind; 2] = [CarrierKind::Spdy, CarrierKind::WebSocket];

#[test]
#[ignore = "needs a bed, and so root"]
fn bytes_reach_a_pod_that_has_no_route() {
    on_a_laptop("bytes_reach_a_pod_that_has_no_route", async |client| {
        let pod = echo_pod(&client).await;
        let address = pod
            .status
            .as_ref()
            .and_then(|status| status.pod_ip.clone())
            .expect("the pod's address");
        let direct = within(TcpStream::connect((address, ECHO))).await;
        assert!(
            direct.is_err(),
            "the laptop reaches the pod without a carrier, so the test proves nothing"
        );
        for kind in FORWARDS {
            let pipe = within(open(&client, &endpoint(&pod, ECHO), kind)).await.unwrap();
            assert_eq!(pipe.kind(), kind);
            echo_both_ways(pipe, 20_000_000).await;
        }
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn a_port_without_a_listener_is_refused() {
    on_a_laptop("a_port_without_a_listener_is_refused", async |client| {
        let pod = echo_pod(&client).await;
        for kind in FORWARDS {
            let mut pipe = within(open(&client, &endpoint(&pod, NOBODY), kind))
                .await
                .unwrap();
            let error = within(pipe.read_u8()).await.unwrap_err();
            assert!(
                matches!(CarrierError::of(&error), Some(CarrierError::PortRefused { .. })),
                "{kind:?}: {error}"
            );
        }
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn a_missing_pod_is_reported() {
    on_a_laptop("a_missing_pod_is_reported", async |client| {
        let nowhere = Endpoint::new(NAMESPACE, "nowhere", ECHO)
            .unwrap()
            .with_command("nowhere", ["cat"]);
        for kind in CarrierKind::ALL {
            let error = within(open(&client, &nowhere, kind)).await.unwrap_err();
            assert!(
                matches!(error, CarrierError::PodNotFound { .. }),
                "{kind:?}: {error}"
            );
        }
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn a_missing_permission_names_verb_and_resource() {
    on_a_laptop("a_missing_permission_names_verb_and_resource", async |client| {
        let elsewhere = Endpoint::new("kube-system", "coredns", ECHO).unwrap();
        for (kind, verb) in [(CarrierKind::Spdy, "create"), (CarrierKind::WebSocket, "get")] {
            let error = within(open(&client, &elsewhere, kind)).await.unwrap_err();
            let CarrierError::Forbidden { message, .. } = &error else {
                panic!("{kind:?}: {error}")
            };
            assert!(
                message.contains(verb) && message.contains("pods/portforward"),
                "{message}"
            );
        }
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn megabytes_arrive_complete_in_each_direction() {
    on_a_laptop("megabytes_arrive_complete_in_each_direction", async |client| {
        let pod = echo_pod(&client).await;
        for kind in FORWARDS {
            let mut down = within(open(&client, &endpoint(&pod, POUR), kind)).await.unwrap();
            let mut block = vec![0; 256 * 1024];
            for _ in 0..40 {
                within(down.read_exact(&mut block)).await.unwrap();
                assert!(
                    block
                        .iter()
                        .enumerate()
                        .all(|(at, byte)| usize::from(*byte) == at % 256),
                    "{kind:?}"
                );
            }
            let mut up = within(open(&client, &endpoint(&pod, COUNT), kind)).await.unwrap();
            for _ in 0..40 {
                within(up.write_all(&block)).await.unwrap();
            }
            within(up.shutdown()).await.unwrap();
        }
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn vectored_writes_arrive_in_order() {
    on_a_laptop("vectored_writes_arrive_in_order", async |client| {
        let pod = echo_pod(&client).await;
        for kind in FORWARDS {
            let mut pipe = within(open(&client, &endpoint(&pod, ECHO), kind)).await.unwrap();
            let slices = [&b"one "[..], b"", b"two ", b"three"].map(IoSlice::new);
            let written = poll_fn(|cx| Pin::new(&mut pipe).poll_write_vectored(cx, &slices))
                .await
                .unwrap();
            assert_eq!(written, 13);
            pipe.flush().await.unwrap();
            let mut read = [0; 13];
            within(pipe.read_exact(&mut read)).await.unwrap();
            assert_eq!(&read, b"one two three");
        }
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn a_pod_that_ends_ends_its_carriers() {
    on_a_laptop("a_pod_that_ends_ends_its_carriers", async |client| {
        let image = echo_pod(&client).await.spec.expect("a spec").containers[0]
            .image
            .clone();
        let pod = TestPod::start(
            &client,
            "carrier-ends",
            &image.expect("an image"),
            &["/echo", "serve"],
        )
        .await;
        let endpoint = Endpoint::new(NAMESPACE, pod.name, ECHO).unwrap();
        let mut pipes = Vec::new();
        for kind in FORWARDS {
            let mut pipe = within(open(&client, &endpoint, kind)).await.unwrap();
            // The pod is ready when its container runs, but its program listens a moment later.
            assert_echo(&mut pipe).await;
            pipes.push(pipe);
        }
        pod.remove().await;
        for mut pipe in pipes {
            // With or without an error: no reader may wait forever.
            let end = within(pipe.read_u8()).await.unwrap_err();
            println!("{:?} ended: {end}", pipe.kind());
        }
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn the_opener_uses_spdy_and_remembers_it() {
    on_a_laptop("the_opener_uses_spdy_and_remembers_it", async |client| {
        let pod = echo_pod(&client).await;
        let opener = CarrierOpener::default();
        let mut pipe = within(opener.open(&client, &endpoint(&pod, ECHO))).await.unwrap();
        assert_echo(&mut pipe).await;
        assert_eq!(opener.preferred(), Some(CarrierKind::Spdy));
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn a_command_carries_bytes_in_both_directions() {
    on_a_laptop("a_command_carries_bytes_in_both_directions", async |client| {
        let pod = TestPod::start(&client, "carrier-exec", BUSYBOX, &["sleep", "600"]).await;
        let endpoint = Endpoint::new(NAMESPACE, pod.name, ECHO)
            .unwrap()
            .with_command("main", ["cat"]);
        let pipe = within(open(&client, &endpoint, CarrierKind::Exec)).await.unwrap();
        echo_both_ways(pipe, 2_000_000).await;
        let failing = endpoint.with_command("main", ["sh", "-c", "exit 3"]);
        let mut pipe = within(open(&client, &failing, CarrierKind::Exec)).await.unwrap();
        let error = within(pipe.read_u8()).await.unwrap_err();
        assert!(
            matches!(CarrierError::of(&error), Some(CarrierError::Forward { .. })),
            "{error}"
        );
        pod.remove().await;
    });
}

/// Writes and reads at the same time, through the two halves, and compares.
async fn echo_both_ways(pipe: Pipe, length: usize) {
    let kind = pipe.kind();
    let (mut reader, mut writer) = pipe.into_split();
    let sent: Vec<u8> = (0..length).map(|at| at.to_le_bytes()[at % 3]).collect();
    let expected = sent.clone();
    let writing = tokio::spawn(async move {
        writer.write_all(&sent).await?;
        writer.flush().await?;
        Ok::<_, std::io::Error>(writer)
    });
    let mut received = vec![0; length];
    within(reader.read_exact(&mut received)).await.unwrap();
    let writer = within(writing).await.unwrap().unwrap();
    assert!(received == expected, "{kind:?}: other bytes came back");
    writer.close().await.unwrap();
}

async fn assert_echo(pipe: &mut Pipe) {
    within(pipe.write_all(b"are you there")).await.unwrap();
    within(pipe.flush()).await.unwrap();
    let mut read = [0; 13];
    within(pipe.read_exact(&mut read)).await.unwrap();
    assert_eq!(&read, b"are you there");
}

async fn echo_pod(client: &Client) -> Pod {
    let pods = Api::<Pod>::namespaced(client.clone(), NAMESPACE);
    let list = within(pods.list(&ListParams::default().labels("app=echo")))
        .await
        .unwrap();
    list.items.into_iter().next().expect("the bed's echo pod")
}

fn endpoint(pod: &Pod, port: u16) -> Endpoint {
    Endpoint::new(NAMESPACE, pod.metadata.name.as_deref().expect("a name"), port).unwrap()
}

/// A pod of one test.
struct TestPod {
    pods: Api<Pod>,
    name: &'static str,
}

impl TestPod {
    async fn start(client: &Client, name: &'static str, image: &str, command: &[&str]) -> Self {
        let pod = Self {
            pods: Api::namespaced(client.clone(), NAMESPACE),
            name,
        };
        pod.remove().await; // a pod that a failed run left
        let spec = serde_json::json!({
            "metadata": { "name": name },
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{
                    "name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "command": command,
                }],
            },
        });
        let spec = serde_json::from_value(spec).unwrap();
        within(pod.pods.create(&PostParams::default(), &spec))
            .await
            .unwrap();
        within(pod.until(|found| {
            let statuses = found?.status.as_ref()?.container_statuses.as_ref()?;
            statuses.iter().all(|status| status.ready).then_some(())
        }))
        .await;
        pod
    }

    async fn remove(&self) {
        // The pod may not exist.
        let _ = self
            .pods
            .delete(self.name, &DeleteParams::default().grace_period(0))
            .await;
        within(self.until(|found| found.is_none().then_some(()))).await;
    }

    async fn until(&self, reached: impl Fn(Option<&Pod>) -> Option<()>) {
        while reached(self.pods.get_opt(self.name).await.unwrap().as_ref()).is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Image of busybox in the bed.
const BUSYBOX: &str = "docker.io/library/busybox:latest";

async fn within<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), event)
        .await
        .expect("the event did not come")
}

/// Runs `body` on a laptop of the bed: on the host, it starts the test called `name` again there.
fn on_a_laptop<F>(name: &str, body: impl FnOnce(Client) -> F)
where
    F: Future<Output = ()>,
{
    if again::is_there() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(async {
            let target = choose(&Sources::from_environment(None), &Choice::default()).unwrap();
            body(target.client().await.unwrap()).await;
        });
    }
    print!(
        "{}",
        again::on_plain_laptop("carrier-real-api-server", name).unwrap()
    );
}
