"""Options from a file: `fsclient --config FILE`."""
