"""Article HTML made safe, and the language of a text."""
