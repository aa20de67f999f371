"""The contract that Newswire's services share: what is on the wire and in the store, and nothing else."""
