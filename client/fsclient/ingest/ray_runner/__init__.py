"""Photos scored by a Ray cluster: it reads them and asks the servers, and this process writes the rows."""
