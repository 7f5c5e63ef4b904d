"""Tables, plots and drawings of results."""
