"""XML from other systems: parsed safely, repaired where it is damaged, read item by item."""
