"""Going back in time: where one stands, what is fetched for it, and what is found there."""
