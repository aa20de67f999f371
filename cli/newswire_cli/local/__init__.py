"""Newswire on this machine: its data folder, its embedded Valkey and `newswire run`."""
