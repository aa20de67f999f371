"""Images that publishers upload: checked, stored once, served in several sizes, removed with the last article that used them."""
