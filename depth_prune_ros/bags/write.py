"""The one writer for every bag the package makes."""
