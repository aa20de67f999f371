"""The portal: the pages on which subscribers manage their subscriptions, endpoints and deliveries."""
