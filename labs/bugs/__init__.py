"""A small trainer that is right, thirteen ways to sabotage it, and checks of the tests that catch them."""
