"""Code that every HTTP service shares: server, middleware, errors, limits and documents."""
