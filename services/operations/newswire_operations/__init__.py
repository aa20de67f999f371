"""Operations: health, metrics and API documents of all replicas, and the work on all stores at once: backups, dead letters."""
