"""What every HTTP service shares: the server, the application around routes, errors, limits and documents."""
