"""The field types of request bodies, and their validation rules."""
