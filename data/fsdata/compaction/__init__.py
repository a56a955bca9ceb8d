"""Few large parts in place of many small ones, in one folder of results or from several into a new one."""
