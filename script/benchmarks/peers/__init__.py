"""Tools that a user could pick instead of the product, timed by `script/bench up`.

`site` prepares the host and brings guests up with a peer, `tools` has the command
lines of each peer, `contest` decides which peers run and collects their seconds.
"""
