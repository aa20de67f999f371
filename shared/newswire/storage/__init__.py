"""What is kept in Redis and in files, and the clients that reach it."""
