//! One byte pipe through the Kubernetes API server to the agent.
