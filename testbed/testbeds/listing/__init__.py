"""Changes to several testbeds, and to the words by which the list finds them."""
