"""The demo: real model servers, a real Envoy, a real load, and three acts that must be seen to happen."""
