"""Training: engines that run steps, and the choice between them."""
