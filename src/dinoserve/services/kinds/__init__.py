"""The kinds of jobs there are, one file each."""
