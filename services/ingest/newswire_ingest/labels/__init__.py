"""Categories and topics."""
