"""Mails to the users of Newswire: invitations, links for a new password, and warnings."""
