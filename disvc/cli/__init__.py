"""The programs' command lines."""
