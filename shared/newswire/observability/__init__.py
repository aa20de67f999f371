"""Metrics, logs, traces and the audit log."""
