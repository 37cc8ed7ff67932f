"""For teachers and maintainers: the command line, the classroom, the repository."""
