"""Passkeys: credentials of WebAuthn with which users sign in without a password."""
