"""Images: uploads, storage, variants, uses, removal."""
