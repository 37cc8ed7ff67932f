"""What keeps the repository in order: notebooks stored and checked, badges and map, the site."""
