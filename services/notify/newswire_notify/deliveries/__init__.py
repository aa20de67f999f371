"""The queue of deliveries, their attempts, and what is kept of them."""
