"""What the pages for readers have in common, whichever service renders them: the settings of the site and its look."""
