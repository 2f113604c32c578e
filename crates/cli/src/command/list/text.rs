//! Text of lists.

use slipway_control_api::list::{
    ContextInfo, ListedPort, Namespace, Service, Workload, WorkloadKind, Workloads,
};

use crate::table::table;

/// Returns the ports of services, then those that containers declare.
pub(super) fn ports_of(services: &[Service], workloads: &[Workload]) -> Vec<ListedPort> {
    let of_services = services.iter().flat_map(|service| {
        service.ports.iter().map(|port| ListedPort {
            of: "service".to_owned(),
            owner: service.name.clone(),
            container: None,
            port: port.clone(),
        })
    });
    let of_workloads = workloads.iter().flat_map(|workload| {
        workload.containers.iter().flat_map(|container| {
            container.ports.iter().map(|port| ListedPort {
                of: kind(workload.kind).to_owned(),
                owner: workload.name.clone(),
                container: Some(container.name.clone()),
                port: port.clone(),
            })
        })
    });
    of_services.chain(of_workloads).collect()
}

pub(super) fn contexts(contexts: &[ContextInfo]) -> String {
    let rows: Vec<_> = contexts
        .iter()
        .map(|context| {
            [
                if context.current { "*" } else { "" }.to_owned(),
                context.name.clone(),
                context.namespace.clone().unwrap_or_default(),
                context.server.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table(["", "CONTEXT", "NAMESPACE", "SERVER"], &rows)
}

pub(super) fn namespaces(namespaces: &[Namespace]) -> String {
    let rows: Vec<_> = namespaces
        .iter()
        .map(|one| {
            [
                one.name.clone(),
                if one.ending { "ending" } else { "" }.to_owned(),
            ]
        })
        .collect();
    table(["NAMESPACE", ""], &rows)
}

pub(super) fn workloads(listed: &Workloads) -> String {
    let rows: Vec<_> = listed
        .workloads
        .iter()
        .map(|workload| {
            let containers: Vec<&str> = workload.containers.iter().map(|one| one.name.as_str()).collect();
            [
                kind(workload.kind).to_owned(),
                workload.name.clone(),
                format!("{}/{}", workload.ready, workload.wanted),
                containers.join(", "),
            ]
        })
        .collect();
    let mut text = table(["KIND", "NAME", "READY", "CONTAINERS"], &rows);
    for access in &listed.forbidden {
        text.push_str(&format!("You may not {access}.\n"));
    }
    text
}

pub(super) fn services(services: &[Service]) -> String {
    let rows: Vec<_> = services
        .iter()
        .map(|service| {
            let ports: Vec<String> = service
                .ports
                .iter()
                .map(|port| format!("{}/{}", port.port, port.protocol))
                .collect();
            let address = match &service.external_name {
                Some(name) => name.clone(),
                None => service.addresses.join(", "),
            };
            [
                service.name.clone(),
                service.kind.clone(),
                address,
                ports.join(", "),
            ]
        })
        .collect();
    table(["NAME", "KIND", "ADDRESS", "PORTS"], &rows)
}

pub(super) fn ports(ports: &[ListedPort]) -> String {
    let rows: Vec<_> = ports
        .iter()
        .map(|listed| {
            let port = &listed.port;
            [
                format!("{}/{}", port.port, port.protocol),
                port.name.clone().unwrap_or_default(),
                listed.of.clone(),
                listed.owner.clone(),
                listed
                    .container
                    .clone()
                    .or_else(|| port.target.clone())
                    .unwrap_or_default(),
            ]
        })
        .collect();
    table(["PORT", "NAME", "OF", "", "CONTAINER OR TARGET"], &rows)
}

fn kind(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::Deployment => "deployment",
        WorkloadKind::StatefulSet => "stateful-set",
        WorkloadKind::DaemonSet => "daemon-set",
    }
}

#[cfg(test)]
mod tests {
    use slipway_control_api::list::{Access, Container, Port};

    use super::*;

    fn port(name: Option<&str>, port: u16, target: Option<&str>) -> Port {
        Port {
            name: name.map(str::to_owned),
            port,
            protocol: "TCP".into(),
            target: target.map(str::to_owned),
        }
    }

    fn web() -> Service {
        Service {
            namespace: "shop".into(),
            name: "web".into(),
            kind: "ClusterIP".into(),
            addresses: vec!["10.96.0.9".into()],
            external_name: None,
            ports: vec![port(None, 80, Some("http"))],
        }
    }

    fn mail() -> Service {
        Service {
            namespace: "shop".into(),
            name: "mail".into(),
            kind: "ExternalName".into(),
            addresses: Vec::new(),
            external_name: Some("mail.example".into()),
            ports: Vec::new(),
        }
    }

    fn orders() -> Workload {
        Workload {
            kind: WorkloadKind::Deployment,
            namespace: "shop".into(),
            name: "orders".into(),
            wanted: 3,
            ready: 2,
            containers: vec![Container {
                name: "app".into(),
                image: "orders:2".into(),
                ports: vec![port(Some("http"), 8080, None)],
            }],
        }
    }

    #[test]
    fn lists_are_tables() {
        let contexts = contexts(&[
            ContextInfo {
                name: "staging".into(),
                cluster: "one".into(),
                server: Some("https://10.0.0.1:6443".into()),
                namespace: Some("shop".into()),
                current: true,
            },
            ContextInfo {
                name: "lost".into(),
                cluster: "gone".into(),
                server: None,
                namespace: None,
                current: false,
            },
        ]);
        let namespaces = namespaces(&[
            Namespace {
                name: "shop".into(),
                ending: false,
                assumed: false,
            },
            Namespace {
                name: "old".into(),
                ending: true,
                assumed: false,
            },
        ]);
        let workloads = workloads(&Workloads {
            workloads: vec![orders()],
            forbidden: vec![Access::within("shop", "list", "apps", "daemonsets")],
        });
        let services = services(&[web(), mail()]);
        let ports = ports(&ports_of(&[web()], &[orders()]));
        insta::assert_snapshot!([contexts, namespaces, workloads, services, ports].join("\n"));
    }

    #[test]
    fn ports_keep_their_form_as_json() {
        insta::assert_json_snapshot!(ports_of(&[web()], &[orders()]));
    }
}
