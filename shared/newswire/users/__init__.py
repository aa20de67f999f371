"""People who sign in with a browser: users with roles in accounts, their passwords, sessions and one-time links."""
