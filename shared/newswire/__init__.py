"""The contract shared by the services of Newswire: wire formats, stored formats, and the code that reads and writes them."""
