"""How cost grows: with rows in the database, with a batch, with requests at once, with parameters, with a file."""
