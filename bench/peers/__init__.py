"""Newswire beside other open services that do the same work: webhooks by Outpost, live streams by Mercure and Centrifugo.

All do the same work in turns, published over HTTP by the same client, and received by the same receiver and readers of
`bench`. A peer whose program or servers are not available is skipped, with the reason.
"""
