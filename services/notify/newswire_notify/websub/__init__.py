"""The WebSub hub: pushes this site's own feeds to their subscribers (W3C Recommendation of 23 January 2018)."""
