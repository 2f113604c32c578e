//! Kubernetes: kubeconfig, agent placement, permissions, clean-up.
