"""Starting runs, reading them, controlling them, explaining them and auditing them."""
