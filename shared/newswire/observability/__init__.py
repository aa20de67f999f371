"""What operators see: metrics, logs, traces and the audit log."""
