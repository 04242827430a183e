"""The passes that come with tfreuse, one a file; the file's name is the pass's name."""
