"""How much an account may publish."""
