"""What single commands do; `newswire_cli.main` declares their options."""
