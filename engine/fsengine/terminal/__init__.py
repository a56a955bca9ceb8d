"""What all commands show people: tables, progress and messages, in one style."""
