"""The list of testbeds, and acts on several of them."""
