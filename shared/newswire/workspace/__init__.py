"""The pages behind the sign-in: their frame, their texts, and the sessions of browsers."""
