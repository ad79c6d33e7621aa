"""Every type of exception of the catalogue, raised by its cause and closed by its cure."""
