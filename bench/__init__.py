"""What the hot paths cost, measured against their floors in the same run."""
